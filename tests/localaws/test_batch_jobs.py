"""Jobs on a real engine: what DescribeJobs says of them is what became of them."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from botocore.exceptions import ClientError
from support.job_runner import BuiltImages
from support.moto_cloud import GROUP, QUEUE, Cloud, until

from toolchain.docker.engine import Engine
from toolchain.localaws.batch import submission
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.batch.host import JOB_LABEL, ROOT_LABEL

LOGS = {"logDriver": "awslogs", "options": {"awslogs-group": GROUP, "awslogs-stream-prefix": "tool"}}
RETRIES = {
    "attempts": 2,
    "evaluateOnExit": [{"onExitCode": "75", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
}

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def image(built_images: BuiltImages) -> str:
    return built_images.images["samtools"].reference


@pytest.fixture(scope="module")
def shell(cloud: Cloud, image: str) -> str:
    return cloud.define(image, logConfiguration=LOGS)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine.connect()
    yield engine
    engine.client.close()


@pytest.fixture(autouse=True)
def _nothing_is_left(cloud: Cloud, engine: Engine) -> Iterator[None]:
    yield
    until(lambda: not containers(cloud, engine))


def containers(cloud: Cloud, engine: Engine) -> list[Any]:
    label = f"{ROOT_LABEL}={cloud.world.root.resolve()}"
    return list(engine.client.api.containers(all=True, filters={"label": label}))


def container_of(engine: Engine, job_id: str) -> Any:
    return engine.client.containers.list(filters={"label": f"{JOB_LABEL}={job_id}"})[0]


def test_a_job_that_ends_well_has_succeeded_with_its_times_and_its_log(cloud: Cloud, shell: str) -> None:
    before = time.time() * 1000
    job = cloud.run(shell, "echo one; echo; printf two; echo three >&2")
    assert job["status"] == "SUCCEEDED"
    assert job["statusReason"] == "Essential container in task exited"
    assert job["container"]["exitCode"] == 0
    assert before - 1 <= job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] <= time.time() * 1000
    # Two pipes: in which order lines of the one stand to those of the other, nobody knows.
    assert sorted(cloud.lines(job)) == ["", "one", "three", "two"]
    assert [line for line in cloud.lines(job) if line != "three"] == ["one", "", "two"]
    assert job["container"]["logStreamName"].startswith("tool/default/")
    assert job["container"]["taskArn"].rpartition("/")[2] == job["container"]["logStreamName"].rpartition("/")[2]


def test_lines_are_in_the_log_while_the_job_runs(cloud: Cloud, shell: str) -> None:
    job_id = cloud.submit(shell, "echo here; sleep 30")
    job = cloud.reaches(job_id, "RUNNING")
    assert until(lambda: cloud.lines(job)) == ["here"]
    cloud.batch.terminate_job(jobId=job_id, reason="enough")
    cloud.ended(job_id)


def test_describing_a_job_does_not_change_it(cloud: Cloud, image: str) -> None:
    definition = cloud.define(image, environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}])
    job_id = cloud.submit(definition, containerOverrides={"environment": [{"name": "B", "value": "2"}]})
    cloud.ended(job_id)
    described = [cloud.job(job_id) for _ in range(3)]
    assert described[0] == described[1] == described[2]
    environment = {entry["name"]: entry["value"] for entry in described[0]["container"]["environment"]}
    assert environment == {"A": "1", "B": "2"}


def test_a_job_finds_batch_s_variables_and_nothing_of_this_aws(cloud: Cloud, shell: str) -> None:
    job = cloud.run(shell, "env")
    found = dict(line.split("=", 1) for line in cloud.lines(job))
    batch = {name: value for name, value in found.items() if name.startswith("AWS_BATCH_")}
    assert batch == {
        "AWS_BATCH_JOB_ID": job["jobId"],
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_JQ_NAME": QUEUE,
        "AWS_BATCH_CE_NAME": "spot",
    }
    assert {name for name in found if name.startswith("AWS_")} == set(batch)


def test_what_the_definition_limits_is_limited(cloud: Cloud, image: str) -> None:
    definition = cloud.define(
        image,
        logConfiguration=LOGS,
        user="1000:1000",
        readonlyRootFilesystem=True,
        ulimits=[{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
        linuxParameters={"initProcessEnabled": True, "tmpfs": [{"containerPath": "/small", "size": 1}]},
    )
    job = cloud.run(
        definition,
        "id -u; ulimit -n; touch /x 2>&- || echo read-only; df -m /small | tail -1 | awk '{print $2}'",
    )
    assert cloud.lines(job) == ["1000", "100", "read-only", "1"]


def test_parameters_and_overrides_of_a_submission_go_over_the_definition_s(cloud: Cloud, image: str) -> None:
    definition = cloud.define(image, logConfiguration=LOGS, parameters={"script": "echo $STEP_VCPUS Ref::x", "x": "1"})
    job_id = cloud.submit(
        definition,
        parameters={"x": "2"},
        containerOverrides={
            "command": ["sh", "-c", "echo $STEP_VCPUS Ref::x Ref::unknown"],
            "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "128"}],
        },
    )
    job = cloud.ended(job_id)
    assert cloud.lines(job) == ["2 2 Ref::unknown"]
    assert job["container"]["command"] == ["sh", "-c", "echo $STEP_VCPUS 2 Ref::unknown"]
    assert job["container"]["resourceRequirements"] == [
        {"type": "VCPU", "value": "2"},
        {"type": "MEMORY", "value": "128"},
    ]


def test_out_of_memory_is_named_as_batch_names_it(cloud: Cloud, shell: str) -> None:
    job = cloud.run(shell, "exec dd if=/dev/zero of=/dev/null bs=200M count=1")
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 137)
    assert job["container"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_an_image_that_is_not_there_is_a_pull_that_failed(cloud: Cloud) -> None:
    job = cloud.run(cloud.define("no.such/image:1"))
    assert job["statusReason"] == "Task failed to start"
    assert job["container"]["reason"].startswith("CannotPullContainerError: ")
    assert "exitCode" not in job["container"]


def test_a_command_that_is_not_there_does_not_start(cloud: Cloud, image: str) -> None:
    job = cloud.run(cloud.define(image, command=["/no/such/program"]))
    # What is there is an init, which says 127 of a program that it does not find.
    assert job["status"] == "FAILED"
    without_init = cloud.run(cloud.define(image, command=["/no/such/program"], linuxParameters={}))
    assert without_init["statusReason"] == "Task failed to start"
    assert without_init["container"]["reason"].startswith("CannotStartContainerError: ")


def test_a_log_group_that_is_not_there_keeps_a_job_from_starting(cloud: Cloud, image: str) -> None:
    options = {"awslogs-group": "/no/such/group"}
    job = cloud.run(cloud.define(image, logConfiguration={"logDriver": "awslogs", "options": options}))
    assert job["statusReason"] == "Task failed to start"
    assert "The specified log group does not exist" in job["container"]["reason"]


def test_a_host_that_is_lost_is_told_from_a_tool_that_failed(cloud: Cloud, shell: str, engine: Engine) -> None:
    job_id = cloud.submit(shell, "sleep 30")
    cloud.reaches(job_id, "RUNNING")
    container_of(engine, job_id).remove(force=True)
    job = cloud.ended(job_id)
    assert job["statusReason"].startswith("Host EC2 (instance i-")
    assert job["statusReason"].endswith(") terminated.")
    assert "exitCode" not in job["container"]
    killed = cloud.run(shell, "kill -9 $$")
    assert (killed["statusReason"], killed["container"]["exitCode"]) == ("Essential container in task exited", 137)


def test_a_lost_host_is_tried_again_by_a_rule_that_says_so(cloud: Cloud, image: str, engine: Engine) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    definition = cloud.define(image, retryStrategy={"attempts": 3, "evaluateOnExit": rules})
    job_id = cloud.submit(definition, 'test "$AWS_BATCH_JOB_ATTEMPT" = 2 || sleep 30')
    cloud.reaches(job_id, "RUNNING")
    container_of(engine, job_id).remove(force=True)
    job = cloud.ended(job_id)
    assert job["status"] == "SUCCEEDED"
    assert [attempt["statusReason"][:8] for attempt in job["attempts"]] == ["Host EC2", "Essentia"]


def test_attempts_are_listed_each_with_its_end_and_its_log(cloud: Cloud, image: str) -> None:
    definition = cloud.define(image, logConfiguration=LOGS, retryStrategy=RETRIES)
    job = cloud.run(definition, "echo try $AWS_BATCH_JOB_ATTEMPT; exit 75")
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [75, 75]
    streams = [attempt["container"]["logStreamName"] for attempt in job["attempts"]]
    assert [cloud.lines({"container": {"logStreamName": stream}}) for stream in streams] == [["try 1"], ["try 2"]]
    assert all(attempt["startedAt"] <= attempt["stoppedAt"] for attempt in job["attempts"])


def test_a_submission_s_own_retry_strategy_replaces_the_definition_s(cloud: Cloud, image: str) -> None:
    definition = cloud.define(image, retryStrategy=RETRIES)
    assert len(cloud.run(definition, "exit 65")["attempts"]) == 1
    job = cloud.run(definition, "exit 65", retryStrategy={"attempts": 3})
    assert len(job["attempts"]) == 3
    assert job["retryStrategy"]["attempts"] == 3


def test_an_attempt_that_takes_too_long_is_ended_and_not_tried_again(
    cloud: Cloud, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClientError, match="at least 60"):
        cloud.submit(shell, timeout={"attemptDurationSeconds": 59})
    monkeypatch.setattr(submission, "SHORTEST_TIMEOUT", 1)
    job = cloud.run(shell, "sleep 30", timeout={"attemptDurationSeconds": 1}, retryStrategy={"attempts": 3})
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert len(job["attempts"]) == 1
    assert 900 < job["stoppedAt"] - job["startedAt"] < 5000


def test_terminating_a_job_ends_its_container_and_keeps_the_reason(cloud: Cloud, shell: str) -> None:
    job_id = cloud.submit(shell, "sleep 30", retryStrategy={"attempts": 3})
    cloud.reaches(job_id, "RUNNING")
    cloud.batch.cancel_job(jobId=job_id, reason="a job that runs is not cancelled")
    cloud.batch.terminate_job(jobId=job_id, reason="no longer needed")
    job = cloud.ended(job_id)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "no longer needed", True)
    assert len(job["attempts"]) == 1


def test_a_job_that_waits_is_cancelled_without_ever_starting(cloud: Cloud, shell: str) -> None:
    both = {"resourceRequirements": [{"type": "VCPU", "value": "2"}]}
    running = cloud.submit(shell, "sleep 30", containerOverrides=both)
    cloud.reaches(running, "RUNNING")
    waiting = cloud.submit(shell)
    cloud.reaches(waiting, "RUNNABLE")
    cloud.batch.cancel_job(jobId=waiting, reason="changed my mind")
    job = cloud.job(waiting)
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", "changed my mind", [])
    cloud.batch.terminate_job(jobId=running, reason="enough")
    cloud.ended(running)


def test_jobs_run_side_by_side_as_far_as_there_are_vcpus_in_the_order_they_came(cloud: Cloud, shell: str) -> None:
    jobs = [cloud.ended(job_id) for job_id in [cloud.submit(shell, "sleep 0.2") for _ in range(6)]]
    times = [(job["startedAt"], job["stoppedAt"]) for job in jobs]
    assert [start for start, _ in times[::2]] == sorted(start for start, _ in times[::2])
    for start, _ in times:
        assert sum(other <= start < end for other, end in times) <= 2
    assert any(other < start < end for start, _ in times for other, end in times)


def test_a_job_that_can_never_fit_stays_runnable_and_says_why(cloud: Cloud, shell: str) -> None:
    job_id = cloud.submit(
        shell,
        containerOverrides={
            "resourceRequirements": [{"type": "VCPU", "value": "8"}, {"type": "MEMORY", "value": "28000"}]
        },
    )
    job = cloud.reaches(job_id, "RUNNABLE")
    assert job["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
    cloud.batch.terminate_job(jobId=job_id, reason="too large")
    memory = cloud.submit(shell, containerOverrides={"resourceRequirements": [{"type": "MEMORY", "value": "28000"}]})
    assert cloud.reaches(memory, "RUNNABLE")["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    cloud.batch.terminate_job(jobId=memory, reason="too large")


@pytest.fixture
def impatient(cloud: Cloud) -> Iterator[Cloud]:
    """Its queue cancels what can never be placed after a second."""
    reasons = ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    limits = [{"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": 1, "action": "CANCEL"} for reason in reasons]
    cloud.batch.update_job_queue(jobQueue=QUEUE, jobStateTimeLimitActions=limits)
    assert cloud.batch.describe_job_queues(jobQueues=[QUEUE])["jobQueues"][0]["jobStateTimeLimitActions"] == limits
    yield cloud
    cloud.batch.update_job_queue(jobQueue=QUEUE, jobStateTimeLimitActions=[])


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("VCPU", "8", "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"),
        ("MEMORY", "28000", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
    ],
)
def test_a_job_that_can_never_fit_is_cancelled_after_the_queue_s_time_and_holds_up_nobody(
    impatient: Cloud, shell: str, kind: str, value: str, reason: str
) -> None:
    overrides = {"resourceRequirements": [{"type": kind, "value": value}]}
    began = time.monotonic()
    never = impatient.submit(shell, containerOverrides=overrides)
    assert impatient.run(shell)["status"] == "SUCCEEDED"
    job = impatient.ended(never)
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", reason, [])
    assert job["isCancelled"]
    assert time.monotonic() - began >= 1


def test_a_job_that_waits_for_its_turn_is_not_cancelled(impatient: Cloud, shell: str) -> None:
    whole = {"resourceRequirements": [{"type": "VCPU", "value": "2"}]}
    first = impatient.submit(shell, "sleep 1.5", containerOverrides=whole)
    assert impatient.run(shell, containerOverrides=whole)["status"] == "SUCCEEDED"
    assert impatient.ended(first)["status"] == "SUCCEEDED"


def test_a_job_waits_for_those_it_depends_on_and_fails_with_them(cloud: Cloud, shell: str) -> None:
    first = cloud.submit(shell, "sleep 0.3")
    second = cloud.submit(shell, dependsOn=[{"jobId": first}])
    assert cloud.job(second)["status"] == "PENDING"
    assert cloud.ended(second)["startedAt"] >= cloud.job(first)["stoppedAt"]
    failing = cloud.submit(shell, "exit 1")
    after = cloud.ended(cloud.submit(shell, dependsOn=[{"jobId": failing}]))
    assert (after["status"], after["statusReason"], after["attempts"]) == ("FAILED", "Dependent Job failed", [])
    with pytest.raises(ClientError, match="does not exist"):
        cloud.submit(shell, dependsOn=[{"jobId": "none"}])


def test_an_array_job_is_its_children_each_with_its_index(cloud: Cloud, shell: str) -> None:
    parent = cloud.run(shell, "echo $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 3})
    assert parent["status"] == "SUCCEEDED"
    assert parent["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    children = [cloud.job(f"{parent['jobId']}:{index}") for index in range(3)]
    assert [cloud.lines(child) for child in children] == [["0"], ["1"], ["2"]]
    assert [child["arrayProperties"]["index"] for child in children] == [0, 1, 2]
    listed = cloud.batch.list_jobs(arrayJobId=parent["jobId"], jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [job["jobId"] for job in listed] == [child["jobId"] for child in children]


def test_an_array_job_fails_with_one_child_and_is_terminated_whole(cloud: Cloud, shell: str) -> None:
    failed = cloud.run(shell, 'test "$AWS_BATCH_JOB_ARRAY_INDEX" = 0', arrayProperties={"size": 2})
    assert (failed["status"], failed["statusReason"]) == ("FAILED", "Array Child Job failed")
    job_id = cloud.submit(shell, "sleep 30", arrayProperties={"size": 3})
    cloud.reaches(f"{job_id}:0", "RUNNING")
    cloud.batch.terminate_job(jobId=job_id, reason="enough")
    assert cloud.ended(job_id)["arrayProperties"]["statusSummary"]["FAILED"] == 3


def test_children_depend_on_one_another_in_turn_or_by_their_index(cloud: Cloud, shell: str) -> None:
    turn = cloud.submit(shell, "sleep 0.1", arrayProperties={"size": 2}, dependsOn=[{"type": "SEQUENTIAL"}])
    by_index = cloud.submit(shell, arrayProperties={"size": 2}, dependsOn=[{"jobId": turn, "type": "N_TO_N"}])
    assert cloud.ended(by_index)["status"] == "SUCCEEDED"
    first, second = (cloud.job(f"{turn}:{index}") for index in range(2))
    assert first["stoppedAt"] <= second["startedAt"]
    for index in range(2):
        assert cloud.job(f"{turn}:{index}")["stoppedAt"] <= cloud.job(f"{by_index}:{index}")["startedAt"]


def test_jobs_are_listed_by_status_and_by_filter_a_page_at_a_time(cloud: Cloud, shell: str) -> None:
    ids = [cloud.submit(shell, jobName=f"listed-{number}") for number in range(3)]
    for job_id in ids:
        cloud.ended(job_id)
    assert cloud.batch.list_jobs(jobQueue=QUEUE)["jobSummaryList"] == []
    wanted = [{"name": "JOB_NAME", "values": ["Listed-*"]}]
    page = cloud.batch.list_jobs(jobQueue=QUEUE, filters=wanted, maxResults=2)
    rest = cloud.batch.list_jobs(jobQueue=QUEUE, filters=wanted, maxResults=2, nextToken=page["nextToken"])
    found = page["jobSummaryList"] + rest["jobSummaryList"]
    assert {job["jobId"] for job in found} == set(ids)
    assert "nextToken" not in rest
    assert all(job["container"]["exitCode"] == 0 for job in found)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"jobQueue": "none"}, "Job queue none does not exist"),
        ({"jobDefinition": "none"}, "does not exist"),
        ({"jobName": "no blanks"}, "Job name should match valid pattern"),
        ({"arrayProperties": {"size": 1}}, "array size"),
        ({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "many"}]}}, "cannot be run"),
        ({"retryStrategy": {"attempts": 11}}, "retry attempts"),
    ],
)
def test_what_batch_refuses_is_refused(cloud: Cloud, shell: str, request_: dict[str, Any], why: str) -> None:
    given = {"jobName": "job", "jobQueue": QUEUE, "jobDefinition": shell, **request_}
    with pytest.raises(ClientError, match=why):
        cloud.batch.submit_job(**given)


def test_a_definition_that_is_no_longer_active_takes_no_jobs(cloud: Cloud, image: str) -> None:
    name = cloud.define(image, "twice")
    cloud.define(image, "twice")
    cloud.batch.deregister_job_definition(jobDefinition=f"{name}:2")
    assert cloud.run(name)["jobDefinition"].endswith("twice:1")
    with pytest.raises(ClientError, match="not active"):
        cloud.submit(f"{name}:2")


def test_what_a_dead_server_left_is_removed_at_the_next_start_and_nothing_else(
    cloud: Cloud, image: str, engine: Engine
) -> None:
    root = str(cloud.world.root.resolve())
    made = [
        engine.client.containers.run(image, ["sleep", "60"], detach=True, labels={ROOT_LABEL: label})
        for label in (root, f"{root}-other")
    ]
    try:
        LocalBatchBackend.host.sweep()
        with pytest.raises(docker.errors.NotFound):
            made[0].reload()
        made[1].reload()
        assert made[1].status == "running"
    finally:
        made[1].remove(force=True)


def test_between_two_jobs_little_is_added_to_what_docker_takes_to_make_and_start_a_container(
    cloud: Cloud, shell: str, engine: Engine, image: str
) -> None:
    """Under 0.1 s at the median, interleaved with containers that Docker makes and starts by itself."""
    whole = {"resourceRequirements": [{"type": "VCPU", "value": "2"}]}
    ours, docker_s = [], []
    for _ in range(7):
        pair = [cloud.submit(shell, containerOverrides=whole) for _ in range(2)]
        first, second = (cloud.ended(job_id) for job_id in pair)
        ours.append((second["startedAt"] - first["stoppedAt"]) / 1000)
        began = time.monotonic()
        made = engine.client.containers.create(image, ["true"], network_mode="none", init=True)
        made.start()
        docker_s.append(time.monotonic() - began)
        made.remove(force=True)
    assert statistics.median(ours) - statistics.median(docker_s) < 0.1

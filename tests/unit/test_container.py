"""A job definition on a host: what Batch is told is what Docker is asked to run."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.docker.container import Container, Job, Mount, Overrides, Ulimit, container_of, substituted
from toolchain.errors import WrongUsageError

MIB = 1024 * 1024


def definition(*, parameters: dict[str, str] | None = None, **properties: Any) -> dict[str, Any]:  # noqa: ANN401
    """A job definition with these properties."""
    return {
        "jobDefinitionName": "genomics-tool",
        "parameters": parameters or {},
        "containerProperties": {
            "image": "sha256:0",
            "resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "2048"}],
            **properties,
        },
    }


def environment(*entries: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in entries]


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("Ref::sample", "NA12878"),
        ("s3://bucket/Ref::sample/out", "s3://bucket/NA12878/out"),
        ("Ref::sample.Ref::lane", "NA12878.L001"),
        ("Ref::sampleRef::lane", "Ref::sampleRef::lane"),
        ("--in=Ref::sample,Ref::sample", "--in=NA12878,NA12878"),
        ("Ref::other", "Ref::other"),
        ("Ref::sample-2", "Ref::sample-2"),
        ("Ref::sample_2", "Ref::sample_2"),
        ("Ref::Sample", "Ref::Sample"),
        ("ref::sample", "ref::sample"),
        ("Ref:sample", "Ref:sample"),
        ("Ref::", "Ref::"),
        ("Ref::x-y_1", "dashed"),
    ],
)
def test_a_reference_is_replaced_in_whole_words_and_inside_them_and_an_undeclared_one_stays(
    word: str, result: str
) -> None:
    assert substituted([word], {"sample": "NA12878", "lane": "L001", "x-y_1": "dashed"}) == (result,)


@pytest.mark.parametrize(
    "value", ["$(id)", "`id`", "; rm -rf /", "a b", "a\nb", "\\1", "\\g<0>", "", "'", '"', "é", "--help", "*"]
)
def test_a_hostile_value_stays_one_argument_to_the_letter(value: str) -> None:
    given_definition = definition(parameters={"sample": "-"}, command=["step", "Ref::sample", "end"])
    container = container_of(given_definition, parameters={"sample": value})
    assert container.command == ("step", value, "end")


def test_a_value_that_looks_like_a_reference_is_not_replaced_again() -> None:
    assert substituted(["Ref::a", "Ref::b"], {"a": "Ref::b", "b": "Ref::a"}) == ("Ref::b", "Ref::a")


NAMES = st.text("abXY0_-", min_size=1, max_size=3)
WORDS = st.lists(st.text() | NAMES.map("Ref::{}".format), max_size=4).map("/".join)


@given(command=st.lists(WORDS), parameters=st.dictionaries(NAMES, st.text() | NAMES.map("Ref::{}".format)))
def test_a_command_keeps_its_words_and_all_that_is_no_declared_reference(
    command: list[str], parameters: dict[str, str]
) -> None:
    expected = []
    for word in command:
        text, *rest = re.split(r"(Ref::[A-Za-z0-9_-]+)", word)
        for reference, literal in zip(rest[::2], rest[1::2], strict=True):
            text += parameters.get(reference.removeprefix("Ref::"), reference) + literal
        expected.append(text)
    assert substituted(command, parameters) == tuple(expected)


@given(value=st.text(), around=st.tuples(st.text("=/., "), st.text("=/., ")))
def test_whatever_a_value_holds_is_put_in_once_and_unchanged(value: str, around: tuple[str, str]) -> None:
    before, after = around
    command = [f"{before}Ref::sample{after}", "end"]
    assert substituted(command, {"sample": value, "x": "y"}) == (f"{before}{value}{after}", "end")


@given(st.lists(st.text().filter(lambda word: "Ref::" not in word)))
def test_a_command_without_a_reference_is_left_as_it_is(command: list[str]) -> None:
    assert substituted(command, {"sample": "NA12878"}) == tuple(command)


def test_a_job_s_parameter_goes_over_the_definition_s_and_the_others_stay() -> None:
    given_definition = definition(parameters={"a": "1", "b": "2"}, command=["Ref::a", "Ref::b"])
    assert container_of(given_definition, parameters={"b": "3"}).command == ("1", "3")


@pytest.mark.parametrize(
    ("declared", "why"), [({"lane": "-", "a": "-"}, "it declares a, lane"), ({}, "it declares none")]
)
def test_a_parameter_that_is_not_declared_is_an_error_that_names_those_that_are(
    declared: dict[str, str], why: str
) -> None:
    with pytest.raises(WrongUsageError) as caught:
        container_of(definition(parameters=declared), parameters={"sampel": "S1"})
    assert caught.value.what == "no parameter 'sampel' in genomics-tool"
    assert caught.value.why == why


def test_references_are_replaced_in_the_command_only() -> None:
    container = container_of(
        definition(
            parameters={"sample": "S1"},
            command=["Ref::sample"],
            environment=environment(("SAMPLE", "Ref::sample")),
            user="Ref::sample",
        )
    )
    assert container.command == ("S1",)
    assert container.environment["SAMPLE"] == "Ref::sample"
    assert container.user == "Ref::sample"


def test_a_command_that_overrides_replaces_the_whole_and_is_substituted_too() -> None:
    given_definition = definition(parameters={"sample": "S1"}, command=["step", "mem", "Ref::sample"])
    container = container_of(given_definition, overrides=Overrides(command=("sh", "Ref::sample")))
    assert container.command == ("sh", "S1")


def test_without_a_command_the_image_s_own_is_run() -> None:
    assert container_of(definition()).command == ()


def test_an_environment_that_overrides_goes_over_the_definition_s() -> None:
    container = container_of(
        definition(environment=environment(("KEPT", "1"), ("CHANGED", "1"))),
        overrides=Overrides(environment={"CHANGED": "2", "ADDED": "2"}),
    )
    kept = {name: container.environment[name] for name in ("KEPT", "CHANGED", "ADDED")}
    assert kept == {"KEPT": "1", "CHANGED": "2", "ADDED": "2"}


def test_resources_are_the_definition_s_where_none_override() -> None:
    container = container_of(definition())
    assert (container.vcpus, container.memory) == (4, 2048)


def test_each_resource_overrides_by_itself() -> None:
    fewer = container_of(definition(), overrides=Overrides(vcpus=2))
    assert (fewer.vcpus, fewer.memory) == (2, 2048)
    smaller = container_of(definition(), overrides=Overrides(memory=512))
    assert (smaller.vcpus, smaller.memory) == (4, 512)


def test_overrides_are_read_as_the_service_takes_them() -> None:
    overrides = Overrides.parse(
        {
            "command": ["sh", "-c", "true"],
            "environment": environment(("A", "1")),
            "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "512"}],
        }
    )
    assert overrides == Overrides(command=("sh", "-c", "true"), environment={"A": "1"}, vcpus=2, memory=512)


@pytest.mark.parametrize("overrides", [{}, {"command": []}, {"environment": []}, {"resourceRequirements": []}])
def test_overrides_that_say_nothing_change_nothing(overrides: dict[str, Any]) -> None:
    assert Overrides.parse(overrides) == Overrides()


def test_batch_tells_a_job_which_it_is() -> None:
    job = Job(job_id="j-1", queue="spot", compute_environment="large", attempt=3)
    told = container_of(definition(), job=job).environment
    assert told == {
        "AWS_BATCH_JOB_ID": "j-1",
        "AWS_BATCH_JQ_NAME": "spot",
        "AWS_BATCH_CE_NAME": "large",
        "AWS_BATCH_JOB_ATTEMPT": "3",
        "STEP_VCPUS": "4",
    }


@pytest.mark.parametrize("index", [0, 9999])
def test_a_child_of_an_array_job_is_told_its_index(index: int) -> None:
    told = container_of(definition(), job=Job(array_index=index)).environment
    assert told["AWS_BATCH_JOB_ARRAY_INDEX"] == str(index)


def test_nobody_can_pretend_to_be_batch() -> None:
    container = container_of(
        definition(environment=environment(("AWS_BATCH_JOB_ID", "mine"))),
        overrides=Overrides(environment={"AWS_BATCH_JOB_ATTEMPT": "9", "STEP_VCPUS": "64"}),
    )
    assert container.environment["AWS_BATCH_JOB_ID"] == "local"
    assert container.environment["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert container.environment["STEP_VCPUS"] == "4"


def test_a_step_is_told_the_vcpus_that_it_was_given_in_the_end() -> None:
    assert container_of(definition(), overrides=Overrides(vcpus=2)).environment["STEP_VCPUS"] == "2"


def test_mounts_take_the_host_s_path_of_their_volume_and_can_be_read_only() -> None:
    container = container_of(
        definition(
            volumes=[
                {"name": "data", "host": {"sourcePath": "/host/data"}},
                {"name": "working", "host": {"sourcePath": "/host/working"}},
            ],
            mountPoints=[
                {"sourceVolume": "working", "containerPath": "/scratch/working"},
                {"sourceVolume": "data", "containerPath": "/scratch/data", "readOnly": True},
            ],
        )
    )
    assert container.mounts == (
        Mount(source="/host/working", target="/scratch/working", read_only=False),
        Mount(source="/host/data", target="/scratch/data", read_only=True),
    )


@pytest.mark.parametrize(
    ("entry", "options"),
    [
        ({"size": 64, "mountOptions": ["rw", "noexec", "mode=1777"]}, "size=64m,rw,noexec,mode=1777"),
        ({"size": 1}, "size=1m"),
    ],
)
def test_a_tmpfs_has_its_size_in_mib_and_its_options(entry: dict[str, Any], options: str) -> None:
    container = container_of(definition(linuxParameters={"tmpfs": [{"containerPath": "/tmp", **entry}]}))  # noqa: S108
    assert container.tmpfs == {"/tmp": options}  # noqa: S108


def test_everything_else_is_taken_over_as_it_is() -> None:
    container = container_of(
        definition(
            user="1000:1000",
            readonlyRootFilesystem=True,
            privileged=True,
            ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": 8192}],
            linuxParameters={"initProcessEnabled": True, "sharedMemorySize": 128},
        )
    )
    assert container == Container(
        image="sha256:0",
        environment=container.environment,
        vcpus=4,
        memory=2048,
        user="1000:1000",
        read_only=True,
        privileged=True,
        ulimits=(Ulimit(name="nofile", soft=1024, hard=8192),),
        init=True,
        shared_memory=128,
    )


def test_what_a_definition_does_not_say_is_the_engine_s_default() -> None:
    container = container_of(definition())
    assert container == Container(image="sha256:0", environment=container.environment, vcpus=4, memory=2048)


def test_docker_is_told_memory_as_a_hard_limit_without_swap() -> None:
    arguments = Container(image="i", memory=2048).docker_arguments()
    assert (arguments["mem_limit"], arguments["memswap_limit"]) == (2048 * MIB, 2048 * MIB)


@pytest.mark.parametrize(("vcpus", "shares"), [(0, 2), (1, 1024), (8, 8192)])
def test_docker_is_told_vcpus_as_shares_and_not_as_a_limit(vcpus: int, shares: int) -> None:
    arguments = Container(image="i", memory=4, vcpus=vcpus).docker_arguments()
    assert arguments["cpu_shares"] == shares
    assert not {"nano_cpus", "cpu_quota", "cpuset_cpus"} & set(arguments)


def test_docker_is_told_to_bind_directories_that_exist() -> None:
    (mount,) = Container(
        image="i", memory=4, mounts=(Mount(source="/a:b,c", target="/scratch/data", read_only=True),)
    ).docker_arguments()["mounts"]
    assert mount == {"Type": "bind", "Source": "/a:b,c", "Target": "/scratch/data", "ReadOnly": True}


def test_docker_is_told_the_rest_to_the_letter() -> None:
    arguments = Container(
        image="i",
        command=("not", "here"),
        environment={"A": "1"},
        memory=4,
        user="1000:1000",
        read_only=True,
        privileged=False,
        tmpfs={"/x": "size=1m"},
        ulimits=(Ulimit(name="nofile", soft=1, hard=2),),
        init=True,
    ).docker_arguments()
    for told in ("cpu_shares", "mem_limit", "memswap_limit"):
        arguments.pop(told)
    assert arguments == {
        "environment": {"A": "1"},
        "mounts": [],
        "user": "1000:1000",
        "read_only": True,
        "privileged": False,
        "tmpfs": {"/x": "size=1m"},
        "ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        "init": True,
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "log_config": {"Type": "json-file", "Config": {}},
    }


def test_docker_is_told_the_size_of_shared_memory_only_where_the_definition_gives_one() -> None:
    assert Container(image="i", memory=4, shared_memory=64).docker_arguments()["shm_size"] == 64 * MIB
    assert "shm_size" not in Container(image="i", memory=4).docker_arguments()

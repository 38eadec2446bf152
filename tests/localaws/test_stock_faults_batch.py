"""What stock moto's Batch does not do as the service: when one of these fails, what stands in for it can go."""

from typing import Any

import pytest
from support.stock import answers

QUESTIONS = """
from moto.batch import models
from moto.batch.models import BatchBackend, Job, JobDefinition, JobQueue
from moto.batch.responses import BatchResponse

backend = BatchBackend("us-east-1", "123456789012")
properties = {"image": "i", "command": ["Ref::a-Ref::b"], "vcpus": 1, "memory": 64}
parameters = {"a": "1", "b": "2"}
retries = {"attempts": 3}
definition = JobDefinition("d", parameters, "container", properties, None, None, {}, retries, {}, backend, [], False)
queue = JobQueue("q", 1, "ENABLED", [], [], None, backend)
names = ("log_backend", "parameters", "timeout", "eks_properties_override", "depends_on")
given = dict.fromkeys(names) | {"container_overrides": {"environment": [{"name": "A", "value": "1"}]}}
job = Job("j", definition, queue, backend, all_jobs={}, array_properties={}, **given)
described = [[entry["name"] for entry in job.describe()["container"]["environment"]] for _ in range(3)][-1]
answers["grows"] = described.count("AWS_BATCH_JOB_ID")
answers["references"] = job._add_parameters_to_command(["Ref::a-Ref::b"])
run = inspect.getsource(Job)
words = ("mem_limit", "user", "ulimits", "tmpfs", "JOB_ATTEMPT", "ARRAY_INDEX", "OOMKilled", "retry")
answers["applied"] = [word for word in words if word in inspect.getsource(Job.run)]
answers["name"] = bool(models.JOB_NAME_REGEX.match("j"))
submitted = inspect.getsource(BatchResponse.submitjob)
answers["submitted"] = [word for word in ("retryStrategy", "schedulingPriorityOverride") if word in submitted]
answers["pages"] = "maxResults" in inspect.getsource(BatchResponse.listjobs)
answers["polls"] = run.count("sleep(0.5)")
answers["group"] = job._log_group
answers["blank"] = "if len(x) > 0" in run
queue.jobs = [job]
backend._job_queues = {queue.arn: queue}
answers["listed"] = [one.status for one in backend.list_jobs("q", None)]
answers["capacity"] = "maxvCpus" in run
"""


@pytest.fixture(scope="module")
def stock() -> dict[str, Any]:
    return answers(QUESTIONS)


def test_each_look_at_a_job_adds_to_its_environment(stock: dict[str, Any]) -> None:
    assert stock["grows"] == 3


def test_of_two_references_in_a_word_one_is_replaced(stock: dict[str, Any]) -> None:
    assert stock["references"] == ["1-Ref::b"]


def test_limits_user_retries_and_out_of_memory_are_not_known(stock: dict[str, Any]) -> None:
    assert stock["applied"] == []


def test_a_submission_s_own_retry_strategy_and_priority_are_dropped(stock: dict[str, Any]) -> None:
    assert stock["submitted"] == []


def test_a_name_of_one_letter_is_refused(stock: dict[str, Any]) -> None:
    assert stock["name"] is False


def test_jobs_wait_in_sleeps(stock: dict[str, Any]) -> None:
    assert stock["polls"] >= 4


def test_the_log_group_of_a_definition_is_not_looked_at_and_blank_lines_are_lost(stock: dict[str, Any]) -> None:
    assert stock["group"] == "/aws/batch/job"
    assert stock["blank"]


def test_jobs_of_every_status_are_listed_in_one_page(stock: dict[str, Any]) -> None:
    assert stock["listed"] == ["SUBMITTED"]
    assert not stock["pages"]


def test_compute_environments_have_no_end_of_room(stock: dict[str, Any]) -> None:
    assert not stock["capacity"]

"""Jobs and state machines of an embedded AWS, as its clients see them."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import boto3

from toolchain.localaws.config import LocalConfig

ROLE = "arn:aws:iam::123456789012:role/any"
QUEUE = "queue"
GROUP = "/genomics/jobs"
SECONDS = 30
_NUMBERS = count()


_T = TypeVar("_T")


def until(look: Callable[[], _T | None], seconds: float = SECONDS) -> _T:
    """Polls until `look` returns something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("nothing came of it")


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Clients, and a queue that takes jobs."""

    config: LocalConfig
    batch: Any
    logs: Any
    states: Any

    def define(self, image: str, name: str | None = None, **properties: Any) -> str:
        """Registers a job definition that runs the parameter `script` in a shell, and returns its name."""
        name = name or f"definition-{next(_NUMBERS)}"
        extra = {key: properties.pop(key) for key in ("retryStrategy", "timeout", "parameters") if key in properties}
        self.batch.register_job_definition(
            jobDefinitionName=name,
            type="container",
            containerProperties={
                "image": image,
                "command": ["sh", "-c", "Ref::script"],
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
                # A shell that is process 1 would not hear that it is to stop.
                "linuxParameters": {"initProcessEnabled": True},
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": GROUP, "awslogs-stream-prefix": "tool"},
                },
                **properties,
            },
            **{"parameters": {"script": "true"}, **extra},
        )
        return name

    def submit(self, definition: str, script: str = "true", **request: Any) -> str:
        """Submits a job and returns its id."""
        given = {"jobName": "job", "jobQueue": QUEUE, "parameters": {"script": script}, **request}
        return str(self.batch.submit_job(jobDefinition=definition, **given)["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as DescribeJobs shows it."""
        job: dict[str, Any] = self.batch.describe_jobs(jobs=[job_id])["jobs"][0]
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        """Waits for a job's end."""
        return until(lambda: job if (job := self.job(job_id))["status"] in {"SUCCEEDED", "FAILED"} else None)

    def reaches(self, job_id: str, status: str) -> dict[str, Any]:
        """Waits for a job's status."""
        return until(lambda: job if (job := self.job(job_id))["status"] == status else None)

    def run(self, definition: str, script: str = "true", **request: Any) -> dict[str, Any]:
        """Runs a job to its end."""
        return self.ended(self.submit(definition, script, **request))

    def lines(self, job: Mapping[str, Any]) -> list[str]:
        """A job's output, from its log stream."""
        events = self.logs.get_log_events(
            logGroupName=GROUP, logStreamName=job["container"]["logStreamName"], startFromHead=True
        )["events"]
        return [event["message"] for event in events]

    def machine(self, states: Mapping[str, Any], *, first: str | None = None, **more: Any) -> str:
        """Makes a state machine of JSONata states and gives its ARN."""
        definition = {"QueryLanguage": "JSONata", "StartAt": first or next(iter(states)), "States": states, **more}
        made = self.states.create_state_machine(
            name=f"machine-{next(_NUMBERS)}", roleArn=ROLE, definition=json.dumps(definition)
        )
        return str(made["stateMachineArn"])

    def execute(self, machine: str, given: Any = None) -> dict[str, Any]:
        """Runs an execution to its end."""
        started = self.states.start_execution(stateMachineArn=machine, input=json.dumps({} if given is None else given))
        return self.finished(started["executionArn"])

    def finished(self, arn: str) -> dict[str, Any]:
        """An execution, when it has ended."""

        def look() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.states.describe_execution(executionArn=arn)
            return None if execution["status"] == "RUNNING" else execution

        return until(look)

    def output(self, states: Mapping[str, Any], given: Any = None, **more: Any) -> Any:
        """What an execution of these states gives."""
        execution = self.execute(self.machine(states, **more), given)
        assert execution["status"] == "SUCCEEDED", execution
        return json.loads(execution["output"])

    def events(self, arn: str) -> list[str]:
        """The types of an execution's history."""
        return [event["type"] for event in self.states.get_execution_history(executionArn=arn)["events"]]


def submit_job(definition: str, script: str, **state: Any) -> dict[str, Any]:
    """A state that runs a job and waits for it."""
    arguments = {
        "JobName": "job",
        "JobQueue": QUEUE,
        "JobDefinition": definition,
        "Parameters": {"script": script},
        **state.pop("Arguments", {}),
    }
    task = {"Type": "Task", "Resource": "arn:aws:states:::batch:submitJob.sync", "Arguments": arguments, **state}
    return task if "Next" in task else {**task, "End": True}


def cloud_of(config: LocalConfig, *, vcpus: int = 2) -> Cloud:
    """The clients, and a queue with a compute environment of so many vCPUs."""
    clients: Any = boto3.client
    iam, ec2, batch, logs = (clients(name) for name in ("iam", "ec2", "batch", "logs"))
    role = iam.create_role(RoleName="service", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    environment = batch.create_compute_environment(
        computeEnvironmentName="spot",
        type="MANAGED",
        state="ENABLED",
        serviceRole=role,
        computeResources={
            "type": "EC2",
            "minvCpus": 0,
            "maxvCpus": vcpus,
            "instanceTypes": ["optimal"],
            "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
            "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
            "instanceRole": iam.create_instance_profile(InstanceProfileName="host")["InstanceProfile"]["Arn"],
        },
    )
    batch.create_job_queue(
        jobQueueName=QUEUE,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment["computeEnvironmentArn"]}],
    )
    logs.create_log_group(logGroupName=GROUP)
    return Cloud(config=config, batch=batch, logs=logs, states=clients("stepfunctions"))

"""The classes of failure of a job, and who tries it again.

Batch's `evaluateOnExit` (jobdefs/_base.json.j2) is rendered from here. stack/workflow.yaml holds the same classes and
retries in the states language; a test compares the two.
"""

from dataclasses import dataclass
from typing import Any, Literal

# The Retry of each state of the state machines, by the service it calls: a throttled call must not end the run.
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_BACKOFF: dict[str, Any] = {
    "IntervalSeconds": 2,
    "MaxAttempts": 8,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
    "JitterStrategy": "FULL",
}
RETRIES = {
    "batch": {"ErrorEquals": ["Batch.ServerException", "Batch.AWSBatchException"], **_BACKOFF},
    "states": {
        "ErrorEquals": ["StepFunctions.ExecutionLimitExceededException", "StepFunctions.AWSStepFunctionsException"],
        **_BACKOFF,
    },
    "aws-sdk:batch": {"ErrorEquals": ["Batch.ServerException", "Batch.BatchException"], **_BACKOFF},
    "aws-sdk:s3": {"ErrorEquals": ["S3.SlowDownException", "S3.S3Exception"], **_BACKOFF},
    "aws-sdk:ssm": {"ErrorEquals": ["Ssm.ThrottlingException", "Ssm.SsmException"], **_BACKOFF},
}
TRY_AGAIN = "75"
NO_MORE_MEMORY = "NoMoreMemory"


@dataclass(frozen=True, kw_only=True)
class FailureClass:
    """A class of failure.

    A failed job belongs to the first class of which `status`, `reason` or `exits` matches, else to the last. A job that
    ran out of memory with all that a job may have belongs to NO_MORE_MEMORY.

    Attributes:
        name: The name of the error in the state machine.
        status: The start of the job's status reason.
        reason: The start of its container's reason.
        exits: Exit codes of its container.
        again: Who tries it again: `batch` (the attempts of the job definition), `hosts` (likewise, then the state
            machine, up to eight times in all and on demand after the third), `memory` (the state machine, once, with
            twice the memory if a job may have it), or nobody.
        what: What happened, as a sentence that starts with "it".
        fix: What to do; `<tool>` stands for the job's tool.
        exit_code: Exit code of the command that followed the run (sysexits.h).
    """

    name: str
    status: str = ""
    reason: str = ""
    exits: tuple[str, ...] = ()
    again: Literal["batch", "hosts", "memory", "nobody"]
    what: str
    fix: str
    exit_code: int = 70

    def as_state(self) -> dict[str, Any]:
        """The class in stack/workflow.yaml."""
        return {
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "exits": list(self.exits),
            "again": self.again,
            "what": self.what,
            "fix": self.fix,
        }


CLASSES = (
    FailureClass(
        name="HostLost",
        status="Host EC2",
        again="hosts",
        what="lost its host more often than it may, on demand at last",
        fix="See in EC2 why its hosts end, and run it again: what is done is kept.",
        exit_code=75,
    ),
    FailureClass(
        name="ImagePull",
        reason="CannotPull",
        again="batch",
        what="could not get its image",
        fix="Build, push and register it again, and check the hosts' way to ECR.",
        exit_code=69,
    ),
    FailureClass(
        name="NotStarted",
        status="Task failed to start",
        again="batch",
        what="could not be started on its host",
        fix="See the job's reason; run it again.",
        exit_code=69,
    ),
    FailureClass(
        name="TimedOut",
        status="Job attempt duration exceeded timeout",
        again="nobody",
        what="took longer than its job definition allows",
        fix="Raise jobs.<tool>.timeout in genomics.toml, register, deploy, and run it again.",
        exit_code=75,
    ),
    FailureClass(
        name="NeverRunnable",
        status="MISCONFIGURATION:",
        again="nobody",
        what="asks for more than any host has",
        fix="Lower jobs.<tool> in genomics.toml, or allow larger hosts; register, deploy, and run it again.",
        exit_code=78,
    ),
    FailureClass(
        name="NoCapacity",
        status="CAPACITY:",
        again="nobody",
        what="waited in vain for a host",
        fix="Allow more instance types in genomics.toml, or try later.",
        exit_code=75,
    ),
    FailureClass(
        name="OutOfMemory",
        reason="OutOfMemoryError:",
        exits=("137",),
        again="memory",
        what="ran out of memory twice",
        fix="Raise jobs.<tool>.memory in genomics.toml, register, deploy, and run it again.",
    ),
    FailureClass(
        name=NO_MORE_MEMORY,
        again="nobody",
        what="ran out of memory with all that a job may have",
        fix="Use hosts with more memory, and raise MaxJobMemory of [stack.workflow] in genomics.toml; or, on one "
        "machine, a machine with more memory. The aligner bwa takes less than bwa-mem3.",
    ),
    FailureClass(
        name="BadData",
        exits=("65",),
        again="nobody",
        what="found bad data",
        fix="Correct the input that the log names: the same input fails the same way.",
        exit_code=65,
    ),
    FailureClass(
        name="WrongInput",
        exits=("64", "66"),
        again="nobody",
        what="was told something wrong, or an input is missing",
        fix="Correct the sample sheet or the reference's name; the log says which.",
        exit_code=66,
    ),
    FailureClass(
        name="ScratchFailed",
        exits=("73", "74"),
        again="nobody",
        what="could not read or write the scratch",
        fix="Check the file system's free capacity and the host's mounts, and run it again.",
        exit_code=74,
    ),
    FailureClass(
        name="Unavailable",
        exits=(TRY_AGAIN,),
        again="batch",
        what="met something that was busy or did not answer, more often than it may",
        fix="Run it again later: what is done is kept.",
        exit_code=75,
    ),
    FailureClass(
        name="ToolFailed",
        again="nobody",
        what="failed",
        fix="The tool's own messages stand in the log.",
    ),
)


def evaluate_on_exit() -> list[dict[str, str]]:
    """The rules of evaluateOnExit, at most five. The last one matches everything, since Batch retries the rest."""
    rules = []
    for failure in CLASSES:
        if failure.again in {"batch", "hosts"}:
            conditions = {"onStatusReason": failure.status, "onReason": failure.reason}
            rules += [{key: f"{value}*", "action": "RETRY"} for key, value in conditions.items() if value]
            rules += [{"onExitCode": code, "action": "RETRY"} for code in failure.exits]
    return [*rules, {"onReason": "*", "action": "EXIT"}]

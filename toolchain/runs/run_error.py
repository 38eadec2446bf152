"""The error for a run that failed."""

from toolchain.errors import StepFailedError
from toolchain.jobdefs.target import Target
from toolchain.paths import typed
from toolchain.runs.executions import Run

_STEP_ERROR = "step: error: "


def run_failure(run: Run, target: Target) -> StepFailedError:
    """The error for a run that failed: what the state machine says, and the step's own error if its log has one."""
    lines = run.cause.splitlines() or ["it gives no cause"]
    step_errors = [line.partition(_STEP_ERROR)[2] for line in lines if _STEP_ERROR in line]
    return StepFailedError(
        f"run {run.name} failed ({run.error or run.status})",
        why=" ".join([lines[0], *step_errors[:1]]).rstrip("."),
        fix=f"{_logs(run, target)}. What is done is kept.",
        details="\n".join(lines[1:]),
        exit_code=run.exit_code,
    )


def _logs(run: Run, target: Target) -> str:
    if target.is_persistent:
        return f"Its logs: {typed('logs', run.name)}"
    return "Its logs end with this command; to keep such, type first: python build.py local start"

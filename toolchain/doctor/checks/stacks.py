"""The stacks: deployed, and in a good state."""

from collections.abc import Iterator

from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red, yellow
from toolchain.stacks.template import STORAGE


def statuses(context: DoctorContext) -> Iterator[CheckResult]:
    """Each stack's state; one line for all that do not exist."""
    for name, state in context.states.items():
        status = f"{state.name} is {state.status}" + (f": {state.reason}" if state.reason else "")
        if state.is_busy:
            yield yellow(f"{status}: what it holds may change while it is looked at", "Look again when it is done.")
        elif not state.is_deployed or "FAILED" in state.status:
            yield red(status, f"{DEPLOY} {name}, which mends it or says what is in the way.")
        elif state.status == "UPDATE_ROLLBACK_COMPLETE":
            yield green(f"{status}: as it was before its last update, which failed")
        else:
            yield green(status)
    missing = [stack.name for stack in context.layout.stacks if stack.name not in context.states]
    if missing == [STORAGE]:
        yield yellow(
            "the file systems are down, and so not looked into", "A run brings them up; or: python build.py storage up"
        )
    elif missing:
        yield yellow(f"not deployed, and so not looked into: {', '.join(missing)}", DEPLOY)

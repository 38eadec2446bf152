"""The stacks: there, and whole."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.doctor.result import DEPLOY, Finding, green, red, yellow

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext

_NAME = "stacks"


def stands(case: "DoctorContext") -> Iterator[Finding]:
    """What state each stack is in; one line for all that are not there."""
    missing = [stack.name for stack in case.layout.stacks if stack.name not in case.states]
    for name, state in case.states.items():
        said = f"{state.name} is {state.status}" + (f": {state.reason}" if state.reason else "")
        if state.busy:
            yield yellow(
                _NAME, f"{said}: what it holds may change while it is looked at", "Look again when it is done."
            )
        elif not state.stands or "FAILED" in state.status:
            yield red(_NAME, said, f"{DEPLOY} {name}, which mends it or says what is in the way.")
        elif state.status == "UPDATE_ROLLBACK_COMPLETE":
            yield green(_NAME, f"{said}: as it was before its last update, which failed")
        else:
            yield green(_NAME, said)
    if missing:
        yield yellow(_NAME, f"not deployed, and so not looked into: {', '.join(missing)}", DEPLOY)

"""What a check says: a thing is right, wrong, or could not be looked at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from toolchain.doctor.context import DoctorContext

Status = Literal["green", "yellow", "red"]
DEPLOY = "Type: python build.py deploy"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of `doctor`.

    Attributes:
        check: What was looked at.
        status: Green is right, red is wrong, yellow could not be looked at.
        what: What is so.
        fix: What to do about it; empty if it is green.
    """

    check: str
    status: Status
    what: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """For `--json`."""
        return {"check": self.check, "status": self.status, "what": self.what, "fix": self.fix}


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something to look at.

    Attributes:
        name: Its name, as its findings have it.
        look: Looks, and says what it finds.
        stacks: The stacks that have to be deployed for it: without them it is not looked at.
        cloud: Whether AWS has to be asked.
    """

    name: str
    look: "Callable[[DoctorContext], Iterable[Finding]]"
    stacks: tuple[str, ...] = ()
    cloud: bool = True


def green(check: str, what: str) -> Finding:
    """It is right."""
    return Finding(check=check, status="green", what=what)


def red(check: str, what: str, fix: str) -> Finding:
    """It is wrong."""
    return Finding(check=check, status="red", what=what, fix=fix)


def yellow(check: str, what: str, fix: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(check=check, status="yellow", what=what, fix=fix)

"""The result of a check: green (fine), red (wrong, with a fix) or yellow (could not be checked)."""

from dataclasses import dataclass
from typing import Literal

from toolchain.errors import ToolchainError

Status = Literal["green", "yellow", "red"]
DEPLOY = "Type: python build.py deploy"


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One line of `doctor`.

    Attributes:
        check: The name of the check; `run_checks` fills it in.
        status: Green, yellow or red.
        what: What was found.
        fix: What to do about it; empty if it is green.
    """

    check: str = ""
    status: Status
    what: str
    fix: str = ""


def green(what: str) -> CheckResult:
    """It is as it should be."""
    return CheckResult(status="green", what=what)


def red(what: str, fix: str) -> CheckResult:
    """It is wrong."""
    return CheckResult(status="red", what=what, fix=fix)


def yellow(what: str, fix: str = "") -> CheckResult:
    """It could not be checked."""
    return CheckResult(status="yellow", what=what, fix=fix)


def red_error(error: ToolchainError) -> CheckResult:
    """It is wrong, and an error says why and what to do."""
    return red(f"{error.what}: {error.why}", error.fix)

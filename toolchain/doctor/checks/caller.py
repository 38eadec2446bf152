"""Who asks, and when: the identity that AWS sees, and its clock against this machine's."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from toolchain.aws import Account, doing
from toolchain.doctor.result import Finding, green, red, yellow
from toolchain.errors import UnavailableError

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext

# AWS takes a signature for five minutes before and after its own time:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
REFUSED_FROM = 300.0
NOTED_FROM = 1.0
_SET_CLOCK = "Set the clock: timedatectl set-ntp true, or chronyc makestep."


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What AWS answered when it was asked who asks.

    Attributes:
        account: The account's id; empty if it was not said.
        arn: The user or role; empty likewise.
        error: Why it was not said.
        ahead: By how many seconds this machine's clock is ahead of AWS's, at least; below zero if it is behind.
            None where the answer had no date.
    """

    account: str = ""
    arn: str = ""
    error: UnavailableError | None = None
    ahead: float | None = None


def ask(account: Account, clock: Callable[[], float]) -> Caller:
    """Asks AWS who asks; a refusal has a date too."""
    from botocore.exceptions import ClientError

    client = account.sts()
    before = clock()
    try:
        with doing("asking AWS who this is"):
            answer = client.get_caller_identity()
    except UnavailableError as error:
        cause = error.__cause__
        headers = cause.response["ResponseMetadata"].get("HTTPHeaders", {}) if isinstance(cause, ClientError) else {}
        return Caller(error=error, ahead=_ahead(headers, before, clock()))
    headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
    return Caller(account=answer["Account"], arn=answer["Arn"], ahead=_ahead(headers, before, clock()))


def _ahead(headers: Mapping[str, str], before: float, after: float) -> float | None:
    """The least that explains a date: it was written between the two times, and is cut to the second."""
    try:
        date = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    if before > date + 1:
        return before - (date + 1)
    return min(0.0, after - date)


def credentials(case: "DoctorContext") -> Iterator[Finding]:
    """Whether AWS knows who asks, and in which region."""
    region = case.account.region
    caller = case.caller
    if caller.error is not None:
        yield red("credentials", f"{caller.error.what}: {caller.error.why}", caller.error.fix)
    else:
        yield green("credentials", f"account {caller.account}, as {caller.arn}, in {region}")


def clock(case: "DoctorContext") -> Iterator[Finding]:
    """Whether this machine's clock is AWS's."""
    ahead = case.caller.ahead
    if ahead is None:
        yield yellow("clock", "could not look: AWS's answer has no date")
    elif abs(ahead) > REFUSED_FROM:
        yield red("clock", f"{_off(ahead)}: from {REFUSED_FROM:.0f} s AWS refuses signatures", _SET_CLOCK)
    elif abs(ahead) > NOTED_FROM:
        yield green("clock", f"{_off(ahead)}; from {REFUSED_FROM:.0f} s AWS refuses signatures")
    else:
        yield green("clock", f"within {NOTED_FROM:.0f} s of AWS's")


def _off(ahead: float) -> str:
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} AWS's"

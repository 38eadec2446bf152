"""The caller: credentials, region, and this machine's clock against AWS's."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime

from botocore.exceptions import ClientError

from toolchain.aws import doing
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult, green, red, red_error, yellow
from toolchain.errors import UnavailableError

# AWS takes a signature for five minutes before and after its own time:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
REFUSED_FROM = 300.0
NOTED_FROM = 1.0


def credentials_and_clock(context: DoctorContext) -> Iterator[CheckResult]:
    """AWS knows the caller, and its clock agrees with this machine's. A refusal has a date too."""
    headers: Mapping[str, str] = {}
    before = context.clock()
    try:
        region = context.account.region
        with doing("asking AWS who this is"):
            answer = context.account.sts().get_caller_identity()
    except UnavailableError as error:
        if isinstance(error.__cause__, ClientError):
            headers = error.__cause__.response["ResponseMetadata"].get("HTTPHeaders", {})
        yield red_error(error)
    else:
        headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
        yield green(f"account {answer['Account']}, as {answer['Arn']}, in {region}")
    yield replace(_clock(clock_ahead(headers, before, context.clock())), check="clock")


def _clock(ahead: float | None) -> CheckResult:
    if ahead is None:
        return yellow("could not look: AWS's answer has no date")
    difference = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} AWS's"
    if abs(ahead) > REFUSED_FROM:
        return red(
            f"{difference}: from {REFUSED_FROM:.0f} s AWS refuses signatures",
            "Set the clock: timedatectl set-ntp true, or chronyc makestep.",
        )
    if abs(ahead) > NOTED_FROM:
        return green(f"{difference}; from {REFUSED_FROM:.0f} s AWS refuses signatures")
    return green(f"within {NOTED_FROM:.0f} s of AWS's")


def clock_ahead(headers: Mapping[str, str], before: float, after: float) -> float | None:
    """By how many seconds, at least, this machine's clock is ahead of AWS's; below zero if it is behind.

    Args:
        headers: An answer's headers, whose date is cut to the second.
        before: This machine's time before the request.
        after: And after the answer.
    """
    try:
        date = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    if before > date + 1:
        return before - (date + 1)
    return min(0.0, after - date)

"""Job definitions: as this checkout says, with images that ECR holds; and those that the state machines name."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.aws import doing
from toolchain.doctor.result import DEPLOY, Finding, green, red
from toolchain.jobdefs import verify as verification
from toolchain.jobdefs.revisions import all_active

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext

_PUSH = "python build.py push; python build.py register"
_ARN = re.compile(r"arn:[a-z-]+:batch:[a-z0-9-]+:\d+:job-definition/([A-Za-z0-9_-]+):(\d+)")
# What DescribeJobDefinitions takes in one call.
_MOST = 100


def agree(case: "DoctorContext") -> Iterator[Finding]:
    """Whether cloud and checkout agree, as `verify` has it."""
    name = "job definition"
    verdict = verification.verify(case.checkout, case.account)
    missing = [one for one in verdict.findings if one.what == "is not registered"]
    if missing:
        yield red(name, f"not registered: {', '.join(one.name for one in missing)}", f"Type: {_PUSH}")
    faults: dict[str, list[str]] = {}
    for one in verdict.findings:
        if one not in missing:
            faults.setdefault(one.name, []).append(one.what)
    for label, whats in faults.items():
        fix = f"python build.py verify; {_PUSH}; python build.py deploy workflow"
        yield red(name, f"{label} {'; '.join(whats)}", f"Type: {fix}")
    for agreeing in verdict.agreeing:
        yield green(name, f"{agreeing} is as this checkout says, and ECR has its image")


def named(case: "DoctorContext") -> Iterator[Finding]:
    """Whether each revision that a state machine names can still be submitted."""
    name = "state machine"
    latest = all_active(case.batch, f"{case.settings.project}-")
    newest = {one: f"{one}:{revisions[0].number}" for one, revisions in latest.items()}
    for arn, described in case.definitions("StateMachineArn", "JobMachineArn"):
        label = arn.rpartition(":")[2]
        if described.get("status") not in {None, "ACTIVE"}:
            yield red(name, f"{label} is {described['status']}", f"{DEPLOY} workflow")
            continue
        wanted = {found[0]: f"{found[1]}:{found[2]}" for found in _ARN.finditer(described["definition"])}
        gone = [short for one, short in wanted.items() if one not in _active(case, sorted(wanted))]
        if gone:
            yield red(
                name,
                f"{label} names {', '.join(gone)}, which cannot be submitted",
                f"Type: {_PUSH}; python build.py deploy workflow",
            )
        else:
            names = f"names {', '.join(wanted.values())}, all of them active" if wanted else "names no job definition"
            newer = sorted(newest[one.partition(":")[0]] for one in wanted.values() if one not in newest.values())
            later = f"; python build.py deploy workflow takes {', '.join(newer)}" if newer else ""
            yield green(name, f"{label} is ACTIVE, and {names}{later}")


def _active(case: "DoctorContext", arns: list[str]) -> set[str]:
    client = case.batch
    found: set[str] = set()
    for start in range(0, len(arns), _MOST):
        with doing("looking at the job definitions that state machines name"):
            answer = client.describe_job_definitions(jobDefinitions=arns[start : start + _MOST])
        found |= {one["jobDefinitionArn"] for one in answer["jobDefinitions"] if one.get("status") == "ACTIVE"}
    return found

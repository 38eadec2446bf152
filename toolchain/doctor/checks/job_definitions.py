"""Job definitions: as the checkout has them, with images in ECR, and active where state machines name them."""

import re
from collections.abc import Iterator

from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red
from toolchain.jobdefs.revisions import all_active
from toolchain.jobdefs.verify import verify

_PUSH = "python build.py push; python build.py register"
_ARN = re.compile(r"arn:[a-z-]+:batch:[a-z0-9-]+:\d+:job-definition/([A-Za-z0-9_-]+):(\d+)")


def registered(context: DoctorContext) -> Iterator[CheckResult]:
    """AWS and the checkout agree, as `verify` sees it."""
    verdict = verify(context.checkout, context.account, context.outputs)
    missing = [finding.name for finding in verdict.findings if finding.what == "is not registered"]
    if missing:
        yield red(f"not registered: {', '.join(missing)}", f"Type: {_PUSH}")
    differences: dict[str, list[str]] = {}
    for finding in verdict.findings:
        if finding.what != "is not registered":
            differences.setdefault(finding.name, []).append(finding.what)
    for name, differs in differences.items():
        yield red(
            f"{name} {'; '.join(differs)}", f"Type: python build.py verify; {_PUSH}; python build.py deploy workflow"
        )
    for name in verdict.agreeing:
        yield green(f"{name} is as this checkout says, and ECR has its image")


def in_state_machines(context: DoctorContext) -> Iterator[CheckResult]:
    """Each revision that a state machine names can still be submitted."""
    active = all_active(context.batch, f"{context.settings.project}-")
    arns = {revision.arn for revisions in active.values() for revision in revisions}
    latest = {revisions[0].arn for revisions in active.values()}
    for machine in context.state_machines():
        label = machine["name"]
        if machine.get("status") not in {None, "ACTIVE"}:
            yield red(f"{label} is {machine['status']}", f"{DEPLOY} workflow")
            continue
        named = {match[0]: match for match in _ARN.finditer(machine["definition"])}
        gone = [f"{match[1]}:{match[2]}" for arn, match in named.items() if arn not in arns]
        if gone:
            yield red(
                f"{label} names {', '.join(gone)}, which cannot be submitted",
                f"Type: {_PUSH}; python build.py deploy workflow",
            )
            continue
        names = ", ".join(f"{match[1]}:{match[2]}" for match in named.values())
        newer = sorted(f"{match[1]}:{active[match[1]][0].number}" for arn, match in named.items() if arn not in latest)
        update = f"; python build.py deploy workflow takes {', '.join(newer)}" if newer else ""
        revisions = f"names {names}, all of them active" if names else "names no job definition"
        yield green(f"{label} is ACTIVE, and {revisions}{update}")

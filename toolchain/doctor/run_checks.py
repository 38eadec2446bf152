"""All checks in their order, each by itself: one that fails hides no other."""

from collections.abc import Iterator

from toolchain.doctor import launch
from toolchain.doctor.checks import (
    batch,
    caller,
    capacity,
    configuration,
    definitions,
    deployment,
    lustre,
    machine,
    ports,
    quotas,
    roles,
)
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import Check, Finding, red, yellow
from toolchain.errors import SeveralFailedError, ToolchainError, UnavailableError

MACHINE = (
    Check(name="docker", look=machine.engine, cloud=False),
    Check(name="python packages", look=machine.packages, cloud=False),
    Check(name="genomics.toml", look=configuration.suits, cloud=False),
)
CALLER = (
    Check(name="credentials", look=caller.credentials),
    Check(name="clock", look=caller.clock),
)
ACCOUNT = (
    Check(name="quota of vCPUs", look=quotas.vcpus),
    Check(name="quota of Lustre", look=quotas.lustre),
    Check(name="stacks", look=deployment.stands),
    Check(name="room for jobs", look=capacity.looks),
    Check(name="memory of second attempts", look=capacity.second_attempts),
    Check(name="job definition", look=definitions.agree, stacks=("registry",)),
    Check(name="compute environment", look=batch.environments, stacks=("compute",)),
    Check(name="job queue", look=batch.queue, stacks=("compute",)),
    Check(name="launch template", look=launch.latest, stacks=("compute",)),
    Check(name="instance profile", look=roles.profile, stacks=("compute",)),
    Check(name="role", look=roles.drift, stacks=("compute",)),
    Check(name="file system", look=lustre.file_systems, stacks=("storage",)),
    Check(name="zone", look=lustre.zones, stacks=("storage", "compute")),
    Check(name="mount", look=lustre.mounts, stacks=("storage",)),
    Check(name="link to S3", look=lustre.links, stacks=("storage",)),
    Check(name="Lustre ports", look=ports.opened, stacks=("storage", "compute")),
    Check(name="state machine", look=definitions.named, stacks=("workflow",)),
)
CHECKS = (*MACHINE, *CALLER, *ACCOUNT)


def examine(case: DoctorContext) -> Iterator[Finding]:
    """Every finding, as soon as it is found; where AWS does not know who asks, nothing else of it is asked."""
    for check in MACHINE:
        yield from look(check, case)
    known = True
    for check in CALLER:
        for finding in look(check, case):
            known = known and (check.name != "credentials" or finding.status == "green")
            # Where AWS was not reached, its clock was not either: once is enough.
            if known or finding.status == "red":
                yield finding
    if not known:
        yield yellow("AWS", "not looked at: without credentials and a region nothing can be asked", "See credentials.")
        return
    try:
        _ = case.layout
    except ToolchainError:
        yield yellow(
            "AWS", "not looked at: which stacks there are is for genomics.toml and stack/ to say", "Mend them."
        )
        return
    for check in ACCOUNT:
        if set(check.stacks) <= _standing(case, check):
            yield from look(check, case)


def _standing(case: DoctorContext, check: Check) -> frozenset[str]:
    """The stacks that are deployed; none where that cannot be found out, which the check of stacks says."""
    if not check.stacks:
        return frozenset()
    try:
        return case.standing
    except ToolchainError:
        return frozenset()


def look(check: Check, case: DoctorContext) -> Iterator[Finding]:
    """One check's findings; what keeps it from looking is a finding too."""
    try:
        yield from check.look(case)
    except UnavailableError as error:
        said = f"{error.what}: {error.why}"
        if check.name == "credentials":
            yield red(check.name, said, error.fix)
        else:
            yield yellow(check.name, f"could not look: {said}", error.fix)
    except SeveralFailedError as several:
        for one in several.errors:
            yield red(check.name, f"{one.what}: {one.why}", one.fix)
    except ToolchainError as error:
        yield red(check.name, f"{error.what}: {error.why}", error.fix)
    except Exception as fault:  # noqa: BLE001  # a fault of ours must not hide what the other checks find
        yield yellow(
            check.name,
            f"could not look: {type(fault).__name__}: {fault}, which nobody has thought of",
            "Report it: this is a fault of the toolchain.",
        )

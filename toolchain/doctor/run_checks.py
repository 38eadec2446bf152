"""All checks, in order. One that fails does not keep the others from running."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from toolchain.doctor.checks import (
    batch,
    caller,
    capacity,
    job_definitions,
    launch,
    lustre,
    machine,
    ports,
    quotas,
    roles,
    stacks,
)
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult, red_error, yellow
from toolchain.errors import SeveralFailedError, ToolchainError, UnavailableError


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check; left out unless its stacks are deployed."""

    name: str
    run: Callable[[DoctorContext], Iterable[CheckResult]]
    stacks: tuple[str, ...] = ()


MACHINE = (
    Check(name="docker", run=machine.docker),
    Check(name="python packages", run=machine.packages),
    Check(name="genomics.toml", run=machine.settings),
)
CALLER = Check(name="credentials", run=caller.credentials_and_clock)
ACCOUNT = (
    Check(name="quota of vCPUs", run=quotas.vcpus),
    Check(name="quota of Lustre", run=quotas.lustre),
    Check(name="service-linked role", run=roles.service_linked),
    Check(name="stacks", run=stacks.statuses),
    Check(name="room for jobs", run=capacity.room_for_jobs),
    Check(name="memory of second attempts", run=capacity.second_attempts),
    Check(name="job definition", run=job_definitions.registered, stacks=("registry", "compute")),
    Check(name="compute environment", run=batch.compute_environments, stacks=("compute",)),
    Check(name="image of hosts", run=batch.host_images, stacks=("compute",)),
    Check(name="job queue", run=batch.job_queue, stacks=("compute",)),
    Check(name="launch template", run=launch.latest_version, stacks=("compute",)),
    Check(name="instance profile", run=roles.instance_profile, stacks=("compute",)),
    Check(name="role", run=roles.policies, stacks=("compute",)),
    Check(name="file system", run=lustre.file_systems, stacks=("storage",)),
    Check(name="zone", run=lustre.zones, stacks=("storage", "compute")),
    Check(name="mount", run=lustre.mounts, stacks=("storage",)),
    Check(name="link to S3", run=lustre.links, stacks=("storage",)),
    Check(name="Lustre ports", run=ports.open_ports, stacks=("storage", "compute")),
    Check(name="state machine", run=job_definitions.in_state_machines, stacks=("workflow",)),
)
CHECKS = (*MACHINE, CALLER, *ACCOUNT)


def run_all(context: DoctorContext) -> Iterator[CheckResult]:
    """Yields every result as soon as it is known. Without credentials nothing else is asked of AWS."""
    for check in MACHINE:
        yield from run(check, context)
    results = list(run(CALLER, context))
    authenticated = results[0].status == "green"
    # Where AWS was not reached, its clock was not either; a wrong clock may be why it refuses the credentials.
    yield from (result for result in results if authenticated or result.status == "red")
    if not authenticated:
        yield _aws_skipped("without credentials and a region nothing can be asked", "See credentials.")
        return
    try:
        _ = context.layout
    except ToolchainError:
        yield _aws_skipped("which stacks there are is for genomics.toml and stack/ to say", "Mend them.")
        return
    for check in ACCOUNT:
        if not check.stacks or set(check.stacks) <= _deployed(context):
            yield from run(check, context)


def _aws_skipped(why: str, fix: str) -> CheckResult:
    return CheckResult(check="AWS", status="yellow", what=f"not looked at: {why}", fix=fix)


def _deployed(context: DoctorContext) -> frozenset[str]:
    try:
        return context.deployed
    except ToolchainError:
        return frozenset()  # the check of stacks says why


def run(check: Check, context: DoctorContext) -> Iterator[CheckResult]:
    """Yields one check's results; an error that keeps it from checking is a result too."""
    for result in _results(check, context):
        yield replace(result, check=result.check or check.name)


def _results(check: Check, context: DoctorContext) -> Iterator[CheckResult]:
    try:
        yield from check.run(context)
    except SeveralFailedError as several:
        yield from map(red_error, several.errors)
    except UnavailableError as error:
        yield yellow(f"could not look: {error.what}: {error.why}", error.fix)
    except ToolchainError as error:
        yield red_error(error)
    except Exception as fault:  # noqa: BLE001  # a fault of ours must not hide what the other checks find
        yield yellow(
            f"could not look: {type(fault).__name__}: {fault}, which nobody has thought of",
            "Report it: this is a fault of the toolchain.",
        )

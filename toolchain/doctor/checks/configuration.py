"""genomics.toml and the templates: valid, and suited to each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.doctor.result import Finding, green, red
from toolchain.errors import ConfigurationError, SeveralFailedError
from toolchain.runs.target import AwsTarget
from toolchain.stacks import auto_parameters as computed
from toolchain.stacks import parameters

if TYPE_CHECKING:
    from toolchain.doctor.context import DoctorContext


def suits(case: "DoctorContext") -> Iterator[Finding]:
    """Whether `deploy` would take genomics.toml."""
    name = "genomics.toml"
    try:
        stacks = case.layout.stacks
        parameters.check(
            case.layout, stacks, case.settings, computed.known(AwsTarget(checkout=case.checkout), case.settings)
        )
    except SeveralFailedError as several:
        yield from (red(name, error.why, error.fix) for error in several.errors)
    except ConfigurationError as error:
        yield red(name, f"{error.what}: {error.why}", error.fix)
    else:
        yield green(name, f"suits the {len(stacks)} stacks")

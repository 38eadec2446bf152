"""The stacks' parameters that nobody gives."""

from toolchain import settings
from toolchain.docker.host import Machine
from toolchain.paths import HERE
from toolchain.runs.target import AwsTarget, LocalTarget
from toolchain.stacks import auto_parameters as computed


def test_on_one_machine_no_job_is_given_more_memory_than_it_has_for_jobs() -> None:
    known = settings.load(HERE.settings)
    assert computed.known(LocalTarget(checkout=HERE), known)["MaxJobMemory"] == str(Machine.here().memory)
    # In AWS the hosts are larger, or smaller, as the template or genomics.toml says.
    assert "MaxJobMemory" not in computed.known(AwsTarget(checkout=HERE), known)

"""toolchain/stacks/auto_parameters.py: the computed parameters of the stacks."""

from toolchain import settings
from toolchain.docker.host import Machine
from toolchain.paths import HERE
from toolchain.runs.target import AwsTarget, LocalTarget
from toolchain.stacks import auto_parameters


def test_the_most_memory_of_a_job_is_this_machine_s_in_local_mode_and_a_parameter_s_in_aws() -> None:
    loaded = settings.load(HERE.settings)
    local = auto_parameters.known(LocalTarget(checkout=HERE), loaded)
    assert local["MaxJobMemory"] == str(Machine.here().memory)
    assert "MaxJobMemory" not in auto_parameters.known(AwsTarget(checkout=HERE), loaded)

"""The outputs of the deployed stacks, asked of CloudFormation: nothing that a machine wrote down can be stale."""

from collections.abc import Mapping

from toolchain import settings
from toolchain.aws import Account
from toolchain.errors import MissingInputError
from toolchain.paths import Checkout, typed
from toolchain.stacks import layout as layouts
from toolchain.stacks.layout import Layout
from toolchain.stacks.service import CloudFormation, StackState


class Outputs(dict[str, str]):
    """Name to value of the outputs of a project's deployed stacks.

    Args:
        layout: The stacks of the checkout.
        states: Short name to state of the stacks that exist.
    """

    def __init__(self, layout: Layout, states: Mapping[str, StackState]) -> None:
        deployed = {name: state for name, state in states.items() if state.is_deployed}
        super().__init__((name, value) for state in deployed.values() for name, value in state.outputs.items())
        self._layout = layout
        self._deployed = deployed.keys()

    def __missing__(self, name: str) -> str:
        """Raises a MissingInputError with the command that makes the output."""
        stacks = self._layout.stacks
        owners = [stack for stack in stacks if name in stack.template.body.get("Outputs", {})]
        needed = [stack.name for stack in stacks[: stacks.index(owners[0]) + 1]] if owners else []
        missing = [stack for stack in needed if stack not in self._deployed] or needed[-1:]
        raise MissingInputError(
            f"no output '{name}' of the project's stacks",
            why=f"stack {owners[0].full_name} is not deployed, or older than this checkout"
            if owners
            else "no template in stack/ has an output of that name",
            fix=f"Type: {typed('deploy', *missing)}" if owners else "Correct the name.",
        )


def read(account: Account, checkout: Checkout) -> Outputs:
    """The outputs of the stacks of a checkout's project."""
    layout = layouts.load(checkout, settings.load(checkout.settings).project)
    service = CloudFormation(account)
    states = {stack.name: service.state(stack.full_name) for stack in layout.stacks}
    return Outputs(layout, {name: state for name, state in states.items() if state is not None})

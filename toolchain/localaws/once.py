"""What moto and botocore do over and over in one process, done once: a third of what a start and an end cost.

- botocore reads a service's model, and the list of all endpoints, anew for each session, and moto makes a session for
  each thing that it asks for.
- moto reads AWS's own policies for each partition of the world, where the clients use one.
- At its end moto makes every backend anew, only to drop it.
"""

import functools
from collections.abc import Callable
from typing import Any

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig, chosen_region


def install(_world: LocalConfig, _access: Access) -> None:
    """Gives them these ways, once."""
    from botocore.loaders import JSONFileLoader
    from moto.iam.models import IAMBackend

    loader: Any = JSONFileLoader
    if not hasattr(loader.load_file, "stock"):
        loader.load_file = _remembered(loader.load_file, loader())
    iam: Any = IAMBackend
    if not hasattr(iam._init_aws_policies, "stock"):  # noqa: SLF001  # it has no other door
        iam._init_aws_policies = _of_one_partition(iam._init_aws_policies)  # noqa: SLF001  # likewise


def forget() -> None:
    """Drops every backend of moto's; those that have something to end are told first."""
    from moto.core.base_backend import BackendDict, BaseBackend

    core: Any = BackendDict
    stock: Any = BaseBackend.reset
    for backend in core._instances:  # noqa: SLF001  # where moto itself looks for them
        for account in backend.values():
            for region in [name for name, one in account.items() if type(one).reset is stock]:
                del account[region]
    BackendDict.reset()


def _remembered(stock: Callable[..., Any], loader: Any) -> Callable[..., Any]:  # noqa: ANN401  # botocore's
    """Sessions share what they only read, as the clients of one session do anyway."""

    @functools.cache
    def read(file: str) -> Any:  # noqa: ANN401  # whatever a JSON file holds
        return stock(loader, file)

    def load_file(_self: Any, file_path: str) -> Any:  # noqa: ANN401  # likewise
        return read(file_path)

    load_file.stock = stock  # type: ignore[attr-defined]  # the mark that it is there
    return load_file


def _of_one_partition(stock: Callable[..., Any]) -> Callable[..., Any]:
    def init_aws_policies(self: Any) -> Any:  # noqa: ANN401  # moto's backend, and its policies
        from moto.utilities.utils import get_partition

        return stock(self) if self.partition == get_partition(chosen_region()) else []

    init_aws_policies.stock = stock  # type: ignore[attr-defined]  # the mark that it is there
    return init_aws_policies

"""Records which operations of AWS the toolchain calls."""

import pytest

from toolchain.aws import Account
from toolchain.stacks.operator_policy import OPERATIONS

ALLOWED = {(service, operation) for service, operations in OPERATIONS.items() for operation in operations}
# In AWS a lab has its buckets already.
ONLY_HERE = {("s3", "CreateBucket")}


def record(patch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Service and operation of each call from now on; the set grows."""
    calls: set[tuple[str, str]] = set()
    make = Account.__init__

    def record_calls(self: Account) -> None:
        make(self)
        self._session.events.register(  # boto3's way in, of a session that Account keeps
            "before-call", lambda model, **_: calls.add((model.service_model.service_name, model.name))
        )

    patch.setattr(Account, "__init__", record_calls)
    return calls

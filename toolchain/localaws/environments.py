"""Batch's compute environments: without a service role, with default instance types, and with updates.

Batch then uses its service-linked role, chooses `default_x86_64` hosts itself, and changes resources in place; moto
refuses the first two, and ignores the third.
"""

from collections.abc import Mapping
from typing import Any, Final

from moto.batch.models import BatchBackend

from toolchain.localaws.moto_patch import replace

_DEFAULTS: Final = frozenset({"default_x86_64", "default_arm64"})
_LINKED_ROLE: Final = "AWSServiceRoleForBatch"
Resources = Mapping[str, Any]


def _create(  # as moto calls it
    self: Any,  # noqa: ANN401  # moto's backend
    compute_environment_name: str,
    _type: str,
    state: str,
    compute_resources: Resources | None,
    service_role: str | None,
    tags: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401  # moto's compute environment
    resources = dict(compute_resources or {})
    is_default = bool(_DEFAULTS & set(resources.get("instanceTypes", ())))
    accepted = {**resources, "instanceTypes": ["optimal"]} if is_default else resources
    role = service_role or _linked_role(self.iam_backend)
    made = _stock_create(self, compute_environment_name, _type, state or "ENABLED", accepted or None, role, tags)
    made.compute_resources = resources or None
    return made


def _update(
    self: Any,  # noqa: ANN401  # moto's backend
    compute_environment_name: str,
    state: str | None,
    compute_resources: Resources | None,
    service_role: str | None,
) -> Any:  # noqa: ANN401  # a name and an ARN
    updated = _stock_update(self, compute_environment_name, state, compute_resources, service_role)
    environment = self.get_compute_environment(compute_environment_name)
    if compute_resources:
        environment.compute_resources = {**(environment.compute_resources or {}), **compute_resources}
    return updated


def _linked_role(iam: Any) -> str:  # noqa: ANN401  # moto's backend
    """The service-linked role's ARN; Batch makes the role when it first needs it."""
    for role in iam.roles.values():
        if role.name == _LINKED_ROLE:
            return str(role.arn)
    path = "/aws-service-role/batch.amazonaws.com/"
    return str(iam.create_role(_LINKED_ROLE, "{}", path, None, "", [], "3600").arn)


_stock_create = replace(BatchBackend, "create_compute_environment", _create)
_stock_update = replace(BatchBackend, "update_compute_environment", _update)

"""Batch's compute environments, where moto's differ from the service's.

- Without a service role, Batch uses the service-linked one; moto refuses.
- An update changes the resources; moto's changes nothing.
- `default_x86_64` and `default_arm64` stand for instance types; moto knows `optimal` only.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from toolchain.localaws.access import Access
from toolchain.localaws.config import LocalConfig

_DEFAULTS: Final = frozenset({"default_x86_64", "default_arm64"})
_LINKED: Final = "AWSServiceRoleForBatch"
_PATH: Final = "/aws-service-role/batch.amazonaws.com/"


def install(_world: LocalConfig, _access: Access) -> None:
    """Gives moto's backend these ways, once."""
    from moto.batch.models import BatchBackend

    for name, wrap in (("create_compute_environment", _created), ("update_compute_environment", _updated)):
        stock = getattr(BatchBackend, name)
        if not hasattr(stock, "stock"):
            replacement = wrap(stock)
            replacement.stock = stock  # type: ignore[attr-defined]  # the mark that it is there
            setattr(BatchBackend, name, replacement)


def _created(stock: Callable[..., Any]) -> Callable[..., Any]:
    def create_compute_environment(
        self: Any,  # noqa: ANN401  # moto's backend
        compute_environment_name: str,
        _type: str,
        state: str,
        compute_resources: dict[str, Any] | None,
        service_role: str | None,
        tags: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401  # moto's environment
        asked = dict(compute_resources or {})
        known = {**asked, "instanceTypes": ["optimal"]} if _DEFAULTS & set(asked.get("instanceTypes", ())) else asked
        made = stock(
            self,
            compute_environment_name,
            _type,
            state or "ENABLED",
            known or None,
            service_role or _linked_role(self.iam_backend),
            tags,
        )
        made.compute_resources = asked or None
        return made

    return create_compute_environment


def _updated(stock: Callable[..., Any]) -> Callable[..., Any]:
    def update_compute_environment(
        self: Any,  # noqa: ANN401  # moto's backend
        compute_environment_name: str,
        state: str | None,
        compute_resources: Mapping[str, Any] | None,
        service_role: str | None,
    ) -> tuple[str, str]:
        changed: tuple[str, str] = stock(self, compute_environment_name, state, compute_resources, service_role)
        if compute_resources:
            found = self.get_compute_environment(compute_environment_name)
            found.compute_resources = {**(found.compute_resources or {}), **compute_resources}
        return changed

    return update_compute_environment


def _linked_role(iam: Any) -> str:  # noqa: ANN401  # moto's backend
    """The service-linked role, which comes to be when it is first needed."""
    for role in iam.roles.values():
        if role.name == _LINKED:
            return str(role.arn)
    made = iam.create_role(
        role_name=_LINKED,
        assume_role_policy_document="{}",
        path=_PATH,
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="3600",
    )
    return str(made.arn)

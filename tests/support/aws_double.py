"""Answers AWS API calls inside this process, at the edge of botocore."""

from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.validate import validate_parameters

from toolchain.aws import Account

Json = dict[str, Any]
SERVICES = ("batch", "cloudformation", "ec2", "ecr", "fsx", "iam", "service_quotas", "step_functions", "sts")


class RefusedError(Exception):
    """The error that a service answers with."""

    def __init__(self, code: str, message: str = "so it is") -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class AwsDouble:
    """An account whose calls are recorded, and answered here where `reply` returns an answer.

    Attributes:
        calls: Operation and request of each call.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.account = Account()
        for service in SERVICES:
            setattr(self.account, service, cache(getattr(self.account, service)))
        self.events = self.account._session.events  # noqa: SLF001  # boto3's way in, of a session that Account keeps
        self.events.register("before-parameter-build", self._remember)
        self.events.register("before-call", self._reply)  # type: ignore[arg-type]  # what it returns is the answer

    def reply(self, operation: str, request: Json) -> Json | None:
        """An answer to a request; None if the call goes on to the endpoint."""
        raise NotImplementedError

    def requests(self, operation: str) -> list[Json]:
        """The requests of an operation."""
        return [request for name, request in self.calls if name == operation]

    def _remember(self, params: Json, context: Json, **_: object) -> None:
        context["request"] = params

    def _reply(self, model: Any, context: Json, **_: object) -> tuple[Any, Json] | None:
        request = dict(context["request"])
        self.calls.append((model.name, request))
        try:
            answer = self.reply(model.name, request)
        except RefusedError as error:
            parsed = {"Error": {"Code": error.code, "Message": error.message}, "ResponseMetadata": {}}
            return SimpleNamespace(status_code=400), parsed
        if answer is None:
            return None
        if model.output_shape is not None:
            validate_parameters(answer, model.output_shape)
        return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": {}}

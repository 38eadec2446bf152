"""The account and region that stacks live in, as they see it: other stacks' exports, zones, the services' clients."""

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from toolchain.localaws.access import Access
from toolchain.localaws.cloudformation.errors import RefusalError


class Region:
    """A region of the embedded AWS.

    Args:
        name: As in `eu-central-1`.
        account: The account's number.
        access: Where its services answer, and the key.
        exports: All exports of its stacks, by name.
        held: The physical ids of all that its stacks hold.
    """

    def __init__(
        self,
        *,
        name: str,
        account: str,
        access: Access,
        exports: Callable[[], Mapping[str, str]],
        held: Callable[[], Collection[str]],
    ) -> None:
        self.name = name
        self.held = held
        self.account = account
        self._access = access
        self._exports = exports
        self._clients: dict[str, Any] = {}
        self._guard = threading.Lock()

    @property
    def partition(self) -> str:
        """As in an ARN's second word."""
        if self.name.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.name.startswith("us-gov-") else "aws"

    @property
    def zones(self) -> tuple[str, ...]:
        """The names of its availability zones."""
        return tuple(f"{self.name}{letter}" for letter in "abc")

    def pseudo_parameters(self, stack_id: str, stack_name: str) -> dict[str, str]:
        """What AWS::Region and the like stand for."""
        return {
            "AWS::AccountId": self.account,
            "AWS::Partition": self.partition,
            "AWS::Region": self.name,
            "AWS::StackId": stack_id,
            "AWS::StackName": stack_name,
            "AWS::URLSuffix": "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com",
        }

    def imported(self, name: str) -> str:
        """The value of an export.

        Raises:
            RefusalError: No stack exports it.
        """
        exports = self._exports()
        if name not in exports:
            raise RefusalError(f"No export named {name} found.")
        return exports[name]

    def stored_parameter(self, name: str) -> str:
        """The value of a parameter of the Parameter Store."""
        return str(self.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.name}:{self.account}:{resource}"

    def client(self, service: str) -> Any:  # noqa: ANN401  # a client of any service
        """A client of a service here, made once."""
        with self._guard:
            if service not in self._clients:
                # One try: what fails here fails for good, and a stack says so at once.
                config: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}}
                self._clients[service] = self._access.client(service, self.name, **config)
            return self._clients[service]

    def close(self) -> None:
        """Ends the clients' connections."""
        with self._guard:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

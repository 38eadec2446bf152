"""An embedded AWS, and stacks in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

import boto3

from toolchain.localaws.access import Server
from toolchain.localaws.config import LocalConfig

CAPABILITIES = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A running embedded AWS."""

    config: LocalConfig
    server: Server
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            name: Any = service
            self._clients[service] = boto3.client(name, endpoint_url=self.server.endpoint)
        return self._clients[service]

    def bucket(self) -> str:
        """A new bucket."""
        name = f"bucket-{uuid4().hex}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    @cached_property
    def stacks(self) -> "Stacks":
        return Stacks(client=self.client("cloudformation"))


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """CloudFormation, as its users drive it."""

    client: Any

    def change_set(
        self,
        name: str,
        template: str | Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        kind: str = "CREATE",
    ) -> dict[str, Any]:
        """Makes a change set and describes it."""
        made = self.client.create_change_set(
            StackName=name,
            ChangeSetName=f"c{uuid4().hex}",
            ChangeSetType=kind,
            TemplateBody=template if isinstance(template, str) else json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": one} for key, one in (parameters or {}).items()],
            Capabilities=list(CAPABILITIES),
        )
        described: dict[str, Any] = self.client.describe_change_set(ChangeSetName=made["Id"])
        return described

    def deploy(
        self,
        name: str,
        template: str | Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        kind: str = "CREATE",
    ) -> dict[str, Any]:
        """Executes a change set, and describes the stack."""
        found = self.change_set(name, template, parameters, kind=kind)
        assert found["Status"] == "CREATE_COMPLETE", found.get("StatusReason")
        self.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
        return self.described(found["StackId"])

    def delete(self, name: str) -> dict[str, Any]:
        """Deletes a stack, and describes it."""
        stack_id = self.described(name)["StackId"]
        self.client.delete_stack(StackName=name)
        return self.described(stack_id)

    def described(self, name: str) -> dict[str, Any]:
        stack: dict[str, Any] = self.client.describe_stacks(StackName=name)["Stacks"][0]
        return stack

    def events(self, name: str) -> list[tuple[str, str]]:
        """What happened to what, the oldest first."""
        return [(one["LogicalResourceId"], one["ResourceStatus"]) for one in self.all_events(name)]

    def reasons(self, name: str, status: str) -> dict[str, str]:
        """Why each that has, or had, this status has it."""
        return {
            one["LogicalResourceId"]: one.get("ResourceStatusReason", "")
            for one in self.all_events(name)
            if one["ResourceStatus"] == status
        }

    def all_events(self, name: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("describe_stack_events").paginate(StackName=name)
        return [one for page in pages for one in page["StackEvents"]][::-1]

    def outputs(self, name: str) -> dict[str, str]:
        return {one["OutputKey"]: one["OutputValue"] for one in self.described(name).get("Outputs", ())}


def actions(change_set: Mapping[str, Any]) -> Sequence[tuple[str, str, str | None]]:
    """What a change set would do to what, and whether by a replacement."""
    changes = [one["ResourceChange"] for one in change_set["Changes"]]
    return [(one["Action"], one["LogicalResourceId"], one.get("Replacement")) for one in changes]

"""AWS::StepFunctions: state machines."""

import json
import re
from collections.abc import Mapping
from typing import Any

from toolchain.localaws.cloudformation.errors import ResourceFailedError
from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work, camel

_NAME = 80


def _sfn(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("stepfunctions")


def definition(properties: Mapping[str, Json]) -> str:
    """The definition's text, with its substitutions made: `${Name}`.

    Raises:
        ResourceFailedError: There is none, or a substitution is missing.
    """
    if "DefinitionString" in properties:
        text = str(properties["DefinitionString"])
    elif "Definition" in properties:
        text = json.dumps(properties["Definition"])
    else:
        raise ResourceFailedError("The embedded AWS takes Definition or DefinitionString, and no DefinitionS3Location")
    given = properties.get("DefinitionSubstitutions") or {}
    in_string = "DefinitionString" in properties

    def value(found: re.Match[str]) -> str:
        if found[1] not in given:
            return found[0]
        one = given[found[1]]
        written = str(one).lower() if isinstance(one, bool) else str(one)
        # Within a JSON text that was made here, a value must stay within its quotes.
        return written if in_string else json.dumps(written)[1:-1]

    return re.sub(r"\$\{([A-Za-z0-9_]+)\}", value, text)


class StateMachine(Kind):
    """A state machine."""

    type_name = "AWS::StepFunctions::StateMachine"
    name_property = "StateMachineName"

    def create(self, work: Work) -> str:
        made = _sfn(work).create_state_machine(
            name=work.get("StateMachineName") or work.unique(limit=_NAME),
            definition=definition(work.properties),
            type=work.get("StateMachineType") or "STANDARD",
            tags=[{"key": key, "value": value} for key, value in work.tags.items() if not key.startswith("aws:")],
            **self._settings(work),
        )
        return str(made["stateMachineArn"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        found = _sfn(work).describe_state_machine(stateMachineArn=physical_id)
        return {
            "Arn": physical_id,
            "Name": physical_id.rpartition(":")[2],
            "StateMachineRevisionId": found.get("revisionId", "INITIAL"),
        }

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _sfn(work).update_state_machine(
            stateMachineArn=physical_id, definition=definition(work.properties), **self._settings(work)
        )

    def delete(self, work: Work, physical_id: str) -> None:
        _sfn(work).delete_state_machine(stateMachineArn=physical_id)

    @staticmethod
    def _settings(work: Work) -> dict[str, Json]:
        settings: dict[str, Json] = camel(
            work.only("RoleArn", "LoggingConfiguration", "TracingConfiguration", "EncryptionConfiguration")
        )
        return settings


KINDS = (StateMachine,)

"""State machine definitions: parsed once, and taken from CloudFormation as the service takes them."""

import functools
import json
from collections.abc import Mapping
from typing import Any

_installed = False


def install() -> None:
    """Gives moto's parser and its CloudFormation type these."""
    global _installed  # noqa: PLW0603  # what wraps moto's own must not wrap itself
    if _installed:
        return
    _installed = True
    from moto.stepfunctions import models
    from moto.stepfunctions.parser.asl.parse import preprocessor
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    stock = AmazonStateLanguageParser.parse
    # A program keeps nothing of a run: moto itself runs one for many items. Reading one takes a second.
    cached = functools.lru_cache(maxsize=32)(lambda definition: stock(_numbers(definition)))
    parser: Any = AmazonStateLanguageParser
    parser.parse = staticmethod(cached)
    visitor: Any = preprocessor.Preprocessor
    visitor.visitTolerated_failure_count_string_jsonata = _tolerated_count

    # State machines that CloudFormation makes belong to the interpreter too.
    models.stepfunctions_backends = stepfunctions_parser_backends  # type: ignore[assignment]
    machine: Any = models.StateMachine
    machine.has_cfn_attr = classmethod(lambda _, name: name in {"Arn", "Name", "StateMachineRevisionId"})
    machine.get_cfn_attribute = _attribute
    machine.create_from_cloudformation_json = classmethod(_create)
    machine.update_from_cloudformation_json = classmethod(_update)
    machine.delete = lambda self, account_id, region: self.backend.delete_state_machine(self.arn)  # noqa: ARG005  # moto's own signature


def text(properties: Mapping[str, Any], account_id: str) -> str:
    """The definition that AWS::StepFunctions::StateMachine gives in one of three ways, substituted."""
    if "Definition" in properties:
        definition = json.dumps(properties["Definition"])
    elif "DefinitionString" in properties:
        definition = str(properties["DefinitionString"])
    else:
        from moto.s3.models import s3_backends

        place = properties["DefinitionS3Location"]
        key: Any = s3_backends[account_id]["aws"].get_object(place["Bucket"], place["Key"])
        definition = key.value.decode()
    for name, value in (properties.get("DefinitionSubstitutions") or {}).items():
        # Inside a JSON string: what a value holds must not end it.
        inside = json.dumps(str(value))[1:-1] if "Definition" in properties else str(value)
        definition = definition.replace(f"${{{name}}}", inside)
    return definition


def _numbers(definition: str) -> str:
    """A definition whose ToleratedFailurePercentage has a point, which is the only number that moto's grammar takes."""
    try:
        content = json.loads(definition)
    except ValueError:
        return definition
    return json.dumps(_with_points(content)) if "ToleratedFailurePercentage" in definition else definition


def _with_points(content: Any) -> Any:
    if isinstance(content, list):
        return [_with_points(one) for one in content]
    if isinstance(content, dict):
        return {
            name: float(one) if name == "ToleratedFailurePercentage" and isinstance(one, int) else _with_points(one)
            for name, one in content.items()
        }
    return content


def _tolerated_count(self: Any, ctx: Any) -> Any:
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.tolerated_failure import (
        ToleratedFailureCountStringJSONata,
    )

    return ToleratedFailureCountStringJSONata(string_jsonata=self.visitString_jsonata(ctx=ctx.string_jsonata()))


def _attribute(self: Any, name: str) -> Any:
    return {"Arn": self.arn, "Name": self.name, "StateMachineRevisionId": str(self.update_date.timestamp())}[name]


def _create(
    cls: Any,  # noqa: ARG001  # moto's state machine
    /,
    resource_name: str,
    cloudformation_json: Mapping[str, Any],
    account_id: str,
    region_name: str,
    **_: Any,
) -> Any:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends
    from moto.stepfunctions.utils import cfn_to_api_tags

    properties = cloudformation_json["Properties"]
    return stepfunctions_parser_backends[account_id][region_name].create_state_machine(
        properties.get("StateMachineName", resource_name),
        text(properties, account_id),
        properties["RoleArn"],
        tags=cfn_to_api_tags(properties.get("Tags", [])),
        sm_type=properties.get("StateMachineType", "STANDARD"),
    )


def _update(
    cls: Any,  # moto's state machine
    /,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Mapping[str, Any],
    account_id: str,
    region_name: str,
    **_: Any,
) -> Any:
    properties = cloudformation_json["Properties"]
    backend = original_resource.backend
    if properties.get("StateMachineName", original_resource.name) != original_resource.name:
        made = _create(cls, new_resource_name, cloudformation_json, account_id, region_name)
        backend.delete_state_machine(original_resource.arn)
        return made
    from moto.stepfunctions.utils import cfn_to_api_tags

    backend.update_state_machine(
        original_resource.arn, definition=text(properties, account_id), role_arn=properties["RoleArn"]
    )
    backend.tagger.tag_resource(original_resource.arn, cfn_to_api_tags(properties.get("Tags", [])))
    return original_resource

"""What a template comes to with given parameters: loops, conditions, rules and references, without AWS.

    stack = deployed("storage", FileSystems="one")
    assert "ScratchFileSystem" in stack.resources

References to what AWS would name come to made-up names and ARNs of the right form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from toolchain.images import catalog
from toolchain.paths import HERE
from toolchain.stacks import template as templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolchain.stacks.template import Template

FOLDER: Final = HERE.root / "stack"
TOOLS: Final = tuple(catalog.load(HERE.images).tools)
# Those of the order that are there, and what else there is, which a test then finds.
NAMES: Final = tuple(
    sorted((file.stem for file in FOLDER.glob("*.yaml")), key=lambda name: (*templates.ORDER, name).index(name))
)

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
NO_VALUE: Final = object()
PSEUDO: Final[Mapping[str, Any]] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": NO_VALUE,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "genomics-stack",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/genomics-stack/0",
    "AWS::URLSuffix": "amazonaws.com",
}
# What a parameter without a default is taken to be.
GIVEN: Final = {
    "Project": "genomics",
    "ReferencePath": "s3://references/hg38",
    "DataPath": "s3://reads/run1",
    "Images": ",".join(TOOLS),
    "Workflow": "germline",
    "JobDefinitions": ",".join(f"arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/genomics-{tool}:1" for tool in TOOLS),
}
ARNS: Final = {
    "AWS::Batch::ComputeEnvironment": f"arn:aws:batch:{REGION}:{ACCOUNT}:compute-environment/{{}}",
    "AWS::Batch::JobQueue": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{{}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{}}",
    "AWS::FSx::FileSystem": f"arn:aws:fsx:{REGION}:{ACCOUNT}:file-system/fs-0123456789abcdef0",
    "AWS::IAM::InstanceProfile": f"arn:aws:iam::{ACCOUNT}:instance-profile/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{}}",
}
REF_IS_ARN: Final = frozenset(
    {
        "AWS::Batch::ComputeEnvironment",
        "AWS::Batch::JobQueue",
        "AWS::SNS::Topic",
        "AWS::StepFunctions::StateMachine",
    }
)


@cache
def template(name: str) -> Template:
    """A template of this repository."""
    return templates.read(FOLDER / f"{name}.yaml")


def expanded(name: str) -> dict[str, Any]:
    """A template's body with its loops gone over, for the images of the catalogue."""
    body: dict[str, Any] = templates.expanded(template(name).body, {"Images": TOOLS})
    return body


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A template with its parameters."""

    name: str
    body: Mapping[str, Any]
    parameters: Mapping[str, str]
    _conditions: dict[str, bool] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, Any]:
        """The resources whose conditions hold, with everything in them resolved."""
        return {
            name: self.resolved({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in self.body["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def of(self, kind: str) -> dict[str, Any]:
        """The properties of the resources of this type, by name."""
        return {name: resource["Properties"] for name, resource in self.resources.items() if resource["Type"] == kind}

    @property
    def outputs(self) -> dict[str, Any]:
        """The values of the outputs."""
        return {name: self.resolved(output["Value"]) for name, output in self.body.get("Outputs", {}).items()}

    @property
    def refusals(self) -> list[str]:
        """What the template's rules have against these parameters."""
        return [
            " ".join(assertion["AssertDescription"].split())
            for rule in self.body.get("Rules", {}).values()
            if self.resolved(rule.get("RuleCondition", True))
            for assertion in rule["Assertions"]
            if not self.resolved(assertion["Assert"])
        ]

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template holds."""
        if condition not in self._conditions:
            self._conditions[condition] = bool(self.resolved(self.body["Conditions"][condition]))
        return self._conditions[condition]

    def resolved(self, value: Any) -> Any:  # whatever YAML holds
        """A value with its functions called."""
        if isinstance(value, list):
            return [item for item in map(self.resolved, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function in {"Ref", "Condition"} or function.startswith("Fn::"):
                return self._call(function, argument)
        pairs = ((key, self.resolved(item)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not NO_VALUE}

    def _call(self, function: str, argument: Any) -> Any:  # noqa: C901, PLR0911, PLR0912  # a function a branch
        match function:
            case "Ref":
                return self._reference(argument, None)
            case "Condition":
                # In a policy it is a table, and no function.
                return self.holds(argument) if isinstance(argument, str) else {"Condition": self.resolved(argument)}
            case "Fn::GetAtt":
                name, attribute = argument
                return self._reference(name, attribute)
            case "Fn::Sub":
                return self._substituted(argument)
            case "Fn::If":
                condition, yes, no = argument
                return self.resolved(yes if self.holds(condition) else no)
            case "Fn::Equals":
                one, other = self.resolved(argument)
                return str(one) == str(other)
            case "Fn::And":
                return all(self.resolved(argument))
            case "Fn::Or":
                return any(self.resolved(argument))
            case "Fn::Not":
                return not self.resolved(argument)[0]
            case "Fn::Join":
                separator, parts = self.resolved(argument)
                return separator.join(parts)
            case "Fn::Split":
                separator, text = self.resolved(argument)
                return text.split(separator)
            case "Fn::Select":
                index, items = self.resolved(argument)
                return items[int(index)]
            case "Fn::GetAZs":
                return [f"{REGION}a", f"{REGION}b"]
            case "Fn::ImportValue":
                return self._imported(self.resolved(argument).removeprefix(f"{self.parameters['Project']}-"))
            case _:
                return f"{function}({argument})"

    def _imported(self, name: str) -> Any:  # an output's value
        for other in NAMES:
            if name in template(other).exports:
                return deployed(other).outputs[name]
        message = f"{name}, which {self.name} imports, is exported by no template"
        raise LookupError(message)

    def _substituted(self, argument: Any) -> str:  # a text, or a text and a table
        text, more = argument if isinstance(argument, list) else (argument, {})

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in more:
                return str(self.resolved(more[name]))
            resource, _, attribute = name.partition(".")
            return str(self._reference(resource, attribute or None))

        return re.sub(r"\$\{([^}]+)\}", replaced, text)

    def _reference(self, name: str, attribute: str | None) -> Any:  # a text, or a list of them
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            value = self.parameters[name]
            listed = self.body["Parameters"][name]["Type"] == "CommaDelimitedList"
            return value.split(",") if listed else value
        resource = self.body["Resources"][name]
        if "Condition" in resource and not self.holds(resource["Condition"]):
            message = f"{self.name} refers to {name}, which is not made with {dict(self.parameters)}"
            raise LookupError(message)
        kind = resource["Type"]
        if (attribute or "").lower().endswith("arn") or (attribute is None and kind in REF_IS_ARN):
            return ARNS[kind].format(name)  # a type that is missing: add how its ARN looks
        return f"{name}.{attribute}" if attribute else name


def deployed(name: str, **parameters: str) -> Stack:
    """A template with these parameters, and its defaults for the others."""
    values = {}
    for parameter in template(name).parameters.values():
        if parameter.default is not None:
            values[parameter.name] = parameter.default
        else:
            values[parameter.name] = GIVEN[parameter.name]  # one that is missing: add what it is taken to be
    unknown = sorted(set(parameters) - set(values))
    if unknown:
        message = f"{name} has no parameter {unknown[0]}"
        raise LookupError(message)
    return Stack(name=name, body=expanded(name), parameters={**values, **parameters})

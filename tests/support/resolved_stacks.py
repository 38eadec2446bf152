"""Templates resolved with given parameters: loops, conditions, rules and references, without AWS.

    stack = deployed("storage", FileSystems="one")
    assert "ScratchFileSystem" in stack.resources

References to what AWS would name are made-up names, and ARNs of the right form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from toolchain.images import catalog
from toolchain.paths import HERE
from toolchain.stacks import template as templates
from toolchain.stacks.resolve import Resolver
from toolchain.stacks.template import Template

FOLDER: Final = HERE.root / "stack"
TOOLS: Final = tuple(catalog.load(HERE.images).tools)
# In order; one that has no place in it comes last, and a test finds it.
NAMES: Final = tuple(
    sorted((file.stem for file in FOLDER.glob("*.yaml")), key=lambda name: (*templates.ORDER, name).index(name))
)

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
PSEUDO: Final[Mapping[str, Any]] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "genomics-stack",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/genomics-stack/0",
    "AWS::URLSuffix": "amazonaws.com",
}
# The values of parameters without a default.
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
    "AWS::Batch::SchedulingPolicy": f"arn:aws:batch:{REGION}:{ACCOUNT}:scheduling-policy/{{}}",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{}}",
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
        "AWS::Batch::SchedulingPolicy",
        "AWS::SNS::Topic",
        "AWS::StepFunctions::StateMachine",
    }
)


@cache
def template(name: str) -> Template:
    """A template of this repository."""
    return templates.read(FOLDER / f"{name}.yaml")


@cache
def expanded(name: str) -> dict[str, Any]:
    """A template's body with its loops expanded for the images of the catalogue."""
    body: dict[str, Any] = templates.expanded(template(name).body, {"Images": TOOLS})
    return body


@dataclass(frozen=True, kw_only=True)
class Stack(Resolver):
    """A template with its parameters."""

    name: str

    @property
    def resources(self) -> dict[str, Any]:
        """The resources whose conditions hold, with everything in them resolved."""
        return {
            name: self.resolve({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in self.template["Resources"].items()
            if self._exists(resource)
        }

    def of(self, kind: str) -> dict[str, Any]:
        """The properties of the resources of this type, by name."""
        return {name: resource["Properties"] for name, resource in self.resources.items() if resource["Type"] == kind}

    @property
    def outputs(self) -> dict[str, Any]:
        """The values of the outputs."""
        return {name: self.resolve(output["Value"]) for name, output in self.template.get("Outputs", {}).items()}

    @property
    def refusals(self) -> list[str]:
        """The assertions of the template's rules that these parameters fail."""
        return [
            " ".join(assertion["AssertDescription"].split())
            for rule in self.template.get("Rules", {}).values()
            if self.resolve(rule.get("RuleCondition", True))
            for assertion in rule["Assertions"]
            if not self.resolve(assertion["Assert"])
        ]

    def _exists(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or bool(self.call("Condition", resource["Condition"]))

    def call(self, function: str, argument: Any) -> Any:
        if function == "Fn::GetAZs":
            return [f"{REGION}a", f"{REGION}b"]
        return super().call(function, argument)

    def exported(self, name: str) -> Any:
        export = name.removeprefix(f"{self.parameters['Project']}-")
        for other in NAMES:
            if export in template(other).exports:
                return deployed(other).outputs[export]
        message = f"{export}, which {self.name} imports, is exported by no template"
        raise LookupError(message)

    def resource(self, name: str, attribute: str | None) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        resource = self.template["Resources"][name]
        if not self._exists(resource):
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
            values[parameter.name] = GIVEN[parameter.name]  # one that is missing: add a value
    unknown = sorted(set(parameters) - set(values))
    if unknown:
        message = f"{name} has no parameter {unknown[0]}"
        raise LookupError(message)
    return Stack(name=name, template=expanded(name), parameters={**values, **parameters})

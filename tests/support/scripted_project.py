"""A checkout with four small stacks, and the scripted CloudFormation that they are deployed to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.scripted_cloudformation import FILE_SYSTEM, CloudFormationDouble, ScriptedStack

from toolchain.backoff import Backoff
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE, Checkout
from toolchain.runs.target import AwsTarget
from toolchain.stacks import outputs
from toolchain.stacks.deploy import Deployer, Planned
from toolchain.stacks.destroy import Destroyer
from toolchain.stacks.watch import Polling

NAME = "genomics"
_PROJECT = """
  Project: {Type: String, AllowedPattern: "[a-z0-9]+(-[a-z0-9]+)*", MaxLength: 20}
"""
TEMPLATES = {
    "registry": f"""
Transform: AWS::LanguageExtensions
Parameters: {_PROJECT}
  Images: {{Type: CommaDelimitedList}}
Resources:
  Fn::ForEach::Repositories:
    - Image
    - !Ref Images
    - "Repository${{Image}}": {{Type: AWS::ECR::Repository, DeletionPolicy: Retain}}
""",
    "network": f"""
Parameters: {_PROJECT}
Resources:
  Vpc: {{Type: AWS::EC2::VPC}}  # a comment
Outputs:
  VpcId: {{Value: !Ref Vpc, Export: {{Name: !Sub "${{Project}}-VpcId"}}}}
""",
    "workflow": f"""
Parameters: {_PROJECT}
  JobDefinitions: {{Type: CommaDelimitedList}}
  Workflow: {{Type: String}}
Resources:
  Role: {{Type: AWS::IAM::Role, Properties: {{RoleName: x}}}}
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties: {{RoleArn: !GetAtt Role.Arn}}
Outputs:
  StateMachineArn: {{Value: !Ref Machine}}
""",
    "storage": f"""
Parameters: {_PROJECT}
  Capacity: {{Type: Number, Default: 1200, AllowedValues: [1200, 2400]}}
  Path: {{Type: String, Description: Where reads lie in S3., AllowedPattern: "s3://.+"}}
Resources:
  Files:
    Type: AWS::FSx::FileSystem
    Properties: {{SubnetIds: [!ImportValue {{"Fn::Sub": "${{Project}}-VpcId"}}]}}
  Results: {{Type: AWS::S3::Bucket, DeletionPolicy: Retain}}
Outputs:
  WorkingFileSystemId: {{Value: !Ref Files}}
  WorkingPath: {{Value: "-"}}
""",
}
OUTPUTS = {
    "network": {"VpcId": "vpc-1"},
    "storage": {"WorkingFileSystemId": FILE_SYSTEM, "WorkingPath": "-"},
    "workflow": {"StateMachineArn": "arn:aws:states:x:1:stateMachine:germline"},
}
SETTINGS = '[stack.storage]\nPath = "s3://reads"\n'
OTHER_SETTINGS = '[stack.storage]\nPath = "s3://other"\n'


@dataclass(frozen=True, kw_only=True)
class Project:
    """A checkout, its AWS, and the seconds that commands slept."""

    checkout: Checkout
    aws: CloudFormationDouble
    slept: list[float] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path) -> "Project":
        """A project of which nothing is deployed, with the tools of this checkout."""
        project = cls(checkout=Checkout(root=root), aws=CloudFormationDouble())
        project.checkout.stacks.mkdir(parents=True)
        for folder in (HERE.images, HERE.jobdefs):
            (root / folder.name).symlink_to(folder)
        project.settings()
        for name, text in TEMPLATES.items():
            project.write_template(name, text)
        project.aws.outputs = {name_of(stack): values for stack, values in OUTPUTS.items()}
        project.aws.job_definitions = {
            name_of(tool): [f"arn:aws:batch:x:1:job-definition/{tool}:7"] for tool in jobdefs.names(HERE.jobdefs)
        }
        return project

    def settings(self, text: str = SETTINGS) -> None:
        """Writes genomics.toml."""
        head = f'project = "{NAME}"\nworkflow = "test"\n'
        self.checkout.settings.write_text(head + text, encoding="utf-8")

    def write_template(self, stack: str, text: str) -> None:
        """Writes a template."""
        (self.checkout.stacks / f"{stack}.yaml").write_text(text, encoding="utf-8")

    def stack(self, name: str) -> ScriptedStack:
        """A stack that exists."""
        stack = self.aws.find(name_of(name))
        assert stack is not None
        return stack

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the deployed stacks."""
        return outputs.read(self.aws.account, self.checkout)

    def deploy(self, *names: str, replace: tuple[str, ...] = ()) -> list[str]:
        """What `deploy` prints."""
        return [str(deployed) for deployed in self._deployer(replace).deploy(names)]

    def plan(self, *names: str) -> list[Planned]:
        """What `deploy --dry-run` finds."""
        return self._deployer().plan(names)

    def destroy(self, *names: str, **options: Any) -> list[str]:
        """The stacks that `destroy` deletes."""
        destroyer = self.destroyer(**options)
        plan = destroyer.plan(names)
        plan.require_no_blockers()
        return [str(stack) for stack in destroyer.destroy(plan)]

    def destroyer(self, **options: Any) -> Destroyer:
        """A destroyer that polls quickly."""
        target = AwsTarget(checkout=self.checkout)
        return Destroyer(target=target, account=self.aws.account, polling=self._polling, **options)

    def _deployer(self, replace: tuple[str, ...] = ()) -> Deployer:
        target = AwsTarget(checkout=self.checkout)
        return Deployer(target=target, account=self.aws.account, replace=replace, polling=self._polling)

    @property
    def _polling(self) -> Polling:
        return Polling(interval=0.5, backoff=Backoff(attempts=4, first=0.02, longest=0.05), sleep=self.slept.append)


def name_of(stack: str) -> str:
    """A stack's full name."""
    return f"{NAME}-{stack}"

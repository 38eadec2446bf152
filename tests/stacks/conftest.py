"""A checkout of small templates, and stand-ins for the services that they are deployed to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.push_env import Desk, desk
from support.scripted_cloudformation import CloudDouble

from toolchain.backoff import Backoff
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import Checkout
from toolchain.runs.target import AwsTarget
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.destroy import Destroyer
from toolchain.stacks.watch import Polling

PROJECT_PARAMETER = """
  Project:
    Type: String
    AllowedPattern: "[a-z0-9]+(-[a-z0-9]+)*"
    MaxLength: 20
"""
REGISTRY = f"""
Transform: AWS::LanguageExtensions
Parameters: {PROJECT_PARAMETER}
  Images: {{Type: CommaDelimitedList}}
Resources:
  Fn::ForEach::Repositories:
    - Image
    - !Ref Images
    - "Repository${{Image}}":
        Type: AWS::ECR::Repository
        DeletionPolicy: Retain
"""
NETWORK = f"""
Parameters: {PROJECT_PARAMETER}
Resources:
  Vpc: {{Type: AWS::EC2::VPC}}  # a comment
Outputs:
  VpcId: {{Value: !Ref Vpc, Export: {{Name: !Sub "${{Project}}-VpcId"}}}}
"""
STORAGE = f"""
Parameters: {PROJECT_PARAMETER}
  Capacity: {{Type: Number, Default: 1200, AllowedValues: [1200, 2400]}}
  Path: {{Type: String, Description: Where reads lie in S3., AllowedPattern: "s3://.+"}}
Resources:
  Files:
    Type: AWS::FSx::FileSystem
    Properties: {{SubnetIds: [!ImportValue {{"Fn::Sub": "${{Project}}-VpcId"}}]}}
  Results: {{Type: AWS::S3::Bucket, DeletionPolicy: Retain}}
Outputs:
  WorkingFileSystemId: {{Value: !Ref Files, Export: {{Name: !Sub "${{Project}}-WorkingFileSystemId"}}}}
  WorkingPath: {{Value: "-"}}
"""
WORKFLOW = f"""
Parameters: {PROJECT_PARAMETER}
  JobDefinitions: {{Type: CommaDelimitedList}}
  Workflow: {{Type: String}}
Resources:
  Role: {{Type: AWS::IAM::Role, Properties: {{RoleName: x}}}}
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties: {{X: !ImportValue {{"Fn::Sub": "${{Project}}-WorkingFileSystemId"}}}}
Outputs:
  StateMachineArn: {{Value: !Ref Machine}}
"""
GIVEN = '[stack.storage]\nPath = "s3://reads"\n'


@dataclass(frozen=True, kw_only=True)
class Site:
    """A checkout with four stacks, and the cloud that it is deployed to.

    Attributes:
        desk: The checkout.
        cloud: The cloud.
        slept: How long it was waited.
    """

    desk: Desk
    cloud: CloudDouble
    slept: list[float]

    @property
    def checkout(self) -> Checkout:
        return self.desk.checkout

    def name(self, stack: str) -> str:
        return f"{self.desk.project}-{stack}"

    def template(self, name: str, text: str) -> None:
        (self.checkout.stacks / f"{name}.yaml").write_text(text, encoding="utf-8")

    @property
    def polling(self) -> Polling:
        return Polling(interval=0.5, backoff=Backoff(attempts=4, first=0.02, longest=0.05), sleep=self.slept.append)

    def deployer(self, *replace: str) -> Deployer:
        return Deployer(
            target=AwsTarget(checkout=self.checkout),
            account=self.cloud.account(),
            replace=frozenset(replace),
            polling=self.polling,
        )

    def deploy(self, *names: str, replace: tuple[str, ...] = ()) -> list[str]:
        """What `deploy` says on stdout."""
        return [str(one) for one in self.deployer(*replace).deploy(names)]

    def destroyer(self, *, discard: tuple[str, ...] = (), retain: tuple[str, ...] = ()) -> Destroyer:
        return Destroyer(
            target=AwsTarget(checkout=self.checkout),
            account=self.cloud.account(),
            discard=frozenset(discard),
            retain=frozenset(retain),
            polling=self.polling,
        )

    def destroy(self, *names: str, **more: Any) -> list[str]:  # noqa: ANN401  # handed on
        destroyer = self.destroyer(**more)
        plan = destroyer.plan(names)
        plan.require_no_blockers()
        return [str(one) for one in destroyer.destroy(plan)]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region and credentials that lead nowhere."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1")


@pytest.fixture
def site(tmp_path: Path, environment: None) -> Site:  # noqa: ARG001  # it is there for what it does
    """Four stacks, none of which is deployed."""
    made = Site(desk=desk(tmp_path / "checkout"), cloud=CloudDouble(), slept=[])
    made.desk.settings(GIVEN)
    made.checkout.stacks.mkdir()
    for name, text in {"registry": REGISTRY, "network": NETWORK, "storage": STORAGE, "workflow": WORKFLOW}.items():
        made.template(name, text)
    made.cloud.outputs = {
        made.name("network"): {"VpcId": "vpc-1"},
        made.name("storage"): {"WorkingFileSystemId": "fs-0123456789abcdef0", "WorkingPath": "-"},
        made.name("workflow"): {"StateMachineArn": "arn:aws:states:x:1:stateMachine:germline"},
    }
    made.cloud.job_definitions = {
        f"{made.desk.project}-{tool}": [f"arn:aws:batch:x:1:job-definition/{tool}:7"]
        for tool in jobdefs.names(made.checkout.jobdefs)
    }
    return made


@pytest.fixture
def standing(site: Site) -> Site:
    """Four stacks, all deployed, and what they hold."""
    site.deploy()
    storage = site.cloud.named(site.name("storage"))
    assert storage is not None
    storage.physical = {
        "Files": ("AWS::FSx::FileSystem", "fs-0123456789abcdef0"),
        "Results": ("AWS::S3::Bucket", "results-1"),
    }
    site.cloud.calls.clear()
    return site

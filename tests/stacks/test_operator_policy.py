"""The policy that `build.py policy` prints allows what the code calls, and nothing that it does not."""

import ast
import json
from collections.abc import Iterator
from itertools import chain

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from support.doctor_aws import DoctorAws, PushingTarget, deployed
from support.recorded_calls import ALLOWED, ONLY_HERE, record

from toolchain import settings
from toolchain.cli.main import main
from toolchain.jobdefs import prune, register
from toolchain.paths import HERE
from toolchain.runs import aws_aligner
from toolchain.runs.executions import Runs
from toolchain.stacks import host_images, layout
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.destroy import Destroyer
from toolchain.stacks.operator_policy import OPERATIONS, made_services, policy
from toolchain.stacks.template import state_machine

LAYOUT = layout.load(HERE, "genomics")
DOCUMENT = policy(LAYOUT, ["refs", "reads"], partition="aws", region="eu-west-1", account="123456789012")
# Methods of our own, and of jinja2, that have the name of an operation.
NO_OPERATIONS = {("listing", "list_images"), ("environment", "get_template")}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LARGEST_MANAGED_POLICY = 6144


def called() -> Iterator[str]:
    """The operations that the code calls, itself or through a paginator, outside the embedded AWS."""
    models = [Loader().load_service_model(service, "service-2") for service in OPERATIONS]
    operations = {xform_name(name): name for model in models for name in model["operations"]}
    for file in (HERE.root / "toolchain").rglob("*.py"):
        if "localaws" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_own = (ast.unparse(node.func.value), node.func.attr) in NO_OPERATIONS
                name = None if is_own else node.func.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "_" in node.value:
                name = node.value
            if name in operations:
                yield operations[name]


def test_every_operation_that_the_code_calls_is_in_the_table_and_no_other() -> None:
    assert set(called()) - {operation for _, operation in ONLY_HERE} == set(chain.from_iterable(OPERATIONS.values()))


def test_what_commands_call_in_the_embedded_aws_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recorded = record(monkeypatch)
    with deployed(tmp_path_factory.mktemp("aws")) as aws:
        aws.answer("UpdateComputeEnvironment", lambda _: {})
        commands(aws)
    assert recorded - ALLOWED == set()
    # Jobs are in tests/workflow/test_operator_calls.py; pushes to a registry and faults are not recorded.
    assert len(recorded) > len(ALLOWED) / 2


def commands(aws: DoctorAws) -> None:
    """What the commands do that need no engine."""
    target = PushingTarget(checkout=aws.checkout)
    account = aws.account
    known = settings.load(aws.checkout.settings)
    Deployer(target=target, account=account).plan(())
    register.changes(account.batch(), register.rendered(target, account, ()))
    aws.run_all()
    list(host_images.update(account, aws.context.outputs))
    aws.answer("HeadObject", lambda _: {"ContentLength": 1})
    aws_aligner.choose(account, aws.checkout, known, "x.fa", "auto")
    prune.plan(account.batch(), account.step_functions(), {"bwa": "genomics-bwa"}, keep=1)
    list(Runs(account, known.project, state_machine(aws.checkout.stacks)).latest(most=1))
    destroyer = Destroyer(target=target, account=account)
    list(destroyer.destroy(destroyer.plan(())))


def test_cloudformation_may_make_what_the_templates_have_and_of_iam_only_the_project_s() -> None:
    *_, services, roles = DOCUMENT["Statement"]
    assert set(services["Action"]) == {f"{service}:*" for service in made_services(LAYOUT) if service != "iam"}
    assert {"batch:*", "fsx:*", "states:*", "budgets:*"} <= set(services["Action"])
    through = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["cloudformation.amazonaws.com"]}}
    assert services["Condition"] == roles["Condition"] == through
    assert roles["Resource"] == [
        f"arn:aws:iam::123456789012:{kind}/genomics-*" for kind in ("role", "instance-profile", "policy")
    ]


def test_it_fits_into_a_managed_policy() -> None:
    assert len(json.dumps(DOCUMENT, separators=(",", ":"))) <= LARGEST_MANAGED_POLICY


def test_the_command_prints_it_without_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["policy", "--account", "123456789012", "--region", "eu-west-1"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [statement["Action"] for statement in printed["Statement"]] == [
        statement["Action"] for statement in DOCUMENT["Statement"]
    ]
    objects = next(statement for statement in printed["Statement"] if statement["Action"] == ["s3:GetObject"])
    assert "arn:aws:s3:::example-lab-reads/*" in objects["Resource"]

"""`deploy --all`, and the first `deploy` without it."""

from collections.abc import Iterator

import pytest
from support.doctor_aws import DoctorAws, PushingTarget, deployed
from support.scripted_project import Project

from toolchain.aws import Account
from toolchain.cli.main import main
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE
from toolchain.runs import deploy_all
from toolchain.stacks import layout
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.template import ORDER


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorAws]:
    """An account that was empty before `deploy --all`."""
    with deployed(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


def test_repositories_come_before_images_and_the_workflow_after_job_definitions() -> None:
    stacks = layout.load(HERE, "genomics")
    before_images, before_definitions, rest = deploy_all.phases(stacks.stacks)
    assert (*before_images, *before_definitions, *rest) == tuple(stack.name for stack in stacks.stacks)
    assert before_images == ("registry",)
    assert rest[0] == "workflow"


def test_everything_is_made_in_an_empty_account_and_the_second_time_nothing_changes(aws: DoctorAws) -> None:
    assert all(thing.is_new for thing in aws.done)
    kinds = [thing.kind for thing in aws.done]
    tools = len(jobdefs.names(HERE.jobdefs))
    assert kinds[:3] == ["stack", "image", "stack"]
    # The file systems are for a run to bring up.
    assert deploy_all.summary(aws.done) == (f"changed {len(ORDER) - 1} stacks, 1 image, {tools} job definitions")
    target = PushingTarget(checkout=aws.checkout)
    again = list(deploy_all.deploy_all(target, Account(), Deployer(target=target, account=Account())))
    assert [(thing.kind, thing.is_new) for thing in again] == [(kind, False) for kind in [*kinds, "stack"]]
    assert deploy_all.summary(again) == "nothing changed: all is as this checkout says"


def test_the_plan_says_what_is_pushed_and_registered_or_why_that_is_not_known(aws: DoctorAws) -> None:
    target = PushingTarget(checkout=aws.checkout)
    names = jobdefs.names(HERE.jobdefs)
    images = [f"image {name} would be built and pushed" for name in names]
    aws.answer("BatchGetImage", lambda _: {"images": []})
    registered = [f"job definition {name}:1 unchanged" for name in names]
    assert list(deploy_all.plan(target, aws.account)) == images + registered
    aws.refuse("DescribeStacks", "does not exist")
    *planned, last = deploy_all.plan(target, aws.account)
    assert planned == images
    assert last.startswith("job definitions would be registered where they differ, which is not known yet: no output")
    aws.reset()


def test_the_first_deploy_goes_as_far_as_it_can_and_says_what_comes_next(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("toolchain.cli.local.HERE", project.checkout)
    monkeypatch.setattr("toolchain.cli.stacks.Account", lambda: project.aws.account)
    project.aws.job_definitions = {}
    assert main(["deploy"]) == 0
    out, err = capsys.readouterr()
    assert out == "registry created\nnetwork created\nworkflow postponed\n"
    assert err.splitlines()[-1] == (
        "no job definitions yet. Type: python build.py deploy --all, which pushes, registers and goes on"
    )
    assert main(["deploy", "workflow"]) == 66
    assert main(["deploy", "workflow", "--all"]) == 64

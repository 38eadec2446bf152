"""`deploy`: in order, through change sets, and from whatever state a stack was left in."""

import json
from dataclasses import replace

import pytest
from botocore.exceptions import EndpointConnectionError
from stacks.conftest import NETWORK, Site
from support.scripted_cloudformation import NOTHING, RefusedError, change, detail, steps

from toolchain.errors import (
    ConfigurationError,
    MissingInputError,
    StackFailedError,
    StoppedError,
    TryAgainError,
    UnavailableError,
    WrongUsageError,
)
from toolchain.stacks import changes

CHANGING = ("CreateChangeSet", "ExecuteChangeSet", "DeleteStack", "ContinueUpdateRollback")


def outputs(site: Site) -> dict[str, str]:
    found: dict[str, str] = json.loads((site.checkout.dist / "outputs.json").read_text(encoding="utf-8"))
    return found


# ---- what it does when nothing is in the way ----


def test_all_stacks_are_created_in_the_order_of_what_they_need(site: Site) -> None:
    assert site.deploy() == ["registry created", "network created", "storage created", "workflow created"]
    assert [one["StackName"] for one in site.cloud.said("CreateChangeSet")] == [
        site.name(name) for name in ("registry", "network", "storage", "workflow")
    ]


def test_the_outputs_of_all_are_written_down(standing: Site) -> None:
    assert outputs(standing) == {
        "VpcId": "vpc-1",
        "WorkingFileSystemId": "fs-0123456789abcdef0",
        "WorkingPath": "-",
        "StateMachineArn": "arn:aws:states:x:1:stateMachine:germline",
    }


def test_two_outputs_of_one_name_are_an_error(site: Site) -> None:
    site.cloud.outputs[site.name("storage")] = {"VpcId": "vpc-2"}
    with pytest.raises(ConfigurationError, match="its output VpcId is one of stack network too"):
        site.deploy("network", "storage")


def test_what_was_deployed_before_a_failure_is_written_down(site: Site) -> None:
    site.cloud.fails("CreateChangeSet", RefusedError("LimitExceededException"), after=2)
    with pytest.raises(UnavailableError):
        site.deploy()
    assert outputs(site) == {"VpcId": "vpc-1"}


def test_nothing_to_change_is_a_success_and_leaves_no_change_set(standing: Site) -> None:
    assert standing.deploy() == [
        "registry unchanged",
        "network unchanged",
        "storage unchanged",
        "workflow unchanged",
    ]
    assert standing.cloud.change_sets == {}
    assert standing.cloud.said("ExecuteChangeSet") == []


def test_the_other_way_of_saying_that_nothing_changes_is_understood(standing: Site) -> None:
    standing.cloud.fails("CreateChangeSet", RefusedError("ValidationError", "No updates are to be performed."))
    assert standing.deploy("network") == ["network unchanged"]


def test_a_comment_is_no_change_and_another_value_is(standing: Site) -> None:
    standing.template("network", NETWORK.replace("# a comment", "# another"))
    assert standing.deploy("network") == ["network unchanged"]
    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    assert standing.deploy("storage") == ["storage updated"]


def test_what_is_registered_latest_is_what_the_workflow_runs(site: Site) -> None:
    arns = [f"arn:aws:batch:x:1:job-definition/alpha:{number}" for number in (2, 10, 9)]
    site.cloud.job_definitions[f"{site.desk.project}-alpha"] = arns
    site.deploy()
    given = {one["ParameterKey"]: one["ParameterValue"] for one in site.cloud.said("CreateChangeSet")[-1]["Parameters"]}
    assert given["JobDefinitions"].split(",")[0] == arns[1]
    assert given["Workflow"] == "test"


def test_a_job_definition_that_is_not_registered_stops_it_there(site: Site) -> None:
    site.cloud.job_definitions = {}
    with pytest.raises(MissingInputError, match=r"python build\.py register; python build\.py deploy workflow"):
        site.deploy()
    assert set(outputs(site)) == {"VpcId", "WorkingFileSystemId", "WorkingPath"}


def test_a_stack_that_needs_another_says_which_and_what_of_it(site: Site) -> None:
    with pytest.raises(MissingInputError) as caught:
        site.deploy("storage")
    assert caught.value.why == "it imports VpcId of stack network"
    assert "python build.py deploy network" in caught.value.fix
    assert site.cloud.said("CreateChangeSet") == []


def test_stacks_have_the_tags_of_genomics_toml(site: Site) -> None:
    site.desk.settings('[tags]\ncost = "42"\n')
    site.deploy("network")
    assert site.cloud.said("CreateChangeSet")[0]["Tags"] == [{"Key": "cost", "Value": "42"}]


def test_what_holds_data_is_protected_and_nothing_else(standing: Site) -> None:
    assert {one.name: one.protected for one in standing.cloud.stacks} == {
        standing.name("registry"): False,
        standing.name("network"): False,
        standing.name("storage"): True,
        standing.name("workflow"): False,
    }


def test_protection_that_was_taken_away_comes_back(standing: Site) -> None:
    storage = standing.cloud.named(standing.name("storage"))
    assert storage is not None
    storage.protected = False
    assert standing.deploy("storage") == ["storage unchanged"]
    assert storage.protected


def test_a_failed_creation_leaves_nothing_behind_that_it_made(site: Site) -> None:
    site.deploy("network")
    assert site.cloud.said("ExecuteChangeSet")[0]["RetainExceptOnCreate"] is True


def test_a_template_that_is_too_large_is_an_error_before_anything_changes(site: Site) -> None:
    site.template("network", NETWORK.replace("Resources:", f"Metadata: {{Text: {'x' * 51_200}}}\nResources:"))
    with pytest.raises(ConfigurationError, match=r"stack/network\.yaml is too large.*takes 51200"):
        site.deploy("network")
    assert site.cloud.said("CreateChangeSet") == []


def test_comments_do_not_make_a_template_too_large(site: Site) -> None:
    site.template("network", NETWORK + f"# {'x' * 60_000}\n")
    assert site.deploy("network") == ["network created"]


# ---- what holds data ----

REPLACED = change("Modify", "Files", "AWS::FSx::FileSystem", "True", detail("StorageCapacity", "Capacity"))
PERHAPS = change("Modify", "Files", "AWS::FSx::FileSystem", "Conditional", detail("SubnetIds", "VpcId"))
REMOVED = change("Remove", "Results", "AWS::S3::Bucket")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (REPLACED, "Files (AWS::FSx::FileSystem) would be replaced, for StorageCapacity by Capacity"),
        (PERHAPS, "Files (AWS::FSx::FileSystem) may be replaced, for SubnetIds by VpcId"),
        (REMOVED, "Results (AWS::S3::Bucket) would be removed"),
    ],
)
def test_data_is_not_lost_unless_it_is_named(standing: Site, made: dict[str, object], said: str) -> None:
    standing.cloud.changes[standing.name("storage")] = [made]
    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    with pytest.raises(WrongUsageError) as caught:
        standing.deploy("storage")
    assert said in caught.value.why
    assert f"--replace {made['LogicalResourceId']}" in caught.value.fix
    assert standing.cloud.said("ExecuteChangeSet") == []
    assert standing.cloud.change_sets == {}
    assert standing.deploy("storage", replace=(str(made["LogicalResourceId"]),)) == ["storage updated"]


def test_naming_something_else_does_not_let_it_be_lost(standing: Site) -> None:
    standing.cloud.changes[standing.name("storage")] = [REPLACED, REMOVED]
    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    with pytest.raises(WrongUsageError) as caught:
        standing.deploy("storage", replace=("Files",))
    assert "Results" in caught.value.why
    assert "Files" not in caught.value.why


def test_what_holds_no_data_is_replaced_without_a_word(standing: Site) -> None:
    standing.cloud.changes[standing.name("network")] = [change("Modify", "Vpc", "AWS::EC2::VPC", "True")]
    standing.template("network", NETWORK.replace("Vpc:", "Other: {Type: AWS::EC2::VPC}\n  Vpc:"))
    assert standing.deploy("network") == ["network updated"]


# ---- faults ----

FAILED = steps(
    [("", "", "CREATE_IN_PROGRESS", ""), ("Vpc", "AWS::EC2::VPC", "CREATE_IN_PROGRESS", "")],
    [
        ("Other", "AWS::EC2::Subnet", "CREATE_FAILED", "Resource creation cancelled"),
        ("Vpc", "AWS::EC2::VPC", "CREATE_FAILED", "You have reached your limit of VPCs."),
        ("", "", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Vpc, Other]."),
    ],
    [("", "", "ROLLBACK_COMPLETE", "")],
)


def test_a_failure_is_told_by_its_first_cause(site: Site) -> None:
    site.cloud.plays[f"create {site.name('network')}"] = FAILED
    with pytest.raises(StackFailedError) as caught:
        site.deploy("network")
    assert caught.value.exit_code == 70
    assert caught.value.why == "Vpc (AWS::EC2::VPC) CREATE_FAILED: You have reached your limit of VPCs"
    assert "type the same again" in caught.value.fix


def test_after_a_failed_creation_the_same_command_begins_anew(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.cloud.plays[f"create {site.name('network')}"] = FAILED
    with pytest.raises(StackFailedError):
        site.deploy("network")
    assert site.deploy("network") == ["network created"]
    assert "its creation failed (ROLLBACK_COMPLETE): what is left of it is deleted first" in capsys.readouterr().err


def test_what_a_rollback_could_not_delete_is_deleted_first_too(site: Site) -> None:
    site.cloud.stack(site.name("network"), "ROLLBACK_FAILED")
    assert site.deploy("network") == ["network created"]


def test_what_cannot_be_deleted_is_named_with_the_way_out(site: Site) -> None:
    site.cloud.stack(site.name("network"), "ROLLBACK_FAILED")
    site.cloud.plays[f"delete {site.name('network')}"] = steps(
        [("Vpc", "AWS::EC2::VPC", "DELETE_FAILED", "it has dependencies"), ("", "", "DELETE_FAILED", "failed: [Vpc]")]
    )
    with pytest.raises(StackFailedError) as caught:
        site.deploy("network")
    assert "Vpc (AWS::EC2::VPC) DELETE_FAILED: it has dependencies" in caught.value.why
    assert "python build.py destroy network --retain Vpc" in caught.value.fix


def test_a_review_that_nobody_went_through_with_is_taken_up(site: Site) -> None:
    site.cloud.stack(site.name("network"), "REVIEW_IN_PROGRESS")
    assert site.deploy("network") == ["network created"]


@pytest.mark.parametrize("status", ["DELETE_FAILED", "CREATE_FAILED"])
def test_a_stack_that_somebody_began_to_delete_is_left_to_destroy(site: Site, status: str) -> None:
    site.cloud.stack(site.name("network"), status)
    with pytest.raises(StackFailedError, match=r"Type: python build\.py destroy network; then type the same again"):
        site.deploy("network")
    assert not any(name in CHANGING for name, _ in site.cloud.calls)


def test_a_way_back_that_failed_is_gone_on_with_first(standing: Site, capsys: pytest.CaptureFixture[str]) -> None:
    stack = standing.cloud.named(standing.name("network"))
    assert stack is not None
    stack.status = "UPDATE_ROLLBACK_FAILED"
    assert standing.deploy("network") == ["network unchanged"]
    assert "going on with the way back first" in capsys.readouterr().err
    [asked] = standing.cloud.said("ContinueUpdateRollback")
    assert "ResourcesToSkip" not in asked


def test_a_way_back_that_fails_again_is_told_with_the_command_that_leaves_it(standing: Site) -> None:
    stack = standing.cloud.named(standing.name("network"))
    assert stack is not None
    stack.status = "UPDATE_ROLLBACK_FAILED"
    standing.cloud.plays[f"rollback {stack.name}"] = steps(
        [("Vpc", "AWS::EC2::VPC", "UPDATE_FAILED", "it is gone"), ("", "", "UPDATE_ROLLBACK_FAILED", "failed: [Vpc]")]
    )
    with pytest.raises(StackFailedError) as caught:
        standing.deploy("network")
    assert caught.value.why == "Vpc (AWS::EC2::VPC) UPDATE_FAILED: it is gone"
    assert f"continue-update-rollback --stack-name {stack.name} --resources-to-skip Vpc" in caught.value.fix
    assert standing.deploy("network") == ["network unchanged"]


def test_a_stack_that_somebody_else_updates_is_left_alone(standing: Site) -> None:
    stack = standing.cloud.named(standing.name("network"))
    assert stack is not None
    stack.token = "Console-UpdateStack-1"  # noqa: S105  # no secret
    standing.cloud.event(stack, "", "", "UPDATE_IN_PROGRESS", "User Initiated")
    with pytest.raises(TryAgainError) as caught:
        standing.deploy("network")
    assert caught.value.exit_code == 75
    assert "UPDATE_IN_PROGRESS, begun at 2026-01-01" in caught.value.why
    assert "Console-UpdateStack-1" in caught.value.why
    assert f"describe-stack-events --stack-name {stack.name}" in caught.value.fix
    assert not any(name in CHANGING for name, _ in standing.cloud.calls)


@pytest.mark.parametrize(
    ("operation", "code", "message"),
    [
        ("ExecuteChangeSet", "InvalidChangeSetStatus", "ChangeSet is OBSOLETE"),
        ("ExecuteChangeSet", "ChangeSetNotFound", "it does not exist"),
        ("CreateChangeSet", "ValidationError", "Stack:x is in UPDATE_IN_PROGRESS state and can not be updated."),
    ],
)
def test_whoever_is_second_is_told_so(standing: Site, operation: str, code: str, message: str) -> None:
    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    standing.cloud.fails(operation, RefusedError(code, message))
    with pytest.raises(TryAgainError, match="has changed meanwhile"):
        standing.deploy("storage")


def test_a_change_set_s_name_that_is_taken_is_another_one_then(site: Site) -> None:
    site.cloud.fails("CreateChangeSet", RefusedError("AlreadyExistsException"), times=2)
    assert site.deploy("network") == ["network created"]
    names = [one["ChangeSetName"] for one in site.cloud.said("CreateChangeSet")]
    assert len(set(names)) == 3


def test_a_template_that_is_refused_is_an_error_and_leaves_nothing(site: Site) -> None:
    site.cloud.fails("CreateChangeSet", RefusedError("ValidationError", "Template format error: no."))
    with pytest.raises(StackFailedError, match=r"Template format error: no\. Correct stack/network\.yaml"):
        site.deploy("network")


def test_a_change_set_that_fails_says_why_and_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        site.cloud,
        "do_DescribeChangeSet",
        lambda _: {"Status": "FAILED", "StatusReason": "Export x is not found. Rollback.", "Changes": []},
    )
    with pytest.raises(StackFailedError, match="Export x is not found"):
        site.deploy("network")
    assert site.cloud.change_sets == {}
    assert site.cloud.named(site.name("network")) is None


def test_what_cloudformation_found_beforehand_is_asked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "The following validation(s) failed: [PropertyValidation]. Use the DescribeEvents API."
    found = {"LogicalResourceId": "Vpc", "ValidationPath": "/Resources/Vpc", "ValidationStatusReason": "no such key"}
    failed = {"Status": "FAILED", "StatusReason": reason, "Changes": []}
    monkeypatch.setattr(site.cloud, "do_DescribeChangeSet", lambda _: failed)
    monkeypatch.setattr(site.cloud, "do_DescribeEvents", lambda _: {"OperationEvents": [found]}, raising=False)
    with pytest.raises(StackFailedError) as caught:
        site.deploy("network")
    assert caught.value.why == "Vpc /Resources/Vpc: no such key"


def test_what_passes_while_it_is_looked_on_is_waited_out(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.cloud.fails("DescribeStackEvents", RefusedError("Throttling", "Rate exceeded"), after=2)
    site.cloud.fails("DescribeStackEvents", EndpointConnectionError(endpoint_url="x"), after=2)
    assert site.deploy("network") == ["network created"]
    assert "network: Throttling: Rate exceeded: looking again" in capsys.readouterr().err


def test_lost_credentials_end_the_looking_on_and_nothing_else(site: Site) -> None:
    site.cloud.fails("DescribeStackEvents", RefusedError("ExpiredToken", "The token has expired"), after=2)
    with pytest.raises(UnavailableError) as caught:
        site.deploy("network")
    assert "ExpiredToken: The token has expired; CloudFormation goes on" in caught.value.why
    assert caught.value.fix.startswith("Log in to AWS again. To follow it again type: python build.py deploy")
    # Whoever types the same again follows what goes on.
    assert site.deploy("network") == ["network created"]
    assert len(site.cloud.said("ExecuteChangeSet")) == 1


def test_a_service_that_stays_away_ends_the_looking_on_too(site: Site) -> None:
    site.cloud.fails("DescribeStackEvents", RefusedError("InternalFailure"), times=99, after=1)
    with pytest.raises(UnavailableError, match="cannot be followed any more"):
        site.deploy("network")


def test_ctrl_c_says_what_goes_on_and_the_same_command_follows_it(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.cloud.fails("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError) as caught:
        site.deploy("network")
    assert caught.value.exit_code == 130
    assert "CloudFormation goes on" in caught.value.why
    assert f"aws cloudformation describe-stack-events --stack-name {site.name('network')}" in caught.value.fix
    assert site.deploy("network") == ["network created"]
    assert "an earlier run of this command has begun with it: following that" in capsys.readouterr().err
    assert len(site.cloud.said("ExecuteChangeSet")) == 1


def test_what_fails_while_nobody_looked_is_told_to_who_takes_it_up(site: Site) -> None:
    site.cloud.plays[f"create {site.name('network')}"] = FAILED
    site.cloud.fails("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError):
        site.deploy("network")
    with pytest.raises(StackFailedError, match="You have reached your limit of VPCs"):
        site.deploy("network")


def test_another_deployment_is_not_taken_for_this_one(standing: Site) -> None:
    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    standing.cloud.fails("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError):
        standing.deploy("storage")
    standing.desk.settings('[stack.storage]\nPath = "s3://third"\n')
    with pytest.raises(TryAgainError, match="is busy"):
        standing.deploy("storage")


def test_ctrl_c_before_anything_was_told_leaves_nothing(site: Site) -> None:
    site.cloud.fails("DescribeChangeSet", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        site.deploy("network")
    assert site.cloud.change_sets == {}
    assert site.cloud.named(site.name("network")) is None


def test_an_answer_that_got_lost_is_no_stranger_s_change(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service did what it was asked, its answer got lost, and botocore asked again."""
    told = site.cloud.do_ExecuteChangeSet

    def lose(params: dict[str, object]) -> None:
        told(params)
        raise RefusedError("InvalidChangeSetStatus", "it is being executed")

    monkeypatch.setattr(site.cloud, "do_ExecuteChangeSet", lose)
    assert site.deploy("network") == ["network created"]


def test_a_change_set_that_never_comes_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_LONGEST_WAIT", 0.05)
    monkeypatch.setattr(site.cloud, "do_DescribeChangeSet", lambda _: {"Status": "CREATE_IN_PROGRESS"})
    with pytest.raises(UnavailableError, match="has not made it"):
        site.deploy("network")


def test_long_change_sets_are_read_to_their_end(standing: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"": ([], "2"), "2": ([{"Type": "Resource", "ResourceChange": REMOVED}], "")}

    def page(params: dict[str, str]) -> dict[str, object]:
        found, token = pages[params.get("NextToken", "")]
        return {"Status": "CREATE_COMPLETE", "Changes": found, **({"NextToken": token} if token else {})}

    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    monkeypatch.setattr(standing.cloud, "do_DescribeChangeSet", page)
    with pytest.raises(WrongUsageError, match="Results"):
        standing.deploy("storage")


# ---- a dry run ----


def test_a_dry_run_changes_nothing(site: Site) -> None:
    planned = site.deployer().plan(())
    assert [(str(one.stack), [change.logical_id for change in one.changes]) for one in planned] == [
        ("registry", ["Thing"]),
        ("network", ["Thing"]),
        ("storage", ["Files", "Results"]),
        ("workflow", ["Role", "Machine"]),
    ]
    assert "imports VpcId of stack network" in (planned[2].because or "")
    assert site.cloud.said("ExecuteChangeSet") == []
    assert site.cloud.change_sets == {}
    assert [one.status for one in site.cloud.stacks] == ["DELETE_COMPLETE"] * 2


def test_a_dry_run_of_what_stands_says_what_would_change(standing: Site) -> None:
    standing.cloud.changes[standing.name("storage")] = [REPLACED]
    standing.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    planned = {str(one.stack): one for one in standing.deployer().plan(())}
    assert planned["network"].changes == ()
    [made] = planned["storage"].changes
    assert (made.replacement, made.causes) == ("yes", ("StorageCapacity by Capacity",))
    assert standing.cloud.change_sets == {}
    storage = standing.cloud.named(standing.name("storage"))
    assert storage is not None
    assert storage.status == "CREATE_COMPLETE"


def test_a_dry_run_leaves_a_stack_alone_that_is_not_ready(standing: Site) -> None:
    for status in ("UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"):
        stack = standing.cloud.named(standing.name("network"))
        assert stack is not None
        stack.status = status
        [planned] = standing.deployer().plan(("network",))
        assert planned.because == f"it is in the state {status}"
    assert not any(name in CHANGING for name, _ in standing.cloud.calls)


def test_the_causes_of_a_change_are_told_once_and_those_that_replace_first() -> None:
    made = changes._change(  # noqa: SLF001  # what a change set says, read
        change(  # type: ignore[arg-type]  # as the API has it
            "Modify",
            "Files",
            "AWS::FSx::FileSystem",
            "True",
            detail("Tags", "Project", recreates="Never"),
            detail("StorageCapacity", "Capacity"),
            {"Target": {"Attribute": "Properties", "Name": "StorageCapacity"}, "Evaluation": "Dynamic"},
        )
    )
    assert made.causes == ("StorageCapacity by Capacity", "Tags by Project")
    assert made.may_lose_data
    assert not replace(made, replacement="no").may_lose_data


def test_both_ways_of_saying_that_nothing_changes_are_known() -> None:
    assert any(text in NOTHING for text in changes._NO_CHANGES)  # noqa: SLF001  # likewise

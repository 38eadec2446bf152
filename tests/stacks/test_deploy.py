"""`deploy`: in order, through change sets, from whatever state a stack was left in, and without losing data."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from support.aws_double import Json, RefusedError
from support.scripted_cloudformation import EPOCH, Script, change, detail
from support.scripted_project import OTHER_SETTINGS, TEMPLATES, Project, name_of

from toolchain.errors import (
    ConfigurationError,
    MissingInputError,
    SeveralFailedError,
    StackFailedError,
    StoppedError,
    ToolchainError,
    TryAgainError,
    UnavailableError,
    WrongUsageError,
)
from toolchain.stacks import changes

CHANGING = ("CreateChangeSet", "ExecuteChangeSet", "DeleteStack", "ContinueUpdateRollback")
STACKS = ("registry", "network", "workflow", "storage")


def changing_calls(project: Project) -> list[str]:
    return [operation for operation, _ in project.aws.calls if operation in CHANGING]


def parameters(project: Project, stack: str) -> dict[str, str]:
    """The parameters of a stack's last change set."""
    requests = [
        request for request in project.aws.requests("CreateChangeSet") if request["StackName"] == name_of(stack)
    ]
    return {entry["ParameterKey"]: entry["ParameterValue"] for entry in requests[-1]["Parameters"]}


# ---- without faults ----


def test_stacks_are_deployed_in_order_and_found_unchanged_the_second_time(project: Project) -> None:
    assert project.deploy(*STACKS) == [f"{stack} created" for stack in STACKS]
    assert [request["StackName"] for request in project.aws.requests("CreateChangeSet")] == list(map(name_of, STACKS))
    assert project.outputs == {
        "VpcId": "vpc-1",
        "WorkingFileSystemId": "fs-0123456789abcdef0",
        "WorkingPath": "-",
        "StateMachineArn": "arn:aws:states:x:1:stateMachine:germline",
    }
    project.aws.calls.clear()
    assert project.deploy() == [f"{stack} unchanged" for stack in STACKS]
    assert project.aws.change_sets == {}
    assert project.aws.requests("ExecuteChangeSet") == []


TAKEN = "Service role name AWSServiceRoleForFSx has been taken in this account, please try a different suffix."


def test_service_linked_roles_that_are_missing_are_made_before_the_first_stack(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.aws.service_roles.clear()
    project.deploy("registry", "network")
    assert project.aws.requests("CreateServiceLinkedRole") == []
    project.plan("storage")
    assert "the service-linked roles of fsx.amazonaws.com would be made" in capsys.readouterr().err
    assert project.aws.service_roles == []
    # Somebody else makes it between our look and our call.
    project.aws.fail("CreateServiceLinkedRole", RefusedError("InvalidInput", TAKEN))
    project.deploy("storage")
    project.aws.calls.clear()
    project.deploy("storage")
    operations = [operation for operation, _ in project.aws.calls]
    assert operations[:2] == ["ListRoles", "CreateServiceLinkedRole"]
    project.deploy("storage")
    assert project.aws.requests("CreateServiceLinkedRole") == [{"AWSServiceName": "fsx.amazonaws.com"}]
    project.aws.service_roles.clear()
    project.aws.fail("CreateServiceLinkedRole", RefusedError("AccessDenied"))
    with pytest.raises(UnavailableError, match=r"service-linked role of fsx.*Ask for this permission"):
        project.deploy("storage")


def test_a_comment_is_no_change_and_another_value_is(deployed: Project) -> None:
    deployed.write_template("network", TEMPLATES["network"].replace("# a comment", "# another"))
    assert deployed.deploy("network") == ["network unchanged"]
    deployed.settings(OTHER_SETTINGS)
    assert deployed.deploy("storage") == ["storage updated"]


def test_cloudformation_has_another_message_for_no_changes(deployed: Project) -> None:
    deployed.aws.fail("CreateChangeSet", RefusedError("ValidationError", "No updates are to be performed."))
    assert deployed.deploy("network") == ["network unchanged"]


def test_an_output_that_is_missing_names_the_stacks_to_deploy(project: Project) -> None:
    project.deploy("registry", "network")
    assert project.outputs == {"VpcId": "vpc-1"}
    with pytest.raises(MissingInputError) as caught:
        project.outputs["StateMachineArn"]
    assert str(caught.value) == (
        "no output 'StateMachineArn' of the project's stacks: stack genomics-workflow is not deployed, or older than "
        "this checkout. Type: python build.py deploy workflow"
    )
    # Deployed before its template had that output.
    project.write_template("network", TEMPLATES["network"] + '  SubnetId: {Value: "-"}\n')
    with pytest.raises(MissingInputError, match=r"deploy network$"):
        project.outputs["SubnetId"]


def test_the_workflow_runs_the_latest_revisions_of_registered_job_definitions(project: Project) -> None:
    arns = [f"arn:aws:batch:x:1:job-definition/bcftools:{number}" for number in (2, 10, 9)]
    project.aws.job_definitions[name_of("bcftools")] = arns
    project.deploy()
    assert parameters(project, "workflow")["JobDefinitions"].split(",")[0] == arns[1]
    assert parameters(project, "workflow")["Workflow"] == "test"
    project.aws.job_definitions = {}
    with pytest.raises(MissingInputError, match=r"python build\.py register; python build\.py deploy workflow"):
        project.deploy("workflow")


def test_a_stack_that_needs_another_says_which_and_what_of_it(project: Project) -> None:
    with pytest.raises(MissingInputError) as caught:
        project.deploy("storage")
    assert caught.value.why == "it imports VpcId of stack network"
    assert "python build.py deploy network" in caught.value.fix
    assert changing_calls(project) == []


def test_stacks_have_the_tags_of_genomics_toml(project: Project) -> None:
    project.settings('[tags]\ncost = "42"\n')
    project.deploy("network")
    assert project.aws.requests("CreateChangeSet")[0]["Tags"] == [{"Key": "cost", "Value": "42"}]
    # What a failed creation made for the stack goes with it.
    assert project.aws.requests("ExecuteChangeSet")[0]["RetainExceptOnCreate"] is True


def test_a_stack_that_holds_data_is_protected_and_protected_again(deployed: Project) -> None:
    assert [stack.name for stack in deployed.aws.stacks if stack.protected] == [name_of("storage")]
    deployed.stack("storage").protected = False
    assert deployed.deploy("storage") == ["storage unchanged"]
    assert deployed.stack("storage").protected


def test_a_template_has_a_size_that_comments_do_not_count_for(project: Project) -> None:
    project.write_template("network", TEMPLATES["network"] + f"# {'x' * 60_000}\n")
    assert project.deploy("network") == ["network created"]
    project.aws.calls.clear()
    text = TEMPLATES["network"].replace("Resources:", f"Metadata: {{Text: {'x' * 51_200}}}\nResources:")
    project.write_template("network", text)
    with pytest.raises(ConfigurationError, match=r"stack/network\.yaml is too large.*takes 51200"):
        project.deploy("network")
    assert changing_calls(project) == []


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("extra", TEMPLATES["network"], r"stack/extra\.yaml has no place: the order of the stacks is registry, "),
        (
            "network",
            TEMPLATES["storage"],
            r"stack/network\.yaml is wrong: it imports 'VpcId', which no stack before it",
        ),
    ],
)
def test_a_template_that_has_no_place_in_the_order_is_refused(
    project: Project, name: str, text: str, match: str
) -> None:
    project.write_template(name, text)
    with pytest.raises(ConfigurationError, match=match):
        project.deploy()


# ---- data ----

REPLACED = change("Modify", "Files", "AWS::FSx::FileSystem", "True", detail("StorageCapacity", "Capacity"))
PERHAPS = change("Modify", "Files", "AWS::FSx::FileSystem", "Conditional", detail("SubnetIds", "VpcId"))
REMOVED = change("Remove", "Results", "AWS::S3::Bucket")
DYNAMIC = change("Dynamic", "Results", "AWS::S3::Bucket")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (REPLACED, "Files (AWS::FSx::FileSystem) would be replaced, for StorageCapacity by Capacity"),
        (PERHAPS, "Files (AWS::FSx::FileSystem) may be replaced, for SubnetIds by VpcId"),
        (REMOVED, "Results (AWS::S3::Bucket) would be removed"),
        (DYNAMIC, "Results (AWS::S3::Bucket) would be removed"),
    ],
)
def test_data_is_not_lost_unless_the_user_names_it(deployed: Project, made: Json, text: str) -> None:
    name = str(made["LogicalResourceId"])
    deployed.aws.changes[name_of("storage")] = [made]
    deployed.settings(OTHER_SETTINGS)
    with pytest.raises(WrongUsageError) as caught:
        deployed.deploy("storage", replace=("Other",))
    assert text in caught.value.why
    assert caught.value.fix.endswith(f"python build.py deploy --replace {name}")
    assert deployed.aws.requests("ExecuteChangeSet") == []
    assert deployed.aws.change_sets == {}
    assert deployed.deploy("storage", replace=(name,)) == ["storage updated"]


def test_naming_one_resource_does_not_let_another_be_lost(deployed: Project) -> None:
    deployed.aws.changes[name_of("storage")] = [REPLACED, REMOVED]
    deployed.settings(OTHER_SETTINGS)
    with pytest.raises(WrongUsageError) as caught:
        deployed.deploy("storage", replace=("Files",))
    assert "Results" in caught.value.why
    assert "Files" not in caught.value.why


def test_a_resource_without_data_is_replaced_without_asking(deployed: Project) -> None:
    deployed.aws.changes[name_of("network")] = [change("Modify", "Vpc", "AWS::EC2::VPC", "True")]
    deployed.write_template("network", TEMPLATES["network"].replace("Vpc:", "Other: {Type: AWS::EC2::VPC}\n  Vpc:"))
    assert deployed.deploy("network") == ["network updated"]


def test_a_change_set_is_read_to_its_last_page(deployed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(request: Json) -> Json:
        if "NextToken" in request:
            return {"Status": "CREATE_COMPLETE", "Changes": [{"Type": "Resource", "ResourceChange": REMOVED}]}
        return {"Status": "CREATE_COMPLETE", "Changes": [], "NextToken": "2"}

    deployed.settings(OTHER_SETTINGS)
    monkeypatch.setattr(deployed.aws, "describe_change_set", describe)
    with pytest.raises(WrongUsageError, match="Results"):
        deployed.deploy("storage")


def test_each_cause_of_a_change_is_named_once_and_those_that_replace_first(deployed: Project) -> None:
    details = (
        detail("Tags", "Project", recreates="Never"),
        detail("StorageCapacity", "Capacity"),
        {"Target": {"Attribute": "Properties", "Name": "StorageCapacity"}, "Evaluation": "Dynamic"},
        {"Evaluation": "Dynamic"},
    )
    deployed.aws.changes[name_of("storage")] = [change("Modify", "Files", "AWS::FSx::FileSystem", "True", *details)]
    deployed.settings(OTHER_SETTINGS)
    [planned] = deployed.plan("storage")
    assert planned.changes[0].causes == ("StorageCapacity by Capacity", "Tags by Project")


# ---- stacks that were left in another state ----

FAILED: Script = [
    [("", "", "CREATE_IN_PROGRESS", "User Initiated"), ("Vpc", "AWS::EC2::VPC", "CREATE_IN_PROGRESS", "")],
    [
        ("Other", "AWS::EC2::Subnet", "CREATE_FAILED", "Resource creation cancelled"),
        ("Vpc", "AWS::EC2::VPC", "CREATE_FAILED", "You have reached your limit of VPCs."),
        ("", "", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Vpc, Other]."),
    ],
    [("", "", "ROLLBACK_COMPLETE", "")],
]


def test_a_failure_is_explained_by_its_first_cause_and_the_same_command_begins_anew(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.aws.scripts[f"create {name_of('network')}"] = FAILED
    with pytest.raises(StackFailedError) as caught:
        project.deploy("network")
    assert caught.value.exit_code == 70
    assert caught.value.why == "Vpc (AWS::EC2::VPC) CREATE_FAILED: You have reached your limit of VPCs"
    assert "type the same again" in caught.value.fix
    assert project.deploy("network") == ["network created"]
    assert "its creation failed (ROLLBACK_COMPLETE): what is left of it is deleted first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            [[("", "", "ROLLBACK_COMPLETE", "Template error.")]],
            f"{name_of('network')} (AWS::CloudFormation::Stack) ROLLBA",
        ),
        ([[("", "", "ROLLBACK_COMPLETE", "")]], "CloudFormation gives no reason"),
        (
            [[("Vpc", "X", "CREATE_FAILED", "cancelled"), ("", "", "ROLLBACK_FAILED", "")]],
            "Vpc (X) CREATE_FAILED: cancel",
        ),
    ],
)
def test_a_failure_is_explained_as_far_as_cloudformation_does(project: Project, script: Script, why: str) -> None:
    project.aws.scripts[f"create {name_of('network')}"] = script
    with pytest.raises(StackFailedError) as caught:
        project.deploy("network")
    assert caught.value.why.startswith(why)


@pytest.mark.parametrize("status", ["ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_was_never_complete_is_created(project: Project, status: str) -> None:
    project.aws.add(name_of("network"), status)
    assert project.deploy("network") == ["network created"]


def test_the_rest_of_a_failed_creation_that_cannot_be_deleted_is_named(project: Project) -> None:
    project.aws.add(name_of("network"), "ROLLBACK_FAILED")
    project.aws.scripts[f"delete {name_of('network')}"] = [
        [("Vpc", "AWS::EC2::VPC", "DELETE_FAILED", "it has dependencies"), ("", "", "DELETE_FAILED", "failed: [Vpc]")]
    ]
    with pytest.raises(StackFailedError) as caught:
        project.deploy("network")
    assert "Vpc (AWS::EC2::VPC) DELETE_FAILED: it has dependencies" in caught.value.why
    assert "python build.py destroy network --retain Vpc" in caught.value.fix


@pytest.mark.parametrize("status", ["DELETE_FAILED", "CREATE_FAILED"])
def test_a_stack_that_cannot_be_recovered_is_left_to_destroy(project: Project, status: str) -> None:
    project.aws.add(name_of("network"), status)
    with pytest.raises(StackFailedError, match=r"Type: python build\.py destroy network; then type the same again"):
        project.deploy("network")
    assert changing_calls(project) == []


def test_a_rollback_that_failed_is_continued_first(deployed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    stack = deployed.stack("network")
    stack.status = "UPDATE_ROLLBACK_FAILED"
    deployed.aws.scripts[f"rollback {stack.name}"] = [
        [("Vpc", "AWS::EC2::VPC", "UPDATE_FAILED", "it is gone"), ("", "", "UPDATE_ROLLBACK_FAILED", "failed: [Vpc]")]
    ]
    with pytest.raises(StackFailedError) as caught:
        deployed.deploy("network")
    assert caught.value.why == "Vpc (AWS::EC2::VPC) UPDATE_FAILED: it is gone"
    assert f"continue-update-rollback --stack-name {stack.name} --resources-to-skip Vpc" in caught.value.fix
    assert deployed.deploy("network") == ["network unchanged"]
    assert "going on with the way back first" in capsys.readouterr().err
    assert not any("ResourcesToSkip" in request for request in deployed.aws.requests("ContinueUpdateRollback"))


# ---- other people's changes ----


def test_a_stack_that_somebody_else_updates_is_left_alone(deployed: Project) -> None:
    stack = deployed.stack("network")
    stack.token = "Console-UpdateStack-1"  # noqa: S105  # no secret
    deployed.aws.event(stack, ("", "", "UPDATE_IN_PROGRESS", "User Initiated"))
    with pytest.raises(TryAgainError) as caught:
        deployed.deploy("network")
    assert caught.value.exit_code == 75
    assert "UPDATE_IN_PROGRESS, begun at 2026-01-01" in caught.value.why
    assert "Console-UpdateStack-1" in caught.value.why
    assert f"describe-stack-events --stack-name {stack.name}" in caught.value.fix
    assert changing_calls(deployed) == []


@pytest.mark.parametrize(
    ("operation", "code", "message"),
    [
        ("ExecuteChangeSet", "InvalidChangeSetStatus", "ChangeSet is OBSOLETE"),
        ("ExecuteChangeSet", "ChangeSetNotFound", "it does not exist"),
        ("CreateChangeSet", "ValidationError", "Stack:x is in UPDATE_IN_PROGRESS state and can not be updated."),
    ],
)
def test_a_stack_that_somebody_else_changed_meanwhile_is_left_alone(
    deployed: Project, operation: str, code: str, message: str
) -> None:
    deployed.settings(OTHER_SETTINGS)
    deployed.aws.fail(operation, RefusedError(code, message))
    with pytest.raises(TryAgainError, match="has changed meanwhile"):
        deployed.deploy("storage")


def test_another_deployment_is_not_taken_for_this_one(deployed: Project) -> None:
    deployed.settings(OTHER_SETTINGS)
    deployed.aws.fail("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError):
        deployed.deploy("storage")
    deployed.settings('[stack.storage]\nPath = "s3://third"\n')
    with pytest.raises(TryAgainError, match="is busy"):
        deployed.deploy("storage")


# ---- change sets that fail ----


def test_a_name_that_is_taken_is_replaced_by_another(project: Project) -> None:
    project.aws.fail("CreateChangeSet", RefusedError("AlreadyExistsException"), times=2)
    assert project.deploy("network") == ["network created"]
    assert len({request["ChangeSetName"] for request in project.aws.requests("CreateChangeSet")}) == 3


def test_a_template_that_is_refused_is_an_error(project: Project) -> None:
    project.aws.fail("CreateChangeSet", RefusedError("ValidationError", "Template format error: no."))
    with pytest.raises(StackFailedError, match=r"Template format error: no\. Correct stack/network\.yaml"):
        project.deploy("network")
    project.aws.fail("CreateChangeSet", RefusedError("LimitExceededException"))
    with pytest.raises(UnavailableError, match="making a change set for stack genomics-network failed: LimitExceeded"):
        project.deploy("network")


VALIDATION = "The following validation(s) failed: [PropertyValidation]. Use the DescribeEvents API."
EVENT = {"LogicalResourceId": "Vpc", "ValidationPath": "/Resources/Vpc", "ValidationStatusReason": "no such key"}


@pytest.mark.parametrize(
    ("reason", "events", "why"),
    [
        ("Export x is not found. Rollback.", [EVENT], "Export x is not found. Rollback"),
        (VALIDATION, [EVENT], "Vpc /Resources/Vpc: no such key"),
        (VALIDATION, None, VALIDATION.rstrip(".")),
    ],
)
def test_a_change_set_that_fails_says_why_and_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, reason: str, events: list[Json] | None, why: str
) -> None:
    def describe_events(_: Json) -> Json:
        if events is None:
            raise RefusedError("AccessDenied")
        return {"OperationEvents": events}

    failed = {"Status": "FAILED", "StatusReason": reason, "Changes": []}
    monkeypatch.setattr(project.aws, "describe_change_set", lambda _: failed)
    monkeypatch.setattr(project.aws, "describe_events", describe_events, raising=False)
    with pytest.raises(StackFailedError) as caught:
        project.deploy("network")
    assert caught.value.why == why
    assert project.aws.change_sets == {}
    assert project.aws.find(name_of("network")) is None


def test_a_change_set_that_is_never_ready_is_given_up(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_LONGEST_WAIT", 0.05)
    monkeypatch.setattr(project.aws, "describe_change_set", lambda _: {"Status": "CREATE_IN_PROGRESS"})
    with pytest.raises(UnavailableError, match="has not made it"):
        project.deploy("network")


def test_ctrl_c_before_the_deployment_leaves_nothing(project: Project) -> None:
    project.aws.fail("DescribeChangeSet", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        project.deploy("network")
    assert project.aws.change_sets == {}
    assert project.aws.find(name_of("network")) is None


@pytest.mark.parametrize(("token", "is_ours"), [(None, True), ("Console-1", False)])
def test_a_change_set_that_is_executed_already_is_ours_if_the_answer_got_lost(
    project: Project, monkeypatch: pytest.MonkeyPatch, token: str | None, *, is_ours: bool
) -> None:
    """The service did what it was asked, its answer got lost, and botocore asked again."""
    execute = project.aws.execute_change_set

    def lose(request: Json) -> None:
        execute({**request, **({"ClientRequestToken": token} if token else {})})
        project.aws.describe_stack_events({"StackName": name_of("network")})
        raise RefusedError("InvalidChangeSetStatus", "it is being executed")

    monkeypatch.setattr(project.aws, "execute_change_set", lose)
    if is_ours:
        assert project.deploy("network") == ["network created"]
    else:
        with pytest.raises(TryAgainError, match="has changed meanwhile"):
            project.deploy("network")


# ---- watching ----


def test_errors_that_pass_are_waited_out(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.aws.fail("DescribeStackEvents", RefusedError("Throttling", "Rate exceeded"), after=2)
    project.aws.fail("DescribeStackEvents", EndpointConnectionError(endpoint_url="x"), after=2)
    assert project.deploy("network") == ["network created"]
    assert "network: Throttling: Rate exceeded: looking again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "times", "raised", "text"),
    [
        (RefusedError("ExpiredToken"), 1, UnavailableError, "Log in to AWS again. To follow it again type: python "),
        (RefusedError("InternalFailure"), 4, UnavailableError, "cannot be followed any more: InternalFailure"),
        (
            KeyboardInterrupt(),
            1,
            StoppedError,
            "aws cloudformation describe-stack-events --stack-name genomics-network",
        ),
    ],
)
def test_when_watching_ends_the_deployment_goes_on_and_the_same_command_watches_it_again(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    times: int,
    raised: type[ToolchainError],
    text: str,
) -> None:
    project.aws.fail("DescribeStackEvents", error, times=times, after=2)
    with pytest.raises(raised) as caught:
        project.deploy("network")
    assert "CloudFormation goes on with what it was told" in caught.value.why
    assert text in str(caught.value)
    assert project.deploy("network") == ["network created"]
    assert "an earlier run of this command has begun with it: following that" in capsys.readouterr().err
    assert len(project.aws.requests("ExecuteChangeSet")) == 1


def test_a_failure_while_nobody_watched_is_told_to_who_watches_again(project: Project) -> None:
    project.aws.scripts[f"create {name_of('network')}"] = FAILED
    project.aws.fail("DescribeStackEvents", KeyboardInterrupt(), after=2)
    with pytest.raises(StoppedError):
        project.deploy("network")
    with pytest.raises(StackFailedError, match="You have reached your limit of VPCs"):
        project.deploy("network")


@pytest.mark.parametrize(("replacement", "is_refused"), [("True", True), ("Conditional", False), ("False", False)])
def test_compute_environments_are_replaced_for_their_tags_only_if_they_are_named(
    deployed: Project, replacement: str, *, is_refused: bool
) -> None:
    kind = "AWS::Batch::ComputeEnvironment"
    environments = [change("Modify", name, kind, replacement, detail("Tags", "")) for name in ("Spot", "OnDemand")]
    deployed.aws.changes[name_of("network")] = environments
    deployed.write_template("network", TEMPLATES["network"] + "  Other: {Value: x}\n")
    if is_refused:
        with pytest.raises(WrongUsageError, match=r"would lose jobs: Spot .* would be replaced, for Tags") as caught:
            deployed.deploy("network")
        assert caught.value.fix.endswith("--replace Spot --replace OnDemand")
        assert deployed.aws.requests("ExecuteChangeSet") == []
    named = ("Spot", "OnDemand") if is_refused else ()
    assert deployed.deploy("network", replace=named) == ["network updated"]


def test_a_file_system_is_not_replaced_under_a_run(deployed: Project) -> None:
    deployed.aws.changes[name_of("storage")] = [REPLACED]
    deployed.settings(OTHER_SETTINGS)
    run = {"name": "run-1", "status": "RUNNING", "startDate": EPOCH, "executionArn": "x", "stateMachineArn": "x"}
    deployed.aws.executions.append(run)
    with pytest.raises(SeveralFailedError, match="execution run-1 is running") as caught:
        deployed.deploy("storage", replace=("Files",))
    assert caught.value.exit_code == 75
    deployed.aws.executions.clear()
    assert deployed.deploy("storage", replace=("Files",)) == ["storage updated"]


# ---- a dry run ----


def test_a_dry_run_changes_nothing(project: Project) -> None:
    planned = project.plan()
    assert [(str(plan.stack), [change.logical_id for change in plan.changes]) for plan in planned] == [
        ("registry", ["Thing"]),
        ("network", ["Thing"]),
        ("workflow", ["Thing"]),
    ]
    assert project.aws.requests("ExecuteChangeSet") == []
    assert project.aws.change_sets == {}
    assert [stack.status for stack in project.aws.stacks] == ["DELETE_COMPLETE"] * 3
    with pytest.raises(MissingInputError):
        project.plan("storage")


def test_a_dry_run_of_deployed_stacks_says_what_would_change(deployed: Project) -> None:
    deployed.aws.changes[name_of("storage")] = [REPLACED]
    deployed.settings(OTHER_SETTINGS)
    planned: dict[str, Any] = {str(plan.stack): plan for plan in deployed.plan()}
    assert planned["network"].changes == ()
    [made] = planned["storage"].changes
    assert (made.replacement, made.causes) == ("yes", ("StorageCapacity by Capacity",))
    assert deployed.aws.change_sets == {}
    assert deployed.stack("storage").status == "CREATE_COMPLETE"


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"])
def test_a_dry_run_leaves_a_stack_alone_that_is_not_ready(deployed: Project, status: str) -> None:
    deployed.stack("network").status = status
    [planned] = deployed.plan("network")
    assert planned.because == f"it is in the state {status}"
    assert changing_calls(deployed) == []

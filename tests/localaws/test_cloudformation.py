"""CloudFormation: stacks are made, changed, taken back and deleted as the service does it."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded, actions

TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "one"}}


def template(*, outputs: dict[str, Any] | None = None, **resources: Any) -> dict[str, Any]:
    return {"Resources": resources, "Outputs": outputs or {}}


def log_group(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}, **more}


def export(value: Any, name: str) -> dict[str, Any]:
    return {"Value": value, "Export": {"Name": name}}


# ---- create --------------------------------------------------------------------------------------------------------


def test_a_stack_is_under_review_until_its_change_set_is_executed(embedded: Embedded) -> None:
    stacks = embedded.stacks
    found = stacks.change_set("review", template(Topic=TOPIC))
    assert stacks.described("review")["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert actions(found) == [("Add", "Topic", None)]
    assert embedded.client("sns").list_topics()["Topics"] == []


def test_resources_are_made_after_what_they_refer_to_and_the_events_tell_so(embedded: Embedded) -> None:
    stack = embedded.stacks.deploy(
        "order",
        template(
            Policy={
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": {"Statement": []}},
            },
            Topic=TOPIC,
            outputs={"Arn": {"Value": {"Ref": "Topic"}}},
        ),
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert embedded.stacks.events("order") == [
        ("order", "REVIEW_IN_PROGRESS"),
        ("order", "CREATE_IN_PROGRESS"),
        ("Topic", "CREATE_IN_PROGRESS"),
        ("Topic", "CREATE_IN_PROGRESS"),
        ("Topic", "CREATE_COMPLETE"),
        ("Policy", "CREATE_IN_PROGRESS"),
        ("Policy", "CREATE_IN_PROGRESS"),
        ("Policy", "CREATE_COMPLETE"),
        ("order", "CREATE_COMPLETE"),
    ]
    assert embedded.stacks.outputs("order")["Arn"].startswith("arn:aws:sns:")


def test_a_resource_that_cannot_be_made_takes_the_others_back(embedded: Embedded) -> None:
    embedded.client("logs").create_log_group(logGroupName="taken")
    stack = embedded.stacks.deploy(
        "rollback",
        template(
            Good=log_group("rollback-good"),
            Bad=log_group("taken", DependsOn="Good"),
            Beside=log_group("rollback-beside", DependsOn="Good"),
        ),
    )
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    failed = embedded.stacks.reasons("rollback", "CREATE_FAILED")
    assert "already exists" in failed["Bad"]
    assert "HandlerErrorCode: AlreadyExists" in failed["Bad"]
    assert failed["Beside"] == "Resource creation cancelled"
    assert embedded.stacks.reasons("rollback", "ROLLBACK_IN_PROGRESS")["rollback"] == (
        "The following resource(s) failed to create: [Bad, Beside]. Rollback requested by user."
    )
    groups = embedded.client("logs").describe_log_groups(logGroupNamePrefix="rollback-")["logGroups"]
    assert groups == []


def test_what_was_rolled_back_takes_no_update_and_can_only_be_deleted(embedded: Embedded) -> None:
    embedded.client("logs").create_log_group(logGroupName="taken-too")
    embedded.stacks.deploy("stuck", template(Bad=log_group("taken-too")))
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        embedded.stacks.change_set("stuck", template(Topic=TOPIC), kind="UPDATE")
    with pytest.raises(ClientError, match="already exists and cannot be created again"):
        embedded.stacks.change_set("stuck", template(Topic=TOPIC))
    assert embedded.stacks.delete("stuck")["StackStatus"] == "DELETE_COMPLETE"


def test_a_type_that_cannot_be_made_here_is_refused_by_its_name_and_leaves_no_stack(embedded: Embedded) -> None:
    with pytest.raises(ClientError, match=r"cannot make resources of these types: \[AWS::SQS::Queue\]"):
        embedded.stacks.change_set("blank", template(Queue={"Type": "AWS::SQS::Queue"}))
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::SNS::Tropic\]"):
        embedded.stacks.change_set("blank", template(Queue={"Type": "AWS::SNS::Tropic"}))
    with pytest.raises(ClientError, match="does not exist"):
        embedded.stacks.described("blank")


def test_a_property_that_a_type_does_not_have_fails_its_resource(embedded: Embedded) -> None:
    wrong = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayNome": "x"}}
    embedded.stacks.deploy("property", template(Topic=wrong))
    reason = embedded.stacks.reasons("property", "CREATE_FAILED")["Topic"]
    assert "extraneous key [DisplayNome] is not permitted" in reason


# ---- update --------------------------------------------------------------------------------------------------------


def test_the_same_again_is_a_failed_change_set_that_says_so(embedded: Embedded) -> None:
    embedded.stacks.deploy("same", template(Topic=TOPIC))
    found = embedded.stacks.change_set("same", template(Topic=TOPIC), kind="UPDATE")
    assert found["Status"] == "FAILED"
    assert found["ExecutionStatus"] == "UNAVAILABLE"
    assert found["StatusReason"] == (
        "The submitted information didn't contain changes. Submit different information to create a change set."
    )


def test_a_change_that_a_type_can_take_is_made_in_place(embedded: Embedded) -> None:
    changed = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "two"}}
    embedded.stacks.deploy("place", template(Topic=TOPIC, outputs={"Arn": {"Value": {"Ref": "Topic"}}}))
    arn = embedded.stacks.outputs("place")["Arn"]
    after = template(Topic=changed, outputs={"Arn": {"Value": {"Ref": "Topic"}}})
    assert actions(embedded.stacks.change_set("place", after, kind="UPDATE")) == [("Modify", "Topic", "False")]
    assert embedded.stacks.deploy("place", after, kind="UPDATE")["StackStatus"] == "UPDATE_COMPLETE"
    assert embedded.stacks.outputs("place")["Arn"] == arn
    assert embedded.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "two"


def test_a_change_that_it_cannot_take_is_a_replacement_after_which_the_old_one_goes(embedded: Embedded) -> None:
    stacks = embedded.stacks
    stacks.deploy("replace", template(Group=log_group("replace-one"), Topic=TOPIC))
    found = stacks.change_set("replace", template(Group=log_group("replace-two"), Topic=TOPIC), kind="UPDATE")
    change = found["Changes"][0]["ResourceChange"]
    assert (change["Action"], change["Replacement"], change["PolicyAction"]) == ("Modify", "True", "ReplaceAndDelete")
    assert change["Details"] == [
        {
            "Target": {"Attribute": "Properties", "Name": "LogGroupName", "RequiresRecreation": "Always"},
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
    ]
    stacks.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
    stacks.ended("replace")
    assert stacks.events("replace")[-8:] == [
        ("Group", "UPDATE_IN_PROGRESS"),
        ("Group", "CREATE_IN_PROGRESS"),
        ("Group", "CREATE_COMPLETE"),
        ("Group", "UPDATE_COMPLETE"),
        ("replace", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Group", "DELETE_IN_PROGRESS"),
        ("Group", "DELETE_COMPLETE"),
        ("replace", "UPDATE_COMPLETE"),
    ]
    groups = embedded.client("logs").describe_log_groups(logGroupNamePrefix="replace-")["logGroups"]
    assert [one["logGroupName"] for one in groups] == ["replace-two"]
    [resource] = [
        one
        for one in stacks.client.list_stack_resources(StackName="replace")["StackResourceSummaries"]
        if one["LogicalResourceId"] == "Group"
    ]
    assert (resource["PhysicalResourceId"], resource["ResourceStatus"]) == ("replace-two", "UPDATE_COMPLETE")


def test_what_depends_on_an_attribute_of_what_changes_may_change_too(embedded: Embedded) -> None:
    def described(capacity: str) -> dict[str, Any]:
        found = template(
            Template={
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {"LaunchTemplateData": {"InstanceType": capacity}},
            },
            Topic={
                "Type": "AWS::SNS::Topic",
                "Properties": {"DisplayName": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}},
            },
        )
        found["Outputs"] = {"Version": {"Value": {"Fn::GetAtt": "Template.LatestVersionNumber"}}}
        return found

    embedded.stacks.deploy("attribute", described("m7i.large"))
    assert embedded.stacks.outputs("attribute") == {"Version": "1"}
    found = embedded.stacks.change_set("attribute", described("m7i.xlarge"), kind="UPDATE")
    assert actions(found) == [("Modify", "Template", "False"), ("Modify", "Topic", "False")]
    [detail] = found["Changes"][1]["ResourceChange"]["Details"]
    assert (detail["Evaluation"], detail["ChangeSource"]) == ("Dynamic", "ResourceAttribute")
    assert detail["CausingEntity"] == "Template.LatestVersionNumber"
    embedded.stacks.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
    embedded.stacks.ended("attribute")
    assert embedded.stacks.outputs("attribute") == {"Version": "2"}


def test_an_update_that_fails_is_taken_back(embedded: Embedded) -> None:
    embedded.client("logs").create_log_group(logGroupName="taken-as-well")
    embedded.stacks.deploy("back", template(Topic=TOPIC, Old=log_group("back-old")))
    changed = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "two"}}
    stack = embedded.stacks.deploy(
        "back", template(Topic=changed, Bad=log_group("taken-as-well", DependsOn="Topic")), kind="UPDATE"
    )
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert embedded.stacks.events("back")[-7:] == [
        ("Bad", "CREATE_IN_PROGRESS"),
        ("Bad", "CREATE_FAILED"),
        ("back", "UPDATE_ROLLBACK_IN_PROGRESS"),
        ("Topic", "UPDATE_IN_PROGRESS"),
        ("Topic", "UPDATE_COMPLETE"),
        ("back", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("back", "UPDATE_ROLLBACK_COMPLETE"),
    ]
    topics = embedded.client("sns").list_topics()["Topics"]
    [arn] = [one["TopicArn"] for one in topics if ":back-Topic" in one["TopicArn"]]
    assert embedded.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "one"
    assert embedded.stacks.deploy("back", template(Topic=changed), kind="UPDATE")["StackStatus"] == "UPDATE_COMPLETE"


def test_what_cannot_be_taken_back_stops_there_and_goes_on_once_it_can(embedded: Embedded) -> None:
    stacks, sns = embedded.stacks, embedded.client("sns")
    embedded.client("logs").create_log_group(logGroupName="taken-again")
    stacks.deploy("halt", template(Topic=TOPIC, outputs={"Arn": {"Value": {"Ref": "Topic"}}}))
    arn = stacks.outputs("halt")["Arn"]
    sns.delete_topic(TopicArn=arn)
    changed = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "two"}}
    assert stacks.deploy("halt", template(Topic=changed), kind="UPDATE")["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    with pytest.raises(ClientError, match="is in UPDATE_ROLLBACK_FAILED state and can not be updated"):
        stacks.change_set("halt", template(Topic=TOPIC), kind="UPDATE")
    stacks.client.continue_update_rollback(StackName="halt", ResourcesToSkip=["Topic"])
    assert stacks.ended("halt")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"


def test_a_custom_named_resource_cannot_be_replaced_under_its_name(embedded: Embedded) -> None:
    def role(path: str) -> dict[str, Any]:
        properties = {"RoleName": "custom", "Path": path, "AssumeRolePolicyDocument": {"Statement": []}}
        return template(Role={"Type": "AWS::IAM::Role", "Properties": properties})

    embedded.stacks.deploy("custom", role("/a/"))
    assert embedded.stacks.deploy("custom", role("/b/"), kind="UPDATE")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing" in embedded.stacks.reasons("custom", "UPDATE_FAILED")["Role"]


def test_iam_needs_to_be_acknowledged(embedded: Embedded) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_IAM\]"):
        embedded.stacks.client.create_stack(StackName="iam", TemplateBody=json.dumps(template(Role=role)))


# ---- delete, exports ------------------------------------------------------------------------------------------------


def test_resources_are_deleted_before_what_they_refer_to_and_retained_ones_stay(embedded: Embedded) -> None:
    embedded.stacks.deploy(
        "delete",
        template(
            Kept=log_group("delete-kept", DeletionPolicy="Retain"),
            Topic=TOPIC,
            After=log_group("delete-after", DependsOn="Topic"),
        ),
    )
    stack = embedded.stacks.delete("delete")
    assert stack["StackStatus"] == "DELETE_COMPLETE"
    events = embedded.stacks.events(stack["StackId"])[-7:]
    assert ("Kept", "DELETE_SKIPPED") in events
    assert events.index(("After", "DELETE_COMPLETE")) < events.index(("Topic", "DELETE_IN_PROGRESS"))
    groups = embedded.client("logs").describe_log_groups(logGroupNamePrefix="delete-")["logGroups"]
    assert [one["logGroupName"] for one in groups] == ["delete-kept"]
    with pytest.raises(ClientError, match="Stack with id delete does not exist"):
        embedded.stacks.described("delete")


def test_a_protected_stack_is_not_deleted(embedded: Embedded) -> None:
    embedded.stacks.deploy("protected", template(Topic=TOPIC))
    embedded.stacks.client.update_termination_protection(StackName="protected", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="cannot be deleted while TerminationProtection is enabled"):
        embedded.stacks.client.delete_stack(StackName="protected")
    assert embedded.stacks.described("protected")["EnableTerminationProtection"]


def test_what_cannot_be_deleted_fails_the_deletion_and_can_be_left_behind(embedded: Embedded) -> None:
    stacks, s3 = embedded.stacks, embedded.client("s3")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "undeletable-bucket"}}
    stacks.deploy("undeletable", template(Bucket=bucket, Topic=TOPIC))
    s3.put_object(Bucket="undeletable-bucket", Key="a", Body=b"a")
    stack = stacks.delete("undeletable")
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert stack["StackStatusReason"] == "The following resource(s) failed to delete: [Bucket]. "
    assert "not empty" in stacks.reasons("undeletable", "DELETE_FAILED")["Bucket"]
    stacks.client.delete_stack(StackName="undeletable", RetainResources=["Bucket"])
    assert stacks.ended(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert s3.list_objects_v2(Bucket="undeletable-bucket")["KeyCount"] == 1


def test_an_export_in_use_keeps_its_stack(embedded: Embedded) -> None:
    stacks = embedded.stacks
    maker = template(Topic=TOPIC, outputs={"A": export({"Ref": "Topic"}, "shared-arn")})
    user = template(
        Policy={
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Fn::ImportValue": "shared-arn"}], "PolicyDocument": {"Statement": []}},
        }
    )
    stacks.deploy("maker", maker)
    stacks.deploy("user", user)
    assert stacks.client.list_imports(ExportName="shared-arn")["Imports"] == ["user"]
    assert [one["Name"] for one in stacks.client.list_exports()["Exports"]] == ["shared-arn"]

    kept = stacks.delete("maker")
    assert kept["StackStatus"] == "CREATE_COMPLETE"
    assert kept["StackStatusReason"] == "Delete canceled. Cannot delete export shared-arn as it is in use by user."

    less = stacks.deploy("maker", template(Topic=TOPIC), kind="UPDATE")
    assert less["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reason = stacks.reasons("maker", "UPDATE_ROLLBACK_IN_PROGRESS")["maker"]
    assert reason == "Export shared-arn cannot be deleted as it is in use by user"

    assert stacks.delete("user")["StackStatus"] == "DELETE_COMPLETE"
    assert stacks.delete("maker")["StackStatus"] == "DELETE_COMPLETE"


def test_an_import_that_nobody_exports_is_named(embedded: Embedded) -> None:
    missing = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::ImportValue": "nowhere"}}}
    assert embedded.stacks.deploy("nowhere", template(Topic=missing))["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = embedded.stacks.reasons("nowhere", "ROLLBACK_IN_PROGRESS")["nowhere"]
    assert reason == "No export named nowhere found. Rollback requested by user."


# ---- one at a time --------------------------------------------------------------------------------------------------


def test_a_change_set_is_executed_once(embedded: Embedded) -> None:
    found = embedded.stacks.change_set("once", template(Topic=TOPIC))
    embedded.stacks.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
    embedded.stacks.ended("once")
    with pytest.raises(embedded.stacks.client.exceptions.InvalidChangeSetStatusException):
        embedded.stacks.client.execute_change_set(ChangeSetName=found["ChangeSetId"])


def test_a_change_set_that_is_not_there_is_an_error_of_its_own(embedded: Embedded) -> None:
    with pytest.raises(embedded.stacks.client.exceptions.ChangeSetNotFoundException):
        embedded.stacks.client.describe_change_set(ChangeSetName="arn:aws:cloudformation:us-east-1:1:changeSet/a/b")

"""CloudFormation: what moto's own does not do, through the API, with resources that are really there."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded, actions

TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "one"}}
CHANGED = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "two"}}


def template(
    *, outputs: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **resources: Any
) -> dict[str, Any]:
    return {
        "Resources": resources,
        "Outputs": {name: {"Value": value} for name, value in (outputs or {}).items()},
        **(more or {}),
    }


def log_group(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}, **more}


def groups(embedded: Embedded, prefix: str) -> list[str]:
    found = embedded.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
    return [group["logGroupName"] for group in found]


# ---- change sets ---------------------------------------------------------------------------------------------------


def test_a_stack_is_under_review_until_its_change_set_is_executed_once(embedded: Embedded) -> None:
    stacks = embedded.stacks
    change_set = stacks.change_set("review", template(Topic=TOPIC))
    assert stacks.described("review")["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert actions(change_set) == [("Add", "Topic", None)]
    assert embedded.client("sns").list_topics()["Topics"] == []
    stacks.client.execute_change_set(ChangeSetName=change_set["ChangeSetId"], ClientRequestToken="mine")
    assert stacks.described("review")["StackStatus"] == "CREATE_COMPLETE"
    assert {event.get("ClientRequestToken") for event in stacks.all_events("review")} == {None, "mine"}
    with pytest.raises(stacks.client.exceptions.InvalidChangeSetStatusException):
        stacks.client.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
    stacks.client.delete_change_set(ChangeSetName=change_set["ChangeSetId"])
    with pytest.raises(stacks.client.exceptions.ChangeSetNotFoundException):
        stacks.client.describe_change_set(ChangeSetName=change_set["ChangeSetId"])


def test_a_parameter_changes_what_it_is_in_however_deep(embedded: Embedded) -> None:
    """Moto's own sees `Ref` alone, and that as no change of a change set."""
    stacks = embedded.stacks
    body = template(
        Named={"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Sub": "of ${Name}"}}},
        Chosen={"Type": "AWS::SNS::Topic", "Condition": "IsA"},
        Other={"Type": "AWS::SNS::Topic", "Condition": "IsB"},
        Same=TOPIC,
        outputs={"Name": {"Ref": "Name"}},
        more={
            "Parameters": {"Name": {"Type": "String"}},
            "Conditions": {letter: {"Fn::Equals": [{"Ref": "Name"}, letter[-1:].lower()]} for letter in ("IsA", "IsB")},
        },
    )
    stacks.deploy("parameter", body, {"Name": "a"})
    assert stacks.change_set("parameter", body, {"Name": "a"}, kind="UPDATE")["Status"] == "FAILED"
    change_set = stacks.change_set("parameter", body, {"Name": "b"}, kind="UPDATE")
    assert sorted(actions(change_set)) == [
        ("Add", "Other", None),
        ("Modify", "Named", "False"),
        ("Remove", "Chosen", None),
    ]
    stacks.client.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
    assert stacks.outputs("parameter") == {"Name": "b"}
    held = stacks.client.list_stack_resources(StackName="parameter")["StackResourceSummaries"]
    assert sorted(resource["LogicalResourceId"] for resource in held) == ["Named", "Other", "Same"]


def test_the_same_again_is_a_failed_change_set_that_says_so(embedded: Embedded) -> None:
    embedded.stacks.deploy("same", template(Topic=TOPIC))
    change_set = embedded.stacks.change_set("same", template(Topic=TOPIC), kind="UPDATE")
    assert (change_set["Status"], change_set["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in change_set["StatusReason"]


def test_a_change_is_made_in_place_or_by_another_resource_to_which_others_then_refer(embedded: Embedded) -> None:
    def body(group: str, topic: dict[str, Any]) -> dict[str, Any]:
        told = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Group"}}}
        return template(Told=told, Topic=topic, Group=log_group(group), outputs={"Topic": {"Ref": "Topic"}})

    stacks = embedded.stacks
    stacks.deploy("change", body("change-a", TOPIC))
    before = stacks.outputs("change")
    after = body("change-b", CHANGED)
    change_set = stacks.change_set("change", after, kind="UPDATE")
    assert sorted(actions(change_set)) == [
        ("Modify", "Group", "True"),
        ("Modify", "Told", "False"),
        ("Modify", "Topic", "False"),
    ]
    stacks.client.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
    assert groups(embedded, "change-") == ["change-b"]
    assert stacks.outputs("change") == before
    topics = [
        embedded.client("sns").get_topic_attributes(TopicArn=topic["TopicArn"])
        for topic in embedded.client("sns").list_topics()["Topics"]
    ]
    assert {"two", "change-b"} <= {topic["Attributes"]["DisplayName"] for topic in topics}


# ---- templates ------------------------------------------------------------------------------------------------------


def test_a_loop_makes_a_resource_of_each_item(embedded: Embedded) -> None:
    loop = ["Name", {"Ref": "Names"}, {"Group&{Name}": log_group("loop-${Name}")}]
    body = {
        "Transform": "AWS::LanguageExtensions",
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": "a-b,c"}},
        "Resources": {"Fn::ForEach::Groups": loop},
    }
    embedded.stacks.deploy("loop", body)
    assert groups(embedded, "loop-") == ["loop-a-b", "loop-c"]
    held = embedded.stacks.client.list_stack_resources(StackName="loop")["StackResourceSummaries"]
    assert sorted(resource["LogicalResourceId"] for resource in held) == ["Groupab", "Groupc"]
    assert embedded.stacks.client.get_template(StackName="loop")["TemplateBody"] == body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("Resources: [", "Template format error"),
        ("!!python/object/apply:os.getcwd []", "Template format error"),
        ("A: 1", "At least one Resources member"),
        ("Transform: AWS::Include\nResources: {}", "No transform named AWS::Include"),
        ("Resources: {A: {Type: AWS::Batch::JobDefinition}}", r"these types: \[AWS::Batch::JobDefinition\]"),
        ("Resources: {A: {Type: AWS::Lambda::Function}}", r"these types: \[AWS::Lambda::Function\]"),
        ("Resources: {A: {Type: Custom::Thing}}", r"these types: \[Custom::Thing\]"),
        ("Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref B}}}", r"dependencies \[B\]"),
        ("Resources: {A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !ImportValue b}}}", "No export named b"),
        ("Parameters: {P: {Type: String}}\nResources: {}", r"Parameters: \[P\] must have values"),
        ("Parameters: {P: {Type: Number, Default: 0, MinValue: 1}}\nResources: {}", "Parameter P is '0'"),
        ("Rules: {R: {Assertions: [{Assert: !Equals [a, b], AssertDescription: so}]}}\nResources: {}", "Rule R: so"),
    ],
)
def test_a_template_that_cannot_be_deployed_is_refused_and_leaves_no_stack(
    embedded: Embedded, body: str, message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        embedded.stacks.change_set("refused", body)
    with pytest.raises(ClientError, match="does not exist"):
        embedded.stacks.described("refused")


@pytest.mark.parametrize("operation", ["get_template_summary", "validate_template"])
def test_what_would_have_moto_read_a_template_as_code_is_refused(embedded: Embedded, operation: str) -> None:
    with pytest.raises(ClientError, match="has no operation"):
        getattr(embedded.stacks.client, operation)(TemplateBody="!!python/object/apply:os.getcwd []")
    with pytest.raises(ClientError, match="has no operation CreateStackSet"):
        embedded.stacks.client.create_stack_set(StackSetName="s", TemplateBody="{}")


def test_stacks_are_created_and_updated_without_change_sets_too(embedded: Embedded) -> None:
    stacks, body = embedded.stacks, json.dumps(template(Topic=TOPIC))
    stacks.client.create_stack(StackName="direct", TemplateBody=body, Tags=[{"Key": "a", "Value": "b"}])
    assert stacks.described("direct")["Tags"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(stacks.client.exceptions.AlreadyExistsException):
        stacks.client.create_stack(StackName="direct", TemplateBody=body)
    stacks.client.update_stack(StackName="direct", TemplateBody=json.dumps(template(Topic=CHANGED)))
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stacks.client.update_stack(StackName="direct", UsePreviousTemplate=True)
    assert stacks.described("direct")["StackStatus"] == "UPDATE_COMPLETE"
    with pytest.raises(ClientError, match="nowhere does not exist"):
        stacks.client.update_stack(StackName="nowhere", TemplateBody=body)


# ---- what fails, what goes and what stays ---------------------------------------------------------------------------


def test_what_cannot_be_created_is_rolled_back_and_what_cannot_be_updated_says_so(embedded: Embedded) -> None:
    stacks = embedded.stacks
    embedded.client("logs").create_log_group(logGroupName="taken")
    broken = template(Good=log_group("broken-good"), Bad=log_group("taken", DependsOn="Good"))
    assert stacks.deploy("broken", broken)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "already exists" in stacks.reasons("broken", "CREATE_FAILED")["Bad"]
    assert groups(embedded, "broken-") == []
    stacks.delete("broken")

    stacks.deploy("broken", template(Good=log_group("broken-good")))
    stack = stacks.deploy("broken", broken, kind="UPDATE")
    assert (stack["StackStatus"], "Bad" in stack["StackStatusReason"]) == ("UPDATE_FAILED", True)
    assert stacks.deploy("broken", template(Topic=TOPIC), kind="UPDATE")["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(embedded, "broken-") == []


def test_what_is_made_in_part_and_what_refers_to_nothing_is_rolled_back(embedded: Embedded) -> None:
    stacks = embedded.stacks
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "part-a", "RetentionInDays": "x"}}
    assert stacks.deploy("part", template(Group=group))["StackStatus"] == "ROLLBACK_COMPLETE"
    nowhere = template(Group=log_group("part-b"), outputs={"A": {"Fn::GetAtt": ["Group", "Nope"]}})
    stack = stacks.deploy("nowhere", nowhere)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "has no attribute Nope" in stacks.reasons("nowhere", "ROLLBACK_IN_PROGRESS")["nowhere"]
    assert groups(embedded, "part-") == []


def test_what_somebody_has_deleted_is_deleted(embedded: Embedded) -> None:
    stacks = embedded.stacks
    stacks.deploy("gone", template(Group=log_group("gone"), Topic=TOPIC))
    embedded.client("logs").delete_log_group(logGroupName="gone")
    assert stacks.delete("gone")["StackStatus"] == "DELETE_COMPLETE"


def test_a_role_and_its_policies_are_made_changed_and_deleted(embedded: Embedded) -> None:
    stacks, iam = embedded.stacks, embedded.client("iam")

    def body(action: str, *names: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
        document = {"PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
        roles = {**document, "Roles": [{"Ref": "Role"}]}
        return template(
            Beside={
                "Type": "AWS::IAM::RolePolicy",
                "Properties": {**document, "PolicyName": "a", "RoleName": {"Ref": "Role"}},
            },
            Several={"Type": "AWS::IAM::Policy", "Properties": {**roles, "PolicyName": "b"}},
            Managed={"Type": "AWS::IAM::ManagedPolicy", "Properties": roles},
            Role={
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": "changing",
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                    "Description": action,
                    "Policies": [{**document, "PolicyName": name} for name in names],
                },
            },
        )

    def found() -> tuple[list[str], str, set[str]]:
        names = iam.list_role_policies(RoleName="changing")["PolicyNames"]
        documents = [iam.get_role_policy(RoleName="changing", PolicyName=name)["PolicyDocument"] for name in names]
        [managed] = iam.list_attached_role_policies(RoleName="changing")["AttachedPolicies"]
        version = iam.get_policy(PolicyArn=managed["PolicyArn"])["Policy"]["DefaultVersionId"]
        documents.append(
            iam.get_policy_version(PolicyArn=managed["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
        )
        actions = {document["Statement"][0]["Action"] for document in documents}
        return sorted(names), iam.get_role(RoleName="changing")["Role"]["Description"], actions

    assert stacks.deploy("roles", body("s3:GetObject", "c", "d"))["StackStatus"] == "CREATE_COMPLETE"
    assert found() == (["a", "b", "c", "d"], "s3:GetObject", {"s3:GetObject"})
    assert stacks.deploy("roles", body("s3:PutObject", "d", "e"), kind="UPDATE")["StackStatus"] == "UPDATE_COMPLETE"
    assert found() == (["a", "b", "d", "e"], "s3:PutObject", {"s3:PutObject"})
    stack = stacks.delete("roles")
    assert stacks.events(stack["StackId"])[-2:] == [("Role", "DELETE_COMPLETE"), ("roles", "DELETE_COMPLETE")]
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="changing")
    assert iam.list_policies(Scope="Local")["Policies"] == []


def test_retained_resources_stay_and_a_stack_that_is_deleted_is_gone(embedded: Embedded) -> None:
    stacks = embedded.stacks
    stacks.deploy("delete", template(Kept=log_group("delete-kept", DeletionPolicy="Retain"), Topic=TOPIC))
    assert stacks.delete("delete")["StackStatus"] == "DELETE_COMPLETE"
    assert groups(embedded, "delete-") == ["delete-kept"]
    with pytest.raises(ClientError, match="Stack with id delete does not exist"):
        stacks.described("delete")
    stacks.client.delete_stack(StackName="delete")


def test_a_security_group_s_rules_change_in_place(embedded: Embedded) -> None:
    stacks, ec2 = embedded.stacks, embedded.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]

    def body(**rules: int) -> dict[str, Any]:
        given = {
            f"SecurityGroup{direction}": [
                {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "10.0.0.0/16"}
            ]
            for direction, port in rules.items()
        }
        properties = {"GroupDescription": "d", "VpcId": network, **given}
        return template(
            Group={"Type": "AWS::EC2::SecurityGroup", "Properties": properties}, outputs={"Id": {"Ref": "Group"}}
        )

    def ports() -> list[list[int | None]]:
        [group] = ec2.describe_security_groups(GroupIds=[stacks.outputs("rules")["Id"]])["SecurityGroups"]
        return [[rule.get("FromPort") for rule in group[name]] for name in ("IpPermissions", "IpPermissionsEgress")]

    stacks.deploy("rules", body(Ingress=1, Egress=2))
    before = stacks.outputs("rules"), ports()
    stacks.deploy("rules", body(Ingress=3, Egress=2), kind="UPDATE")
    assert (before, stacks.outputs("rules"), ports()) == ((before[0], [[1], [2]]), before[0], [[3], [2]])
    stacks.deploy("open", body())
    [group] = ec2.describe_security_groups(GroupIds=[stacks.outputs("open")["Id"]])["SecurityGroups"]
    assert [rule["IpProtocol"] for rule in group["IpPermissionsEgress"]] == ["-1"]


def test_a_protected_stack_is_not_deleted(embedded: Embedded) -> None:
    stacks = embedded.stacks
    stacks.deploy("protected", template(Topic=TOPIC))
    stacks.client.update_termination_protection(StackName="protected", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="cannot be deleted while TerminationProtection is enabled"):
        stacks.client.delete_stack(StackName="protected")
    assert stacks.described("protected")["EnableTerminationProtection"]
    stacks.client.update_termination_protection(StackName="protected", EnableTerminationProtection=False)
    assert stacks.delete("protected")["StackStatus"] == "DELETE_COMPLETE"


def test_what_cannot_be_deleted_fails_the_deletion_and_can_be_left_behind(embedded: Embedded) -> None:
    stacks, s3 = embedded.stacks, embedded.client("s3")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "undeletable-bucket"}}
    stacks.deploy("undeletable", template(Bucket=bucket, Topic=TOPIC))
    s3.put_object(Bucket="undeletable-bucket", Key="a", Body=b"a")
    stack = stacks.delete("undeletable")
    assert (stack["StackStatus"], stack["StackStatusReason"]) == ("DELETE_FAILED", "Failed to delete: [Bucket].")
    assert "not empty" in stacks.reasons("undeletable", "DELETE_FAILED")["Bucket"]
    stacks.client.delete_stack(StackName="undeletable", RetainResources=["Bucket"])
    assert stacks.described(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert s3.list_objects_v2(Bucket="undeletable-bucket")["KeyCount"] == 1


def test_exports_are_listed_imported_and_go_with_their_stack(embedded: Embedded) -> None:
    stacks = embedded.stacks
    maker = template(Topic=TOPIC)
    maker["Outputs"] = {
        "A": {"Value": {"Ref": "Topic"}, "Export": {"Name": "shared"}},
        "B": {"Value": {"Ref": "Topic"}},
    }
    stacks.deploy("maker", maker)
    arn = stacks.outputs("maker")["A"]
    assert [output.get("ExportName") for output in stacks.described("maker")["Outputs"]] == ["shared", None]
    assert [(export["Name"], export["Value"]) for export in stacks.client.list_exports()["Exports"]] == [
        ("shared", arn)
    ]
    imports = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::ImportValue": "shared"}}}
    stacks.deploy("user", template(Topic=imports, outputs={"Arn": {"Ref": "Topic"}}))
    made = embedded.client("sns").get_topic_attributes(TopicArn=stacks.outputs("user")["Arn"])
    assert made["Attributes"]["DisplayName"] == arn
    stacks.delete("maker")
    assert stacks.client.list_exports()["Exports"] == []

"""What stock moto's CloudFormation does that the service does not: why there is another one in its place."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from support.stock_server import Stock

TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "x"}}


def create(stock: Stock, name: str, **more: Any) -> Any:
    client = stock.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps(more))
    return client.describe_stacks(StackName=name)["Stacks"][0]


@pytest.mark.parametrize("type_name", ["AWS::FSx::FileSystem", "AWS::FSx::DataRepositoryAssociation"])
def test_a_type_that_it_does_not_know_is_a_stack_without_it_that_counts_as_complete(
    stock: Stock, type_name: str
) -> None:
    name = type_name.replace("::", "-").lower()
    stack = create(stock, name, Resources={"Blank": {"Type": type_name, "Properties": {}}})
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    found = stock.client("cloudformation").list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert [one for one in found if one.get("PhysicalResourceId")] == []


def test_a_resource_that_fails_is_an_error_of_the_call_and_nothing_is_taken_back(stock: Stock) -> None:
    stock.client("logs").create_log_group(logGroupName="taken")
    with pytest.raises(ResponseParserError, match="ResourceAlreadyExistsException"):
        create(
            stock,
            "fails",
            Resources={
                "Topic": TOPIC,
                "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "taken"}, "DependsOn": "Topic"},
            },
        )
    assert [one for one in stock.client("sns").list_topics()["Topics"] if ":fails-" in one["TopicArn"]]


def test_a_change_set_does_not_say_whether_it_replaces(stock: Stock) -> None:
    client = stock.client("cloudformation")
    create(stock, "replace", Resources={"Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "a"}}})
    changed = {"Resources": {"Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "b"}}}}
    made = client.create_change_set(
        StackName="replace", ChangeSetName="c", ChangeSetType="UPDATE", TemplateBody=json.dumps(changed)
    )
    described = client.describe_change_set(ChangeSetName=made["Id"])
    assert [one["ResourceChange"].get("Replacement") for one in described["Changes"]] == [None]


def test_a_stack_goes_whose_export_is_in_use(stock: Stock) -> None:
    create(
        stock,
        "maker",
        Resources={"Topic": TOPIC},
        Outputs={"A": {"Value": {"Ref": "Topic"}, "Export": {"Name": "shared"}}},
    )
    user = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::ImportValue": "shared"}}}
    create(stock, "user", Resources={"Topic": user})
    client = stock.client("cloudformation")
    client.delete_stack(StackName="maker")
    time.sleep(0.1)
    with pytest.raises(ClientError, match="does not exist"):
        client.describe_stacks(StackName="maker")


def test_a_stack_cannot_be_protected(stock: Stock) -> None:
    create(stock, "protected", Resources={"Topic": TOPIC})
    with pytest.raises(ResponseParserError, match="500"):
        stock.client("cloudformation").update_termination_protection(
            StackName="protected", EnableTerminationProtection=True
        )


def test_a_loop_is_not_written_out(stock: Stock) -> None:
    with pytest.raises(ResponseParserError, match="500"):
        create(
            stock,
            "loop",
            Transform="AWS::LanguageExtensions",
            Resources={"Fn::ForEach::Topics": ["Name", ["a"], {"Topic&{Name}": TOPIC}]},
        )


def test_rules_and_patterns_of_parameters_are_not_looked_at(stock: Stock) -> None:
    client = stock.client("cloudformation")
    body = {
        "Parameters": {"P": {"Type": "String", "AllowedPattern": "[a-z]+"}},
        "Rules": {"R": {"Assertions": [{"Assert": {"Fn::Equals": [{"Ref": "P"}, "x"]}}]}},
        "Resources": {"Topic": TOPIC},
    }
    client.create_stack(
        StackName="rules",
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": "P", "ParameterValue": "0"}],
    )
    assert client.describe_stacks(StackName="rules")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"

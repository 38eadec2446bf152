"""What the embedded AWS adds to moto: the upstream fault of each extension, and a probe that finds it in stock moto.

A probe that fails says that moto mended its fault: then the extension can go, or has to be looked at again.
"""

import json
import re
import time
import urllib.request
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from support.embedded_jobs import ROLE
from support.stock_server import Stock

import toolchain.localaws.server
from toolchain.localaws.moto_patch import REPLACED

SOURCE = Path(toolchain.localaws.server.__file__).parent
Probe = Callable[[Stock], bool]
PASS = {"Type": "Pass"}
WAIT = {"Type": "Wait", "Seconds": 30}


class Extension(NamedTuple):
    """What of toolchain.localaws an upstream fault is the reason for, and what of moto it replaces."""

    name: str
    fault: str
    probe: Probe
    replaces: tuple[str, ...]


EXTENSIONS: list[Extension] = []


def extension(name: str, *replaces: str, fault: str = "") -> Callable[[Probe], Probe]:
    """Adds a row to the table; the probe's docstring is the fault, unless one is given."""

    def add(probe: Probe) -> Probe:
        EXTENSIONS.append(Extension(name, fault or str(probe.__doc__), probe, replaces))
        return probe

    return add


def refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except (ClientError, ResponseParserError):
        return True
    return False


def task(resource: str, **parameters: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters}


def mapped(mode: str, state: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = {"Mode": mode} | ({"ExecutionType": "STANDARD"} if mode == "DISTRIBUTED" else {})
    processor = {"ProcessorConfig": config, "StartAt": "I", "States": {"I": {"End": True, **state}}}
    return {"Type": "Map", "ItemsPath": "$.xs", "ItemProcessor": processor, **more}


# ---- the door -------------------------------------------------------------------------------------------------------


@extension("gate.Gate")
def answers_whoever_asks(stock: Stock) -> bool:
    """Whoever asks is answered."""
    foreign = {"Origin": "http://attacker.example", "Host": "attacker.example"}
    request = urllib.request.Request(f"{stock.endpoint}/moto-api/data.json", headers=foreign)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bool(answer.status == 200)


# ---- Step Functions -------------------------------------------------------------------------------------------------


@extension("stepfunctions.expressions.evaluate", "StringJSONata._eval_body", "StringVariableSample._eval_body")
@extension(
    "stepfunctions.states._tolerated_count",
    "Preprocessor.visitTolerated_failure_count_string_jsonata",
    fault="ToleratedFailureCount takes no expression; seen once there is JSONata.",
)
def evaluates_no_jsonata(stock: Stock) -> bool:
    """JSONata has a grammar and no evaluator."""
    return bool(stock.run({"Type": "Pass", "Output": "{% 1 %}"}, QueryLanguage="JSONata")["status"] == "FAILED")


@extension("stepfunctions.arguments.to_service", "StateTaskService._normalise_parameters")
@extension(
    "stepfunctions.integrations._wait",
    "StateTaskServiceBatch._eval_integration_pattern",
    "StateTaskServiceSfn._eval_integration_pattern",
    fault="Tasks poll twice a second, and leave what they started running; seen once arguments have the right names.",
)
def sends_arguments_as_states_name_them(stock: Stock) -> bool:
    """Arguments are sent in the names that states have, of any type."""
    arn = stock.start(PASS).replace(":execution:", ":stateMachine:").rpartition(":")[0]
    described = stock.run(task("aws-sdk:sfn:describeStateMachine", StateMachineArn=arn))
    return bool(described["status"] == "FAILED")


@extension("stepfunctions.arguments.from_service", "StateTaskService._normalise_response")
def gives_answers_as_boto3_names_them(stock: Stock) -> bool:
    """Answers have boto3's names, and times that are no text."""
    return "logGroups" in json.loads(stock.run(task("aws-sdk:logs:describeLogGroups"))["output"])


@extension(
    "stepfunctions.integrations.client",
    "service.state_task_service_aws_sdk.boto_client_for",
    "service.state_task_service_batch.boto_client_for",
    "service.state_task_service_sfn.boto_client_for",
)
def calls_as_nobody(stock: Stock) -> bool:
    """Tasks call a fixed port of localhost with a made-up key."""
    return ROLE.rpartition("/")[2] not in stock.run(task("aws-sdk:sts:getCallerIdentity"))["output"]


@extension(
    "stepfunctions.integrations._sdk_error",
    "StateTaskServiceAwsSdk._from_error",
    "StateTaskServiceBatch._from_error",
    "StateTaskServiceSfn._from_error",
)
def names_a_missing_object_as_any_error(stock: Stock) -> bool:
    """An object that is missing has the name of all errors of S3, and throttled calls names of their own."""
    bucket = stock.name()
    stock.client("s3").create_bucket(Bucket=bucket)
    return bool(stock.run(task("aws-sdk:s3:headObject", Bucket=bucket, Key="k"))["error"] != "S3.NoSuchKeyException")


@extension("stepfunctions.states._matches_error", "ErrorEqualsDecl._eval_body")
def catches_what_always_ends_an_execution(stock: Stock) -> bool:
    """States.ALL catches what always ends an execution."""
    unknown = {**task("aws-sdk:nowhere:none"), "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}], "End": True}
    return bool(stock.run(PASS, States={"S": unknown, "C": {"Type": "Succeed"}})["status"] == "SUCCEEDED")


@extension(
    "stepfunctions.states.any_error_name",
    "fail.state_fail.CustomErrorName",
    "iteration.iteration_worker.CustomErrorName",
    "state_parallel.branches_decl.CustomErrorName",
)
def hands_on_no_reserved_error(stock: Stock) -> bool:
    """An error of Step Functions' own cannot leave a branch, an item or a Fail state."""
    fail = {"Type": "Fail", "Error": "States.TaskFailed", "Cause": "c"}
    return bool(stock.run(PASS, States={"S": fail})["error"] != "States.TaskFailed")


@extension("stepfunctions.states._evaluate_with_timeout", "ExecutionState._evaluate_with_timeout")
def fails_what_is_stopped(stock: Stock) -> bool:
    """An execution that is stopped within a map fails."""
    arn = stock.start(mapped("INLINE", WAIT), {"xs": [1]})
    history = stock.client("stepfunctions").get_execution_history
    while "WaitStateEntered" not in [event["type"] for event in history(executionArn=arn)["events"]]:
        pass
    stock.client("stepfunctions").stop_execution(executionArn=arn)
    return bool(stock.ended(arn)["status"] != "ABORTED")


@extension("stepfunctions.states._parse", "AmazonStateLanguageParser.parse")
def refuses_whole_percentages(stock: Stock) -> bool:
    """Percentages need a decimal point, and each start parses the definition again, for a second."""
    state = mapped("DISTRIBUTED", PASS, ToleratedFailurePercentage=5)
    return refuses(lambda: stock.start(state, {"xs": []}))


@extension(
    "stepfunctions.map_runs._run_items", "DistributedItemProcessorWorker._eval_pool", "IterationWorker._eval_pool"
)
def nests_the_items_of_a_map(stock: Stock) -> bool:
    """A map calls itself for each next item, up to Python's limit."""
    arn = stock.start(mapped("INLINE", PASS, MaxConcurrency=1), {"xs": [0] * 1000})
    try:
        return bool(stock.ended(arn, seconds=2)["status"] != "SUCCEEDED")
    except AssertionError:  # it never ends
        return True


@extension("stepfunctions.map_runs._run_child", "DistributedItemProcessorWorker._eval_job", "JobPool.get_closed_jobs")
def takes_failed_items_for_empty_results(stock: Stock) -> bool:
    """Items of a distributed map are no executions, and those that fail are empty results."""
    item = {"StartAt": "F", "States": {"F": {"Type": "Fail"}}}
    state = mapped("DISTRIBUTED", {})
    state["ItemProcessor"] |= item
    return bool(json.loads(stock.run(state, {"xs": [1, 2]})["output"]) == [None, None])


@extension("stepfunctions.executions._announce", "BaseExecutionWorkerCommunication.terminated", "Execution.start")
def announces_no_execution(stock: Stock) -> bool:
    """EventBridge hears of no execution."""
    events, sqs, name = stock.client("events"), stock.client("sqs"), stock.name()
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern='{"source": ["aws.states"]}')
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    stock.run(PASS)
    return "Messages" not in sqs.receive_message(QueueUrl=queue)


@extension("stepfunctions.executions._send_to_targets", "Rule.send_to_targets")
def sends_no_event_to_a_topic(stock: Stock) -> bool:
    """A rule with a topic as its target is an error."""
    events, name = stock.client("events"), stock.name()
    topic = stock.client("sns").create_topic(Name=name)["TopicArn"]
    events.put_rule(Name=name, EventPattern='{"source": ["probe"]}')
    events.put_targets(Rule=name, Targets=[{"Id": "topic", "Arn": topic}])
    entry = {"Source": "probe", "DetailType": "d", "Detail": "{}"}
    return refuses(lambda: events.put_events(Entries=[entry]))


@extension("stepfunctions.api.LocalStepFunctionsResponse", "stepfunctions.urls.url_paths")
def has_no_history_in_reverse(stock: Stock) -> bool:
    """No pages and no reverse of a history, no executions of a map run, no cause of a stop."""
    arn = stock.run(PASS)["executionArn"]
    events = stock.client("stepfunctions").get_execution_history(executionArn=arn, reverseOrder=True)["events"]
    return bool(events[0]["type"] == "ExecutionStarted")


@extension("stepfunctions.backend.LocalStepFunctionsBackend", "stepfunctions_backends.backend")
def takes_any_name_for_an_execution(stock: Stock) -> bool:
    """Executions have any name, and wrong definitions an error without a code."""
    arn = stock.start(PASS).replace(":execution:", ":stateMachine:").rpartition(":")[0]
    return not refuses(lambda: stock.client("stepfunctions").start_execution(stateMachineArn=arn, name="a blank"))


# ---- Logs -----------------------------------------------------------------------------------------------------------


@extension("logs.FileStream", "logs.models.LogStream")
def gives_pages_of_any_size(stock: Stock) -> bool:
    """Every event is kept in memory for ever, and pages have any size."""
    logs = stock.client("logs")
    where = {"logGroupName": stock.name(), "logStreamName": "s"}
    logs.create_log_group(logGroupName=where["logGroupName"])
    logs.create_log_stream(**where)
    now = int(time.time() * 1000)
    for _ in range(8):
        logs.put_log_events(**where, logEvents=[{"timestamp": now, "message": "x" * 200_000}])
    return len(logs.get_log_events(**where, startFromHead=True)["events"]) == 8


# ---- Batch ----------------------------------------------------------------------------------------------------------


def resources(stock: Stock, **more: Any) -> dict[str, Any]:
    iam, ec2, name = stock.client("iam"), stock.client("ec2"), stock.name()
    subnet = ec2.describe_subnets()["Subnets"][0]
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])["SecurityGroups"]
    return {
        "type": "SPOT",
        "minvCpus": 0,
        "maxvCpus": 4,
        "instanceTypes": ["optimal"],
        "instanceRole": iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"],
        "subnets": [subnet["SubnetId"]],
        "securityGroupIds": [groups[0]["GroupId"]],
        **more,
    }


def environment(stock: Stock, **computed: Any) -> str:
    """A compute environment with a service role."""
    name = stock.name()
    role = stock.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    stock.client("batch").create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        state="ENABLED",
        serviceRole=role,
        computeResources=resources(stock, **computed),
    )
    return name


@extension("environments._create", "BatchBackend.create_compute_environment")
def wants_a_service_role_and_named_instance_types(stock: Stock) -> bool:
    """Compute environments need a service role and named instance types."""
    make = stock.client("batch").create_compute_environment
    given = {"computeEnvironmentName": stock.name(), "type": "MANAGED", "computeResources": resources(stock)}
    without_role = refuses(lambda: make(**given))
    return without_role and refuses(lambda: environment(stock, instanceTypes=["default_x86_64"]))


@extension("environments._update", "BatchBackend.update_compute_environment")
def ignores_an_update_of_the_resources(stock: Stock) -> bool:
    """An update of compute resources is ignored."""
    batch, name = stock.client("batch"), environment(stock)
    batch.update_compute_environment(computeEnvironment=name, computeResources={"maxvCpus": 8})
    [described] = batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    return bool(described["computeResources"]["maxvCpus"] == 4)


def job_queue(stock: Stock) -> str:
    name, limit = stock.name(), {"reason": "MISCONFIGURATION:X", "state": "RUNNABLE", "maxTimeSeconds": 600}
    stock.client("batch").create_job_queue(
        jobQueueName=name,
        priority=1,
        state="ENABLED",
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment(stock)}],
        jobStateTimeLimitActions=[{**limit, "action": "CANCEL"}],
    )
    return name


@extension("batch.scheduler.Queue", "batch.models.JobQueue")
def drops_time_limits_of_queues(stock: Stock) -> bool:
    """Time limits of a queue are dropped."""
    [queue] = stock.client("batch").describe_job_queues(jobQueues=[job_queue(stock)])["jobQueues"]
    return not queue.get("jobStateTimeLimitActions")


def definition(stock: Stock) -> str:
    name, needs = stock.name(), [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    stock.client("batch").register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={"image": "x", "privileged": True, "user": "0", "resourceRequirements": needs},
    )
    return name


@extension("batch.backend.LocalBatchBackend", "batch_backends.backend")
def takes_definitions_that_ask_for_the_machine(stock: Stock) -> bool:
    """Definitions that ask for the machine are taken, and jobs have no limits, retries or order."""
    return not refuses(lambda: definition(stock))


@extension("batch.api.LocalBatchResponse", "batch.urls.url_paths")
def refuses_a_job_of_one_letter(stock: Stock) -> bool:
    """A job's name needs two letters, and what a submission says of retries is dropped."""
    given = {"jobQueue": job_queue(stock), "jobDefinition": definition(stock)}
    return refuses(lambda: stock.client("batch").submit_job(jobName="j", **given))


# ---- ECR, FSx, S3, CloudFormation -----------------------------------------------------------------------------------


@extension(
    "ecr.LIFECYCLE_RULES",
    "ecr.policy_validation.VALID_ACTION_PROPERTIES",
    "ecr.policy_validation.VALID_ACTION_TYPE_VALUES",
    "ecr.policy_validation.VALID_SELECTION_PROPERTIES",
    "ecr.policy_validation.VALID_SELECTION_COUNT_TYPE_VALUES",
)
def refuses_lifecycle_rules_that_archive(stock: Stock) -> bool:
    """Rules that archive images are refused."""
    ecr, name = stock.client("ecr"), stock.name()
    ecr.create_repository(repositoryName=name)
    selection = {"tagStatus": "tagged", "tagPatternList": ["*"], "countType": "sinceImagePulled", "countUnit": "days"}
    action = {"type": "transition", "targetStorageClass": "archive"}
    rule = {"rulePriority": 1, "selection": {**selection, "countNumber": 90}, "action": action}
    policy = json.dumps({"rules": [rule]})
    return refuses(lambda: ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy))


@extension("ecr.repositories.use_registry")
def has_no_registry(stock: Stock) -> bool:
    """Nothing can be pushed or pulled."""
    made = stock.client("ecr").create_repository(repositoryName=stock.name())["repository"]
    return "amazonaws.com" in made["repositoryUri"]


@extension("fsx.api.LocalFsxResponse", "fsx.urls.url_paths")
def has_file_systems_without_a_life_cycle(stock: Stock) -> bool:
    """File systems have no life cycle and no mount name, and there are no links to S3."""
    subnets = ["subnet-0123456789abcdef0"]
    made = stock.client("fsx").create_file_system(FileSystemType="LUSTRE", StorageCapacity=1, SubnetIds=subnets)
    association = {"FileSystemId": made["FileSystem"]["FileSystemId"], "FileSystemPath": "/a"}
    create = stock.client("fsx").create_data_repository_association
    return "Lifecycle" not in made["FileSystem"] and refuses(
        lambda: create(**association, DataRepositoryPath="s3://b/c")
    )


@extension("s3.S3Application")
def takes_a_wrong_digest_for_a_right_one(stock: Stock) -> bool:
    """Objects are no files, and their checksums are not compared."""
    bucket, wrong = stock.name(), {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    stock.client("s3").create_bucket(Bucket=bucket)
    request = urllib.request.Request(f"{stock.endpoint}/{bucket}/key", b"x", headers=wrong, method="PUT")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bool(answer.status == 200)


def stack(stock: Stock, *, outputs: Any = None, **resources: Any) -> str:
    name, body = stock.name(), json.dumps({"Resources": resources, "Outputs": outputs or {}})
    stock.client("cloudformation").create_stack(StackName=name, TemplateBody=body)
    return name


@extension("cloudformation.resources.resource_type")
def makes_stacks_without_file_systems(stock: Stock) -> bool:
    """Types that stack/ has are not known, and count as made."""
    name = stack(stock, Blank={"Type": "AWS::FSx::FileSystem", "Properties": {}})
    made = stock.client("cloudformation").list_stack_resources(StackName=name)["StackResourceSummaries"]
    return not [resource for resource in made if resource.get("PhysicalResourceId")]


@extension("cloudformation.resources.ResourceType")
def leaves_behind_what_stacks_made(stock: Stock) -> bool:
    """Resources of many types are not deleted with their stack."""
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}
    name = stack(stock, Policy={"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}})
    stock.client("cloudformation").delete_stack(StackName=name)
    left = stock.client("iam").list_policies(Scope="Local")["Policies"]
    return any(policy["PolicyName"].startswith(name) for policy in left)


@extension("cloudformation.stack.ChangeSet")
def has_change_sets_without_the_parameters_changes(stock: Stock) -> bool:
    """Change sets do not see what parameters change."""
    client, name = stock.client("cloudformation"), stock.name()
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Sub": "of ${P}"}}}
    body = json.dumps({"Parameters": {"P": {"Type": "String"}}, "Resources": {"Topic": topic}})
    given = [[{"ParameterKey": "P", "ParameterValue": value}] for value in "ab"]
    client.create_stack(StackName=name, TemplateBody=body, Parameters=given[0])
    change = {"ChangeSetName": "c", "ChangeSetType": "UPDATE", "TemplateBody": body, "Parameters": given[1]}
    made = client.create_change_set(StackName=name, **change)
    return not client.describe_change_set(ChangeSetName=made["Id"]).get("Changes")


@extension("cloudformation.stack.Stack")
def answers_nothing_for_a_resource_that_fails(stock: Stock) -> bool:
    """A resource that fails is an error of the server, and others stay."""
    taken = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": stock.name()}}
    return refuses(lambda: stack(stock, First=taken, Second=taken))


@extension("cloudformation.stack.parse")
def writes_out_no_loops(stock: Stock) -> bool:
    """Loops are not written out, and templates read as code."""
    loop = {"Fn::ForEach::Topics": ["Name", ["a"], {"Topic&{Name}": {"Type": "AWS::SNS::Topic"}}]}
    return refuses(lambda: stack(stock, **loop))


@extension("cloudformation.api.Api")
def protects_no_stack(stock: Stock) -> bool:
    """A stack cannot be protected."""
    name, client = stack(stock, Topic={"Type": "AWS::SNS::Topic"}), stock.client("cloudformation")
    return refuses(lambda: client.update_termination_protection(StackName=name, EnableTerminationProtection=True))


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.name)
def test_its_fault_is_still_in_stock_moto(stock: Stock, extension: Extension) -> None:
    message = f"moto mended this: {extension.fault} So toolchain.localaws.{extension.name} can go"
    assert extension.probe(stock), message


@pytest.mark.parametrize("name", [extension.name for extension in EXTENSIONS])
def test_it_exists(name: str) -> None:
    module, _, attribute = f"toolchain.localaws.{name}".rpartition(".")
    assert hasattr(import_module(module), attribute)


def test_every_replacement_in_moto_is_named_once() -> None:
    named = [target for extension in EXTENSIONS for target in extension.replaces]
    assert sorted(named) == sorted(REPLACED)


def test_moto_is_replaced_by_replace_alone_but_where_a_block_undoes_it() -> None:
    undone = {"ecr/repositories.py"}
    assigning = re.compile(r"\bsetattr\(|patch\.object\(|\burl_paths\[|_backends\.backend =|sys\.modules\[")
    found = {
        str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.py") if assigning.search(file.read_text("utf-8"))
    }
    assert found - {"moto_patch.py"} == undone

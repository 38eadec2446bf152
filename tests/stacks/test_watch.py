"""stack/watch.yaml: what the topic is told, and when hosts are stopped."""

import json
import re
from typing import Any

import pytest
from moto.events.models import EventPattern
from support.resolved_stacks import ACCOUNT, REGION, deployed, template
from support.user_data import parts, programs

WATCH = deployed("watch")
QUEUE = f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/JobQueue"
EXPORT = f"arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/genomics-fsx-export:3"


def run(status: str, **more: str) -> dict[str, Any]:
    machine = deployed("workflow").outputs["StateMachineArn"]
    detail = {"stateMachineArn": machine, "name": "night-1", "status": status, "error": None, **more}
    return {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}


def job(kind: str, **detail: str) -> dict[str, Any]:
    detail = {"jobQueue": QUEUE, "jobName": "night-1--export", "statusReason": "because", **detail}
    return {"source": "aws.batch", "detail-type": kind, "detail": detail}


def alarm(name: str, state: str = "ALARM") -> dict[str, Any]:
    detail = {"alarmName": name, "state": {"value": state}, "configuration": {"description": "What to do."}}
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "resources": [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"],
        "detail": detail,
    }


def told(event: dict[str, Any]) -> list[str]:
    """What the topic is told of an event."""
    event = {"region": REGION, "resources": [], **event}
    texts = []
    for rule in WATCH.of("AWS::Events::Rule").values():
        if "EventPattern" not in rule:
            continue  # on a schedule
        if not EventPattern.load(json.dumps(rule["EventPattern"])).matches_event(event):  # type: ignore[arg-type]  # an event's keys that no pattern asks for are left out
            continue
        for target in rule["Targets"]:
            if target["Arn"] == WATCH.outputs["NotificationTopicArn"]:
                text = json.loads(target["InputTransformer"]["InputTemplate"])
                for name, path in target["InputTransformer"]["InputPathsMap"].items():
                    value: Any = event
                    for key in path.removeprefix("$.").split("."):
                        value = value[key]
                    text = text.replace(f"<{name}>", value)
                texts.append(text)
    return texts


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (run("SUCCEEDED"), ["Run night-1 of genomics in us-east-1: SUCCEEDED", "python build.py status night-1"]),
        (run("ABORTED"), ["ABORTED"]),
        (run("TIMED_OUT"), ["TIMED_OUT"]),
        (run("FAILED", error="BadData"), ["Run night-1", "failed: BadData", "python build.py status night-1"]),
        (
            job("Batch Job State Change", status="FAILED", jobDefinition=EXPORT),
            ["An export of genomics", "night-1--export, because", "only on the file system", "/aws/fsx/genomics"],
        ),
        (
            job("Batch Job Queue Blocked", status="RUNNABLE", statusReason="MISCONFIGURATION:X"),
            ["blocked by job night-1--export: MISCONFIGURATION:X", "`doctor`"],
        ),
        (alarm("genomics-storage-WorkingFullAlarm-1ABC"), ["genomics in us-east-1: What to do."]),
    ],
)
def test_the_topic_is_told_once_in_words_with_what_to_do(event: dict[str, Any], words: list[str]) -> None:
    [text] = told(event)
    assert [word for word in words if word not in text] == []
    assert "<" not in text


@pytest.mark.parametrize(
    "event",
    [
        run("RUNNING"),
        run("FAILED", stateMachineArn=deployed("workflow").outputs["JobMachineArn"]),
        job("Batch Job State Change", status="SUCCEEDED", jobDefinition=EXPORT),
        job("Batch Job State Change", status="FAILED", jobDefinition=EXPORT.replace("fsx-export", "bwa")),
        job("Batch Job Queue Blocked", jobQueue=f"{QUEUE}-of-another-project"),
        alarm("genomics-storage-WorkingFullAlarm-1ABC", state="OK"),
        alarm("genomics-b-storage-WorkingFullAlarm-1ABC"),
    ],
)
def test_of_anything_else_it_is_told_nothing(event: dict[str, Any]) -> None:
    assert told(event) == []


def test_every_alarm_of_the_storage_stack_says_what_to_do() -> None:
    alarms = [
        alarm
        for systems in ("three", "one")
        for alarm in deployed("storage", FileSystems=systems).of("AWS::CloudWatch::Alarm").values()
    ]
    assert len(alarms) == 4
    assert all("deploy storage" in alarm["AlarmDescription"] and "AlarmName" not in alarm for alarm in alarms)


def test_the_topic_s_key_asks_no_account_of_eventbridge_which_names_none_and_the_topic_does() -> None:
    # SNS's guide, key management: EventBridge's calls have neither aws:SourceAccount nor aws:SourceArn.
    key, topic = (
        {
            service: statement.get("Condition")
            for statement in WATCH.resources[name]["Properties"][policy]["Statement"]
            if (service := statement["Principal"].get("Service"))
        }
        for name, policy in (("NotificationKey", "KeyPolicy"), ("NotificationTopicPolicy", "PolicyDocument"))
    )
    account = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert key == {"events.amazonaws.com": None, "budgets.amazonaws.com": account}
    assert topic == {"events.amazonaws.com": account, "budgets.amazonaws.com": account}


def test_a_budget_counts_what_has_the_project_s_tag_and_tells_the_topic_before_it_is_spent() -> None:
    assert "Budget" not in deployed("watch").resources
    budget = deployed("watch", BudgetAmount="250").resources["Budget"]["Properties"]
    assert budget["Budget"] == {
        "BudgetName": "genomics",
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": "250", "Unit": "USD"},
        "CostFilters": {"TagKeyValue": ["user:project$genomics"]},
    }
    alerts = budget["NotificationsWithSubscribers"]
    told = [(alert["Notification"]["NotificationType"], alert["Notification"]["Threshold"]) for alert in alerts]
    assert told == [("ACTUAL", 80), ("FORECASTED", 100)]
    assert all(alert["Subscribers"][0]["SubscriptionType"] == "SNS" for alert in alerts)


def test_hosts_and_their_volumes_have_the_tag_that_the_budget_counts() -> None:
    stack = deployed("compute").resources
    [volume] = stack["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["TagSpecifications"]
    assert (volume["ResourceType"], volume["Tags"]) == ("volume", [{"Key": "project", "Value": "genomics"}])
    for name in ("SpotComputeEnvironment", "OnDemandComputeEnvironment"):
        assert stack[name]["Properties"]["ComputeResources"]["Tags"]["project"] == "genomics"


# ---- environments that are INVALID, and hosts that end themselves ----


def test_the_environments_are_looked_at_every_hour() -> None:
    rule = WATCH.resources["EnvironmentsLook"]["Properties"]
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    [target] = rule["Targets"]
    assert target["Arn"] == WATCH.outputs["EnvironmentCheckArn"]


def test_what_a_host_says_when_it_ends_itself_is_counted_and_the_count_breaks_the_circuit() -> None:
    [metric] = WATCH.of("AWS::Logs::MetricFilter").values()
    [phrase] = re.findall(r'^"(.*)"$', metric["FilterPattern"])
    host_ends = programs()["/usr/local/sbin/host-ends"]
    assert f"message={phrase.removesuffix('cannot')}$1" in host_ends
    causes = [
        cause for text in (*programs().values(), parts()[0][1]) for cause in re.findall(r'host-ends "(.*?)"', text)
    ]
    assert causes
    assert all(cause.startswith("cannot ") for cause in causes)
    alarm = WATCH.resources["HostsEnd"]["Properties"]
    [transformation] = metric["MetricTransformations"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        transformation["MetricNamespace"],
        transformation["MetricName"],
    )
    assert (alarm["Statistic"], alarm["Period"], alarm["Threshold"]) == ("Sum", 3600, "5")
    rule = WATCH.resources["HostsEndRule"]["Properties"]
    assert rule["EventPattern"]["resources"] == [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:HostsEnd"]
    assert rule["EventPattern"]["detail"] == {"state": {"value": ["ALARM"]}}
    [target] = rule["Targets"]
    assert (target["Arn"], target["RoleArn"]) == (
        WATCH.outputs["BreakerArn"],
        f"arn:aws:iam::{ACCOUNT}:role/WatcherStarter",
    )


def test_the_dashboard_is_json_and_names_what_is_deployed() -> None:
    widgets = json.loads(WATCH.resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    assert len(widgets) == 7
    assert "SOURCE 'JobLogGroup'" in widgets[-2]["properties"]["query"]
    assert template("watch").parameters["HostEndsPerHour"].default == "5"

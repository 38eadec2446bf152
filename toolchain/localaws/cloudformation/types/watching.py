"""AWS::Logs, AWS::CloudWatch, AWS::SNS, AWS::Events and AWS::KMS: who is told what, and how it is kept."""

from collections.abc import Mapping
from typing import Any

from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work, document


def _own(work: Work) -> list[dict[str, str]]:
    return [one for one in work.tag_list() if not one["Key"].startswith("aws:")]


class LogGroup(Kind):
    """A log group."""

    type_name = "AWS::Logs::LogGroup"
    name_property = "LogGroupName"

    def create(self, work: Work) -> str:
        name = work.get("LogGroupName") or work.unique()
        arguments: dict[str, Json] = {"logGroupName": name}
        if "KmsKeyId" in work.properties:
            arguments["kmsKeyId"] = work.get("KmsKeyId")
        if _own(work):
            arguments["tags"] = {one["Key"]: one["Value"] for one in _own(work)}
        self._logs(work).create_log_group(**arguments)
        return str(name)

    def settle(self, work: Work, physical_id: str) -> None:
        self._retain(work, physical_id)

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Arn": work.region.arn("logs", f"log-group:{physical_id}:*")}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        self._retain(work, physical_id)

    def delete(self, work: Work, physical_id: str) -> None:
        self._logs(work).delete_log_group(logGroupName=physical_id)

    def _retain(self, work: Work, name: str) -> None:
        if "RetentionInDays" in work.properties:
            self._logs(work).put_retention_policy(logGroupName=name, retentionInDays=work.get("RetentionInDays"))
        else:
            self._logs(work).delete_retention_policy(logGroupName=name)

    @staticmethod
    def _logs(work: Work) -> Any:  # noqa: ANN401  # a client
        return work.client("logs")


class Alarm(Kind):
    """An alarm."""

    type_name = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"

    def create(self, work: Work) -> str:
        name = str(work.get("AlarmName") or work.unique())
        self.update(work, name, {})
        return name

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Arn": work.region.arn("cloudwatch", f"alarm:{physical_id}")}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        work.client("cloudwatch").put_metric_alarm(**{**work.properties, "AlarmName": physical_id})

    def delete(self, work: Work, physical_id: str) -> None:
        work.client("cloudwatch").delete_alarms(AlarmNames=[physical_id])


class Dashboard(Kind):
    """A dashboard."""

    type_name = "AWS::CloudWatch::Dashboard"
    name_property = "DashboardName"

    def create(self, work: Work) -> str:
        name = str(work.get("DashboardName") or work.unique())
        self.update(work, name, {})
        return name

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        work.client("cloudwatch").put_dashboard(
            DashboardName=physical_id, DashboardBody=document(work.get("DashboardBody"))
        )

    def delete(self, work: Work, physical_id: str) -> None:
        work.client("cloudwatch").delete_dashboards(DashboardNames=[physical_id])


class Topic(Kind):
    """A topic, with the subscriptions that stand in it."""

    type_name = "AWS::SNS::Topic"
    name_property = "TopicName"
    _SETTINGS = ("DisplayName", "KmsMasterKeyId")

    def create(self, work: Work) -> str:
        made = work.client("sns").create_topic(
            Name=work.get("TopicName") or work.unique(),
            Attributes={name: str(work.get(name)) for name in self._SETTINGS if name in work.properties},
            Tags=_own(work),
        )
        return str(made["TopicArn"])

    def settle(self, work: Work, physical_id: str) -> None:
        for one in work.get("Subscription") or ():
            work.client("sns").subscribe(TopicArn=physical_id, Protocol=one["Protocol"], Endpoint=one["Endpoint"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"TopicArn": physical_id, "TopicName": physical_id.rpartition(":")[2]}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for name in self._SETTINGS:
            if work.get(name) != before.get(name):
                work.client("sns").set_topic_attributes(
                    TopicArn=physical_id, AttributeName=name, AttributeValue=work.get(name) or ""
                )

    def delete(self, work: Work, physical_id: str) -> None:
        work.client("sns").delete_topic(TopicArn=physical_id)


class TopicPolicy(Kind):
    """Who may tell a topic something."""

    type_name = "AWS::SNS::TopicPolicy"

    def create(self, work: Work) -> str:
        self.update(work, "", {})
        return work.unique()

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Id": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for topic in work.get("Topics"):
            work.client("sns").set_topic_attributes(
                TopicArn=topic, AttributeName="Policy", AttributeValue=document(work.get("PolicyDocument"))
            )

    def delete(self, work: Work, physical_id: str) -> None:
        """Leaves the topic's policy: it goes with the topic."""


class Subscription(Kind):
    """Who is told what a topic is told."""

    type_name = "AWS::SNS::Subscription"

    def create(self, work: Work) -> str:
        made = work.client("sns").subscribe(**work.only("TopicArn", "Protocol", "Endpoint"), ReturnSubscriptionArn=True)
        return str(made["SubscriptionArn"])

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Arn": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for name in ("FilterPolicy", "RawMessageDelivery"):
            if name in work.properties:
                work.client("sns").set_subscription_attributes(
                    SubscriptionArn=physical_id, AttributeName=name, AttributeValue=document(work.get(name))
                )

    def delete(self, work: Work, physical_id: str) -> None:
        work.client("sns").unsubscribe(SubscriptionArn=physical_id)


class EventRule(Kind):
    """What is done when something happens."""

    type_name = "AWS::Events::Rule"
    name_property = "Name"

    def create(self, work: Work) -> str:
        name = str(work.get("Name") or work.unique(limit=64))
        self.update(work, name, {})
        return name

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Arn": work.region.arn("events", f"rule/{physical_id}"), "RuleName": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        events = work.client("events")
        arguments = work.only("Description", "ScheduleExpression", "State", "RoleArn")
        if "EventPattern" in work.properties:
            arguments["EventPattern"] = document(work.get("EventPattern"))
        events.put_rule(Name=physical_id, **arguments)
        kept = {one["Id"] for one in work.get("Targets") or ()}
        if gone := [one["Id"] for one in before.get("Targets") or () if one["Id"] not in kept]:
            events.remove_targets(Rule=physical_id, Ids=gone)
        if kept:
            events.put_targets(Rule=physical_id, Targets=work.get("Targets"))

    def delete(self, work: Work, physical_id: str) -> None:
        events = work.client("events")
        if ids := [one["Id"] for one in work.get("Targets") or ()]:
            events.remove_targets(Rule=physical_id, Ids=ids)
        events.delete_rule(Name=physical_id)


class Key(Kind):
    """A key."""

    type_name = "AWS::KMS::Key"

    def create(self, work: Work) -> str:
        made = work.client("kms").create_key(
            Policy=document(work.get("KeyPolicy")),
            Tags=[{"TagKey": one["Key"], "TagValue": one["Value"]} for one in _own(work)],
            **work.only("Description", "KeySpec", "KeyUsage"),
        )
        return str(made["KeyMetadata"]["KeyId"])

    def settle(self, work: Work, physical_id: str) -> None:
        self._rotate(work, physical_id)

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"Arn": work.region.arn("kms", f"key/{physical_id}"), "KeyId": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        kms = work.client("kms")
        kms.put_key_policy(KeyId=physical_id, PolicyName="default", Policy=document(work.get("KeyPolicy")))
        kms.update_key_description(KeyId=physical_id, Description=work.get("Description") or "")
        self._rotate(work, physical_id)

    def delete(self, work: Work, physical_id: str) -> None:
        work.client("kms").schedule_key_deletion(
            KeyId=physical_id, PendingWindowInDays=work.get("PendingWindowInDays") or 30
        )

    @staticmethod
    def _rotate(work: Work, physical_id: str) -> None:
        if work.get("EnableKeyRotation"):
            work.client("kms").enable_key_rotation(KeyId=physical_id)


KINDS = (LogGroup, Alarm, Dashboard, Topic, TopicPolicy, Subscription, EventRule, Key)

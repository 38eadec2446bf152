"""AWS::IAM: roles, policies and instance profiles."""

from collections.abc import Mapping
from typing import Any

from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work, document

# What IAM allows of a name.
_ROLE_NAME = 64


def _iam(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("iam")


def _own(work: Work) -> list[dict[str, str]]:
    return [one for one in work.tag_list() if not one["Key"].startswith("aws:")]


class Role(Kind):
    """A role."""

    type_name = "AWS::IAM::Role"
    name_property = "RoleName"

    def create(self, work: Work) -> str:
        name = work.get("RoleName") or work.unique(limit=_ROLE_NAME)
        _iam(work).create_role(
            RoleName=name,
            AssumeRolePolicyDocument=document(work.get("AssumeRolePolicyDocument")),
            Tags=_own(work),
            **work.only("Path", "Description", "MaxSessionDuration", "PermissionsBoundary"),
        )
        return str(name)

    def settle(self, work: Work, physical_id: str) -> None:
        self._policies(work, physical_id, {})

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        role = _iam(work).get_role(RoleName=physical_id)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _iam(work).update_assume_role_policy(
            RoleName=physical_id, PolicyDocument=document(work.get("AssumeRolePolicyDocument"))
        )
        _iam(work).update_role(
            RoleName=physical_id,
            Description=work.get("Description") or "",
            MaxSessionDuration=work.get("MaxSessionDuration") or 3600,
        )
        self._policies(work, physical_id, before)
        if gone := [one["Key"] for one in before.get("Tags") or () if one["Key"] not in work.tags]:
            _iam(work).untag_role(RoleName=physical_id, TagKeys=gone)
        if _own(work):
            _iam(work).tag_role(RoleName=physical_id, Tags=_own(work))

    def delete(self, work: Work, physical_id: str) -> None:
        for one in work.get("Policies") or ():
            _iam(work).delete_role_policy(RoleName=physical_id, PolicyName=one["PolicyName"])
        for arn in work.get("ManagedPolicyArns") or ():
            _iam(work).detach_role_policy(RoleName=physical_id, PolicyArn=arn)
        _iam(work).delete_role(RoleName=physical_id)

    @staticmethod
    def _policies(work: Work, name: str, before: Mapping[str, Json]) -> None:
        new = {one["PolicyName"]: one["PolicyDocument"] for one in work.get("Policies") or ()}
        for one in before.get("Policies") or ():
            if one["PolicyName"] not in new:
                _iam(work).delete_role_policy(RoleName=name, PolicyName=one["PolicyName"])
        for policy, text in new.items():
            _iam(work).put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document(text))
        old_arns, new_arns = before.get("ManagedPolicyArns") or [], work.get("ManagedPolicyArns") or []
        for arn in old_arns:
            if arn not in new_arns:
                _iam(work).detach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in new_arns:
            if arn not in old_arns:
                _iam(work).attach_role_policy(RoleName=name, PolicyArn=arn)


class RolePolicy(Kind):
    """A policy of one role, beside it."""

    type_name = "AWS::IAM::RolePolicy"
    name_property = "PolicyName"

    def create(self, work: Work) -> str:
        self.update(work, "", {})
        return f"{work.get('PolicyName')}|{work.get('RoleName')}"

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _iam(work).put_role_policy(
            RoleName=work.get("RoleName"),
            PolicyName=work.get("PolicyName"),
            PolicyDocument=document(work.get("PolicyDocument")),
        )

    def delete(self, work: Work, physical_id: str) -> None:
        _iam(work).delete_role_policy(RoleName=work.get("RoleName"), PolicyName=work.get("PolicyName"))


class Policy(Kind):
    """A policy that is put into each of some roles."""

    type_name = "AWS::IAM::Policy"

    def create(self, work: Work) -> str:
        self.update(work, "", {})
        return work.unique()

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for role in before.get("Roles") or ():
            if role not in (work.get("Roles") or ()) or before["PolicyName"] != work.get("PolicyName"):
                _iam(work).delete_role_policy(RoleName=role, PolicyName=before["PolicyName"])
        for role in work.get("Roles") or ():
            _iam(work).put_role_policy(
                RoleName=role,
                PolicyName=work.get("PolicyName"),
                PolicyDocument=document(work.get("PolicyDocument")),
            )

    def delete(self, work: Work, physical_id: str) -> None:
        for role in work.get("Roles") or ():
            _iam(work).delete_role_policy(RoleName=role, PolicyName=work.get("PolicyName"))


class ManagedPolicy(Kind):
    """A policy of its own, which roles attach."""

    type_name = "AWS::IAM::ManagedPolicy"
    name_property = "ManagedPolicyName"

    def create(self, work: Work) -> str:
        made = _iam(work).create_policy(
            PolicyName=work.get("ManagedPolicyName") or work.unique(),
            PolicyDocument=document(work.get("PolicyDocument")),
            **work.only("Path", "Description"),
        )
        return str(made["Policy"]["Arn"])

    def settle(self, work: Work, physical_id: str) -> None:
        self._attach(work, physical_id, {})

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        return {"PolicyArn": physical_id}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        if work.get("PolicyDocument") != before.get("PolicyDocument"):
            # IAM keeps five versions and refuses a sixth.
            for version in _iam(work).list_policy_versions(PolicyArn=physical_id)["Versions"]:
                if not version["IsDefaultVersion"]:
                    _iam(work).delete_policy_version(PolicyArn=physical_id, VersionId=version["VersionId"])
            _iam(work).create_policy_version(
                PolicyArn=physical_id, PolicyDocument=document(work.get("PolicyDocument")), SetAsDefault=True
            )
        self._attach(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        for role in work.get("Roles") or ():
            _iam(work).detach_role_policy(RoleName=role, PolicyArn=physical_id)
        for version in _iam(work).list_policy_versions(PolicyArn=physical_id)["Versions"]:
            if not version["IsDefaultVersion"]:
                _iam(work).delete_policy_version(PolicyArn=physical_id, VersionId=version["VersionId"])
        _iam(work).delete_policy(PolicyArn=physical_id)

    @staticmethod
    def _attach(work: Work, arn: str, before: Mapping[str, Json]) -> None:
        old, new = before.get("Roles") or [], work.get("Roles") or []
        for role in old:
            if role not in new:
                _iam(work).detach_role_policy(RoleName=role, PolicyArn=arn)
        for role in new:
            if role not in old:
                _iam(work).attach_role_policy(RoleName=role, PolicyArn=arn)


class InstanceProfile(Kind):
    """What gives a host its role."""

    type_name = "AWS::IAM::InstanceProfile"
    name_property = "InstanceProfileName"

    def create(self, work: Work) -> str:
        name = work.get("InstanceProfileName") or work.unique()
        _iam(work).create_instance_profile(InstanceProfileName=name, **work.only("Path"))
        return str(name)

    def settle(self, work: Work, physical_id: str) -> None:
        for role in work.get("Roles"):
            _iam(work).add_role_to_instance_profile(InstanceProfileName=physical_id, RoleName=role)

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        profile = _iam(work).get_instance_profile(InstanceProfileName=physical_id)["InstanceProfile"]
        return {"Arn": profile["Arn"]}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for role in before["Roles"]:
            _iam(work).remove_role_from_instance_profile(InstanceProfileName=physical_id, RoleName=role)
        for role in work.get("Roles"):
            _iam(work).add_role_to_instance_profile(InstanceProfileName=physical_id, RoleName=role)

    def delete(self, work: Work, physical_id: str) -> None:
        for role in work.get("Roles"):
            _iam(work).remove_role_from_instance_profile(InstanceProfileName=physical_id, RoleName=role)
        _iam(work).delete_instance_profile(InstanceProfileName=physical_id)


KINDS = (Role, RolePolicy, Policy, ManagedPolicy, InstanceProfile)

"""Roles: what they allow is what the templates say, and nothing was added by hand."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolchain.aws import code, doing
from toolchain.doctor.result import DEPLOY, Finding, green, red
from toolchain.stacks.resolve import Resolver, UnresolvedError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

    from toolchain.doctor.context import DoctorContext

_STACKS = ("compute", "workflow")
_ROLE = "AWS::IAM::Role"
_BY_ROLES = {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What a role has.

    Attributes:
        inline: Name to document; none where the document is not known.
        attached: ARNs of managed policies.
        trust: Who may take it; none where that is not known.
    """

    inline: dict[str, Any] = field(default_factory=dict)
    attached: set[str] = field(default_factory=set)
    trust: Any = None

    def differs(self, wanted: "Policies") -> list[str]:
        """What is not as it is wanted, as a finding says it."""
        found = [
            f"{name} is there, which the template does not have" for name in sorted(self.inline.keys() - wanted.inline)
        ]
        found += [f"{name} is gone" for name in sorted(wanted.inline.keys() - self.inline)]
        found += [
            f"{name} says something else"
            for name, document in sorted(wanted.inline.items())
            if name in self.inline and document is not None and canonical(self.inline[name]) != canonical(document)
        ]
        found += [f"{arn} is attached by hand" for arn in sorted(self.attached - wanted.attached)]
        found += [f"{arn} was detached" for arn in sorted(wanted.attached - self.attached)]
        if wanted.trust is not None and canonical(self.trust) != canonical(wanted.trust):
            found.append("others may take it than the template says")
        return found


def canonical(document: Any) -> Any:  # noqa: ANN401  # JSON
    """A policy without what means nothing: the order of lists, and whether one text is a list."""
    if isinstance(document, Mapping):
        return {key: canonical(value) for key, value in sorted(document.items())}
    if isinstance(document, list):
        members = [canonical(one) for one in document]
        return members[0] if len(members) == 1 else sorted(members, key=repr)
    return document


def drift(case: "DoctorContext") -> Iterator[Finding]:
    """Whether each role has the policies of its template, and no others."""
    name = "role"
    iam = case.iam
    for stack in _STACKS:
        if stack not in case.standing:
            continue
        for logical_id, (role, wanted) in _wanted(case, stack).items():
            label = f"{logical_id} of {stack} ({role})"
            has = _has(iam, role)
            if has is None:
                yield red(name, f"{label} is gone: somebody deleted it", f"{DEPLOY} {stack}")
            elif differences := has.differs(wanted):
                yield red(
                    name,
                    f"{label}: {'; '.join(differences)}",
                    f"Undo it with `aws iam`, or write it into stack/{stack}.yaml. {DEPLOY} {stack}",
                )
            else:
                allowed = ", ".join(sorted(has.inline) + sorted(has.attached)) or "no permission at all"
                yield green(name, f"{label}: {allowed}, as the template says")


def profile(case: "DoctorContext") -> Iterator[Finding]:
    """Whether hosts get their role."""
    name = "instance profile"
    iam = case.iam
    wanted = case.outputs["InstanceRoleArn"]
    for one in sorted({environment.profile for environment in case.environments}):
        short = one.rpartition("/")[2]
        with doing(f"looking at instance profile {short}"):
            try:
                found = iam.get_instance_profile(InstanceProfileName=short)["InstanceProfile"]
            except iam.exceptions.NoSuchEntityException:
                yield red(name, f"{short} is gone: no host can start", f"{DEPLOY} compute")
                continue
        roles = [role["Arn"] for role in found["Roles"]]
        if roles == [wanted]:
            yield green(name, f"{short} holds {wanted}")
        else:
            yield red(name, f"{short} holds {', '.join(roles) or 'no role'}, and not {wanted}", f"{DEPLOY} compute")


def _wanted(case: "DoctorContext", stack: str) -> dict[str, tuple[str, Policies]]:
    """Logical id to name and policies, of the roles that a stack was deployed with."""
    state = case.states[stack]
    template = case.cloudformation.template(state.id)
    held = {one.name: one for one in case.held(stack)}
    resolver = Resolver(
        arn=state.id,
        template=template,
        parameters=case.given(stack),
        ids={name: one.id for name, one in held.items()},
        exports={f"{case.layout.project}-{name}": value for name, value in case.outputs.items()},
    )
    made = {name: body for name, body in template["Resources"].items() if name in held}
    found: dict[str, tuple[str, Policies]] = {}
    for name, body in made.items():
        if body["Type"] == _ROLE:
            properties = body["Properties"]
            policies = Policies(
                inline={
                    _resolved(resolver, one["PolicyName"]): _resolved(resolver, one["PolicyDocument"])
                    for one in properties.get("Policies", ())
                },
                attached=set(_resolved(resolver, properties.get("ManagedPolicyArns", ())) or ()),
                trust=_resolved(resolver, properties["AssumeRolePolicyDocument"]),
            )
            found[name] = (held[name].id, policies)
    by_id = dict(found.values())
    for name, body in made.items():
        properties = body.get("Properties", {})
        if body["Type"] == "AWS::IAM::RolePolicy":
            roles = [properties["RoleName"]]
        elif body["Type"] in _BY_ROLES:
            roles = properties.get("Roles", [])
        else:
            continue
        for role in roles:
            policies = by_id.get(_resolved(resolver, role) or "", Policies())
            if body["Type"] == "AWS::IAM::ManagedPolicy":
                policies.attached.add(held[name].id)
            else:
                document = _resolved(resolver, properties["PolicyDocument"])
                policies.inline[_resolved(resolver, properties["PolicyName"])] = document
    return found


def _resolved(resolver: Resolver, value: Any) -> Any:  # noqa: ANN401  # JSON
    with suppress(UnresolvedError):
        return resolver.resolve(value)
    return None


def _has(iam: "IAMClient", role: str) -> Policies | None:
    """What a role has; none if there is no such role."""
    from botocore.exceptions import ClientError

    with doing(f"looking at role {role}"):
        try:
            trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        except ClientError as error:
            if code(error) == "NoSuchEntity":
                return None
            raise
        names = [
            name
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=role)
            for name in page["PolicyNames"]
        ]
        attached = {
            one["PolicyArn"]
            for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
            for one in page["AttachedPolicies"]
        }
        inline: dict[str, Any] = {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names
        }
    return Policies(inline=inline, attached=attached, trust=trust)

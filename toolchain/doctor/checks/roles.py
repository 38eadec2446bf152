"""Roles: their policies are those of the templates, and nothing was changed by hand."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from toolchain.aws import doing
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import DEPLOY, CheckResult, green, red
from toolchain.stacks import service_roles
from toolchain.stacks.resolve import DeployedResolver, UnresolvedError

_STACKS = ("compute", "workflow", "watch")
_TRUST = "trust policy"


def differences(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    """How a role's policies differ from those of its template.

    Args:
        actual: Name of an inline policy, or ARN of an attached one, to its document in canonical form.
        expected: The same; None for a document that cannot be resolved.
    """
    for name in sorted(actual.keys() | expected.keys()):
        is_managed = name.startswith("arn:")
        if name not in expected:
            yield f"{name} is attached by hand" if is_managed else f"{name} is there, which the template does not have"
        elif name not in actual:
            yield f"{name} was detached" if is_managed else f"{name} is gone"
        elif expected[name] is not None and actual[name] != expected[name]:
            yield "others may take it than the template says" if name == _TRUST else f"{name} says something else"


def canonical(document: Any) -> Any:  # noqa: ANN401  # JSON
    """A policy in one form: lists in order, a list of one as its member."""
    if isinstance(document, Mapping):
        return {key: canonical(value) for key, value in sorted(document.items())}
    if isinstance(document, list):
        members = [canonical(member) for member in document]
        return members[0] if len(members) == 1 else sorted(members, key=repr)
    return document


def policies(context: DoctorContext) -> Iterator[CheckResult]:
    """Each role has the policies of its template, and no others."""
    for stack in _STACKS:
        if stack not in context.deployed:
            continue
        for logical_id, (role, expected) in _expected(context, stack).items():
            label = f"{logical_id} of {stack} ({role})"
            actual = _actual(context, role)
            if actual is None:
                yield red(f"{label} is gone: somebody deleted it", f"{DEPLOY} {stack}")
            elif differing := "; ".join(differences(actual, expected)):
                yield red(
                    f"{label}: {differing}",
                    f"Undo it with `aws iam`, or write it into stack/{stack}.yaml. {DEPLOY} {stack}",
                )
            else:
                names = ", ".join(sorted(actual.keys() - {_TRUST})) or "no permission at all"
                yield green(f"{label}: {names}, as the template says")


def service_linked(context: DoctorContext) -> Iterator[CheckResult]:
    """The services that the stacks use have their roles in this account."""
    missing = service_roles.missing(context.iam, context.layout.stacks)
    for service in missing:
        yield red(
            f"{service} has none in this account, and cannot act for it",
            f"{DEPLOY}, which makes it; or: aws iam create-service-linked-role --aws-service-name {service}",
        )
    if not missing:
        yield green("every service that the stacks use has its role")


def instance_profile(context: DoctorContext) -> Iterator[CheckResult]:
    """Hosts get their role."""
    expected = context.outputs["InstanceRoleArn"]
    profiles = {environment["computeResources"].get("instanceRole", "") for environment in context.compute_environments}
    for arn in sorted(profiles):
        name = arn.rpartition("/")[2]
        with doing(f"looking at instance profile {name}"):
            try:
                profile = context.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            except context.iam.exceptions.NoSuchEntityException:
                yield red(f"{name} is gone: no host can start", f"{DEPLOY} compute")
                continue
        roles = [role["Arn"] for role in profile["Roles"]]
        if roles == [expected]:
            yield green(f"{name} holds {expected}")
        else:
            yield red(f"{name} holds {', '.join(roles) or 'no role'}, and not {expected}", f"{DEPLOY} compute")


def _expected(context: DoctorContext, stack: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Logical id to name and policies of the roles in the template that a stack was deployed with."""
    state = context.states[stack]
    template = context.cloudformation.template(state.id)
    ids = {resource.logical_id: resource.physical_id for resource in context.cloudformation.resources(state.id)}
    resolver = DeployedResolver(
        arn=state.id,
        template=template,
        parameters=state.parameters,
        ids=ids,
        exports={f"{context.layout.project}-{name}": value for name, value in context.outputs.items()},
    )

    def resolve(value: Any) -> Any:  # noqa: ANN401  # JSON
        with suppress(UnresolvedError):
            return canonical(resolver.resolve(value))
        return None

    def documents(policies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            resolve(policy["PolicyName"]): resolve(policy["PolicyDocument"]) for policy in _made(resolver, policies)
        }

    resources = {name: resource for name, resource in template["Resources"].items() if name in ids}
    roles: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            properties = resource["Properties"]
            roles[name] = (
                ids[name],
                {
                    _TRUST: resolve(properties["AssumeRolePolicyDocument"]),
                    **documents(properties.get("Policies", ())),
                    **{resolve(arn): None for arn in properties.get("ManagedPolicyArns", ())},
                },
            )
    by_role = dict(roles.values())
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] in {"AWS::IAM::RolePolicy", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
            is_managed = resource["Type"] == "AWS::IAM::ManagedPolicy"
            for role in properties.get("Roles") or [properties.get("RoleName")]:
                by_role.get(resolve(role), {}).update({ids[name]: None} if is_managed else documents([properties]))
    return roles


def _made(resolver: DeployedResolver, policies: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The inline policies whose conditions hold."""
    for policy in policies:
        made = policy
        while "Fn::If" in made:
            condition, yes, no = made["Fn::If"]
            made = yes if resolver.call("Condition", condition) else no
        if made != {"Ref": "AWS::NoValue"}:
            yield made


def _actual(context: DoctorContext, role: str) -> dict[str, Any] | None:
    """The policies that a role has; None if there is no such role."""
    iam = context.iam
    with doing(f"looking at role {role}"):
        try:
            trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        except iam.exceptions.NoSuchEntityException:
            return None
        inline = iam.get_paginator("list_role_policies").paginate(RoleName=role).build_full_result()
        attached = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role).build_full_result()
        documents: dict[str, Any] = {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in inline["PolicyNames"]
        }
    managed = {policy["PolicyArn"]: None for policy in attached["AttachedPolicies"]}
    return {name: canonical(document) for name, document in {_TRUST: trust, **documents, **managed}.items()}

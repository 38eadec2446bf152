"""Evaluates the intrinsic functions in a template whose loops are expanded."""

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any  # what a template holds

# The value of a property that is left out, and of a member of a list.
NO_VALUE = object()
_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
_URL_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}


class UnresolvedError(Exception):
    """Something that only CloudFormation knows, such as an attribute of a resource."""


@dataclass(frozen=True, kw_only=True)
class Resolver(ABC):
    """A template with its parameters; a subclass knows its resources and other stacks' exports."""

    template: Mapping[str, Json]
    parameters: Mapping[str, str]

    @abstractmethod
    def resource(self, name: str, attribute: str | None) -> Json:
        """The value of a `Ref` to a resource or a pseudo parameter, or of an attribute (`Fn::GetAtt`).

        Raises:
            UnresolvedError: It is not known.
        """

    @abstractmethod
    def exported(self, name: str) -> Json:
        """The value of another stack's export; else an UnresolvedError."""

    def resolve(self, value: Json) -> Json:
        """A part of the template, its functions evaluated.

        Raises:
            UnresolvedError: Something in it is not known.
        """
        if isinstance(value, list):
            return [member for member in map(self.resolve, value) if member is not NO_VALUE]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            # In a policy, `Condition` is a mapping.
            if name == "Ref" or name.startswith("Fn::") or (name == "Condition" and isinstance(argument, str)):
                return self.call(name, argument)
        resolved = {key: self.resolve(member) for key, member in value.items()}
        return {key: member for key, member in resolved.items() if member is not NO_VALUE}

    def call(self, function: str, argument: Json) -> Json:  # noqa: C901, PLR0911, PLR0912  # a function a branch
        """The value of a function."""
        match function:
            case "Ref":
                return self._reference(argument)
            case "Condition":
                return self.resolve(self.template["Conditions"][argument])
            case "Fn::GetAtt":
                return self.resource(*argument)
            case "Fn::Sub":
                return self._substitute(argument)
            case "Fn::ImportValue":
                return self.exported(self.resolve(argument))
            case "Fn::If":
                condition, yes, no = argument
                return self.resolve(yes if self.call("Condition", condition) else no)
            case "Fn::Base64":
                return base64.b64encode(self.resolve(argument).encode()).decode()
        values = self.resolve(argument)
        match function:
            case "Fn::Equals":
                return str(values[0]) == str(values[1])
            case "Fn::Not":
                return not values[0]
            case "Fn::And":
                return all(values)
            case "Fn::Or":
                return any(values)
            case "Fn::Join":
                return str(values[0]).join(map(str, values[1]))
            case "Fn::Split":
                return str(values[1]).split(values[0])
            case "Fn::Select":
                return values[1][int(values[0])]
        raise UnresolvedError(function)

    def _reference(self, name: str, attribute: str | None = None) -> Json:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name not in self.parameters or attribute is not None:
            return self.resource(name, attribute)
        value = self.parameters[name]
        is_list = self.template["Parameters"][name]["Type"] == "CommaDelimitedList"
        return value.split(",") if is_list else value

    def _substitute(self, argument: Json) -> str:
        text, variables = argument if isinstance(argument, list) else (argument, {})

        def value(match: re.Match[str]) -> str:
            is_literal, name = match.groups()
            if is_literal:
                return f"${{{name}}}"
            resource, _, attribute = name.partition(".")
            return str(
                self.resolve(variables[name]) if name in variables else self._reference(resource, attribute or None)
            )

        return _VARIABLE.sub(value, text)


@dataclass(frozen=True, kw_only=True)
class DeployedResolver(Resolver):
    """Evaluates the functions in the template of a deployed stack.

    Attributes:
        arn: The stack's ARN.
        ids: Logical to physical id of its resources.
        exports: The values of other stacks' exports, by name.
    """

    arn: str
    ids: Mapping[str, str]
    exports: Mapping[str, str]

    def resource(self, name: str, attribute: str | None) -> Json:
        """A physical id, or what the stack's ARN says; attributes are not known."""
        _, partition, _, region, account, _ = self.arn.split(":", 5)
        known = {
            "AWS::Partition": partition,
            "AWS::Region": region,
            "AWS::AccountId": account,
            "AWS::StackId": self.arn,
            "AWS::URLSuffix": _URL_SUFFIXES.get(partition, "amazonaws.com"),
            **self.ids,
        }
        if attribute is not None or name not in known:
            raise UnresolvedError(name)
        return known[name]

    def exported(self, name: str) -> Json:
        """An export."""
        if name not in self.exports:
            raise UnresolvedError(name)
        return self.exports[name]

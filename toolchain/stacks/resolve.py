"""What a deployed template says when its references are put in: enough of CloudFormation's functions for policies."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = Any  # what a template holds

_IN_TEXT = re.compile(r"\$\{(!?)([^}]+)\}")
_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}


class UnresolvedError(Exception):
    """Something that only CloudFormation knows: an attribute of a resource, a function that is not understood."""


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """A deployed stack's references.

    Attributes:
        arn: The stack's own ARN, which says partition, region and account.
        template: What it was deployed with.
        parameters: Name to value.
        ids: Logical to physical id of its resources.
        exports: The values of other stacks' exports, by name.
    """

    arn: str
    template: Mapping[str, Json]
    parameters: Mapping[str, str]
    ids: Mapping[str, str]
    exports: Mapping[str, str]

    def resolve(self, value: Json) -> Json:
        """A value with its references put in.

        Raises:
            UnresolvedError: Something in it is not known here.
        """
        if isinstance(value, list):
            return [one for one in map(self.resolve, value) if one is not None]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = {key: self.resolve(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not None}

    def _call(self, name: str, argument: Json) -> Json:
        functions: Mapping[str, Callable[[Json], Json]] = {
            "Ref": self._reference,
            "Fn::Sub": self._substitute,
            "Fn::ImportValue": self._import,
            "Fn::If": self._choose,
            "Fn::Join": lambda given: str(given[0]).join(map(str, self.resolve(given[1]))),
            "Fn::Select": lambda given: self.resolve(given[1])[int(given[0])],
            "Fn::Split": lambda given: str(self.resolve(given[1])).split(given[0]),
        }
        if name not in functions:
            raise UnresolvedError(name)
        return functions[name](argument)

    def _reference(self, name: str) -> str | None:
        _, partition, _, region, account, _ = self.arn.split(":", 5)
        known = {
            "AWS::Partition": partition,
            "AWS::Region": region,
            "AWS::AccountId": account,
            "AWS::StackId": self.arn,
            "AWS::URLSuffix": _SUFFIXES.get(partition, "amazonaws.com"),
            "AWS::NoValue": None,
            **self.ids,
            **self.parameters,
        }
        if name not in known:
            raise UnresolvedError(name)
        return known[name]

    def _substitute(self, argument: Json) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})

        def put(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            return str(self.resolve(own[name]) if name in own else self._reference(name))

        return _IN_TEXT.sub(put, text)

    def _import(self, argument: Json) -> str:
        name = self.resolve(argument)
        if name not in self.exports:
            raise UnresolvedError(name)
        return self.exports[name]

    def _choose(self, argument: Json) -> Json:
        condition, yes, no = argument
        return self.resolve(yes if self._holds({"Condition": condition}) else no)

    def _holds(self, condition: Json) -> bool:
        [(name, argument)] = condition.items()
        match name:
            case "Condition":
                return self._holds(self.template["Conditions"][argument])
            case "Fn::Equals":
                one, other = map(self.resolve, argument)
                return str(one) == str(other)
            case "Fn::Not":
                return not self._holds(argument[0])
            case "Fn::And":
                return all(map(self._holds, argument))
            case "Fn::Or":
                return any(map(self._holds, argument))
            case _:
                raise UnresolvedError(name)

"""The commands that messages name: each can be typed, and deals with the AWS of the command that names it."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from toolchain.cli import local
from toolchain.cli.main import _in_local_mode, _is_local, cli
from toolchain.errors import StoppedError
from toolchain.paths import HERE, typed
from toolchain.stacks.watch import Watcher

# What stands in a message for what is known only when it is said.
UNKNOWN = "X"
FILES = sorted([*HERE.root.glob("toolchain/**/*.py"), *HERE.root.glob("stack/*.yaml")])
# From its first word to where the sentence goes on.
_COMMAND = re.compile(r"python build\.py ([^;,:`'\"()]*?)(?=[;,:`'\"()]|\.? *$|\. [A-Z]|\n|, | <)")


def texts(file: Path) -> Iterator[str]:
    """The texts of a file, whatever is put into them as one unknown word."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield re.sub(r"\s+", " ", text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else UNKNOWN for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "typed":
            yield typed(*(str(word.value) if isinstance(word, ast.Constant) else UNKNOWN for word in node.args))


def hints() -> list[str]:
    found = {
        hint.strip() for file in FILES for text in texts(file) for hint in _COMMAND.findall(text) if hint[:1].islower()
    }
    return sorted(filter(None, found))


def parsed(words: list[str]) -> click.Command:
    """The command that these words are; click says what is wrong with them."""
    command: click.Command = cli
    context = cli.make_context("build.py", ["list"])
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert name is not None
        assert found is not None
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    command.make_context(name, words, parent=context)
    return command


def test_there_are_hints_to_look_at() -> None:
    assert {"local start", "deploy", "push", "status --follow X", "build", "deploy registry"} <= set(hints())


@pytest.mark.parametrize("hint", hints())
def test_every_command_that_a_message_names_can_be_typed(hint: str) -> None:
    assert parsed(shlex.split(hint))


@pytest.mark.parametrize("hint", hints())
def test_in_local_mode_it_deals_with_the_embedded_aws(hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_is_served", lambda: True)
    said = _in_local_mode(f"nothing: for a reason. Type: python build.py {hint}")
    words = shlex.split(said.partition("python build.py ")[2])
    command = parsed(words)
    takes_local = any(option.name == "local" for option in command.params)
    assert ("--local" in words) == takes_local
    # What has no such option deals with this machine anyway.
    assert takes_local or words[0] in ("build", "list", "local", "doctor", "verify")


def test_what_only_the_cloud_has_is_named_by_cloud_commands_alone() -> None:
    """`verify` and `doctor` look at the account: nothing that --local reaches may name them."""
    for name in ("verify", "doctor"):
        naming = {
            str(file.relative_to(HERE.root))
            for file in FILES
            for text in texts(file)
            if re.search(rf"python build\.py {name}\b", text)
        }
        assert {file for file in naming if not file.startswith("toolchain/doctor/")} == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Type: python build.py push; python build.py register", "Type: {push}; {register}"),
        ("Type: python build.py build", "Type: python build.py build"),
        ("Type: python build.py local start", "Type: python build.py local start"),
        ("See it: aws cloudformation describe-stacks", "See it: {aws} cloudformation describe-stacks"),
        ("the aws command", "the aws command"),
        ("/usr/lib/aws batch list-jobs", "/usr/lib/aws batch list-jobs"),
    ],
)
def test_a_hint_is_changed_and_no_other_word(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_is_served", lambda: True)
    words = {name: f"python build.py {name} --local" for name in ("push", "register")}
    assert _in_local_mode(text) == said.format(aws='eval "$(python build.py local start)"; aws', **words)


def test_where_no_server_was_left_running_one_is_started_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_is_served", lambda: False)
    assert _in_local_mode("Type: python build.py push; python build.py register") == (
        "Type: python build.py local start; python build.py push --local; python build.py register --local"
    )
    assert _in_local_mode("Type: python build.py status x. It helps.") == (
        "Type: python build.py local start; python build.py status x --local. It helps."
    )
    assert _in_local_mode("Type: python build.py run S --reference R") == (
        "Type: python build.py run S --reference R --local"
    )


@pytest.mark.parametrize(
    ("arguments", "local_mode"),
    [
        (["run", "s.csv", "--local"], True),
        (["demo"], True),
        (["local", "start"], True),
        (["deploy", "storage"], False),
        (["render", "--check"], False),
        ([], False),
    ],
)
def test_a_command_is_in_local_mode_if_it_deals_with_the_embedded_aws(
    arguments: list[str], *, local_mode: bool
) -> None:
    assert _is_local(arguments) == local_mode


class Gone:
    """CloudFormation, of which nothing is asked."""


@pytest.mark.parametrize(
    ("is_persistent", "said"),
    [
        (
            True,
            "CloudFormation goes on with what it was told. To follow it again type: python build.py run S; or: aws ",
        ),
        (
            False,
            "the embedded AWS ends with this command, and its stacks with it. To begin again type: python build.py",
        ),
    ],
)
def test_ctrl_c_while_a_stack_is_deployed_names_the_command_that_was_typed(*, is_persistent: bool, said: str) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    service: object = Gone()
    watcher = Watcher(
        service=service,  # type: ignore[arg-type]  # it is not asked
        command="python build.py run S",
        is_persistent=is_persistent,
    )
    with pytest.raises(StoppedError) as caught:
        watcher.watch("arn:aws:cloudformation:r:1:stack/p-network/1", "network", since=None, begin=interrupted)
    assert said in str(caught.value)

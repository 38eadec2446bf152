"""The commands that messages name: each can be typed, and deals with the AWS of the command that names it."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from toolchain.cli import local
from toolchain.cli.main import _in_local_mode, _is_local, cli
from toolchain.errors import StoppedError
from toolchain.paths import HERE, typed
from toolchain.stacks.watch import Watcher

# In the place of what a message only knows when it is printed.
UNKNOWN = "X"
FILES = sorted([*HERE.root.glob("toolchain/**/*.py"), *HERE.root.glob("stack/*.yaml")])
# From its first word to where the sentence goes on.
_COMMAND = re.compile(r"python build\.py ([^;,:`'\"()]*?)(?=[;,:`'\"()]|\.? *$|\. [A-Z]|\n|, | <)")


def texts(file: Path) -> Iterator[str]:
    """The strings of a file; what is put into them is one unknown word."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield re.sub(r"\s+", " ", text)
        return
    if "build.py" not in text and "typed(" not in text:
        return  # a tree of each file would take a second
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else UNKNOWN for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "typed":
            yield typed(*(str(word.value) if isinstance(word, ast.Constant) else UNKNOWN for word in node.args))


@cache
def hints() -> dict[str, set[str]]:
    """Each command that a message names, without `python build.py`, and the files that name it."""
    files: dict[str, set[str]] = {}
    for file in FILES:
        for hint in (hint.strip() for text in texts(file) for hint in _COMMAND.findall(text)):
            if hint[:1].islower():
                files.setdefault(hint, set()).add(str(file.relative_to(HERE.root)))
    return files


def parsed(words: list[str]) -> click.Command:
    """The command that is typed with these words; click raises what is wrong with them."""
    command: click.Command = cli
    context = cli.make_context("build.py", ["list"])
    while isinstance(command, click.Group):
        name, subcommand, words = command.resolve_command(context, words)
        assert name is not None
        assert subcommand is not None
        command = subcommand
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    command.make_context(name, words, parent=context)
    return command


def test_messages_name_commands() -> None:
    assert {"local start", "deploy", "push", "status --follow X", "build", "deploy registry"} <= set(hints())


@pytest.mark.parametrize("hint", sorted(hints()))
def test_a_command_that_a_message_names_can_be_typed_and_in_local_mode_deals_with_the_embedded_aws(
    hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed(shlex.split(hint))
    monkeypatch.setattr(local, "_is_served", lambda: True)
    message = _in_local_mode(f"nothing: for a reason. Type: python build.py {hint}")
    words = shlex.split(message.partition("python build.py ")[2])
    takes_local = any(option.name == "local" for option in parsed(words).params)
    assert ("--local" in words) == takes_local
    # What has no such option deals with this machine anyway.
    assert takes_local or words[0] in ("build", "list", "local", "doctor", "verify")


def test_only_doctor_names_the_commands_that_look_at_the_account() -> None:
    """`verify` and `doctor` have no --local: nothing that --local reaches may name them."""
    named = {file for hint, files in hints().items() if hint.split()[0] in ("verify", "doctor") for file in files}
    assert {file for file in named if not file.startswith("toolchain/doctor/")} == set()


START = "python build.py local start"
STARTED = f'eval "$({START})"; aws'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Type: python build.py push; python build.py register",
            "Type: python build.py push --local; python build.py register --local",
        ),
        ("Type: python build.py build", "Type: python build.py build"),
        (f"Type: {START}", f"Type: {START}"),
        ("See it: aws cloudformation describe-stacks", f"See it: {STARTED} cloudformation describe-stacks"),
        ("the aws command", "the aws command"),
        ("/usr/lib/aws batch list-jobs", "/usr/lib/aws batch list-jobs"),
    ],
)
def test_local_mode_changes_commands_and_no_other_word(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_is_served", lambda: True)
    assert _in_local_mode(text) == expected


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("push; python build.py register", f"{START}; python build.py push --local; python build.py register --local"),
        ("status x. It helps.", f"{START}; python build.py status x --local. It helps."),
        ("run S --reference R", "python build.py run S --reference R --local"),
    ],
)
def test_without_a_running_server_one_is_started_first(
    hint: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_is_served", lambda: False)
    assert _in_local_mode(f"Type: python build.py {hint}") == f"Type: {expected}"


@pytest.mark.parametrize(
    ("arguments", "is_local"),
    [
        ("run s.csv --local", True),
        ("demo", True),
        ("local start", True),
        ("deploy storage", False),
        ("render --check", False),
        ("", False),
    ],
)
def test_a_command_is_in_local_mode_if_it_deals_with_the_embedded_aws(arguments: str, *, is_local: bool) -> None:
    assert _is_local(arguments.split()) == is_local


@pytest.mark.parametrize(
    ("is_persistent", "message"),
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
def test_ctrl_c_while_a_stack_is_deployed_names_the_command_that_was_typed(
    *, is_persistent: bool, message: str
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    service: object = None
    watcher = Watcher(
        service=service,  # type: ignore[arg-type]  # nothing is asked
        command="python build.py run S",
        is_persistent=is_persistent,
    )
    with pytest.raises(StoppedError, match=re.escape(message)):
        watcher.watch("arn:aws:cloudformation:r:1:stack/p-network/1", "network", since=None, begin=interrupt)

"""`python build.py deploy` and `destroy` as they are typed."""

import io
import re
import sys

import pytest
from support.scripted_cloudformation import FILE_SYSTEM, change, detail
from support.scripted_project import OTHER_SETTINGS, Project, name_of

from toolchain.cli.main import main


@pytest.fixture
def typed(deployed: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Four deployed stacks, of a checkout in which commands are typed."""
    monkeypatch.setattr("toolchain.cli.local.HERE", deployed.checkout)
    monkeypatch.setattr("toolchain.cli.stacks.Account", lambda: deployed.aws.account)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return deployed


@pytest.mark.usefixtures("typed")
def test_nothing_to_deploy_is_a_success_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy"]) == 0
    out, err = capsys.readouterr()
    assert out == "registry unchanged\nnetwork unchanged\nworkflow unchanged\nstorage unchanged\n"
    assert err == "nothing to deploy: every stack is as this checkout says\n"


def test_without_a_terminal_each_event_is_a_line(typed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    typed.settings(OTHER_SETTINGS)
    assert main(["deploy", "storage"]) == 0
    out, err = capsys.readouterr()
    assert out == "storage updated\n"
    assert err.splitlines() == [
        "storage: UPDATE_IN_PROGRESS",
        "storage: Thing AWS::X::Y UPDATE_IN_PROGRESS",
        "storage: Thing AWS::X::Y UPDATE_COMPLETE",
    ]


def test_on_a_terminal_each_resource_has_a_line_that_says_how_it_ended(
    typed: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed.settings(OTHER_SETTINGS)
    typed.aws.scripts[f"update {name_of('storage')}"] = [
        [("", "", "UPDATE_IN_PROGRESS", "User Initiated"), ("Files", "AWS::X::Y", "UPDATE_IN_PROGRESS", "")],
        [("Files", "AWS::X::Y", "UPDATE_FAILED", "no [capacity]"), ("", "", "UPDATE_ROLLBACK_IN_PROGRESS", "")],
        [("Files", "AWS::X::Y", "UPDATE_COMPLETE", ""), ("", "", "UPDATE_ROLLBACK_COMPLETE", "")],
    ]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    assert main(["deploy", "storage"]) == 70
    err = capsys.readouterr().err
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err).replace("\r", "\n").splitlines()
    assert any(re.match(r"\S? *storage 0:00:0\d UPDATE_ROLLBACK_IN_PROGRESS", line) for line in lines)
    assert "\x1b[31mFiles AWS::X::Y UPDATE_FAILED: no [capacity]" in err
    assert [line for line in lines if line.startswith("Files ")] == [
        "Files AWS::X::Y UPDATE_FAILED: no [capacity]",
        "Files AWS::X::Y UPDATE_COMPLETE",
    ]
    assert "storage UPDATE_ROLLBACK_COMPLETE" in lines


def test_a_dry_run_prints_what_would_change_and_replacements_in_red(
    typed: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed.aws.changes[name_of("storage")] = [
        change("Modify", "Files", "AWS::FSx::FileSystem", "True", detail("StorageCapacity", "Capacity")),
        change("Modify", "Alarm", "AWS::CloudWatch::Alarm"),
    ]
    typed.settings(OTHER_SETTINGS)
    assert main(["deploy", "network", "storage", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "network: nothing would change" in lines
    [row] = [line.strip("│").split("│") for line in lines if "Files" in line]
    cells = ["Modify", "Files", "AWS::FSx::FileSystem", "yes", "StorageCapacity by Capacity"]
    assert [cell.strip() for cell in row] == cells
    monkeypatch.setenv("FORCE_COLOR", "1")
    main(["deploy", "storage", "--dry-run"])
    out = capsys.readouterr().out
    assert "\x1b[31mFiles" in out
    assert "\x1b[31mAlarm" not in out


def test_a_dry_run_says_for_which_stacks_cloudformation_cannot_be_asked(
    typed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    typed.stack("network").status = "ROLLBACK_COMPLETE"
    assert main(["deploy", "network", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert err == "network: it is in the state ROLLBACK_COMPLETE: CloudFormation cannot be asked yet\n"
    assert "Vpc" in out


def test_a_change_that_would_lose_data_ends_with_64_and_the_command_that_allows_it(
    typed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    typed.aws.changes[name_of("storage")] = [change("Remove", "Results", "AWS::S3::Bucket")]
    typed.settings(OTHER_SETTINGS)
    assert main(["deploy", "storage"]) == 64
    assert "python build.py deploy storage --replace Results" in capsys.readouterr().err
    assert main(["deploy", "storage", "--replace", "Results", "--replace", "Nothing"]) == 0
    assert "--replace Nothing: nothing of that name was to be replaced" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["storage", "down"], ["storage", "down", "--when-idle"], ["destroy", "storage"]])
def test_storage_goes_alone_and_destroy_says_what_goes_and_what_stays(
    typed: Project, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main([*words, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert out == "storage destroyed\n"
    assert f"with file system {FILE_SYSTEM}" in err
    assert err.splitlines()[-1] == "bucket s3://results-1 stays: it is no longer part of a stack"
    existing = [stack.name for stack in typed.aws.stacks if stack.status == "CREATE_COMPLETE"]
    assert existing == [name_of("registry"), name_of("network"), name_of("workflow")]
    # What is down stays down, unless it is asked for.
    assert main(["deploy"]) == 0
    assert capsys.readouterr().out == "registry unchanged\nnetwork unchanged\nworkflow unchanged\n"
    assert main(["storage", "up"]) == 0
    assert capsys.readouterr().out == "storage created\n"
    assert main(["destroy", "--yes"]) == 0
    capsys.readouterr()
    assert main(["destroy", "--yes"]) == 0
    assert capsys.readouterr().err == "nothing to destroy: none of these stacks is there\n"


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 130, 4), ("y\n", 0, 3), (None, 64, 4)])
def test_destroy_asks_on_a_terminal_and_needs_yes_without_one(  # a table and its fixtures
    typed: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    code: int,
    left: int,
) -> None:
    stdin = io.StringIO(answer or "")
    monkeypatch.setattr(stdin, "isatty", lambda: answer is not None)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["destroy", "registry"]) == code
    assert sum(stack.status == "CREATE_COMPLETE" for stack in typed.aws.stacks) == left
    assert ("Add --yes to the same command" in capsys.readouterr().err) == (answer is None)


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["destroy", "disk"], 66, "no stack 'disk'"),
        (["deploy", "disk"], 66, "stack/ holds registry, network, workflow, storage"),
    ],
)
def test_wrong_names_are_refused(capsys: pytest.CaptureFixture[str], words: list[str], code: int, text: str) -> None:
    assert main(words) == code
    assert text in capsys.readouterr().err

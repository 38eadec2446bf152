"""`python build.py deploy` and `destroy` as they are typed."""

import io
import re
import sys

import pytest
from stacks.conftest import Site
from support.scripted_cloudformation import change, detail, steps

from toolchain.cli import main as cli


@pytest.fixture
def typed(standing: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Four stacks that are deployed, and commands that deal with them."""
    monkeypatch.setattr("toolchain.cli.local.HERE", standing.checkout)
    monkeypatch.setattr("toolchain.cli.stacks.Account", standing.cloud.account)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return standing


def test_nothing_to_deploy_is_a_success_that_says_so(typed: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy"]) == 0
    said = capsys.readouterr()
    assert said.out == "registry unchanged\nnetwork unchanged\nstorage unchanged\nworkflow unchanged\n"
    assert said.err == "nothing to deploy: every stack is as this checkout says\n"
    assert typed.cloud.change_sets == {}


def test_what_happens_is_a_line_an_event_where_there_is_no_terminal(
    typed: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    typed.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    assert cli.main(["deploy", "storage"]) == 0
    said = capsys.readouterr()
    assert said.out == "storage updated\n"
    assert said.err.splitlines() == [
        "storage: UPDATE_IN_PROGRESS",
        "storage: Thing AWS::X::Y UPDATE_IN_PROGRESS",
        "storage: Thing AWS::X::Y UPDATE_COMPLETE",
    ]


def test_a_dry_run_prints_what_would_change(typed: Site, capsys: pytest.CaptureFixture[str]) -> None:
    typed.cloud.changes[typed.name("storage")] = [
        change("Modify", "Files", "AWS::FSx::FileSystem", "True", detail("StorageCapacity", "Capacity"))
    ]
    typed.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    assert cli.main(["deploy", "network", "storage", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "network: nothing would change" in out
    row = next(line for line in out.splitlines() if "Files" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "Modify",
        "Files",
        "AWS::FSx::FileSystem",
        "yes",
        "StorageCapacity by Capacity",
    ]


def test_a_replacement_is_red(typed: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    typed.cloud.changes[typed.name("storage")] = [
        change("Modify", "Files", "AWS::FSx::FileSystem", "Conditional"),
        change("Modify", "Alarm", "AWS::CloudWatch::Alarm"),
    ]
    typed.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli.main(["deploy", "storage", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b[31mFiles" in next(line for line in lines if "Files" in line)
    assert "\x1b[31m" not in next(line for line in lines if "Alarm" in line)


def test_what_would_lose_data_ends_with_64_and_the_command_that_allows_it(
    typed: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    typed.cloud.changes[typed.name("storage")] = [change("Remove", "Results", "AWS::S3::Bucket")]
    typed.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    assert cli.main(["deploy", "storage"]) == 64
    assert "python build.py deploy storage --replace Results" in capsys.readouterr().err
    assert cli.main(["deploy", "storage", "--replace", "Results", "--replace", "Nothing"]) == 0
    assert "--replace Nothing: nothing of that name was to be replaced" in capsys.readouterr().err


def test_destroy_asks_nobody_where_there_is_no_terminal(typed: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destroy"]) == 64
    assert "Add --yes to the same command" in capsys.readouterr().err
    assert typed.cloud.said("DeleteStack") == []


def test_destroy_says_what_goes_and_what_stays(typed: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destroy", "--storage", "--yes"]) == 0
    said = capsys.readouterr()
    assert said.out == "workflow destroyed\nstorage destroyed\n"
    assert "with file system fs-0123456789abcdef0" in said.err
    assert said.err.splitlines()[-1] == "bucket s3://results-1 stays: it is no longer part of a stack"
    assert [one.name for one in typed.cloud.stacks if one.status == "CREATE_COMPLETE"] == [
        typed.name("registry"),
        typed.name("network"),
    ]


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 130, 4), ("y\n", 0, 3)])
def test_destroy_asks_on_a_terminal(
    typed: Site, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert cli.main(["destroy", "registry"]) == code
    assert sum(one.status == "CREATE_COMPLETE" for one in typed.cloud.stacks) == left


@pytest.mark.usefixtures("typed")
def test_storage_and_names_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destroy", "--storage", "network"]) == 64
    assert "--storage goes with no names" in capsys.readouterr().err


@pytest.mark.usefixtures("typed")
def test_an_unknown_stack_ends_with_66(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy", "disk"]) == 66
    assert "stack/ holds registry, network, storage, workflow" in capsys.readouterr().err


def test_nothing_to_destroy_is_a_success_that_says_so(typed: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destroy", "--yes"]) == 0
    capsys.readouterr()
    assert cli.main(["destroy", "--yes"]) == 0
    assert capsys.readouterr().err == "nothing to destroy: none of these stacks is there\n"
    assert typed.cloud.change_sets == {}


def test_on_a_terminal_each_resource_has_a_line_that_says_how_it_ended(
    typed: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed.desk.settings('[stack.storage]\nPath = "s3://other"\n')
    typed.cloud.plays[f"update {typed.name('storage')}"] = steps(
        [("", "", "UPDATE_IN_PROGRESS", "User Initiated"), ("Files", "AWS::X::Y", "UPDATE_IN_PROGRESS", "")],
        [("Files", "AWS::X::Y", "UPDATE_FAILED", "no [capacity]"), ("", "", "UPDATE_ROLLBACK_IN_PROGRESS", "")],
        [("Files", "AWS::X::Y", "UPDATE_COMPLETE", ""), ("", "", "UPDATE_ROLLBACK_COMPLETE", "")],
    )
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    assert cli.main(["deploy", "storage"]) == 70
    said = capsys.readouterr().err
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said).replace("\r", "\n").splitlines()
    assert any(re.match(r"\S? *storage 0:00:0\d UPDATE_ROLLBACK_IN_PROGRESS", line) for line in plain)
    assert "\x1b[31mFiles AWS::X::Y UPDATE_FAILED: no [capacity]" in said
    assert [line for line in plain if line.startswith("Files ")] == [
        "Files AWS::X::Y UPDATE_FAILED: no [capacity]",
        "Files AWS::X::Y UPDATE_COMPLETE",
    ]
    assert "storage UPDATE_ROLLBACK_COMPLETE" in plain

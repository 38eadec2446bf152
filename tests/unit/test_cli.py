"""The command line: exit codes, and what goes to stdout and what to stderr."""

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import docker
import pytest
from docker.errors import DockerException

from toolchain import errors
from toolchain.cli.main import COMMANDS, main
from toolchain.docker.engine import Engine
from toolchain.errors import BuildFailedError, ToolchainError
from toolchain.images import build as builds
from toolchain.images import catalog, listing
from toolchain.paths import HERE, Checkout

TOOLS = list(catalog.load(HERE.images).tools)


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run(*words: str | Path) -> Result:
        return Result(main([str(word) for word in words]), *capsys.readouterr())

    return run


class FullEngine:
    """Has every image that it is asked for, and can do nothing else."""

    def find(self, reference: str) -> str | None:
        return f"id of {reference}"


class EmptyEngine:
    """Has no image, and can do nothing else."""

    def find(self, reference: str) -> str | None:  # noqa: ARG002
        return None


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Replaces Docker's engine."""
    return lambda engine: monkeypatch.setattr(Engine, "connect", lambda: engine)


@pytest.fixture
def unused_engine(connect: Callable[[object], None]) -> None:
    """An engine that can do nothing at all: a mistake must be found before it is asked."""
    connect(object())


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a Docker engine, with docker-py's error."""

    def refuse() -> None:
        message = "('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))"
        raise DockerException(message)

    monkeypatch.setattr(docker, "from_env", refuse)


def error_of(result: Result) -> str:
    """The one line that says what went wrong."""
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_exit_codes_of_every_error(run: Run, flag: str) -> None:
    result = run(flag)
    assert (result.code, result.err) == (0, "")
    listed = {int(code) for code in re.findall(r"\b(\d+) [a-zC]", result.out.partition("Exit codes:")[2])}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ToolchainError)]
    assert {kind.exit_code for kind in kinds} | {0, 130} <= listed


def test_help_does_not_wait_for_what_only_some_commands_need() -> None:
    """boto3, docker and moto take longer to import than everything else together."""
    modules = sorted({f"toolchain.cli.{place.split('.')[0]}" for place in COMMANDS.values()})
    code = f"import sys, {', '.join(modules)}; print({{'boto3', 'docker', 'moto'}} & set(sys.modules))"
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=HERE.root, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_every_command_has_help(run: Run) -> None:
    overview = run("--help").out
    for command in COMMANDS:
        result = run(command, "--help")
        assert result.code == 0
        assert f"Usage: build.py {command}" in result.out
        assert f"  {command} " in overview


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("biuld", "No such command 'biuld'"),
        ("build --jsn", "No such option"),
        ("demo --shards 0", "'--shards'"),
        ("demo --shards x", "'--shards'"),
        ("demo --ploidy 3", "'--ploidy'"),
        ("demo --reads R1.fastq", "'--reads'"),
        ("demo extra", "unexpected extra argument (extra)"),
        ("run samples.csv --reference ref.fa --skip mem", "'--skip'"),
        ("render --scratch", "'--scratch'"),
        *((f"prune --keep={number}", "'--keep'") for number in ("0", "-1", "x")),
    ],
)
@pytest.mark.usefixtures("no_engine")
def test_wrong_usage_is_named(run: Run, command: str, message: str) -> None:
    result = run(*command.split())
    assert (result.code, result.out) == (64, "")
    assert "Error: " in result.err
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", ["build", "test"])
@pytest.mark.usefixtures("unused_engine")
def test_an_unknown_image_is_an_error_that_lists_the_known_ones(run: Run, command: str) -> None:
    result = run(command, "bwaa")
    assert result.code == 66
    assert error_of(result).startswith(f"no image 'bwaa': images/ holds {', '.join(TOOLS)}. ")


@pytest.mark.parametrize("command", ["list", "build", "demo", "render --local"])
@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_a_command_says_how_to_get_one(run: Run, command: str) -> None:
    result = run(*command.split())
    assert result.code == 69
    assert error_of(result).startswith("no Docker engine answers: there is no socket")
    assert "make setup" in result.err


@pytest.mark.usefixtures("no_engine")
def test_rendering_for_aws_needs_no_engine(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("toolchain.cli.jobdefs.HERE", Checkout(root=tmp_path))
    result = run("render")
    assert result.code == 66
    assert "build.py push" in error_of(result)


def test_ctrl_c_stops_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "connect", interrupt)
    result = run("build")
    assert (result.code, result.out, result.err.strip()) == (130, "", "stopped")


def test_a_closed_pipe_is_no_error(
    run: Run, connect: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    connect(FullEngine())
    monkeypatch.setattr(listing, "list_images", write)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.StringIO())
    assert run("list").code == 0


@pytest.mark.usefixtures("unused_engine")
def test_a_failed_build_shows_the_output_of_its_step_and_then_the_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        details = "Step 3\nno such file\n"
        raise BuildFailedError("x does not build", why="it ended with 1", fix="See above.", details=details)

    monkeypatch.setattr(builds, "build", fail)
    expected = "Step 3\nno such file\nerror: x does not build: it ended with 1. See above.\n"
    assert run("build") == (70, "", expected)


def test_build_and_list_print_json_alone_with_json(run: Run, connect: Callable[[object], None]) -> None:
    connect(FullEngine())
    assert run("build") == (0, "", "nothing to build: every image is there with this content\n")
    result = run("build", "--json", "samtools", "bwa")
    assert (result.code, result.err) == (0, "")
    built = json.loads(result.out)
    assert [image["name"] for image in built] == ["bwa", "samtools"]
    assert all(image["id"] == f"id of {image['reference']}" and image["new"] is False for image in built)
    assert re.fullmatch(r"genomics/bwa:[0-9.]+-[0-9a-f]{12}", built[0]["reference"])
    connect(EmptyEngine())
    result = run("list", "--json")
    assert (result.code, result.err) == (0, "")
    listed = json.loads(result.out)
    assert [image["name"] for image in listed["images"]] == TOOLS
    assert all(image["built"] is False and image["compressed_bytes"] is None for image in listed["images"])
    assert listed["distinct_compressed_bytes"] == 0
    assert all(name in run("list").out for name in TOOLS)


@pytest.mark.usefixtures("unused_engine")
def test_scratch_is_for_local_renderings_only(run: Run, tmp_path: Path) -> None:
    result = run("render", "--scratch", tmp_path)
    assert result.code == 64
    assert error_of(result).startswith("--scratch without --local: ")


def test_test_runs_pytest_for_the_images_and_hands_on_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def pytest_run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", pytest_run)
    assert run("test", "bwa").code == 3
    assert run("test").code == 3
    assert [command[-1] for command in commands] == ["--images=bwa", f"--images={','.join(TOOLS)}"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A reference and two files of reads, by name."""
    files = {name: tmp_path / name for name in ("ref.fa", "R1.fastq", "R2.fastq")}
    for file in files.values():
        file.touch()
    return files


DEMO = "demo --reference ref.fa --reads R1.fastq R2.fastq --sample S1"


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        *(
            (f"demo {options}", 64, "--reference, --reads and --sample go together: ")
            for options in (
                "--reads R1.fastq R2.fastq",
                "--reference ref.fa",
                "--sample S1",
                "--reads R1.fastq R2.fastq --sample S1",
            )
        ),
        *((DEMO.replace("S1", name), 64, "bad sample name ") for name in ("'a b'", "../x", "''", "-", "x" * 65)),
        *((DEMO.replace(name, "none"), 66, "no file none: ") for name in ("ref.fa", "R1.fastq", "R2.fastq")),
        ("demo --results .", 73, ". is not empty: "),
        ("demo --results ref.fa/results", 73, "cannot make ref.fa/results: Not a directory"),
    ],
)
@pytest.mark.usefixtures("unused_engine")
def test_mistakes_in_the_options_of_demo_are_found_before_anything_is_built(
    run: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, command: str, code: int, message: str
) -> None:
    monkeypatch.chdir(files["ref.fa"].parent)
    result = run(*shlex.split(command))
    assert result.code == code
    assert error_of(result).startswith(message)

"""The command line: exit codes, and what goes to stdout and what to stderr."""

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import docker
import pytest
from docker.errors import DockerException

from toolchain import errors
from toolchain.cli.main import cli, main
from toolchain.docker.engine import Engine
from toolchain.errors import BuildFailedError, ToolchainError
from toolchain.images import build as builds
from toolchain.images import catalog, listing
from toolchain.paths import HERE, Checkout

TOOLS = list(catalog.load(HERE.images).tools)


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run(*words: str | Path) -> Ran:
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run


class Holding:
    """An engine that holds every image that it is asked for, and can do nothing else."""

    def find(self, reference: str) -> str | None:
        return f"id of {reference}"


class Empty:
    """An engine that holds no image, and can do nothing else."""

    def find(self, reference: str) -> str | None:  # noqa: ARG002
        return None


class Untouched:
    """An engine that must not be asked for anything."""

    def find(self, reference: str) -> str | None:
        pytest.fail(f"asked for {reference}")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Puts an engine in the place of Docker's."""
    return lambda engine: monkeypatch.setattr(Engine, "connect", lambda: engine)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a Docker engine, said as docker-py says it: it leaves its socket open when none answers."""

    def none_answers() -> None:
        message = "('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))"
        raise DockerException(message)

    monkeypatch.setattr(docker, "from_env", none_answers)


def error_of(ran: Ran) -> str:
    """The one line that says what went wrong."""
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_exit_codes_of_every_error(run: Run, flag: str) -> None:
    ran = run(flag)
    assert ran.code == 0
    assert ran.err == ""
    listed = {int(code) for code in re.findall(r"\b(\d+) [a-zC]", ran.out.partition("Exit codes:")[2])}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ToolchainError)]
    assert {kind.exit_code for kind in kinds} | {0, 130} <= listed


def test_help_does_not_wait_for_what_only_some_commands_need() -> None:
    """boto3, docker and moto take longer to import than everything else together."""
    code = (
        "import sys, toolchain.cli.main; print([name for name in ('boto3', 'docker', 'moto') if name in sys.modules])"
    )
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=HERE.root, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_has_help(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    assert f"Usage: build.py {command}" in ran.out
    assert command in run("--help").out


@pytest.mark.parametrize(
    "words",
    [
        ["biuld"],
        ["build", "--jsn"],
        ["demo", "--shards", "0"],
        ["demo", "--shards", "x"],
        ["demo", "--ploidy", "3"],
        ["demo", "--reads", "R1.fastq"],
        ["demo", "extra"],
        ["run", "samples.csv", "--reference", "ref.fa", "--skip", "mem"],
        ["render", "--scratch"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("no_engine")
def test_what_cannot_be_meant_is_wrong_usage_and_is_named(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 64
    assert ran.out == ""
    assert "Error: " in ran.err
    assert "Traceback" not in ran.err
    assert words != ["biuld"] or "No such command 'biuld'" in ran.err


@pytest.mark.parametrize("command", ["build", "test"])
def test_an_unknown_image_is_one_line_that_lists_the_known_ones(
    run: Run, connect: Callable[[object], None], command: str
) -> None:
    connect(Untouched())
    ran = run(command, "bwaa")
    assert ran.code == 66
    assert error_of(ran).startswith(f"error: no image 'bwaa': images/ holds {', '.join(TOOLS)}. ")


@pytest.mark.parametrize("command", ["list", "build", "demo", "render --local"])
@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_a_command_says_how_to_get_one(run: Run, command: str) -> None:
    ran = run(*command.split())
    assert ran.code == 69
    assert error_of(ran).startswith("error: no Docker engine answers: there is no socket")
    assert "make setup" in ran.err


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("unix://{}/none.sock", "there is no socket: it is not installed or not running"),
        ("unix://{}/dead.sock", "its socket is there, but nothing listens"),
        ("nonsense", "Invalid bind address format: port is required: nonsense"),
    ],
)
def test_the_reason_why_no_engine_answers_is_told(tmp_path: Path, host: str, why: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    ended = subprocess.run(
        [sys.executable, HERE.root / "build.py", "list"],
        env={"DOCKER_HOST": host.format(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (69, "")
    assert ended.stderr.startswith(f"error: no Docker engine answers: {why}. Type: make setup")
    assert len(ended.stderr.splitlines()) == 1


def test_a_user_whom_the_engine_s_socket_is_closed_to_is_told_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise DockerException("Error while fetching server API version: ('...', PermissionError(13, '...'))")

    monkeypatch.setattr(docker, "from_env", refused)
    monkeypatch.setattr("toolchain.docker.engine.user", lambda: "jo")
    with pytest.raises(ToolchainError) as caught:
        Engine.connect()
    assert str(caught.value) == (
        "no Docker engine answers: user jo may not open its socket: it is not in the group docker. "
        "Type: sudo usermod -aG docker jo; and log in again."
    )


@pytest.mark.usefixtures("no_engine")
def test_rendering_for_the_cloud_needs_no_engine(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("toolchain.cli.jobdefs.HERE", Checkout(root=tmp_path))
    ran = run("render")
    assert ran.code == 66
    assert "build.py push" in error_of(ran)


def test_ctrl_c_stops_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "connect", interrupted)
    ran = run("build")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "stopped")


def test_a_reader_that_has_gone_is_no_error(
    run: Run, connect: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    connect(Holding())
    monkeypatch.setattr(listing, "list_images", gone)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.StringIO())
    assert run("list").code == 0


def test_a_failed_build_shows_the_step_s_output_and_then_the_error(
    run: Run, connect: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise BuildFailedError(
            "x does not build", why="it ended with 1", fix="See above.", details="Step 3\nno such file\n"
        )

    connect(Untouched())
    monkeypatch.setattr(builds, "build", fails)
    ran = run("build")
    assert ran == (70, "", "Step 3\nno such file\nerror: x does not build: it ended with 1. See above.\n")


def test_build_and_list_print_json_alone_with_json(run: Run, connect: Callable[[object], None]) -> None:
    connect(Holding())
    assert run("build") == (0, "", "nothing to build: every image is there with this content\n")
    ran = run("build", "--json", "samtools", "bwa")
    assert (ran.code, ran.err) == (0, "")
    built = json.loads(ran.out)
    assert [image["name"] for image in built] == ["bwa", "samtools"]
    assert all(image["id"] == f"id of {image['reference']}" and image["new"] is False for image in built)
    assert re.fullmatch(r"genomics/bwa:[0-9.]+-[0-9a-f]{12}", built[0]["reference"])
    connect(Empty())
    ran = run("list", "--json")
    assert (ran.code, ran.err) == (0, "")
    listed = json.loads(ran.out)
    assert [image["name"] for image in listed["images"]] == TOOLS
    assert all(image["built"] is False and image["compressed_bytes"] is None for image in listed["images"])
    assert listed["distinct_compressed_bytes"] == 0
    assert all(name in run("list").out for name in TOOLS)


def test_scratch_is_for_local_renderings_only(run: Run, connect: Callable[[object], None], tmp_path: Path) -> None:
    connect(Untouched())
    ran = run("render", "--scratch", tmp_path)
    assert ran.code == 64
    assert error_of(ran).startswith("error: --scratch without --local: ")


def test_test_hands_on_the_images_and_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def pytest_run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", pytest_run)
    assert run("test", "bwa").code == 3
    assert run("test").code == 3
    assert [command[-1] for command in commands] == ["--images=bwa", f"--images={','.join(TOOLS)}"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A reference and two files of reads."""
    made = (tmp_path / "ref.fa", tmp_path / "R1.fastq", tmp_path / "R2.fastq")
    for file in made:
        file.touch()
    return made


def own(files: tuple[Path, Path, Path], sample: str = "S1") -> dict[str, list[str | Path]]:
    reference, r1, r2 = files
    return {
        "--reference": ["--reference", reference],
        "--reads": ["--reads", r1, r2],
        "--sample": ["--sample", sample],
    }


def demo(run: Run, options: dict[str, list[str | Path]], *names: str) -> Ran:
    return run("demo", *(word for name in names or options for word in options[name]))


@pytest.mark.parametrize("given", [["--reads"], ["--reference"], ["--sample"], ["--reads", "--sample"]], ids=" ".join)
def test_a_user_s_own_reads_need_all_three_options(
    run: Run, connect: Callable[[object], None], files: tuple[Path, Path, Path], given: list[str]
) -> None:
    connect(Untouched())
    ran = demo(run, own(files), *given)
    assert ran.code == 64
    assert error_of(ran).startswith("error: --reference, --reads and --sample go together: ")


@pytest.mark.parametrize("sample", ["a b", "../x", "", "-", "x" * 65])
def test_a_sample_s_name_is_checked_before_anything_is_built(
    run: Run, connect: Callable[[object], None], files: tuple[Path, Path, Path], sample: str
) -> None:
    connect(Untouched())
    ran = demo(run, own(files, sample))
    assert ran.code == 64
    assert error_of(ran).startswith("error: bad sample name ")


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_file_that_is_not_there_is_named_before_anything_is_built(
    run: Run, connect: Callable[[object], None], files: tuple[Path, Path, Path], missing: int
) -> None:
    connect(Untouched())
    files[missing].unlink()
    ran = demo(run, own(files))
    assert ran.code == 66
    assert error_of(ran).startswith(f"error: no file {files[missing]}: ")


def test_results_are_never_overwritten_and_must_be_writable_before_anything_is_built(
    run: Run, connect: Callable[[object], None], tmp_path: Path
) -> None:
    connect(Untouched())
    (tmp_path / "file").touch()
    ran = run("demo", "--results", tmp_path)
    assert ran.code == 73
    assert error_of(ran).startswith(f"error: {tmp_path} is not empty: ")
    ran = run("demo", "--results", tmp_path / "file" / "results")
    assert ran.code == 73
    assert str(tmp_path / "file") in error_of(ran)

"""The Docker engine, with a stand-in for its client."""

import gc
import gzip
import hashlib
import io
import json
import os
import random
import socket
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound

from toolchain.docker.container import Container
from toolchain.docker.engine import LABEL, Engine, Result, context
from toolchain.errors import BuildFailedError, UnavailableError

Event = dict[str, object]
STREAM: list[Event] = [
    {"stream": "Step 1/2 : FROM scratch\n"},
    {"stream": " ---> 0123456789ab\n"},
    {"status": "Pulling"},
    {"stream": "Step 2/2 : RUN make\n"},
    {"stream": "\x1b[91mmake: no rule\n\x1b[0m"},
]
LAST_STEP = "Step 2/2 : RUN make\nmake: no rule\n"


def engine_with(**parts: Any) -> Engine:  # noqa: ANN401
    """An engine whose client has these parts."""
    client: Any = SimpleNamespace(**parts)
    return Engine(client)


def refusal(explanation: str) -> APIError:
    return APIError("400 Client Error", explanation=f"{explanation}.\n")


def failing(error: Exception) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# The connection


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("unix://{}/none.sock", "there is no socket: it is not installed or not running"),
        ("unix://{}/dead.sock", "its socket is there, but nothing listens"),
        ("nonsense", "Invalid bind address format: port is required: nonsense"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # docker-py leaves its socket open
def test_the_reason_why_no_engine_answers_is_said_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, why: str
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    monkeypatch.setenv("DOCKER_HOST", host.format(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        Engine.connect()
    setup = "Type: make setup, which starts one or says what is missing."
    assert str(caught.value) == f"no Docker engine answers: {why}. {setup}"
    del caught
    gc.collect()


def test_a_user_who_may_not_open_the_socket_is_told_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Error while fetching server API version: ('...', PermissionError(13, '...'))"
    monkeypatch.setattr(docker, "from_env", failing(DockerException(said)))
    monkeypatch.setattr("toolchain.docker.engine.user", lambda: "jo")
    with pytest.raises(UnavailableError) as caught:
        Engine.connect()
    assert str(caught.value) == (
        "no Docker engine answers: user jo may not open its socket: it is not in the group docker. "
        "Type: sudo usermod -aG docker jo; and log in again."
    )


# Build contexts


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A Dockerfile, a program and a file in a folder."""
    (tmp_path / "sub").mkdir()
    for name, mode in (("Dockerfile", 0o644), ("step", 0o755), ("sub/data", 0o600)):
        (tmp_path / name).write_text(f"{name}\n", encoding="ascii")
        (tmp_path / name).chmod(mode)
    return {name: tmp_path / name for name in ("sub/data", "step", "Dockerfile")}


def test_a_context_holds_content_and_whether_a_file_can_be_run_and_nothing_of_owners_and_times(
    files: dict[str, Path],
) -> None:
    with tarfile.open(fileobj=context(files)) as tar:
        members = tar.getmembers()
        texts = {name: (tar.extractfile(name) or io.BytesIO()).read() for name in tar.getnames()}
    assert texts == {"Dockerfile": b"Dockerfile\n", "step": b"step\n", "sub/data": b"sub/data\n"}
    assert {member.name: member.mode for member in members} == {"Dockerfile": 0o644, "step": 0o755, "sub/data": 0o644}
    for member in members:
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)


def test_a_context_is_the_same_bytes_whatever_the_order_the_times_and_the_umask(files: dict[str, Path]) -> None:
    before = context(files).getvalue()
    for file in files.values():
        os.utime(file, (1, 1))
    files["step"].chmod(0o700)
    files["Dockerfile"].chmod(0o664)
    assert context(dict(reversed(files.items()))).getvalue() == before
    files["step"].write_text("stop\n", encoding="ascii")
    assert context(files).getvalue() != before


# Builds


@dataclass
class Builder:
    """An engine that answers a build with these events."""

    events: Sequence[Event] = ()
    image: str | None = "sha256:built"
    error: Exception | None = None
    asked: dict[str, Any] = field(default_factory=dict)

    def build(self, **arguments: Any) -> Iterator[Event]:  # noqa: ANN401
        self.asked = arguments
        if self.error:
            raise self.error
        return iter(self.events)

    def get(self, reference: str) -> object:
        if self.image is None:
            raise ImageNotFound(reference)
        return SimpleNamespace(attrs={"Id": self.image})

    def run(self, report: Callable[[str], None] = lambda _: None) -> str:
        """Builds an image with it."""
        engine = engine_with(api=self, images=self)
        return engine.build({}, tag="genomics/x:1", arguments={"BASE": "b"}, labels={"l": "1"}, report=report)


def test_a_build_returns_the_image_s_id_and_reports_lines_without_colours() -> None:
    builder = Builder([*STREAM, {"stream": " \n"}, {"aux": {"ID": "sha256:other"}}])
    lines: list[str] = []
    assert builder.run(lines.append) == "sha256:built"
    assert lines == ["Step 1/2 : FROM scratch", "---> 0123456789ab", "Step 2/2 : RUN make", "make: no rule"]
    assert {
        "tag": "genomics/x:1",
        "buildargs": {"BASE": "b"},
        "labels": {"l": "1"},
        "custom_context": True,
    }.items() <= builder.asked.items()


@pytest.mark.parametrize(
    ("builder", "why", "details"),
    [
        (
            Builder([*STREAM, {"error": "The command 'make' returned a non-zero code: 2\n", "errorDetail": {}}]),
            "The command 'make' returned a non-zero code: 2",
            LAST_STEP,
        ),
        (Builder([{"error": "no space left on device"}]), "no space left on device", ""),
        (
            Builder(STREAM, image=None),
            "the engine's stream ended without an image",
            LAST_STEP,
        ),
        (Builder(error=refusal("unknown instruction: FORM")), "unknown instruction: FORM", ""),
    ],
    ids=["step", "before the first step", "no image", "Dockerfile"],
)
def test_a_failed_build_has_the_reason_and_the_failing_step_s_output(builder: Builder, why: str, details: str) -> None:
    with pytest.raises(BuildFailedError) as caught:
        builder.run()
    assert caught.value.what == "genomics/x:1 does not build"
    assert (caught.value.why, caught.value.details) == (why, details)


# Other questions about images


def test_compressed_sizes_are_those_of_gzip_6() -> None:
    source = random.Random(1)  # noqa: S311
    layers = [b"", b"a" * 3_000_000, source.randbytes(100_000) + b"".join(b"%d\n" % n for n in range(100_000))]
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Layers": names}]).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in zip([*names, "manifest.json"], [*layers, manifest], strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    saved = archive.getvalue()
    engine = engine_with(
        api=SimpleNamespace(get_image=lambda _: (saved[at : at + 65536] for at in range(0, len(saved), 65536))),
        images=SimpleNamespace(get=lambda _: SimpleNamespace(attrs={"RootFS": {"Layers": digests}})),
    )
    sizes = [len(gzip.compress(layer, compresslevel=6)) for layer in layers]
    assert engine.compressed_layers("x") == dict(zip(digests, sizes, strict=True))


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [("genomics/debian:trixie-13", "genomics/debian", "trixie-13"), ("host:5000/debian:1", "host:5000/debian", "1")],
)
def test_a_root_is_imported_under_its_name(tmp_path: Path, reference: str, repository: str, tag: str) -> None:
    asked = []

    def imported(archive: str, **names: str) -> str:
        asked.append((archive, names))
        return '{"status":"sha256:1"}\n'

    engine_with(api=SimpleNamespace(import_image_from_file=imported)).import_root(tmp_path / "root.tar", reference)
    assert asked == [(str(tmp_path / "root.tar"), {"repository": repository, "tag": tag})]


def test_an_error_in_the_answer_to_an_import_is_an_error(tmp_path: Path) -> None:
    answer = '{"status":"Importing"}\n{"error":"no space left"}\n'
    engine = engine_with(api=SimpleNamespace(import_image_from_file=lambda *_, **__: answer))
    with pytest.raises(BuildFailedError, match="cannot import x:1: no space left"):
        engine.import_root(tmp_path / "root.tar", "x:1")


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda engine: engine.layers("x"), "cannot look into x"),
        (lambda engine: engine.pull("x"), "cannot pull x"),
        (lambda engine: engine.read("x", "/etc"), "cannot look into x"),
    ],
)
def test_what_the_engine_refuses_is_an_error_with_its_reason(ask: Callable[[Engine], object], what: str) -> None:
    refuse = failing(refusal("no"))
    images = SimpleNamespace(get=refuse, pull=refuse)
    with pytest.raises(UnavailableError, match=rf"^{what}: no\. See the engine's own log"):
        ask(engine_with(images=images, containers=SimpleNamespace(create=refuse)))


# Containers


@dataclass
class Running:
    """A container, and the engine that makes it."""

    status: int = 0
    killed: bool = False
    refuses: str = ""
    created: dict[str, Any] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def engine(self) -> Engine:
        return engine_with(containers=self)

    def create(self, image: str, command: list[str] | None, **arguments: Any) -> "Running":  # noqa: ANN401
        if self.refuses == "create":
            raise refusal("no create")
        self.created = {"image": image, "command": command, **arguments}
        return self

    def start(self) -> None:
        if self.refuses == "start":
            raise refusal("no start")
        self.did.append("start")

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self.status}

    def logs(self, *, stdout: bool, stderr: bool) -> bytes:
        return b"out \xff" * stdout + b"one\ntwo\n" * stderr

    def reload(self) -> None:
        self.attrs = {"State": {"OOMKilled": self.killed}}

    def remove(self, *, force: bool, v: bool) -> None:
        self.did.append(f"remove force={force} volumes={v}")


REMOVED = "remove force=True volumes=True"


def test_a_container_is_run_to_its_end_and_removed() -> None:
    running = Running(status=65, killed=True)
    result = running.engine.run(Container(image="i", command=("step", "mem"), memory=4), network_mode="host")
    assert result == Result(
        exit_code=65, stdout="out \N{REPLACEMENT CHARACTER}", stderr="one\ntwo\n", out_of_memory=True
    )
    assert running.did == ["start", REMOVED]
    assert (running.created["command"], running.created["labels"]) == (["step", "mem"], {LABEL: "1"})
    assert running.created["network_mode"] == "host"


def test_a_container_without_a_command_runs_the_image_s_own() -> None:
    running = Running()
    running.engine.run(Container(image="i", memory=4))
    assert running.created["command"] is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_container_is_removed_however_the_block_ends(error: type[BaseException]) -> None:
    running = Running()
    with pytest.raises(error), running.engine.started(Container(image="i", memory=4)):
        raise error
    assert running.did == ["start", REMOVED]


@pytest.mark.parametrize(
    ("refuses", "error", "did"),
    [
        ("start", "cannot start a container of i: no start. See", [REMOVED]),
        ("create", "cannot make a container of i: no create. See", []),
    ],
)
def test_a_container_that_does_not_start_is_an_error_with_the_engine_s_reason(
    refuses: str, error: str, did: list[str]
) -> None:
    running = Running(refuses=refuses)
    with pytest.raises(UnavailableError) as caught:
        running.engine.run(Container(image="i", memory=4))
    assert str(caught.value).startswith(error)
    assert running.did == did


@pytest.mark.parametrize(
    ("stdout", "stderr", "message"),
    [("o", "a\nb\n\n", "b"), ("o\np\n", "", "p"), ("", "", "it said nothing"), ("", "\n", "it said nothing")],
)
def test_the_last_line_is_what_a_step_ends_with(stdout: str, stderr: str, message: str) -> None:
    assert Result(exit_code=1, stdout=stdout, stderr=stderr, out_of_memory=False).message == message

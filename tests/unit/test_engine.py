"""The Docker engine, with a stand-in for its client."""

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from toolchain.docker.container import Container
from toolchain.docker.engine import LABEL, Engine, Result, context
from toolchain.errors import BuildFailedError, UnavailableError

Event = dict[str, object]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A Dockerfile, a program and a file in a folder."""
    (tmp_path / "sub").mkdir()
    for name, mode in (("Dockerfile", 0o644), ("step", 0o755), ("sub/data", 0o600)):
        (tmp_path / name).write_text(f"{name}\n", encoding="ascii")
        (tmp_path / name).chmod(mode)
    return {name: tmp_path / name for name in ("sub/data", "step", "Dockerfile")}


def members(archive: io.BytesIO) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=archive) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_a_context_is_the_same_bytes_whenever_its_files_were_written(files: dict[str, Path]) -> None:
    before = context(files).getvalue()
    for file in files.values():
        os.utime(file, (1, 1))
    assert context(files).getvalue() == before


def test_a_context_is_the_same_bytes_in_whatever_order_its_files_are_named(files: dict[str, Path]) -> None:
    assert context(dict(reversed(files.items()))).getvalue() == context(files).getvalue()


def test_a_context_says_nothing_of_owners_and_times(files: dict[str, Path]) -> None:
    for member in members(context(files)).values():
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)


def test_a_context_keeps_of_a_mode_whether_a_file_can_be_run(files: dict[str, Path]) -> None:
    modes = {name: member.mode for name, member in members(context(files)).items()}
    assert modes == {"Dockerfile": 0o644, "step": 0o755, "sub/data": 0o644}


def test_a_context_is_the_same_bytes_whatever_the_umask_was(files: dict[str, Path]) -> None:
    before = context(files).getvalue()
    files["step"].chmod(0o700)
    files["Dockerfile"].chmod(0o664)
    assert context(files).getvalue() == before


def test_a_context_holds_the_files_content(files: dict[str, Path]) -> None:
    with tarfile.open(fileobj=context(files)) as tar:
        texts = {name: (tar.extractfile(name) or io.BytesIO()).read() for name in tar.getnames()}
    assert texts == {"Dockerfile": b"Dockerfile\n", "step": b"step\n", "sub/data": b"sub/data\n"}


def test_another_byte_is_another_context(files: dict[str, Path]) -> None:
    before = context(files).getvalue()
    files["step"].write_text("stop\n", encoding="ascii")
    assert context(files).getvalue() != before


@dataclass
class Builder:
    """An engine that answers a build with these events."""

    events: list[Event]
    image: str | None = "sha256:built"
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def engine(self) -> Engine:
        client: Any = SimpleNamespace(api=self, images=self)
        return Engine(client)

    def build(self, **arguments: Any) -> Iterator[Event]:  # noqa: ANN401
        self.asked = arguments
        return iter(self.events)

    def get(self, reference: str) -> object:
        if self.image is None:
            raise ImageNotFound(reference)
        return SimpleNamespace(attrs={"Id": self.image})


def build(engine: Engine, report: Callable[[str], None] = lambda _: None) -> str:
    return engine.build({}, tag="genomics/x:1", arguments={"BASE": "b"}, labels={"l": "1"}, report=report)


STREAM: list[Event] = [
    {"stream": "Step 1/2 : FROM scratch\n"},
    {"stream": " ---> 0123456789ab\n"},
    {"status": "Pulling"},
    {"stream": "Step 2/2 : RUN make\n"},
    {"stream": "\x1b[91mmake: no rule\n\x1b[0m"},
]


def test_a_build_returns_the_image_s_id() -> None:
    builder = Builder([*STREAM, {"aux": {"ID": "sha256:other"}}])
    assert build(builder.engine) == "sha256:built"


def test_a_build_is_asked_for_with_its_context_tag_arguments_and_labels() -> None:
    builder = Builder(STREAM)
    build(builder.engine)
    assert builder.asked["tag"] == "genomics/x:1"
    assert builder.asked["buildargs"] == {"BASE": "b"}
    assert builder.asked["labels"] == {"l": "1"}
    assert builder.asked["custom_context"] is True
    assert members(builder.asked["fileobj"]) == {}


def test_a_build_tells_what_it_does_without_colours_and_empty_lines() -> None:
    told: list[str] = []
    build(Builder([*STREAM, {"stream": " \n"}]).engine, told.append)
    assert told == ["Step 1/2 : FROM scratch", "---> 0123456789ab", "Step 2/2 : RUN make", "make: no rule"]


def test_an_error_in_the_stream_is_a_failed_build_with_the_failing_step_s_output() -> None:
    builder = Builder([*STREAM, {"error": "The command 'make' returned a non-zero code: 2\n", "errorDetail": {}}])
    with pytest.raises(BuildFailedError) as caught:
        build(builder.engine)
    assert caught.value.what == "genomics/x:1 does not build"
    assert caught.value.why == "The command 'make' returned a non-zero code: 2"
    assert caught.value.details == "Step 2/2 : RUN make\nmake: no rule\n"


def test_an_error_before_the_first_step_is_a_failed_build_too() -> None:
    with pytest.raises(BuildFailedError, match="no space left on device") as caught:
        build(Builder([{"error": "no space left on device"}]).engine)
    assert caught.value.details == ""


def test_a_stream_that_ends_without_an_image_is_a_failed_build() -> None:
    with pytest.raises(BuildFailedError, match="the engine's stream ended without an image"):
        build(Builder(STREAM, image=None).engine)


def test_a_dockerfile_that_the_engine_refuses_is_a_failed_build() -> None:
    class Refusing(Builder):
        def build(self, **_: Any) -> Iterator[Event]:  # noqa: ANN401
            message = "400 Client Error"
            raise APIError(message, explanation="dockerfile parse error line 1: unknown instruction: FORM")

    with pytest.raises(BuildFailedError, match="unknown instruction: FORM"):
        build(Refusing([]).engine)


def test_an_image_that_the_engine_does_not_hold_is_none() -> None:
    assert Builder([], image=None).engine.find("genomics/x:1") is None
    assert Builder([]).engine.find("genomics/x:1") == "sha256:built"


def saved(layers: list[bytes]) -> bytes:
    """An image as `docker save` writes it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        manifest = [{"Layers": [f"{number}/layer.tar" for number in range(len(layers))]}]
        for name, content in [
            *((f"{number}/layer.tar", layer) for number, layer in enumerate(layers)),
            ("manifest.json", json.dumps(manifest).encode()),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def test_compressed_sizes_are_those_of_gzip_6() -> None:
    source = random.Random(1)  # noqa: S311
    layers = [b"", b"a" * 3_000_000, source.randbytes(100_000) + b"".join(b"%d\n" % n for n in range(300_000))]
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    whole = saved(layers)
    client: Any = SimpleNamespace(
        api=SimpleNamespace(get_image=lambda _: (whole[at : at + 65536] for at in range(0, len(whole), 65536))),
        images=SimpleNamespace(get=lambda _: SimpleNamespace(attrs={"RootFS": {"Layers": digests}})),
    )
    expected = {
        digest: len(gzip.compress(layer, compresslevel=6)) for digest, layer in zip(digests, layers, strict=True)
    }
    assert Engine(client).compressed_layers("x") == expected


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [("genomics/debian:trixie-13", "genomics/debian", "trixie-13"), ("host:5000/debian:1", "host:5000/debian", "1")],
)
def test_a_root_is_imported_under_its_name(tmp_path: Path, reference: str, repository: str, tag: str) -> None:
    asked = []

    def imported(archive: str, **names: str) -> str:
        asked.append((archive, names))
        return '{"status":"sha256:1"}\n'

    client: Any = SimpleNamespace(api=SimpleNamespace(import_image_from_file=imported))
    Engine(client).import_root(tmp_path / "root.tar", reference)
    assert asked == [(str(tmp_path / "root.tar"), {"repository": repository, "tag": tag})]


def test_an_error_in_the_answer_to_an_import_is_an_error(tmp_path: Path) -> None:
    answer = '{"status":"Importing"}\n{"error":"no space left"}\n'
    client: Any = SimpleNamespace(api=SimpleNamespace(import_image_from_file=lambda *_, **__: answer))
    with pytest.raises(BuildFailedError, match="cannot import x:1: no space left"):
        Engine(client).import_root(tmp_path / "root.tar", "x:1")


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
        client: Any = SimpleNamespace(containers=self)
        return Engine(client)

    def _refuse(self, what: str) -> None:
        if self.refuses == what:
            message = "404 Client Error"
            raise APIError(message, explanation=f"no {what}.\n")

    def create(self, image: str, command: list[str] | None, **arguments: Any) -> "Running":  # noqa: ANN401
        self._refuse("create")
        self.created = {"image": image, "command": command, **arguments}
        return self

    def start(self) -> None:
        self._refuse("start")
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
    result = running.engine.run(Container(image="i", command=("step", "mem"), memory=4), network_mode="none")
    assert result == Result(
        exit_code=65, stdout="out \N{REPLACEMENT CHARACTER}", stderr="one\ntwo\n", out_of_memory=True
    )
    assert running.did == ["start", REMOVED]
    assert running.created["command"] == ["step", "mem"]
    assert running.created["labels"] == {LABEL: "1"}
    assert running.created["network_mode"] == "none"


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


def test_a_container_that_does_not_start_is_removed_and_the_engine_s_reason_given() -> None:
    running = Running(refuses="start")
    with pytest.raises(UnavailableError, match=r"^cannot start a container of i: no start\. See"):
        running.engine.run(Container(image="i", memory=4))
    assert running.did == [REMOVED]


def test_a_container_that_cannot_be_made_is_an_error_with_the_engine_s_reason() -> None:
    running = Running(refuses="create")
    with pytest.raises(UnavailableError, match=r"^cannot make a container of i: no create\. See"):
        running.engine.run(Container(image="i", memory=4))
    assert running.did == []


@pytest.mark.parametrize(
    ("stdout", "stderr", "message"),
    [("o", "a\nb\n\n", "b"), ("o\np\n", "", "p"), ("", "", "it said nothing"), ("", "\n", "it said nothing")],
)
def test_the_last_line_is_what_a_step_ends_with(stdout: str, stderr: str, message: str) -> None:
    assert Result(exit_code=1, stdout=stdout, stderr=stderr, out_of_memory=False).message == message

"""The Docker engine: find, build, push and measure images, run one container.

docker-py answers a failed build or push with status 200 and puts the error into the stream (docker-py#1772,
#3277): the stream is read to its end.
"""

import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.docker import engine_socket
from toolchain.errors import BuildFailedError, UnavailableError
from toolchain.files import user

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container as DockerContainer

    from toolchain.docker.container import Container

# Every container that the toolchain makes carries it, so that what a killed command left can be found.
LABEL = "genomics.toolchain"
_CHUNK = 1024 * 1024
# The classic builder paints a step's stderr red.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a container ended.

    Attributes:
        exit_code: Its exit code; 128+N where signal N ended it.
        stdout: What it wrote to stdout, whole.
        stderr: What it wrote to stderr, whole.
        out_of_memory: Whether the kernel killed a process of it at its memory limit.
    """

    exit_code: int
    stdout: str
    stderr: str
    out_of_memory: bool

    @property
    def message(self) -> str:
        """The last thing it said, which is what a step ends with when it fails."""
        lines = (self.stderr or self.stdout).strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How far the push of a layer has come.

    Attributes:
        name: The layer, as the engine shortens it.
        doing: What the engine does with it, in its words.
        sent: Bytes sent.
        total: Bytes to send, where the engine says so.
    """

    name: str
    doing: str
    sent: int = 0
    total: int | None = None


class PushRefusedError(Exception):
    """A push that did not end with a digest; the text is the engine's or the registry's own."""


class Engine:
    """A Docker engine that answers.

    Args:
        client: docker-py's; made when it is first needed if none, since its import takes longer than most questions.
    """

    def __init__(self, client: "docker.DockerClient | None" = None) -> None:
        if client is not None:
            self.client = client
        self._running: list[DockerContainer] = []

    @cached_property
    def client(self) -> "docker.DockerClient":
        """docker-py's client.

        Raises:
            UnavailableError: No engine answers.
        """
        import docker
        from docker.errors import DockerException

        try:
            client = docker.from_env()
            client.ping()
        except DockerException as error:
            why, fix = _reason(error)
            raise UnavailableError("no Docker engine answers", why=why, fix=fix) from error
        return client

    @classmethod
    def connect(cls) -> "Engine":
        """Connects to the engine that DOCKER_HOST or the usual socket names.

        Raises:
            UnavailableError: None answers.
        """
        engine = cls()
        if not engine_socket.answers():
            engine.client  # noqa: B018  # it says what is wrong, or knows another way
        return engine

    def find(self, reference: str) -> str | None:
        """The id of an image that the engine holds, or none."""
        known = self._known(reference)
        return None if known is None else str(known["Id"])

    def _known(self, reference: str) -> "Mapping[str, Any] | None":
        """What the engine knows of an image, or none."""
        if "client" not in self.__dict__:
            with suppress(OSError):
                return engine_socket.image(reference)
        from docker.errors import ImageNotFound

        try:
            found = self.client.images.get(reference)
        except ImageNotFound:
            return None
        return found.attrs

    def build(
        self,
        files: Mapping[str, Path],
        *,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        report: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Builds an image from a context of these files and no other.

        Args:
            files: Path in the context to file.
            tag: `repository:tag` that the image gets.
            arguments: Build arguments.
            labels: Labels.
            report: Is told what the build does now, a line at a time.

        Returns:
            The image's id.

        Raises:
            BuildFailedError: A step of the Dockerfile failed; its output is in `details`.
        """
        from docker.errors import DockerException

        output: list[str] = []
        try:
            for event in self.client.api.build(
                fileobj=context(files),
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels=dict(labels),
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in event:
                    raise _build_failed(tag, str(event["error"]), output)
                text = _COLOUR.sub("", str(event.get("stream", "")))
                output.append(text)
                if line := text.strip():
                    report(line)
        except DockerException as error:  # such as a Dockerfile that the engine does not take
            raise _build_failed(tag, _explanation(error), output) from error
        built = self.find(tag)
        if built is None:
            raise _build_failed(tag, "the engine's stream ended without an image", output)
        return built

    def push(
        self,
        image_id: str,
        repository: str,
        tag: str,
        *,
        login: Mapping[str, str],
        report: Callable[[Layer], None] = lambda _: None,
    ) -> str:
        """Pushes an image to a registry.

        Args:
            image_id: The image, by its id or a name.
            repository: The repository's address.
            tag: The tag that it gets there.
            login: `username` and `password`, sent with this one request and kept nowhere.
            report: Is told how far each layer has come; whatever it raises ends the push.

        Returns:
            The digest of what the registry now holds.

        Raises:
            PushRefusedError: The engine or the registry said no, or one of them hung up.
        """
        import requests
        import urllib3
        from docker.errors import DockerException

        digest = None
        try:
            self.client.api.tag(image_id, repository, tag)
            stream = self.client.api.push(repository, tag=tag, stream=True, decode=True, auth_config=dict(login))
            try:
                for event in stream:
                    if "error" in event:
                        raise PushRefusedError(str(event["error"]).strip())
                    digest = (event.get("aux") or {}).get("Digest", digest)
                    if "id" in event:
                        report(_layer(event))
            finally:
                stream.close()
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise PushRefusedError(f"the engine broke off: {error}") from error
        if digest is None:
            raise PushRefusedError("the engine's answer ended without a digest")
        return str(digest)

    def read(self, reference: str, folder: str) -> dict[str, bytes]:
        """The regular files below a folder of an image, by their paths; none if there is no such folder."""
        from docker.errors import NotFound

        # Never started: its files are read, and nothing of it runs.
        with _cannot(f"cannot look into {reference}"):
            container = self.client.containers.create(reference, ["-"], labels={LABEL: "1"})
        try:
            archive = io.BytesIO()
            with _cannot(f"cannot look into {reference}"):
                try:
                    for chunk in container.get_archive(folder)[0]:
                        archive.write(chunk)
                except NotFound:
                    return {}
        finally:
            container.remove(force=True, v=True)
        archive.seek(0)
        above = folder.rstrip("/").rpartition("/")[0]
        with tarfile.open(fileobj=archive) as files:
            return {f"{above}/{member.name}": _member(files, member.name) for member in files if member.isfile()}

    def created(self, reference: str) -> datetime:
        """When an image was made, as it says itself."""
        return datetime.fromisoformat(str(self.client.images.get(reference).attrs["Created"]))

    def import_root(self, archive: Path, reference: str) -> None:
        """Makes an image of one layer from a tar archive of a root file system."""
        repository, _, tag = reference.rpartition(":")
        # docker-py reads the whole archive into memory for a file object; a path it sends as it is.
        result = self.client.api.import_image_from_file(str(archive), repository=repository, tag=tag)
        for line in str(result).splitlines():
            if "error" in (event := json.loads(line)):
                raise BuildFailedError(
                    f"cannot import {reference}", why=str(event["error"]), fix="See the engine's log."
                )

    def layers(self, reference: str) -> tuple[str, ...]:
        """The digests of an image's uncompressed layers, the lowest first."""
        known = self._known(reference)
        if known is None:
            raise UnavailableError(
                f"no image {reference}", why="the engine does not hold it", fix="Type: python build.py build"
            )
        return tuple(known["RootFS"]["Layers"])

    def compressed_layers(self, reference: str) -> dict[str, int]:
        """Layer digest to its size in bytes as gzip -6 makes it: about what a registry keeps and a host pulls."""
        archive = io.BytesIO()
        for chunk in self.client.api.get_image(reference):
            archive.write(chunk)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as image:
            manifest = json.loads(_member(image, "manifest.json"))[0]
            sizes = [_gzip_size(_member(image, name)) for name in manifest["Layers"]]
        return dict(zip(self.layers(reference), sizes, strict=True))

    @contextmanager
    def started(self, container: "Container", **extra: Any) -> Iterator["DockerContainer"]:  # noqa: ANN401
        """A container that was created and started, and is removed however the block ends.

        Args:
            container: What to run.
            **extra: Further arguments of docker-py's `containers.create`, such as `network_mode`.
        """
        # Beside what a job definition can say, a container here is a process of this machine: without a
        # label, nothing could tell it from the user's own.
        arguments = {"labels": {LABEL: "1"}, **container.docker_arguments(), **extra}
        with _cannot(f"cannot make a container of {container.image}"):
            created = self.client.containers.create(container.image, list(container.command) or None, **arguments)
        self._running.append(created)
        try:
            with _cannot(f"cannot start a container of {container.image}"):
                created.start()
            yield created
        finally:
            self._running.remove(created)
            created.remove(force=True, v=True)

    def kill_running(self) -> None:
        """Kills every container that was started here and still runs: who waits for one then sees it end."""
        from docker.errors import DockerException

        for container in tuple(self._running):
            with suppress(DockerException):  # it may have ended by itself
                container.kill()

    def run(self, container: "Container", **extra: Any) -> Result:  # noqa: ANN401
        """Runs a container to its end.

        Args:
            container: What to run.
            **extra: Further arguments of docker-py's `containers.create`.
        """
        with self.started(container, **extra) as running:
            exit_code = int(running.wait()["StatusCode"])
            return Result(
                exit_code=exit_code,
                stdout=running.logs(stdout=True, stderr=False).decode(errors="replace"),
                stderr=running.logs(stdout=False, stderr=True).decode(errors="replace"),
                out_of_memory=_ran_out_of_memory(running),
            )


@contextmanager
def _cannot(what: str) -> Iterator[None]:
    from docker.errors import DockerException

    try:
        yield
    except DockerException as error:
        fix = "See the engine's own log; `docker info` tells how it does."
        raise UnavailableError(what, why=_explanation(error), fix=fix) from error


def _explanation(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error).strip().rstrip(".")


def _build_failed(tag: str, why: str, output: list[str]) -> BuildFailedError:
    return BuildFailedError(
        f"{tag} does not build",
        why=why.strip().rstrip("."),
        fix="Its output, if any, stands above.",
        details="".join(output[_last_step(output) :]),
    )


def context(files: Mapping[str, Path]) -> io.BytesIO:
    """A build context as a tar archive: the same bytes for the same files, whoever owns them and when."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, file in sorted(files.items()):
            content = file.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    return archive


def _layer(event: Mapping[str, Any]) -> Layer:
    progress = event.get("progressDetail") or {}
    return Layer(
        name=str(event["id"]),
        doing=str(event.get("status", "")),
        sent=int(progress.get("current", 0)),
        total=progress.get("total"),
    )


def _ran_out_of_memory(container: "DockerContainer") -> bool:
    container.reload()
    return bool(container.attrs["State"]["OOMKilled"])


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise BuildFailedError("cannot read a saved image", why=f"{name} is no file in it", fix="See the engine's log.")
    return member.read()


def _gzip_size(data: bytes) -> int:
    compressor = zlib.compressobj(level=6, wbits=31)
    size = sum(len(compressor.compress(data[start : start + _CHUNK])) for start in range(0, len(data), _CHUNK))
    return size + len(compressor.flush())


def _last_step(output: list[str]) -> int:
    return max((number for number, line in enumerate(output) if line.startswith("Step ")), default=0)


def _reason(error: Exception) -> tuple[str, str]:
    """Why no engine answers, and what to do."""
    text = str(error)
    setup = "Type: make setup, which starts one or says what is missing."
    join = f"Type: sudo usermod -aG docker {user()}; and log in again."
    for sign, why, fix in (
        ("PermissionError", f"user {user()} may not open its socket: it is not in the group docker", join),
        ("FileNotFoundError", "there is no socket: it is not installed or not running", setup),
        ("ConnectionRefused", "its socket is there, but nothing listens", setup),
    ):
        if sign in text:
            return why, fix
    return text, setup

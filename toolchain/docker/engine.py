"""The Docker engine: finds, builds, pushes and measures images, and runs containers.

docker-py reports a failed build or push in its stream of events and not as an exception (docker-py#1772, #3277): every
stream is read to its end.
"""

# docker-py takes longer to import than `build.py --help` to answer, so it is imported where it is used.

import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from toolchain.console import LayerProgress
from toolchain.docker.container import Container
from toolchain.errors import BuildFailedError, UnavailableError
from toolchain.files import user

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container as DockerContainer

# On every container that the toolchain makes, so that those of a command that was killed can be found.
LABEL = "genomics.toolchain"
_CHUNK = 1024 * 1024
# The classic builder colours stderr.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a container ended.

    Attributes:
        exit_code: 128+N where signal N ended it.
        out_of_memory: Whether the kernel killed one of its processes at the memory limit.
    """

    exit_code: int
    stdout: str
    stderr: str
    out_of_memory: bool

    @property
    def message(self) -> str:
        """The last line of output, which is a failed step's error."""
        lines = (self.stderr or self.stdout).strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class PushRefusedError(Exception):
    """A push that did not end with a digest; the text is the engine's or the registry's own."""


class Engine:
    """A Docker engine, by docker-py's client."""

    def __init__(self, client: "DockerClient") -> None:
        self.client = client

    @classmethod
    def connect(cls) -> "Engine":
        """Connects to the engine of DOCKER_HOST, else of Docker's current context, else at the usual socket.

        Raises:
            UnavailableError: None answers.
        """
        import docker
        from docker.errors import DockerException

        try:
            return cls(docker.from_env())  # which asks the engine for its version
        except DockerException as error:
            raise _unreachable(str(error)) from error

    # Images.

    def find(self, reference: str) -> str | None:
        """The id of an image, or None if the engine does not have it."""
        image = _unless_missing(lambda: self.client.images.get(reference))
        return None if image is None else str(image.attrs["Id"])

    def pull(self, reference: str) -> None:
        """Pulls an image.

        Raises:
            UnavailableError: No registry has it, or none answers.
        """
        with _raising(lambda why: _unavailable(f"cannot pull {reference}", why)):
            self.client.images.pull(reference)

    def build(
        self,
        files: Mapping[str, Path],
        *,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        report: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Builds an image.

        Args:
            files: The build context: path in it to file.
            tag: `repository:tag` that the image gets.
            arguments: Of the Dockerfile's ARG.
            labels: Labels of the image.
            report: Called with each line of the build's output.

        Returns:
            The image's id.

        Raises:
            BuildFailedError: A step of the Dockerfile failed; its output is in `details`.
        """
        output: list[str] = []

        def failed(why: str) -> BuildFailedError:
            last_step = max((number for number, line in enumerate(output) if line.startswith("Step ")), default=0)
            return BuildFailedError(
                f"{tag} does not build",
                why=why.strip().rstrip("."),
                fix="Its output, if it wrote any, is above.",
                details="".join(output[last_step:]),
            )

        with _raising(failed):  # such as for a Dockerfile that the engine does not take
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
                    raise failed(str(event["error"]))
                text = _COLOUR.sub("", str(event.get("stream", "")))
                output.append(text)
                if line := text.strip():
                    report(line)
        image_id = self.find(tag)
        if image_id is None:
            raise failed("the engine's stream ended without an image")
        return image_id

    def push(
        self,
        image_id: str,
        repository: str,
        tag: str,
        *,
        login: Mapping[str, str],
        report: Callable[[LayerProgress], None] = lambda _: None,
    ) -> str:
        """Pushes an image to a repository, and returns the digest of its manifest there.

        Args:
            image_id: The image, by its id or a name.
            repository: The repository's address.
            tag: The tag that it gets there.
            login: `username` and `password`, which are sent with this request and not stored.
            report: Called with the progress of each layer; an exception that it raises ends the push.

        Raises:
            PushRefusedError: The engine or the registry refused, or closed the connection.
        """
        digest = None
        with _raising(lambda why: PushRefusedError(f"the engine broke off: {why}")):
            self.client.api.tag(image_id, repository, tag)
            stream = self.client.api.push(repository, tag=tag, stream=True, decode=True, auth_config=dict(login))
            with closing(stream):
                for event in stream:
                    if "error" in event:
                        raise PushRefusedError(str(event["error"]).strip())
                    digest = (event.get("aux") or {}).get("Digest", digest)
                    if "id" in event:
                        report(_layer_progress(event))
        if digest is None:
            raise PushRefusedError("the engine's answer ended without a digest")
        return str(digest)

    def import_root(self, archive: Path, reference: str) -> None:
        """Makes an image of one layer from a tar archive of a root file system.

        Raises:
            BuildFailedError: The engine does not take it.
        """
        repository, _, tag = reference.rpartition(":")
        # docker-py reads all of a file object into memory, and streams a file that it opens itself.
        result = self.client.api.import_image_from_file(str(archive), repository=repository, tag=tag)
        for line in str(result).splitlines():
            if "error" in (event := json.loads(line)):
                raise BuildFailedError(
                    f"cannot import {reference}", why=str(event["error"]), fix="See the engine's log."
                )

    def read(self, reference: str, folder: str) -> dict[str, bytes]:
        """The regular files below a folder of an image, by path; none if the folder does not exist."""
        archive = io.BytesIO()
        with _raising(lambda why: _unavailable(f"cannot look into {reference}", why)):
            # It is never started, so that nothing of the image runs.
            container = self.client.containers.create(reference, ["-"], labels={LABEL: "1"})
            try:
                answer = _unless_missing(lambda: container.get_archive(folder))
                if answer is None:
                    return {}
                archive.writelines(answer[0])
            finally:
                container.remove(force=True, v=True)
        archive.seek(0)
        parent = folder.rstrip("/").rpartition("/")[0]
        with tarfile.open(fileobj=archive) as files:
            return {f"{parent}/{member.name}": _read(files, member.name) for member in files if member.isfile()}

    def created(self, reference: str) -> datetime:
        """When an image was built."""
        return datetime.fromisoformat(str(self._attributes(reference)["Created"]))

    def layers(self, reference: str) -> tuple[str, ...]:
        """The digests of an image's uncompressed layers, from the bottom."""
        return tuple(self._attributes(reference)["RootFS"]["Layers"])

    def compressed_layers(self, reference: str) -> dict[str, int]:
        """Layer digest to bytes after gzip -6, which is about what a registry stores and a host pulls."""
        archive = io.BytesIO()
        archive.writelines(self.client.api.get_image(reference))
        archive.seek(0)
        with tarfile.open(fileobj=archive) as image:
            manifest = json.loads(_read(image, "manifest.json"))[0]
            sizes = [_gzip_size(_read(image, name)) for name in manifest["Layers"]]
        return dict(zip(self.layers(reference), sizes, strict=True))

    def _attributes(self, reference: str) -> Mapping[str, Any]:
        with _raising(lambda why: _unavailable(f"cannot look into {reference}", why)):
            return self.client.images.get(reference).attrs

    # Containers.

    @contextmanager
    def started(self, container: Container, **extra: Any) -> Iterator["DockerContainer"]:  # noqa: ANN401
        """A running container, which is removed however the block ends; `extra` is for docker-py's `create`."""
        arguments = {"labels": {LABEL: "1"}, **container.docker_arguments(), **extra}
        with _raising(lambda why: _unavailable(f"cannot make a container of {container.image}", why)):
            created = self.client.containers.create(container.image, list(container.command) or None, **arguments)
        try:
            with _raising(lambda why: _unavailable(f"cannot start a container of {container.image}", why)):
                created.start()
            yield created
        finally:
            created.remove(force=True, v=True)

    def run(self, container: Container, **extra: Any) -> Result:  # noqa: ANN401
        """Runs a container to its end; `extra` is for docker-py's `containers.create`."""
        with self.started(container, **extra) as running:
            exit_code = int(running.wait()["StatusCode"])
            running.reload()
            return Result(
                exit_code=exit_code,
                stdout=running.logs(stdout=True, stderr=False).decode(errors="replace"),
                stderr=running.logs(stdout=False, stderr=True).decode(errors="replace"),
                out_of_memory=bool(running.attrs["State"]["OOMKilled"]),
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


@contextmanager
def _raising(make: Callable[[str], Exception]) -> Iterator[None]:
    """Turns an error of docker-py or of its HTTP client into another one, made from the reason."""
    import requests
    import urllib3
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = getattr(error, "explanation", None) or error
        raise make(str(reason).strip().rstrip(".")) from error


def _unless_missing(ask: Callable[[], _T]) -> _T | None:
    """The engine's answer, or None for one of 404."""
    from docker.errors import NotFound

    try:
        return ask()
    except NotFound:
        return None


def _unavailable(what: str, why: str) -> UnavailableError:
    return UnavailableError(what, why=why, fix="See the engine's own log; `docker info` tells how it does.")


def _unreachable(text: str) -> UnavailableError:
    """The error for an engine that does not answer, from docker-py's text."""
    why, fix = text, "Type: make setup, which starts one or says what is missing."
    if "PermissionError" in text:
        why = f"user {user()} may not open its socket: it is not in the group docker"
        fix = f"Type: sudo usermod -aG docker {user()}; and log in again."
    elif "FileNotFoundError" in text:
        why = "there is no socket: it is not installed or not running"
    elif "ConnectionRefused" in text:
        why = "its socket is there, but nothing listens"
    return UnavailableError("no Docker engine answers", why=why, fix=fix)


def _layer_progress(event: Mapping[str, Any]) -> LayerProgress:
    progress = event.get("progressDetail") or {}
    return LayerProgress(
        name=str(event["id"]),
        status=str(event.get("status", "")),
        sent=int(progress.get("current", 0)),
        total=progress.get("total"),
    )


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    return cast("IO[bytes]", archive.extractfile(name)).read()


def _gzip_size(data: bytes) -> int:
    compressor = zlib.compressobj(level=6, wbits=31)
    size = sum(len(compressor.compress(data[start : start + _CHUNK])) for start in range(0, len(data), _CHUNK))
    return size + len(compressor.flush())

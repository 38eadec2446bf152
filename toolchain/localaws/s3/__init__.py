"""S3 on this machine: buckets are directories, and every file below one is an object, whoever put it there.

moto 5.2.5: objects are kept in memory or in temporary files, are read whole, and their checksums are not compared.
Buckets and their settings, such as policies and encryption, are moto's. Not emulated: versions, tags and access lists
of objects, and keys that cannot be paths.
"""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Final
from xml.parsers.expat import ExpatError

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.wrappers import Request, Response

from toolchain.localaws.config import LocalConfig
from toolchain.localaws.s3.api import Listener, ObjectApi, error_response
from toolchain.localaws.s3.body import Body
from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.multipart import Uploads
from toolchain.localaws.s3.objects import Objects, is_bucket_name
from toolchain.localaws.safe_path import SafePath

# What moto raises of a document that is another than it expects.
_UNREADABLE: Final = (ExpatError, KeyError, TypeError, ValueError)


class S3Application:
    """A WSGI application that answers for S3.

    Args:
        config: Where the buckets are.
        listener: Is told of objects that are put and deleted.
    """

    def __init__(self, config: LocalConfig, listener: Listener) -> None:
        objects = Objects(root=config.buckets)
        uploads = Uploads(objects, config.root / "uploads")
        self._root = config.buckets
        self._objects = ObjectApi(objects=objects, uploads=uploads, listener=listener)
        self._moto: Callable[..., Any] = create_backend_app("s3")
        # A bucket that is half made or half deleted would be adopted as a directory that was made by hand.
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:  # noqa: ANN401  # as WSGI has it
        """Answers one request."""
        request = Request(environ)
        try:
            self._adopt_directories()
            response = self._objects.answer(request) or self._answer_of_bucket(request)
        except S3Error as error:
            response = error_response(error, request)
        return response(environ, start)

    def _answer_of_bucket(self, request: Request) -> Response:
        """Lets moto answer, which knows neither chunks nor trailers."""
        content = Body(request).document()
        request.environ.update({"wsgi.input": BytesIO(content), "CONTENT_LENGTH": str(len(content))})
        for name in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
            request.environ.pop(name, None)
        with self._directories_following_moto():
            if request.method == "DELETE" and not request.args:
                bucket = SafePath(self._root, PurePosixPath(request.path.strip("/")))
                if any(bucket.files()):
                    raise S3Error("BucketNotEmpty", "The bucket you tried to delete is not empty", status=409)
            try:
                return Response.from_app(self._moto, request.environ)
            except _UNREADABLE as error:
                if request.method != "PUT":
                    raise
                raise S3Error("MalformedXML", f"The document cannot be read: {error}") from error

    def _adopt_directories(self) -> None:
        """Makes buckets of directories that were made by hand; a symbolic link would lead out."""
        with self._lock:
            for folder in self._root.iterdir():
                is_own = folder.is_dir() and not folder.is_symlink()
                if is_own and is_bucket_name(folder.name) and folder.name not in _moto_backend().buckets:
                    _moto_backend().create_bucket(folder.name, "us-east-1")

    @contextmanager
    def _directories_following_moto(self) -> Iterator[None]:
        """Makes and removes the directories of buckets that moto makes and deletes within the block."""
        with self._lock:
            before = set(_moto_backend().buckets)
            yield
            after = set(_moto_backend().buckets)
            for name in after - before:
                (self._root / name).mkdir(exist_ok=True)
            for name in before - after:
                # Symbolic links are no objects: they go with their bucket, and what they lead to stays.
                shutil.rmtree(self._root / name, ignore_errors=True)


def _moto_backend() -> S3Backend:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]

"""S3, whose buckets are directories: what lies at <bucket>/<key> is an object, whoever put it there.

moto's keeps every object in its own memory or temporary files, and reads each whole. Here objects are files, streamed
both ways; what concerns buckets, such as policies and encryption, is moto's. A directory that somebody made where the
buckets are is a bucket. What is not here: versions of objects (a bucket's versioning is kept, and no version is), their
tags and access lists, and keys that cannot be paths.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from xml.parsers.expat import ExpatError

from toolchain.localaws.config import LocalConfig

if TYPE_CHECKING:
    from werkzeug.wrappers import Request, Response

    from toolchain.localaws.s3.api import Listener

_UNREADABLE: Final = (ExpatError, KeyError, TypeError, ValueError)


@contextmanager
def application(world: LocalConfig, listener: "Listener") -> Iterator[Any]:
    """A WSGI application that answers for S3, until the block ends.

    Args:
        world: Where the buckets are.
        listener: Who is told of objects that come and go.
    """
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.wrappers import Request, Response

    from toolchain.localaws.s3.api import ObjectApi, refusal
    from toolchain.localaws.s3.buckets import Buckets
    from toolchain.localaws.s3.errors import S3Error
    from toolchain.localaws.s3.multipart import Uploads
    from toolchain.localaws.s3.objects import Objects

    objects = Objects(root=world.buckets)
    api = ObjectApi(objects=objects, uploads=Uploads(objects, world.root / "uploads"), listener=listener)
    buckets = Buckets(world.buckets)
    stock = create_backend_app("s3")
    guard = threading.Lock()

    def answer(environ: Any, start: Any) -> Iterable[bytes]:  # noqa: ANN401  # as WSGI has it
        request = Request(environ)
        with guard:
            buckets.meet()
        found = api.answer(request)
        if found is not None:
            return found(environ, start)
        if refused := _with_content(request):
            return refused(environ, start)
        # One at a time: a bucket that is half made, or half gone, would be met as somebody's directory.
        with guard, buckets.followed():
            bucket = request.path.strip("/")
            if request.method == "DELETE" and not request.args and not buckets.empty(bucket):
                full = Response(buckets.not_empty(bucket), status=409, content_type="application/xml")
                return full(environ, start)
            try:
                return stock(environ, start)
            except _UNREADABLE as error:
                # moto takes a document apart as if it were always the right one.
                if request.method != "PUT":
                    raise
                return refusal(S3Error("MalformedXML", f"The document is none that can be read: {error}"), request)(
                    environ, start
                )

    yield answer


def _with_content(request: "Request") -> "Response | None":
    """Puts the content of a request in the place of its chunks, for moto; or gives the answer that refuses it."""
    from io import BytesIO

    from toolchain.localaws.s3 import body
    from toolchain.localaws.s3.api import refusal
    from toolchain.localaws.s3.errors import S3Error

    try:
        content = body.document(request)
    except S3Error as error:
        return refusal(error, request)
    request.environ.update({"wsgi.input": BytesIO(content), "CONTENT_LENGTH": str(len(content))})
    for name in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
        request.environ.pop(name, None)
    return None

"""Lists of objects: by prefix, with folders folded, page by page."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.objects import Object, Objects
from toolchain.localaws.s3.xml import Node, moment, text


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of a list.

    Attributes:
        objects: Objects.
        folders: What the delimiter folds.
        more: The last key or folder, if there are more.
    """

    objects: list[Object]
    folders: list[str]
    more: str | None


def page(objects: Objects, bucket: str, query: Mapping[str, str], after: str, most: int) -> Page:
    """A page of the objects of a bucket.

    Args:
        objects: Where they are.
        bucket: Which.
        query: The call's prefix and delimiter.
        after: The key or the folder after which it begins.
        most: How many entries it has at most.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    found: list[Object] = []
    folders: list[str] = []
    last = None
    for key, file, status in objects.keys(bucket, prefix):
        rest = key[len(prefix) :]
        folded = delimiter and delimiter in rest
        entry = prefix + rest[: rest.index(delimiter) + len(delimiter)] if folded else key
        if entry.encode() <= after.encode() or (folders and entry == folders[-1]):
            continue
        if len(found) + len(folders) >= most:
            return Page(objects=found, folders=folders, more=last)
        if folded:
            folders.append(entry)
        else:
            found.append(objects.described(key, file, status))
        last = entry
    return Page(objects=found, folders=folders, more=None)


def answer(objects: Objects, bucket: str, query: Mapping[str, str]) -> Node:
    """What ListObjects and ListObjectsV2 answer."""
    second = query.get("list-type") == "2"
    try:
        most = min(1000, int(query.get("max-keys") or 1000))
        if most < 0:
            raise S3Error("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
        after = query.get("start-after", "") if second else query.get("marker", "")
        if second and query.get("continuation-token"):
            after = base64.urlsafe_b64decode(query["continuation-token"]).decode()
    except ValueError as error:
        raise S3Error("InvalidArgument", str(error)) from error
    found = page(objects, bucket, query, after, most)

    def spelled(name: str) -> str:
        return quote(name) if query.get("encoding-type") == "url" else name

    nodes: list[Node] = [
        text("Name", bucket),
        text("Prefix", spelled(query.get("prefix", ""))),
        text("MaxKeys", str(most)),
        text("IsTruncated", "false" if found.more is None else "true"),
    ]
    if query.get("delimiter"):
        nodes.append(text("Delimiter", spelled(query["delimiter"])))
    if query.get("encoding-type"):
        nodes.append(text("EncodingType", query["encoding-type"]))
    if second:
        nodes.append(text("KeyCount", str(len(found.objects) + len(found.folders))))
        if found.more is not None:
            nodes.append(text("NextContinuationToken", base64.urlsafe_b64encode(found.more.encode()).decode()))
    else:
        nodes.append(text("Marker", spelled(after)))
        if found.more is not None:
            nodes.append(text("NextMarker", spelled(found.more)))
    nodes += [
        Node(
            "Contents",
            [
                text("Key", spelled(one.key)),
                text("LastModified", moment(one.modified)),
                text("ETag", f'"{one.etag}"'),
                text("Size", str(one.size)),
                text("StorageClass", "STANDARD"),
            ],
        )
        for one in found.objects
    ]
    nodes += [Node("CommonPrefixes", [text("Prefix", spelled(one))]) for one in found.folders]
    return Node("ListBucketResult", nodes)

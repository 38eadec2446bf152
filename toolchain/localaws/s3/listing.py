"""Lists of objects: by prefix, with folders folded, page by page."""

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from toolchain.localaws.s3.errors import S3Error
from toolchain.localaws.s3.objects import Object, Objects

_PAGE: Final = 1000


def list_objects(objects: Objects, bucket: str, query: Mapping[str, str]) -> dict[str, Any]:
    """What ListObjects answers, or ListObjectsV2 if the query asks for that."""
    is_v2 = query.get("list-type") == "2"
    try:
        limit = min(_PAGE, int(query.get("max-keys") or _PAGE))
        after = query.get("start-after" if is_v2 else "marker", "")
        if is_v2 and query.get("continuation-token"):
            after = base64.urlsafe_b64decode(query["continuation-token"]).decode()
    except ValueError as error:
        raise S3Error("InvalidArgument", str(error)) from error
    if limit < 0:
        raise S3Error("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
    page, last = _page(objects, bucket, query, after, limit)

    def encoded(name: str) -> str:
        return quote(name) if query.get("encoding-type") == "url" else name

    answer: dict[str, Any] = {
        "Name": bucket,
        "Prefix": encoded(query.get("prefix", "")),
        "MaxKeys": limit,
        "IsTruncated": bool(last),
        "Delimiter": encoded(query.get("delimiter", "")) or None,
        "EncodingType": query.get("encoding-type"),
        "Contents": [
            {
                "Key": encoded(key),
                "LastModified": found.modified,
                "ETag": f'"{found.etag}"',
                "Size": found.size,
                "StorageClass": "STANDARD",
            }
            for key, found in page.items()
            if found
        ],
        "CommonPrefixes": [{"Prefix": encoded(folder)} for folder, found in page.items() if not found],
    }
    if is_v2:
        token = base64.urlsafe_b64encode(last.encode()).decode()
        return {**answer, "KeyCount": len(page), "NextContinuationToken": token or None}
    return {**answer, "Marker": encoded(after), "NextMarker": encoded(last) or None}


def _page(
    objects: Objects, bucket: str, query: Mapping[str, str], after: str, limit: int
) -> tuple[dict[str, Object | None], str]:
    """Keys to objects and folded folders to none, and the last of them if more follow."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    page: dict[str, Object | None] = {}
    for key, found in objects.list(bucket, prefix):
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if end < 0 else key[: end + len(delimiter)]
        if entry.encode() <= after.encode() or entry in page:
            continue
        if len(page) >= limit:
            return page, next(reversed(page), "")
        page[entry] = found if end < 0 else None
    return page, ""

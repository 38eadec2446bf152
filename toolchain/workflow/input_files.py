"""Looks for a run's FASTQ files before anything is spent on it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from toolchain import aws
from toolchain.console import note
from toolchain.errors import BadDataError, MissingInputError, ToolchainError, raise_all
from toolchain.workflow.data_link import DataLink

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CALLS_AT_ONCE = 16


def check_objects(s3: "S3Client", link: DataLink, paths: Sequence[str]) -> None:
    """Checks that files are in the linked bucket, and that no two are the same.

    Args:
        s3: The client.
        link: What is linked to /scratch/data.
        paths: The files, as paths below /scratch/data.

    Raises:
        MissingInputError: A file is not in the bucket; several errors as one.
        BadDataError: Two files have the same content.
        UnavailableError: S3 does not answer.
    """

    def look(path: str) -> tuple[str, int] | str:
        """An object's entity tag and size, or the code of the error."""
        try:
            found = s3.head_object(Bucket=link.bucket, Key=link.key(path))
        except ClientError as error:
            if aws.code(error) not in ("403", "404"):
                raise
            return aws.code(error)
        return found["ETag"], found["ContentLength"]

    with aws.doing("looking for the reads in S3"), ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        answers = dict(zip(paths, pool.map(look, paths), strict=True))
    if "403" in answers.values():
        note(f"the reads in {link.uri} were not looked for: S3 refuses it to you; the run's first steps will say")
        return
    errors: list[ToolchainError] = []
    names: dict[object, str] = {}
    for path, answer in answers.items():
        errors += [missing(path, link.uri)] if answer == "404" else same_content(names, answer, path)
    raise_all(errors)


def missing(path: str, place: str) -> MissingInputError:
    """The error of a file that does not exist."""
    return MissingInputError(
        f"{path} does not exist", why=f"it is not in {place}", fix="Correct its path, or put the file there."
    )


def same_content(names: dict[object, str], identity: object, path: str) -> list[ToolchainError]:
    """The error of a file that was named before by another name, if it was.

    Args:
        names: The first name of each file so far; this one is added.
        identity: What two names of one file have in common.
        path: Its path below /scratch/data.
    """
    first = names.setdefault(identity, path)
    if first == path:
        return []
    why = f"its reads are those of {first}, and would be taken twice"
    return [BadDataError(f"{path} is named twice", why=why, fix="Take one of them out of the sheet.")]

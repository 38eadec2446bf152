"""Compressed VCFs, read without a program."""

import zlib
from pathlib import Path

from step import bgzf
from step.bam import broken
from step.errors import BadDataError, cannot_read, printable

_FIXED = 9  # columns before the samples'


def samples_of(file: Path) -> list[str]:
    """The samples of a VCF, in its order.

    Raises:
        BadDataError: It is no compressed VCF, or was cut off within its header.
    """
    try:
        with file.open("rb") as stream:
            for line in bgzf.Reader(stream).lines():
                if line.startswith(b"#CHROM\t"):
                    return [name.decode("utf-8", errors="replace") for name in line.split(b"\t")[_FIXED:]]
                if not line.startswith(b"##"):
                    break
    except (zlib.error, EOFError) as error:
        raise broken(file, "it cannot be unpacked") from error
    except OSError as error:
        raise cannot_read(file, error) from error
    raise broken(file, "it has no VCF header")


def check_calls(file: Path, sample: str) -> None:
    """A VCF that must be whole, and of this sample and no other. Raises BadDataError."""
    if not bgzf.is_whole(file):
        raise broken(file, "it was cut off: its last block is missing")
    samples = samples_of(file)
    if samples != [sample]:
        raise BadDataError(
            f"{file.name} is not of sample {sample}",
            why=f"it holds '{printable(' '.join(samples))}'",
            fix="Check which files belong to which sample.",
        )

"""Reads compressed VCFs."""

import zlib
from pathlib import Path

from step import bgzf
from step.bam import broken_file
from step.errors import BadDataError, cannot_read, printable

_FIXED_COLUMNS = 9  # before those of the samples


def read_samples(file: Path) -> list[str]:
    """The samples of a VCF in column order. Raises BadDataError if it has no complete header."""
    try:
        with file.open("rb") as stream:
            for line in bgzf.Reader(stream).lines():
                if line.startswith(b"#CHROM\t"):
                    return [name.decode("utf-8", errors="replace") for name in line.split(b"\t")[_FIXED_COLUMNS:]]
                if not line.startswith(b"##"):
                    break
    except (zlib.error, EOFError) as error:
        raise broken_file(file, "it cannot be unpacked") from error
    except OSError as error:
        raise cannot_read(file, error) from error
    raise broken_file(file, "it has no VCF header")


def check_vcf(file: Path, sample: str) -> None:
    """Checks that a VCF is complete and has the column of this sample only. Raises BadDataError."""
    if not bgzf.has_eof_marker(file):
        raise broken_file(file, "it was cut off: its last block is missing")
    samples = read_samples(file)
    if samples != [sample]:
        raise BadDataError(
            f"{file.name} is not of sample {sample}",
            why=f"it holds '{printable(' '.join(samples))}'",
            fix="Check which files belong to which sample.",
        )

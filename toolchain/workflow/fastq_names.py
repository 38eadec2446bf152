"""Reads FASTQ file names, as bcl2fastq, BCL Convert, the SRA toolkit and sequencing providers write them."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

# bcl2fastq and BCL Convert: SAMPLE_S1_L001_R1_001.fastq.gz; SRA: SRR1_1.fastq.gz; providers: SAMPLE_L2_1.fq.gz,
# SAMPLE.R1.trimmed.fq.gz. The number of the sample, the lane and what follows the read may be left out.
_NAME = re.compile(
    r"(?P<sample>.+?)(?:_S\d+)?(?:[._-](?P<lane>L\d{1,3}))?[._-]"
    r"(?:(?P<read>[12])(?P<chunk>_\d{3})?|(?P<kind>[RI])(?P<of_kind>[12])(?P<rest>[._-].*?)?)"
    r"\.(?:fastq|fq)(?:\.gz)?",
    flags=re.ASCII | re.IGNORECASE,
)
_FASTQ = re.compile(r".*\.(?:fastq|fq)(?:\.gz)?", flags=re.ASCII | re.IGNORECASE)
# Reads of no sample, which bcl2fastq and BCL Convert write beside the others.
_UNDETERMINED = "Undetermined"


@dataclass(frozen=True, kw_only=True)
class FastqName:
    """What a file's name says.

    Attributes:
        folder: The file's folder, which keeps flow cells apart.
        sample: The sample's name.
        lane: Such as `L001`; empty if the name says none.
        rest: What follows the read, such as `_001`, the number of bcl2fastq's chunk.
        read: 1 or 2.
    """

    folder: str
    sample: str
    lane: str
    rest: str
    read: int


def is_fastq(path: str) -> bool:
    """Whether a file's name is that of a FASTQ file."""
    return _FASTQ.fullmatch(PurePosixPath(path).name) is not None


def is_set_aside(path: str) -> bool:
    """Whether a FASTQ file holds index reads, or reads of no sample."""
    match = _NAME.fullmatch(PurePosixPath(path).name)
    return match is not None and ((match["kind"] or "").upper() == "I" or match["sample"] == _UNDETERMINED)


def parse(path: str) -> FastqName | None:
    """What a file's name says, or None if it does not say whether it has first or second reads."""
    file = PurePosixPath(path)
    match = _NAME.fullmatch(file.name)
    if match is None or is_set_aside(path):
        return None
    return FastqName(
        folder=str(file.parent),
        sample=match["sample"],
        lane=(match["lane"] or "").upper(),
        rest=match["chunk"] or match["rest"] or "",
        read=int(match["read"] or match["of_kind"]),
    )

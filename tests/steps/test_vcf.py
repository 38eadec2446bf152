"""Compressed VCFs: whose calls they hold, and whether they are whole."""

from pathlib import Path

import pytest
from support.compressed import bgzipped, gzipped

from step import vcf
from step.errors import BadDataError, StepError

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def text(*samples: str, contigs: int = 3366) -> bytes:
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID=HLA-A*{number}:01,length=9>" for number in range(contigs))]
    lines.append("\t".join([COLUMNS, *(["FORMAT", *samples] if samples else [])]))
    return ("\n".join(lines) + "\nchr1\t5\t.\tA\tC\t9\t.\t.\tGT\t0/1\n").encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calls.vcf.gz"


@pytest.mark.parametrize("samples", [("NA1",), ("NA1", "a b", "NA2"), ()])
@pytest.mark.parametrize("block", [1000, 65280])
def test_samples_are_those_of_the_header_however_long_it_is(file: Path, samples: tuple[str, ...], block: int) -> None:
    file.write_bytes(bgzipped(text(*samples), block))
    assert vcf.read_samples(file) == list(samples)


def test_a_header_may_be_all_there_is(file: Path) -> None:
    file.write_bytes(bgzipped(text("NA1").rpartition(b"\nchr1")[0]))
    assert vcf.read_samples(file) == ["NA1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has no VCF header"),
        (b"##fileformat=VCFv4.2\n", "it cannot be unpacked"),
        (gzipped(b"##fileformat=VCFv4.2\n"), "it has no VCF header"),
        (gzipped(b"chr1\t5\n"), "it has no VCF header"),
        (bgzipped(text("NA1"))[:300], "it cannot be unpacked"),
    ],
)
def test_what_is_no_vcf_is_broken(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=rf"^calls\.vcf\.gz is broken: {said}"):
        vcf.read_samples(file)


def test_calls_must_be_whole_and_of_their_sample_alone(file: Path) -> None:
    whole = bgzipped(text("NA1"))
    file.write_bytes(whole)
    vcf.check_vcf(file, "NA1")
    with pytest.raises(BadDataError, match=r"calls\.vcf\.gz is not of sample NA2: it holds 'NA1'"):
        vcf.check_vcf(file, "NA2")
    for cut in (1, 28, 500):
        file.write_bytes(whole[:-cut])
        with pytest.raises(BadDataError, match="it was cut off"):
            vcf.check_vcf(file, "NA1")
    for samples in ((), ("NA1", "NA2")):
        file.write_bytes(bgzipped(text(*samples)))
        with pytest.raises(BadDataError, match="is not of sample NA1"):
            vcf.check_vcf(file, "NA1")


def test_calls_that_cannot_be_read_are_said_to_be_so(file: Path) -> None:
    with pytest.raises(StepError, match="cannot read"):
        vcf.check_vcf(file, "NA1")
    with pytest.raises(StepError, match="cannot read"):
        vcf.read_samples(file)

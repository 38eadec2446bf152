"""Compressed VCFs: their samples, and whether they are complete."""

from pathlib import Path

import pytest
from support.hts_files import bgzipped, gzipped, vcf

from step.errors import BadDataError, StepError
from step.vcf import check_vcf, read_samples

CALLS = bgzipped(vcf("NA1"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calls.vcf.gz"


@pytest.mark.parametrize("samples", [("NA1",), ("NA1", "a b", "NA2"), ()])
@pytest.mark.parametrize("block", [1000, 65280])
def test_the_samples_are_read_from_a_header_of_any_length(file: Path, samples: tuple[str, ...], block: int) -> None:
    file.write_bytes(bgzipped(vcf(*samples, contigs=3366), block))
    assert read_samples(file) == list(samples)


def test_a_vcf_without_records_is_read(file: Path) -> None:
    file.write_bytes(bgzipped(vcf("NA1").rpartition(b"\nchr1")[0]))
    assert read_samples(file) == ["NA1"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "it has no VCF header"),
        (b"##fileformat=VCFv4.2\n", "it cannot be unpacked"),
        (gzipped(b"##fileformat=VCFv4.2\n"), "it has no VCF header"),
        (gzipped(b"chr1\t5\n"), "it has no VCF header"),
        (bgzipped(vcf("NA1", contigs=99))[:300], "it cannot be unpacked"),
    ],
)
def test_a_file_without_a_vcf_header_is_broken(file: Path, content: bytes, fault: str) -> None:
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=rf"^calls\.vcf\.gz is broken: {fault}"):
        read_samples(file)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (bgzipped(vcf("NA2")), r"^calls\.vcf\.gz is not of sample NA1: it holds 'NA2'"),
        (bgzipped(vcf("NA1", "NA2")), "is not of sample NA1"),
        (bgzipped(vcf()), "is not of sample NA1"),
        *((CALLS[:-cut], "it was cut off") for cut in (1, 28, 100)),
    ],
)
def test_calls_must_be_complete_and_of_their_sample_only(file: Path, content: bytes, fault: str) -> None:
    file.write_bytes(CALLS)
    check_vcf(file, "NA1")
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=fault):
        check_vcf(file, "NA1")


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    for read in (lambda: check_vcf(file, "NA1"), lambda: read_samples(file)):
        with pytest.raises(StepError, match=r"cannot read .*calls\.vcf\.gz"):
            read()

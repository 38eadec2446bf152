"""`samplesheet`: which pairs it makes of the names of files, and what it says of the others."""

from pathlib import Path

import pytest

from toolchain.cli.main import main
from toolchain.errors import BadDataError, MissingInputError, ToolchainError, WrongUsageError
from toolchain.workflow import samplesheet


def rows(*files: str) -> list[str]:
    return [",".join(row) for row in samplesheet.make(files, "folder").rows]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            [f"NA1_S7_{lane}_R{read}_001.fastq.gz" for lane in ("L001", "L002") for read in (1, 2)],
            [
                "NA1,L001,NA1_S7_L001_R1_001.fastq.gz,NA1_S7_L001_R2_001.fastq.gz",
                "NA1,L002,NA1_S7_L002_R1_001.fastq.gz,NA1_S7_L002_R2_001.fastq.gz",
            ],
        ),
        (
            ("p/a_S1_R2_001.fastq.gz", "p/a_S1_R1_001.fastq.gz"),
            ["a,L001,p/a_S1_R1_001.fastq.gz,p/a_S1_R2_001.fastq.gz"],
        ),
        (("SRR1_1.fastq", "SRR1_2.fastq"), ["SRR1,L001,SRR1_1.fastq,SRR1_2.fastq"]),
        (("x.R1.fq.gz", "x.R2.fq.gz"), ["x,L001,x.R1.fq.gz,x.R2.fq.gz"]),
        (("s_L2_1.fq", "s_L2_2.fq"), ["s,L2,s_L2_1.fq,s_L2_2.fq"]),
        (
            ("NIST7035_R1_trim_samp-0p1.fastq.gz", "NIST7035_R2_trim_samp-0p1.fastq.gz"),
            ["NIST7035,L001,NIST7035_R1_trim_samp-0p1.fastq.gz,NIST7035_R2_trim_samp-0p1.fastq.gz"],
        ),
        # Two flow cells, and bcl2fastq's chunks.
        (
            [
                f"{run}/a_S1_L001_R{read}_{chunk}.fq"
                for run in ("1", "2")
                for chunk in ("001", "002")
                for read in (1, 2)
            ],
            [
                f"a,{lane},{run}/a_S1_L001_R1_{chunk}.fq,{run}/a_S1_L001_R2_{chunk}.fq"
                for lane, run, chunk in (
                    ("L001", "1", "001"),
                    ("L001-2", "1", "002"),
                    ("L001-3", "2", "001"),
                    ("L001-4", "2", "002"),
                )
            ],
        ),
    ],
)
def test_pairs_are_told_by_the_names_that_converters_give(files: tuple[str, ...], expected: list[str]) -> None:
    assert rows(*files) == expected


def test_index_reads_and_reads_of_no_sample_are_left_out_and_named() -> None:
    others = ("SRR1.fastq", "Undetermined_S0_L001_R1_001.fastq.gz", "a_S1_L001_I1_001.fastq.gz")
    sheet = samplesheet.make((*others, "a_R1.fq", "a_R2.fq", "a_R1.fq.md5"), "folder")
    assert [row[0] for row in sheet.rows] == ["a"]
    assert sheet.left_out == others


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        (("notes.txt", "a.fq"), MissingInputError, "no pair of FASTQ files in folder: no file is called like"),
        (("a_R1.fq",), BadDataError, "a_R1.fq has no mate: no file of the same name has R2"),
        (("a_R1.fq", "a_R1.fq.gz", "a_R2.fq"), BadDataError, "a_R1.fq and a_R1.fq.gz have one name"),
        (("a b_R1.fq", "a b_R2.fq"), ToolchainError, "bad sample name 'a b'"),
        ((".x/a_R1.fq", ".x/a_R2.fq"), ToolchainError, "bad path '.x/a_R1.fq'"),
    ],
)
def test_files_of_which_no_sheet_can_be_made_are_errors(
    files: tuple[str, ...], kind: type[ToolchainError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        rows(*files)
    errors = getattr(caught.value, "errors", (caught.value,))
    assert message in " ".join(map(str, errors))


def test_the_sheet_goes_to_stdout_and_remarks_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1/a_R1.fq", "1/a_R2.fq", "2/a_R1.fq", "2/a_R2.fq", "a_I1.fq"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert main(["samplesheet", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == "sample,lane,r1,r2\na,L001,1/a_R1.fq,1/a_R2.fq\na,L002,2/a_R1.fq,2/a_R2.fq\n"
    assert "left out: a_I1.fq: " in err
    assert "sample a has lanes in 1, 2: give it two names if it is two" in err
    assert main(["samplesheet", str(tmp_path / "gone")]) == MissingInputError.exit_code


def test_a_bucket_that_is_not_linked_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samplesheet", "s3://another/folder"]) == WrongUsageError.exit_code
    assert "s3://another/folder is not linked to /scratch/data" in capsys.readouterr().err

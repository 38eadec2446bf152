"""The sample sheet: what it may say, and what each mistake is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import BadDataError, MissingInputError
from toolchain.runs import sheet
from toolchain.samples import Lane, Sample

HEADER = "sample,lane,r1,r2,library,unit\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "samples.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_line_is_a_lane_and_lines_of_one_sample_belong_together(tmp_path: Path) -> None:
    text = (
        HEADER + "a,L001,a/1_R1.fq.gz,a/1_R2.fq.gz,lib,unit\nb,L001,b_R1.fq,b_R2.fq,,\na,L002,a/2_R1.fq,a/2_R2.fq,-,-\n"
    )
    assert sheet.read(written(tmp_path, text)) == (
        Sample(
            name="a",
            lanes=(
                Lane(name="L001", r1="a/1_R1.fq.gz", r2="a/1_R2.fq.gz", library="lib", unit="unit"),
                Lane(name="L002", r1="a/2_R1.fq", r2="a/2_R2.fq"),
            ),
        ),
        Sample(name="b", lanes=(Lane(name="L001", r1="b_R1.fq", r2="b_R2.fq"),)),
    )


def test_lanes_without_a_name_are_numbered_within_their_sample(tmp_path: Path) -> None:
    samples = sheet.read(written(tmp_path, "r2,r1,sample\n2.fq,1.fq,a\n4.fq,3.fq,a\n6.fq,5.fq,b\n"))
    assert [(sample.name, [lane.name for lane in sample.lanes]) for sample in samples] == [
        ("a", ["L001", "L002"]),
        ("b", ["L001"]),
    ]
    assert samples[0].lanes[0].r1 == "1.fq"


def test_what_a_spreadsheet_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    file.write_bytes(b'\xef\xbb\xbfSample,R1,R2\r\n"a", 1.fq ,2.fq\r\n\r\n')
    assert sheet.read(file) == (Sample(name="a", lanes=(Lane(name="L001", r1="1.fq", r2="2.fq"),)),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sample,r1\na,1.fq\n", "line 1 is wrong: no column 'r2'"),
        ("sample,r1,r2,colour\n", "line 1 is wrong: unknown column 'colour'"),
        ("sample,r1,r2,r1\n", "line 1 is wrong: a column stands there twice"),
        ("", "line 1 is wrong: no column 'sample'"),
        ("sample,r1,r2\n", "names no sample: it has no line after its header"),
        ("sample,r1,r2\na,1.fq\n", "line 2 is wrong: it has 2 cells, and the header 3"),
        ("sample,r1,r2\na b,1.fq,2.fq\n", "line 2 is wrong: bad sample name 'a b'"),
        ("sample,r1,r2\na,/data/1.fq,2.fq\n", "line 2 is wrong: bad r1 '/data/1.fq'"),
        ("sample,r1,r2\na,1.fq,../2.fq\n", "line 2 is wrong: bad r2 '../2.fq'"),
        ("sample,r1,r2\na,1.fq,2.fq\nb,1.fq,3.fq\n", "line 3 is wrong: 1.fq stands in line 2 too"),
        ("sample,r1,r2\na,1.fq,1.fq\n", "line 2 is wrong: 1.fq stands in line 2 too"),
        ("sample,lane,r1,r2\na,x,1.fq,2.fq\na,x,3.fq,4.fq\n", "line 3 is wrong: sample 'a' has a lane 'x' already"),
        ('sample,r1,r2\n"a,1.fq,2.fq\n', "it is not CSV"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadDataError) as caught:
        sheet.read(written(tmp_path, text))
    assert told in str(caught.value)


def test_a_sheet_that_is_not_there_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        sheet.read(tmp_path / "samples.csv")


def test_a_sheet_that_is_no_text_is_bad_data(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    file.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")
    with pytest.raises(BadDataError):
        sheet.read(file)


@given(text=st.text(max_size=300))
def test_any_text_is_samples_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert sheet.read(file)
    except BadDataError as error:
        assert error.fix  # noqa: PT017  # either way is right

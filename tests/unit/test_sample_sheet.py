"""The sample sheet: what it may say, and the message of each mistake."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import BadDataError, MissingInputError, SeveralFailedError
from toolchain.workflow import sheet
from toolchain.workflow.data_link import DataLink
from toolchain.workflow.samples import Lane, Sample

LINK = DataLink(uri="s3://lab/reads", keeps_keys=False)
HEADER = "sample,lane,r1,r2,library,unit\n"


def read(file: Path) -> tuple[Sample, ...]:
    return sheet.read(file, LINK)


def written(folder: Path, text: str) -> Path:
    file = folder / "samples.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_line_is_a_lane_and_lines_of_one_sample_belong_together(tmp_path: Path) -> None:
    text = (
        HEADER + "a,L001,a/1_R1.fq.gz,a/1_R2.fq.gz,lib,unit\nb,L001,b_R1.fq,b_R2.fq,,\na,L002,a/2_R1.fq,a/2_R2.fq,-,-\n"
    )
    assert read(written(tmp_path, text)) == (
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
    assert read(written(tmp_path, "r2,r1,sample\n2.fq,1.fq,a\n4.fq,3.fq,a\n6.fq,5.fq,b\n")) == (
        Sample(name="a", lanes=(Lane(name="L001", r1="1.fq", r2="2.fq"), Lane(name="L002", r1="3.fq", r2="4.fq"))),
        Sample(name="b", lanes=(Lane(name="L001", r1="5.fq", r2="6.fq"),)),
    )


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbfSample,R1,R2\r\n"a", 1.fq ,2.fq\r\n\r\n',
        b"sep=;\r\nsample;r1;r2\r\na;1.fq;2.fq\r\n",
        b"\xef\xbb\xbfsep=|\nsample|r1|r2\na|1.fq|2.fq",
        "sample\tr1\tr2\r\na\t1.fq\t2.fq\r\n".encode("utf-16"),
        b"\n\nsample;r1;r2;;\n\na;1.fq;2.fq;;\n;;;;\n",
        b'"sample";"r1";"r2"\n"a";"1.fq";"2.fq"\n',
        *(
            end.join(
                delimiter.join(row) for row in (("sample", "r1", "r2"), (" a ", '"1.fq"', ' "2.fq"'), (), "")
            ).encode()
            for delimiter in (",", ";", "\t")
            for end in ("\n", "\r\n", "\r")
        ),
    ],
)
def test_any_delimiter_line_end_and_encoding_of_spreadsheets_is_read(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "samples.csv"
    file.write_bytes(data)
    assert read(file) == (Sample(name="a", lanes=(Lane(name="L001", r1="1.fq", r2="2.fq"),)),)


def test_a_sheet_of_nf_core_is_read_and_its_other_columns_are_noted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "patient,sex,status,sample,lane,fastq_1,fastq_2\n"
        "p1,XX,0,normal,lane_1,n_1.fastq.gz,n_2.fastq.gz\n"
        "p1,XX,1,tumour,lane_1,t_1.fastq.gz,t_2.fastq.gz\n"
        "p1,XX,1,tumour,lane_2,u_1.fastq.gz,u_2.fastq.gz\n"
    )
    samples = read(written(tmp_path, text))
    assert [(sample.name, [lane.name for lane in sample.lanes]) for sample in samples] == [
        ("normal", ["lane_1"]),
        ("tumour", ["lane_1", "lane_2"]),
    ]
    assert samples[1].lanes[1] == Lane(name="lane_2", r1="u_1.fastq.gz", r2="u_2.fastq.gz")
    (line,) = capsys.readouterr().err.splitlines()
    assert "samples.csv: ignored patient, sex, status: " in line


@pytest.mark.parametrize(
    ("keeps_keys", "path"), [(False, "run/1.fq"), (True, "reads/run/1.fq")], ids=["association", "import path"]
)
def test_addresses_of_linked_objects_are_read_as_their_paths(tmp_path: Path, path: str, *, keeps_keys: bool) -> None:
    link = DataLink(uri="s3://lab/reads", keeps_keys=keeps_keys)
    (sample,) = sheet.read(written(tmp_path, "sample,r1,r2\na,s3://lab/reads/run/1.fq,2.fq\n"), link)
    assert sample.lanes == (Lane(name="L001", r1=path, r2="2.fq"),)
    assert link.key(path) == "reads/run/1.fq"


@pytest.mark.parametrize(
    "names", ["1.fq,2.fq", "a_1.fq,b_1.fq", "a_R1.fq,a_R2.fq", "a_1_1.fq,a_1_2.fq", "fwd.fq.gz,rev.fq.gz"]
)
def test_names_that_say_nothing_of_pairs_and_those_of_pairs_are_taken(tmp_path: Path, names: str) -> None:
    assert len(read(written(tmp_path, f"sample,r1,r2\na,{names}\n"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample,r1\na,1.fq\n", "line 1 is wrong: no column 'r2'"),
        ("sample,r1,r2,colour\n", "line 1 is wrong: unknown column 'colour'"),
        ("sample,r1,r2,r1\n", "line 1 is wrong: column r1 stands there twice"),
        ("sample,r1,r2,fastq_1\n", "line 1 is wrong: column r1 and fastq_1 stands there twice"),
        ("", "line 1 is wrong: no column 'sample', 'r1', 'r2'"),
        ("sample,r1,r2\n", "names no sample: it has no line after its header"),
        ("sample,r1,r2\na,1.fq\n", "line 2 is wrong: it has 2 cells, and the header 3"),
        ("sample;r1;r2\na,1.fq,2.fq\n", "line 2 is wrong: it has 1 cell, and the header 3"),
        ("sample,r1,r2\na b,1.fq,2.fq\n", "line 2 is wrong: column sample: bad sample name 'a b'"),
        ("sample,r1,r2\n,1.fq,2.fq\n", "line 2 is wrong: column sample: it is empty"),
        ("sample,r1,r2\na,/data/1.fq,2.fq\n", "line 2 is wrong: column r1: bad r1 '/data/1.fq'"),
        ("sample,r1,r2\n\na,1.fq,../2.fq\n", "line 3 is wrong: column r2: bad r2 '../2.fq'"),
        ("sample,fastq_1,fastq_2\na,1.fq,\n", "line 2 is wrong: column fastq_2: it is empty"),
        ("sample,r1,r2\na,1.fq,2.fq\nb,1.fq,3.fq\n", "line 3 is wrong: column r1: 1.fq stands in line 2 too"),
        ("sample,r1,r2\na,1.fq,1.fq\n", "line 2 is wrong: columns r1 and r2: R1 and R2 are one file, 1.fq"),
        (
            "sample,fastq_1,fastq_2\na,a_R2.fq.gz,a_R1.fq.gz\n",
            "line 2 is wrong: columns fastq_1 and fastq_2: R1 and R2 are swapped, by their names: a_R2.fq.gz and",
        ),
        (
            "sample,r1,r2\na,x/a_L001_1.fq,x/a_L002_1.fq\n",
            "line 2 is wrong: columns r1 and r2: by their names both hold R1: x/a_L001_1.fq and x/a_L002_1.fq",
        ),
        (
            "sample,r1,r2\na,s3://lab/reads/1.fq,s3://other/reads/2.fq\n",
            "line 2 is wrong: column r2: 's3://other/reads/2.fq' is not below s3://lab/reads, which is linked to",
        ),
        (
            "sample,lane,r1,r2\na,x,1.fq,2.fq\na,x,3.fq,4.fq\n",
            "line 3 is wrong: column lane: sample 'a' has a lane 'x' already",
        ),
        ('sample,r1,r2\n"a,1.fq,2.fq\n', "it is not CSV"),
        ("sep=;;\nsample;;r1\n", "it is not CSV"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadDataError) as caught:
        read(written(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "sample;lane;r1;r2\na b;x;/1.fq;2.fq\nb;;3.fq;4.fq\nc;y;5.fq\nd;-;6.fq;\n",
            [
                "line 2 is wrong: column sample: bad sample name 'a b'",
                "line 2 is wrong: column r1: bad r1 '/1.fq'",
                "line 4 is wrong: it has 3 cells, and the header 4",
                "line 5 is wrong: column lane: bad lane name '-'",
                "line 5 is wrong: column r2: it is empty. Fill it in: a lane is a sample's pair of FASTQ files.",
            ],
        ),
        (
            "name,file\n",
            [
                "line 1 is wrong: no column 'sample', 'r1', 'r2'",
                "line 1 is wrong: unknown column 'name'",
                "line 1 is wrong: unknown column 'file'",
            ],
        ),
    ],
)
def test_all_mistakes_are_named_at_once(tmp_path: Path, text: str, messages: list[str]) -> None:
    with pytest.raises(SeveralFailedError) as caught:
        read(written(tmp_path, text))
    assert caught.value.exit_code == 65
    for error, message in zip(caught.value.errors, messages, strict=True):
        assert str(error).partition("samples.csv, ")[2].startswith(message)


def test_of_very_many_mistakes_the_first_twenty_are_named(tmp_path: Path) -> None:
    with pytest.raises(SeveralFailedError) as caught:
        read(written(tmp_path, "sample,r1,r2\n" + "a b,1.fq,2.fq\n" * 500))
    assert len(caught.value.errors) == 21
    assert "480 more errors" in str(caught.value.errors[-1])


def test_a_missing_sheet_is_missing_input_and_a_binary_one_bad_data(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    with pytest.raises(MissingInputError):
        read(file)
    file.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")
    with pytest.raises(BadDataError):
        read(file)


@settings(max_examples=50)
@given(text=st.text(max_size=300))
def test_any_text_is_samples_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert read(file)
    except (BadDataError, SeveralFailedError) as error:
        assert error.fix  # noqa: PT017  # either way is right

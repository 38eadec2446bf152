"""A run's report, from the files that its steps leave."""

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from toolchain.demo import report
from toolchain.demo.accuracy import Comparison, Variant
from toolchain.demo.report import Depth, Step, Summary

FLAGSTAT = """\
110 + 0 in total (QC-passed reads + QC-failed reads)
100 + 3 primary
4 + 0 secondary
6 + 0 supplementary
9 + 0 duplicates
7 + 0 primary duplicates
105 + 0 mapped (95.45% : N/A)
95 + 0 primary mapped (95.00% : N/A)
"""
COVERAGE = """\
#rname\tstartpos\tendpos\tnumreads\tcovbases\tcoverage\tmeandepth\tmeanbaseq\tmeanmapq
chrA\t1\t300\t60\t300\t100\t20.5\t40\t60
chrB\t1\t100\t40\t90\t90\t8.5\t40\t60
"""
VCF = """\
##fileformat=VCFv4.2
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1
chrA\t5\t.\tA\tC\t50\tPASS\t.\tGT\t0/1
chrA\t9\t.\tA\tAT\t5\tPASS\t.\tGT\t1/1
chrA\t11\t.\tA\tT\t50\tPASS\t.\tGT\t0/0
"""
SNP, INSERTION = Variant("chrA", 5, "A", "C"), Variant("chrA", 9, "A", "AT")


def record(step: str, start: str, wall: float) -> dict[str, object]:
    """A step's record."""
    return {
        "step": step,
        "image": "tool:1-0",
        "start": start,
        "wall_seconds": wall,
        "user_seconds": 1.5,
        "system_seconds": 0.25,
        "peak_memory_bytes": 2_000_000,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The results of sample S1."""
    for name in ("qc", "steps"):
        (tmp_path / name).mkdir()
    (tmp_path / "qc" / "S1.flagstat.txt").write_text(FLAGSTAT, encoding="ascii")
    (tmp_path / "qc" / "S1.coverage.txt").write_text(COVERAGE, encoding="ascii")
    with gzip.open(tmp_path / "S1.vcf.gz", "wt", encoding="ascii") as file:
        file.write(VCF)
    for step in (
        record("gather", "2026-01-02T03:04:17Z", 2.5),
        record("mem-L001", "2026-01-02T03:04:05Z", 10),
        record("call-1", "2026-01-02T03:04:15Z", 1),
        record("call-0", "2026-01-02T03:04:15Z", 3),
    ):
        (tmp_path / "steps" / f"{step['step']}.json").write_text(json.dumps(step), encoding="ascii")
    return tmp_path


@pytest.fixture
def summary(folder: Path) -> Summary:
    """The summary of these results."""
    return report.summarise(folder, "S1", None)


def page(summary: Summary, tmp_path: Path) -> str:
    report.write_page(summary, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_summary_holds_the_figures_of_the_results(summary: Summary) -> None:
    assert dataclasses.replace(summary, steps=()) == Summary(
        sample="S1",
        reads=100,
        mapped=95,
        duplicates=7,
        depths=(Depth(sequence="chrA", length=300, depth=20.5), Depth(sequence="chrB", length=100, depth=8.5)),
        calls=frozenset({SNP, INSERTION}),
        comparison=None,
        notes=(),
        steps=(),
    )
    starts = [(step.name, step.start) for step in summary.steps]
    assert starts == [("mem-L001", 0), ("call-0", 10), ("call-1", 10), ("gather", 12)]
    assert summary.steps[0] == Step(name="mem-L001", image="tool:1-0", start=0, wall=10, cpu=1.75, memory=2_000_000)
    assert report.figures(summary) == {
        "reads": "100",
        "mapped": "95.00 % (95)",
        "duplicates": "7.00 % (7)",
        "mean depth": "17.5x",
        "variants found": "2 (1 SNPs)",
        "seconds, first step to last": "14.5",
    }


def test_a_comparison_adds_the_planted_variants(summary: Summary, tmp_path: Path) -> None:
    missed, false = frozenset({INSERTION}), frozenset({Variant("chrB", 1, "A", "C")})
    comparison = Comparison(shared=frozenset({SNP}), missed=missed, false=false)
    compared = dataclasses.replace(summary, comparison=comparison)
    assert report.figures(compared).items() >= {
        ("planted variants found", "1 of 2"),
        ("precision (QUAL 20)", "0.5000"),
        ("recall (QUAL 20)", "0.5000"),
    }
    text = page(compared, tmp_path)
    assert "<td>AT</td><td>missed</td>" in text
    assert "<td>C</td><td>not planted</td>" in text
    assert "<h2>Planted" not in page(summary, tmp_path)


def test_a_run_without_reads_has_figures_and_a_page_too(summary: Summary, tmp_path: Path) -> None:
    empty = dataclasses.replace(summary, reads=0, mapped=0, duplicates=0, depths=(), calls=frozenset(), steps=())
    assert report.figures(empty)["mapped"] == "- (0)"
    assert page(empty, tmp_path).startswith("<!doctype html>")


def test_the_page_shows_figures_steps_and_depths_and_is_complete_in_itself(summary: Summary, tmp_path: Path) -> None:
    text = page(summary, tmp_path)
    for content in ("<h1>S1</h1>", "95.00 % (95)", ">mem-L001<", ">chrB<", ">20.5<"):
        assert content in text
    assert not any(word in text for word in ("http:", "https:", "src=", "<link", "<script", "@import", "url("))


def renamed(summary: Summary, name: str) -> Summary:
    """The summary, with this name for everything in it that has one."""
    return dataclasses.replace(
        summary,
        sample=name,
        steps=(dataclasses.replace(summary.steps[0], name=name),),
        depths=(Depth(sequence=name, length=1, depth=1),),
        comparison=Comparison(shared=frozenset(), missed=frozenset({Variant(name, 1, name, name)}), false=frozenset()),
    )


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img onerror=x>', "</title><b>", "' onload='x", "&lt;b&gt;"]
)
def test_a_hostile_name_is_text_in_the_page(summary: Summary, tmp_path: Path, hostile: str) -> None:
    harmless, text = page(renamed(summary, "@"), tmp_path), page(renamed(summary, hostile), tmp_path)
    assert hostile not in text
    for character in "<>\"'":
        assert text.count(character) == harmless.count(character)


@pytest.mark.parametrize("name", ["run", "run [old]", "[/x]", ":smile:"])
def test_the_table_and_the_paths_of_the_results_go_to_stdout(
    summary: Summary, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    report.show(summary, Path("/results") / name)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "95.00 % (95)" in printed.out
    files = ("S1.vcf.gz", "S1.bam", "report.html")
    assert printed.out.splitlines()[-3:] == [f"/results/{name}/{file}" for file in files]


def test_notes_of_the_steps_are_in_the_page(folder: Path, tmp_path: Path) -> None:
    noted = record("check", "2026-01-02T03:04:20Z", 0.1) | {"notes": ["99% of the reads are duplicates <&>."]}
    (folder / "steps" / "check.json").write_text(json.dumps(noted), encoding="ascii")
    text = page(report.summarise(folder, "S1", None), tmp_path)
    assert "99% of the reads are duplicates &lt;&amp;&gt;." in text


def test_without_qc_there_are_no_figures_of_reads_and_depth(folder: Path, tmp_path: Path) -> None:
    for file in (folder / "qc").iterdir():
        file.unlink()
    summary = report.summarise(folder, "S1", None)
    assert list(report.figures(summary)) == ["variants found", "seconds, first step to last"]
    assert "<h2>Depth</h2>" not in page(summary, tmp_path)

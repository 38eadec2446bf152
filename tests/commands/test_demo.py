"""`build.py demo`, as a user types it."""

import re
import subprocess
import sys
from pathlib import Path

from harness import Lab
from small import Small

from toolchain.paths import HERE


def demo(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE.root / "build.py"), "demo", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def figure(table: str, name: str) -> str:
    found = re.search(rf"{re.escape(name)} +│ +(.*?) +│", table)
    assert found is not None, table
    return found[1]


def test_finds_the_planted_variants_and_leaves_bam_vcf_and_a_page(lab: Lab, tmp_path: Path) -> None:
    results = tmp_path / "results"
    result = demo("--results", str(results))
    assert result.returncode == 0, result.stderr
    assert float(figure(result.stdout, "recall (QUAL 20)")) > 0.97
    assert float(figure(result.stdout, "precision (QUAL 20)")) > 0.97
    for name in ("simulated.bam", "simulated.bam.bai", "simulated.vcf.gz", "simulated.vcf.gz.tbi", "report.html"):
        assert (results / name).stat().st_size > 0
        assert name.endswith("i") or str(results / name) in result.stdout
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "mem.L001" in page
    assert "http" not in page  # it needs nothing else to be looked at
    assert lab.images


def own_reads(folder: Path) -> Small:
    for name in ("reference", "data"):
        (folder / name).mkdir(parents=True)
    return Small.make(folder, name="NA1")


def words(small: Small, results: Path) -> list[str]:
    reference = small.scratch / "reference" / small.reference
    reads = ["--reads", str(small.r1), str(small.r2)]
    return ["--reference", str(reference), *reads, "--sample", "NA1", "--shards", "2", "--results", str(results)]


def test_takes_a_user_s_own_reads(lab: Lab, tmp_path: Path) -> None:
    small = own_reads(tmp_path / "own files")
    result = demo(*words(small, tmp_path / "results"))
    assert result.returncode == 0, result.stderr
    assert figure(result.stdout, "reads") == f"{2 * len(small.reads):,}"
    assert (tmp_path / "results" / "NA1.vcf.gz").exists()
    assert lab.images


def test_bad_reads_end_with_the_step_s_own_error_and_code(lab: Lab, tmp_path: Path) -> None:
    small = own_reads(tmp_path / "own")
    small.r2.write_bytes(small.r2.read_bytes()[:-500])
    result = demo(*words(small, tmp_path / "results"))
    assert result.returncode == 65
    (error,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert "cannot unpack NA1/R2.fastq" in error
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "results").glob("*.vcf.gz"))
    assert lab.images


def test_results_are_never_written_over(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept", encoding="ascii")
    result = demo("--results", str(tmp_path))
    assert result.returncode == 73
    assert "is not empty" in result.stderr
    assert lab.images

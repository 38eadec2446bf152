"""`build.py demo`, as a user types it."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from harness import Lab
from small import Small

from toolchain.engine import LABEL
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


def own_reads(folder: Path, depth: int = 20) -> Small:
    for name in ("reference", "data"):
        (folder / name).mkdir(parents=True)
    return Small.make(folder, name="NA1", depth=depth)


def words(small: Small, results: Path) -> list[str]:
    reference = small.scratch / "reference" / small.reference
    reads = ["--reads", str(small.r1), str(small.r2)]
    return ["--reference", str(reference), *reads, "--sample", "NA1", "--shards", "2", "--results", str(results)]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("bwa", "aligner: bwa: as asked for"), ("auto", "aligner: bwa-mem3: making its index takes ")],
)
def test_takes_a_user_s_own_reads_and_says_which_aligner_it_took(
    lab: Lab, tmp_path: Path, wanted: str, said: str
) -> None:
    small = own_reads(tmp_path / "own files")
    result = demo(*words(small, tmp_path / "results"), "--aligner", wanted)
    assert result.returncode == 0, result.stderr
    assert said in result.stderr
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


def test_ctrl_c_ends_it_and_every_container_at_once(lab: Lab, tmp_path: Path) -> None:
    small = own_reads(tmp_path / "own", depth=3000)
    command = [
        sys.executable,
        str(HERE.root / "build.py"),
        "demo",
        *words(small, tmp_path / "results"),
        "--aligner",
        "bwa",
    ]
    mine: dict[str, Any] = {"label": LABEL, "ancestor": lab.images["bwa"].image_id}
    before = {one.id for one in lab.workshop.engine.client.containers.list(filters=mine)}

    def running() -> set[str | None]:
        return {one.id for one in lab.workshop.engine.client.containers.list(filters=mine)} - before

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        work = HERE.local / "scratch" / "working" / ".work"
        deadline = time.monotonic() + 60
        while not (running() and list(work.glob("*/demo-*/NA1/tmp.mem.*"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert "Traceback" not in stderr
    assert running() == set()

"""`build.py demo`, as a user types it."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli_runner import CliRunner, wait_for_line
from support.local_aws import until
from support.tiny_genome import Small

pytestmark = pytest.mark.engine


def figure(table: str, name: str) -> str:
    match = re.search(rf"{re.escape(name)} +│ +(.*?) +│", table)
    assert match is not None, table
    return match[1]


def test_finds_the_planted_variants_and_leaves_bam_vcf_and_a_page(cli_runner: CliRunner, tmp_path: Path) -> None:
    results = tmp_path / "results"
    result = cli_runner.type("demo", "--results", str(results))
    assert result.code == 0, result.err
    assert float(figure(result.out, "recall (QUAL 20)")) > 0.97
    assert float(figure(result.out, "precision (QUAL 20)")) > 0.97
    for name in ("simulated.bam", "simulated.bam.bai", "simulated.vcf.gz", "simulated.vcf.gz.tbi", "report.html"):
        assert (results / name).stat().st_size > 0
        assert name.endswith("i") or str(results / name) in result.out
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "mem.L001" in page
    assert "http" not in page  # it needs nothing else to be looked at


def own_reads(folder: Path, depth: int = 20) -> Small:
    for name in ("reference", "data"):
        (folder / name).mkdir(parents=True)
    return Small.make(folder, name="NA1", depth=depth)


def words(small: Small, results: Path) -> list[str]:
    reference = small.scratch / "reference" / small.reference
    reads = ["--reads", str(small.r1), str(small.r2)]
    return ["--reference", str(reference), *reads, "--sample", "NA1", "--shards", "2", "--results", str(results)]


@pytest.mark.parametrize(
    ("aligner", "message"),
    [("bwa", "aligner: bwa: as asked for"), ("auto", "aligner: bwa-mem3: making its index takes ")],
)
def test_takes_a_user_s_own_reads_and_names_the_aligner(
    cli_runner: CliRunner, tmp_path: Path, aligner: str, message: str
) -> None:
    small = own_reads(tmp_path / "own files")
    result = cli_runner.type("demo", *words(small, tmp_path / "results"), "--aligner", aligner)
    assert result.code == 0, result.err
    assert message in result.err
    assert figure(result.out, "reads") == f"{2 * len(small.reads):,}"
    assert (tmp_path / "results" / "NA1.vcf.gz").exists()


@pytest.mark.usefixtures("built_images")
def test_private_files_and_a_closed_umask_are_no_hindrance(tmp_path: Path) -> None:
    small = own_reads(tmp_path / "own")
    for file in (small.r1, small.r2):
        file.chmod(0o600)
    before = os.umask(0o077)
    try:
        closed = CliRunner.make(tmp_path / "closed")
        result = closed.type("demo", *words(small, tmp_path / "results"), "--aligner", "bwa")
    finally:
        os.umask(before)
    assert result.code == 0, result.err
    assert (tmp_path / "results" / "NA1.vcf.gz").exists()
    assert (tmp_path / "results").stat().st_mode & 0o077 == 0
    assert small.r1.stat().st_mode & 0o777 == 0o600


def test_bad_reads_end_with_the_step_s_own_error_and_code(cli_runner: CliRunner, tmp_path: Path) -> None:
    small = own_reads(tmp_path / "own")
    small.r2.write_bytes(small.r2.read_bytes()[:-500])
    result = cli_runner.type("demo", *words(small, tmp_path / "results"))
    assert result.code == 65
    assert "cannot unpack NA1/R2.fastq" in result.error
    assert not (tmp_path / "results").exists()


def test_ctrl_c_ends_it_and_every_container_at_once(
    cli_runner: CliRunner, tmp_path: Path, containers: Callable[[], list[Any]]
) -> None:
    small = own_reads(tmp_path / "own", depth=3000)
    with cli_runner.begun("demo", *words(small, tmp_path / "results"), "--aligner", "bwa") as process:
        work = cli_runner.scratch / "working" / ".work"
        until(lambda: containers() and list(work.glob("*/demo-*/NA1/tmp.mem.*")))
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 10
    assert "Traceback" not in stderr
    assert containers() == []
    assert not (tmp_path / "results").exists()
    assert not (cli_runner.root / "results").exists()


def test_a_demo_that_is_killed_leaves_no_directory_for_results(cli_runner: CliRunner) -> None:
    with cli_runner.begun("demo") as process:
        wait_for_line(process, "simulating")
        process.kill()
        process.communicate(timeout=30)
    assert not (cli_runner.root / "results").exists()

"""A copy of the checkout, its embedded AWS for all commands of a module, and small reads of several kinds."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cli_runner import CliRunner
from support.job_runner import BuiltImages, passable
from support.tiny_genome import Small

from toolchain.localaws.batch.host import ROOT_LABEL

# Takes some seconds to align.
SLOW_DEPTH = 4000


@pytest.fixture(scope="module")
def cli_runner(built_images: BuiltImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliRunner]:
    """A copy of the checkout whose images are built, with samples NA1, SLOW, and BAD whose second reads are cut."""
    cli_runner = CliRunner.make(tmp_path_factory.mktemp("checkout"))
    for name in ("reference", "data"):
        (cli_runner.scratch / name).mkdir(parents=True)
    passable(cli_runner.scratch)
    for name, depth in (("NA1", 20), ("SLOW", SLOW_DEPTH), ("BAD", 20)):
        small = Small.make(cli_runner.scratch, name=name, depth=depth)
    small.r2.write_bytes(small.r2.read_bytes()[:-500])
    for name in ("NA1", "SLOW", "BAD"):
        cli_runner.sheet(f"{name}.csv", f"{name},{name}_L001_R1.fastq.gz,{name}_L001_R2.fastq.gz")
    yield cli_runner
    cli_runner.type("local", "stop")
    words = ["docker", "run", "--rm", "-v", f"{cli_runner.scratch}:/it", built_images.images["samtools"].image_id]
    subprocess.run([*words, "sh", "-c", "rm -rf /it/working/*"], check=True)


@pytest.fixture(scope="module")
def containers(built_images: BuiltImages, cli_runner: CliRunner) -> Callable[[], list[Any]]:
    """Lists the containers of the copy's embedded AWS."""
    label = f"{ROOT_LABEL}={cli_runner.checkout.local.resolve()}"
    return lambda: built_images.builder.engine.client.containers.list(
        all=True, ignore_removed=True, filters={"label": label}
    )

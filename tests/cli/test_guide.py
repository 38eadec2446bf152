"""docs/guide.md, word for word: what it says to type and to change, in a copy of the checkout."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli_runner import CliRunner
from support.job_runner import BuiltImages

from toolchain.paths import HERE

TEXT = (HERE.root / "docs" / "guide.md").read_text(encoding="utf-8")
HERE_ON_ONE_MACHINE = TEXT[TEXT.index("## Add a tool") : TEXT.index("In AWS, the repository")]
# A command on a line by itself, or a change of the file that is named last before it.
BLOCKS = re.compile(r"^    python (build\.py [^\n]*)$|^```diff\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
TOLD_ALL = ("tests/stacks/test_workflow.py", "tests/unit/test_plan.py", "tests/unit/test_docs.py")


def change(root: Path, text_before: str, diff: str) -> None:
    """Makes a change; what it replaces must be there once."""
    files = [root / name for name in re.findall(r"`([\w./-]+)`", text_before) if (root / name).is_file()]
    lines = [(line[:1], line[1:]) for line in diff.splitlines()]
    old, new = ("\n".join(line for sign, line in lines if sign in (" ", kept)) for kept in "-+")
    text = files[-1].read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    files[-1].write_text(text.replace(old, new), encoding="utf-8")


def run(root: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def followed(cli_runner: CliRunner, built_images: BuiltImages) -> Iterator[CliRunner]:
    """A checkout whose owner has followed the guide."""
    for block in BLOCKS.finditer(HERE_ON_ONE_MACHINE):
        if block[1]:
            run(cli_runner.root, *block[1].split())
        else:
            change(cli_runner.root, HERE_ON_ONE_MACHINE[: block.start()], block[2])
    yield cli_runner
    for tag in built_images.builder.engine.client.images.list("genomics/bedtools"):
        tag.remove(force=True)


def test_the_tool_runs_for_the_sample_and_its_results_are_checked(followed: CliRunner) -> None:
    (folder,) = (followed.root / "results").iterdir()
    depths = (folder / "qc" / "simulated.bedtools.txt").read_text(encoding="ascii").splitlines()
    assert sum(int(line.split("\t")[2]) for line in depths if line.startswith("genome\t")) == 1_000_000
    assert "bedtools" in (folder / "report.html").read_text(encoding="utf-8")
    assert "simulated.bedtools.txt" in (folder / "steps" / "check.json").read_text(encoding="utf-8")


def test_nothing_else_is_to_be_told(followed: CliRunner) -> None:
    assert "NA1\tbedtools\tbedtools\n" in run(
        followed.root, "build.py", "run", "NA1.csv", "--reference", "small.fa", "--local", "--dry-run"
    )
    assert "[bedtools](images/bedtools) | 2." in (followed.root / "README.md").read_text(encoding="utf-8")
    run(followed.root, "-m", "ruff", "check", "images", "tests/images")
    run(followed.root, "-m", "pytest", "-q", *TOLD_ALL)


def test_a_package_that_debian_does_not_have_is_told_with_a_way_to_find_it(cli_runner: CliRunner) -> None:
    result = cli_runner.type("new", "no-such-tool")
    assert (result.code, result.out) == (66, "")
    assert result.error.startswith("error: no Debian package 'no-such-tool': Debian trixie has none of this name")
    assert result.error.endswith("apt-cache search WORD")

"""No pipeline of the shell that is left hangs up on its writer.

A reader that ends early kills what writes to it, once that has more to say than a pipe holds. Under pipefail the script
then fails, on large inputs and not on small ones.
"""

import re
from pathlib import Path

import pytest

from toolchain.paths import HERE

# What ends before its input does: head, grep that only asks, sed and awk told to stop, the shell's own read.
EARLY = re.compile(
    r"""(?<!\|)\|(?!\|)&?\s*(?:\w+=\S*\s+)*(?:
        head\b
      | [ef]?grep\b(?:\s+-[\w-]+)*?\s+(?:-\w*[qm]|--quiet|--silent|--max-count)
      | (?:busybox\s+)?sed\b[^|&]*?[\d$/{;]\s*q\s*(?:['"};]|\s|$)
      | [mg]?awk\b[^|]*?\bexit\b
      | read\b
    )""",
    flags=re.VERBOSE,
)
SCRIPTS = sorted(
    path
    for pattern in (
        ".ci/run",
        "Makefile",
        "scripts/*",
        "images/*/Dockerfile",
        "images/base/assemble",
        "benchmarks/stock/*",
    )
    for path in HERE.root.glob(pattern)
)
TEMPLATES = sorted(HERE.stacks.glob("*.yaml"))  # instances' user data


def early(text: str) -> list[str]:
    """The readers that may end early, in a text whose comments and continued lines are put aside."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*|(?<=\|)\s*\n\s*", " ", code)
    return [found[0] for found in EARLY.finditer(joined)]


@pytest.mark.parametrize("file", [*SCRIPTS, *TEMPLATES], ids=lambda file: file.relative_to(HERE.root).as_posix())
def test_no_reader_of_a_pipeline_ends_early(file: Path) -> None:
    assert early(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "script",
    [
        "zcat x | head -n 1",
        "samtools view x |\n    head -c 28",
        "dpkg --list \\\n | grep -q python",
        "list | grep -F -qx name",
        "list | grep --max-count 1 x",
        "list | sed -n '1p;1q'",
        "list | sed 5q",
        "list | awk '/x/ { print; exit }'",
        "list | LC_ALL=C read -r first",
    ],
)
def test_a_reader_that_ends_early_is_found(script: str) -> None:
    assert early(script)


@pytest.mark.parametrize(
    "script",
    [
        "head -n 1 file",
        "list | tail -n 1",
        "list | sed -n '1s/:.*//p'",
        "list | sed 's/a/q/'",
        "list | awk 'NR == 1'",
        "list | grep python",
        "list | while read -r line; do echo; done",
        'grep -q x <<< "$list"',
        "# list | head",
        "test || head file",
    ],
)
def test_what_reads_to_the_end_is_left_alone(script: str) -> None:
    assert not early(script)

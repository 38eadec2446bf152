"""The code does not ask whether it talks to AWS or to the embedded one, but where it must."""

import re
from pathlib import Path

import pytest

from toolchain.paths import HERE

# What would tell: the endpoint, the embedded AWS itself, a checkout that deals with it, and one that does for a while.
SIGNS = {
    "endpoint": re.compile(r"AWS_ENDPOINT_URL|endpoint_url"),
    "embedded": re.compile(r"\blocalaws\b"),
    "checkout": re.compile(r"\bat_home\b"),
    "lasting": re.compile(r"\bfor_now\b|\blasting[=:]|\.lasting\b"),
}
# Module, and which of the signs it may hold, and why.
ALLOWED: dict[str, dict[str, str]] = {
    "toolchain/aws.py": {"endpoint": "names the variable in what to check when nothing answers, and reads it nowhere"},
    "toolchain/demo/run.py": {
        "embedded": "the demo is always on this machine: it puts its reads where that AWS has them"
    },
    "toolchain/cli/local.py": {
        "embedded": "the commands `local start|stop|status`, and --local, which connects to one"
    },
    "toolchain/runs/prepare.py": {
        "checkout": "deployments take turns here, where nothing but the lock says who is at it"
    },
    "toolchain/paths.py": {
        "checkout": "says where what is known of either is kept",
        "lasting": "and whether that AWS is there for other commands",
    },
    "toolchain/jobdefs/render.py": {"checkout": "the choice of the rendering"},
    "toolchain/cli/runs.py": {
        "checkout": "`run --local` makes ready what is not, and fits jobs to this machine",
        "lasting": "a run cannot go on without the AWS that it is in, and no later command can be told of it",
    },
    "toolchain/stacks/deploy.py": {"lasting": "an interrupted deployment goes on only where its AWS does"},
    "toolchain/stacks/destroy.py": {"lasting": "likewise"},
    "toolchain/stacks/watch.py": {"lasting": "says so"},
    "toolchain/runs/run_error.py": {"lasting": "what to type next must still find the run"},
}


def modules() -> list[Path]:
    """The code outside of the embedded AWS."""
    own = HERE.root / "toolchain" / "localaws"
    found = [HERE.root / "build.py", *sorted((HERE.root / "toolchain").rglob("*.py"))]
    return [file for file in found if own not in file.parents]


def signs(file: Path) -> set[str]:
    """Which signs a module holds."""
    text = file.read_text(encoding="utf-8")
    return {name for name, pattern in SIGNS.items() if pattern.search(text)}


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(HERE.root)))
def test_a_module_does_not_ask_which_of_the_two_it_talks_to(file: Path) -> None:
    assert signs(file) == set(ALLOWED.get(str(file.relative_to(HERE.root)), {}))


def test_every_exception_is_of_a_module_that_is_there_and_has_its_reason() -> None:
    assert set(ALLOWED) <= {str(file.relative_to(HERE.root)) for file in modules()}
    assert all(reason for signs in ALLOWED.values() for reason in signs.values())


def test_nothing_that_the_jobs_or_the_stacks_are_made_of_knows_of_the_embedded_one() -> None:
    files = [*HERE.jobdefs.glob("*.j2"), *HERE.stacks.glob("*.yaml")]
    assert {file.name: found for file in files if (found := signs(file))} == {}

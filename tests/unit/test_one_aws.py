"""The code does not ask whether it talks to AWS or to the embedded one, but where it must."""

import re
from pathlib import Path

import pytest

from toolchain.paths import HERE

# What would tell: the endpoint, the embedded AWS itself, and the two targets by name.
SIGNS = {
    "endpoint": re.compile(r"AWS_ENDPOINT_URL|endpoint_url"),
    "embedded": re.compile(r"\blocalaws\b"),
    "target": re.compile(r"\b(Aws|Local)Target\b"),
}
# Module, and which of the signs it may hold, and why.
ALLOWED: dict[str, dict[str, str]] = {
    "toolchain/aws.py": {"endpoint": "names the variable in what to check when nothing answers, and reads it nowhere"},
    "toolchain/cli/local.py": {"embedded": "--local, and `local start|stop|status`", "target": "hands it to commands"},
    "toolchain/demo/run.py": {
        "embedded": "the demo is always on this machine: it puts its reads where that AWS has them",
        "target": "likewise",
    },
    "toolchain/doctor/checks/configuration.py": {"target": "doctor looks at AWS only"},
    "toolchain/runs/target.py": {"target": "defines them"},
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

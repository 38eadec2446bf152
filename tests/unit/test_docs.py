"""What the documents name is there: pages, files, commands with their options, make's targets."""

import re
from pathlib import Path

import click
import pytest

from toolchain.cli.main import COMMANDS, cli
from toolchain.images import catalog, listing
from toolchain.paths import HERE

ROOT = HERE.root
PAGES = sorted(
    page for pattern in ("*.md", "*/*.md", "*/*/*.md") for page in ROOT.glob(pattern) if ".cache" not in str(page)
)
FOLDERS = "benchmarks|docs|images|jobdefs|requirements|scripts|stack|tests|toolchain"
# What the guide makes, and what is not in git.
MADE = re.compile(r"(images|jobdefs|tests/images)/(test_)?bedtools|<|…|\*")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_a_link_leads_to_a_page_and_its_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([\w./#-]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_a_file_that_is_named_is_there(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[^`\s]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not MADE.search(name) and not (ROOT / name).exists()] == []


def test_a_command_that_is_named_is_there_and_takes_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"python build\.py ([^`;|)\n]*)", text):
        name, *words = line.partition("#")[0].split()
        if name.startswith("-"):
            continue
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, line
        if isinstance(command, click.Group) and words:
            command = command.commands[words[0].rstrip('"')]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= TARGETS


def test_every_command_is_documented() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if f"python build.py {name}" not in pages] == []


def test_the_table_of_images_is_that_of_the_catalogue() -> None:
    table = listing.markdown(catalog.load(HERE.images).tools.values())
    assert table in README, "type: python build.py list --write-readme"

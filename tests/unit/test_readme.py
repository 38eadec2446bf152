"""The README's tables are what the commands print."""

from toolchain.cli import main as cli
from toolchain.images import catalog, listing
from toolchain.paths import HERE

README = (HERE.root / "README.md").read_text(encoding="utf-8")


def test_the_table_of_images_is_that_of_the_catalogue() -> None:
    assert listing.markdown(catalog.load(HERE.images).tools.values()) in README, "type: build.py list --write-readme"


def test_every_command_stands_in_the_readme() -> None:
    for name in cli.cli.commands:
        assert f"python build.py {name}" in README


def test_every_command_that_the_readme_names_is_there() -> None:
    named = {line.split()[2].rstrip("`") for line in README.split("`") if line.startswith("python build.py ")}
    assert named - {"--help"} <= set(cli.cli.commands)

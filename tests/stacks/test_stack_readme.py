"""stack/README.md says what the templates say."""

import re

from support.resolved_stacks import FOLDER, NAMES
from support.stack_tables import README, written

TEXT = README.read_text(encoding="utf-8")


def test_the_tables_are_what_the_templates_say() -> None:
    assert written(TEXT) == TEXT, "type: .venv/bin/python tests/support/stack_tables.py"


def test_every_template_is_there_and_is_told_of() -> None:
    assert sorted(re.findall(r"^## (\w+)\.yaml$", TEXT, re.MULTILINE)) == sorted(NAMES)
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(NAMES)

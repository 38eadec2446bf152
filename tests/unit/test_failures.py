"""The classes of failures: what they match, and that the documentation tells of each."""

import re

import pytest

from toolchain.jobdefs import failures
from toolchain.paths import HERE

GUIDE = HERE.root / "docs" / "running.md"


def table() -> str:
    """The table of docs/running.md."""
    again = {"batch": "Batch", "memory": "the state machine, once", "nobody": "nobody"}
    lines = ["| class | the job | tried again by | exit code | what to do |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {one.name} | {one.what} | {again[one.again]} | {one.exit_code} | {one.fix} |" for one in failures.CLASSES
    ]
    return "\n".join(lines) + "\n"


def test_the_guide_tells_of_every_class() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    found = re.search(r"<!-- classes -->\n(.*)<!-- end of classes -->", text, flags=re.DOTALL)
    assert found is not None
    assert found[1] == table(), f"docs/running.md, between the marks: write\n{table()}"


def test_batch_tries_again_what_is_its_own_to_try_again_and_nothing_else() -> None:
    rules = failures.evaluate_on_exit()
    assert [rule for rule in rules if rule["action"] == "RETRY"] == [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "CannotPullContainerError:*", "action": "RETRY"},
        {"onStatusReason": "Task failed to start*", "action": "RETRY"},
        {"onExitCode": "75", "action": "RETRY"},
    ]
    assert rules[-1] == {"onReason": "*", "action": "EXIT"}
    assert len(rules) <= 5


def test_every_failure_has_a_class_and_bad_data_is_never_tried_again() -> None:
    last = failures.CLASSES[-1]
    assert (last.status, last.reason, last.exits) == ("", "", ())
    bad = next(one for one in failures.CLASSES if "65" in one.exits)
    assert bad.again == "nobody"


@pytest.mark.parametrize("one", failures.CLASSES, ids=lambda one: one.name)
def test_a_class_says_what_happened_and_what_to_do(one: failures.FailureClass) -> None:
    assert re.fullmatch(r"[a-z].*[^.]", one.what)
    assert re.fullmatch(r"[A-Z].*\.", one.fix)
    assert one.exit_code in {64, 65, 66, 69, 70, 73, 74, 75, 78}

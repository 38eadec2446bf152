"""The classes of failures: what they match, and their table in the documentation."""

import re

import pytest

from toolchain.jobdefs import failures
from toolchain.paths import HERE

GUIDE = HERE.root / "docs" / "running.md"


def table() -> str:
    """The table of docs/running.md."""
    again = {
        "batch": "Batch",
        "hosts": "Batch, then the state machine on demand; eight times in all",
        "memory": "the state machine, once",
        "nobody": "nobody",
    }
    lines = ["| class | the job | tried again by | exit code | what to do |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {failure.name} | {failure.what} | {again[failure.again]} | {failure.exit_code} | {failure.fix} |"
        for failure in failures.CLASSES
    ]
    return "\n".join(lines) + "\n"


def test_the_documentation_lists_every_class() -> None:
    text = GUIDE.read_text(encoding="utf-8").partition("<!-- classes -->\n")[2].partition("<!-- end of classes -->")[0]
    assert text == table(), f"docs/running.md, between the marks: write\n{table()}"


def test_batch_retries_lost_hosts_images_that_cannot_be_pulled_and_exit_code_75_and_nothing_else() -> None:
    assert failures.evaluate_on_exit() == [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "CannotPull*", "action": "RETRY"},
        {"onStatusReason": "Task failed to start*", "action": "RETRY"},
        {"onExitCode": "75", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ]


def test_every_failure_has_a_class_and_bad_data_is_never_tried_again() -> None:
    last = failures.CLASSES[-1]
    assert (last.status, last.reason, last.exits) == ("", "", ()), "the last class matches everything"
    (bad_data,) = (failure for failure in failures.CLASSES if "65" in failure.exits)
    assert bad_data.again == "nobody"


@pytest.mark.parametrize("failure", failures.CLASSES, ids=lambda failure: failure.name)
def test_a_class_says_what_happened_and_what_to_do(failure: failures.FailureClass) -> None:
    assert re.fullmatch(r"[a-z].*[^.]", failure.what)
    assert re.fullmatch(r"[A-Z].*\.", failure.fix)
    assert failure.exit_code in {64, 65, 66, 69, 70, 73, 74, 75, 78}

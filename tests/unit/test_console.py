"""Progress: live on a terminal, a line for each result elsewhere."""

import re
import time

import pytest

from toolchain.backoff import Backoff
from toolchain.console import LayerProgress, difference, note, rewriting_notes, task_progress, transfer_progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def plain(text: str) -> str:
    """A terminal's output without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_every_layer_that_is_sent_has_its_own_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with transfer_progress(("alpha", "beta")) as progress:
        progress.layer("alpha", LayerProgress(name="1a2b3c", status="Preparing"))
        progress.layer("alpha", LayerProgress(name="1a2b3c", status="Pushing", sent=400_000, total=1_000_000))
        progress.layer("alpha", LayerProgress(name="1a2b3c", status="Waiting"))
        progress.layer("alpha", LayerProgress(name="4d5e6f", status="Layer already exists"))
        progress.retry("beta", "again after: 503")
        time.sleep(0.3)  # a frame is drawn ten times a second
        progress.done("alpha", "pushed alpha:1.0")
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("1a2b3c", "pushing", "0.4/1.0 MB", "layer already exists", "again after: 503", "pushed alpha:1.0"):
        assert part in plain(err), part


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_every_task_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with task_progress(("alpha", "beta")) as progress:
        progress.update("alpha", "Step 1/2")
        time.sleep(0.3)
        progress.done("alpha", "built alpha:1.0")
    said = plain(capsys.readouterr().err)
    for part in ("Step 1/2", "✓", "built alpha:1.0", "beta", "waiting"):
        assert part in said, part


@pytest.mark.parametrize("show", [task_progress, transfer_progress])
def test_elsewhere_there_is_a_line_for_each_result_and_each_retry(
    show: type, capsys: pytest.CaptureFixture[str]
) -> None:
    with rewriting_notes(str.upper), show(("alpha",)) as progress:
        progress.update("alpha", "Step 1/2")
        progress.layer("alpha", LayerProgress(name="1a2b3c", status="Pushing"))
        progress.retry("alpha", "again after: 503")
        progress.done("alpha", "pushed")
    note("end")
    assert capsys.readouterr() == ("", "ALPHA: AGAIN AFTER: 503\nALPHA: PUSHED\nend\n")


def test_lines_of_a_diff_are_printed_whole_and_without_colours_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["--- a", "+++ b", "@@ -1 +1 @@", f"-{'x' * 300}", " [red]same"]
    difference(lines)
    assert capsys.readouterr() == ("".join(f"{line}\n" for line in lines), "")


def test_waits_grow_are_bounded_and_differ() -> None:
    backoff = Backoff(first=1, longest=10)
    for failed, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (9, 10)):
        waits = [backoff.wait(failed) for _ in range(200)]
        assert 0 <= min(waits) < longest / 4
        assert longest * 3 / 4 < max(waits) <= longest

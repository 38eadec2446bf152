"""What the benchmark says of its figures: verdicts, tables, the pages' sections, the plot."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import figures
import meter
import plot
import pulls
import pytest
import report
import shapes
from figures import Cost, Data, Results, Spread, Step, Timed

from toolchain.paths import HERE

SPEED = HERE.root / "docs" / "speed.json"


def costs(*walls: float, written: int = 1_000) -> tuple[Cost, ...]:
    return tuple(Cost(wall=wall, user=wall / 2, peak=5_000_000, written=written) for wall in walls)


def step(name: str, begin: float, end: float) -> Step:
    return Step(name=name, jobs=1, begin=begin, end=end, user=1.0, system=0.5, peak=1, read=None, written=7_000_000)


MADE = Results(
    machine={"machine": "2 cores"},
    rounds=3,
    data=(
        Data(
            name="simulated",
            title="a simulated genome",
            targets=True,
            costs={
                "linear": costs(100.0, 100.0, 100.0),
                "pipeline": costs(50.0, 60.0, 70.0),
                "ours, same work": costs(31.0, 37.0, 41.0, written=200),
                "ours": costs(49.0, 50.0, 55.0, written=300),
            },
            agreement={"pipeline": 1.0, "ours, same work": 0.995, "ours": 0.99},
            steps={"ours": (step("mem", 0, 30), step("call", 30, 45), step("qc", 30, 40), step("gather", 45, 46))},
        ),
    ),
    left_out=("real reads: no folder.",),
    commands=(Timed(what="build.py list", budget=0.3, seconds=(0.2, 0.25, 0.4)),),
    pulls=(pulls.pull("ours", {"a": {"x": 5, "y": 1}, "b": {"x": 5, "z": 2}}),),
)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((1.0, 2.0, 9.0), "met"), ((1.9, 2.1, 2.2), "within the spread"), ((2.01, 2.1, 2.2), "missed")],
)
def test_a_target_is_missed_when_every_round_is_above_it(values: tuple[float, ...], verdict: str) -> None:
    assert Spread(values=values).against(2.0) == verdict


def test_each_target_has_a_verdict_where_targets_hold() -> None:
    assert dict(report.verdicts(MADE)) == {
        "simulated: ours, same work / linear, wall": "met",
        "simulated: ours, same work / pipeline, wall": "within the spread",
        "simulated: ours / linear, wall": "missed",
        "simulated: ours, same work / linear, bytes written": "met",
        "simulated: ours / linear, bytes written": "missed",
        "build.py list": "met",
    }


def test_no_target_holds_where_the_data_set_has_none() -> None:
    without = replace(MADE, data=tuple(replace(data, targets=False) for data in MADE.data))
    assert dict(report.verdicts(without)) == {"build.py list": "met"}
    assert "target 0" not in report.page(without)


def test_ratios_are_of_the_same_round() -> None:
    assert MADE.data[0].ratios("wall", "ours, same work", "pipeline").values == pytest.approx((0.62, 37 / 60, 41 / 70))


def test_the_page_gives_medians_spreads_and_verdicts() -> None:
    text = report.page(MADE)
    assert "| wall, s | 100.0 | 60.0 | 37.0 | 50.0 |" in text
    assert "| 0.37 (0.31 to 0.41); target 0.38: met |" in text
    assert "| 0.50 (0.49 to 0.55); target 0.48: missed |" in text
    assert "| mem | 1 | 0.0 | 30.0 | 1.0 | 0.5 | 0 | not recorded | 7 |" in text
    assert "real reads: no folder." in text


def test_the_summary_gives_three_figures() -> None:
    assert report.summary(MADE).splitlines()[2:] == [
        "| wall, s | 100.0 | 37.0 | 0.37 |",
        "| user CPU, s | 50.0 | 18.5 | 0.37 |",
        "| bytes written, MB | 0 | 0 | 0.20 |",
    ]


def test_what_is_kept_makes_the_same_page(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    file.write_text(MADE.dump(), encoding="utf-8")
    assert report.page(figures.load(file)) == report.page(MADE)


def test_a_section_takes_the_place_of_the_one_between_its_markers() -> None:
    text = f"# A\n\n{report.BEGIN}\nold\n{report.END}\n\n## B\n"
    assert report.placed(text, "new") == f"# A\n\n{report.BEGIN}\n\nnew\n\n{report.END}\n\n## B\n"
    with pytest.raises(ValueError, match="bench"):
        report.placed("# A\n", "new")


@pytest.mark.parametrize(("page", "section"), [("README.md", report.summary), ("docs/benchmarks.md", report.page)])
def test_the_figures_of_the_pages_are_those_that_were_measured(page: str, section: Callable[[Results], str]) -> None:
    text = (HERE.root / page).read_text(encoding="utf-8")
    assert report.placed(text, section(figures.load(SPEED))) == text, "type: make bench"


def test_the_plot_shows_the_figures_that_were_measured(tmp_path: Path) -> None:
    plot.draw(figures.load(SPEED), tmp_path / "speed.svg")
    assert (tmp_path / "speed.svg").read_bytes() == SPEED.with_suffix(".svg").read_bytes(), "type: make bench"


def test_the_plot_is_the_same_bytes_each_time_and_names_no_date(tmp_path: Path) -> None:
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    plot.draw(MADE, first)
    plot.draw(MADE, second)
    assert first.read_bytes() == second.read_bytes()
    assert b"dc:date" not in first.read_bytes()


def test_a_run_waits_for_its_steps_and_not_for_those_beside_them() -> None:
    assert list(plot.phases(MADE.data[0].steps["ours"])) == [("mem", 30), ("call", 15), ("gather", 1)]


def test_a_layer_that_several_images_share_is_pulled_once() -> None:
    pull = pulls.pull("ours", {"a": {"x": 5, "y": 1}, "b": {"x": 5, "z": 2}})
    assert (pull.shared, pull.own, pull.total) == (5, {"a": 1, "b": 2}, 8)


def test_a_shape_agrees_by_what_it_shares_with_the_original_of_all_that_both_called() -> None:
    found = {"linear": frozenset("abc"), "pipeline": frozenset("abc"), "ours": frozenset("bcd")}
    assert shapes.agreements(found) == {"pipeline": 1.0, "ours": 0.5}


def test_the_jobs_of_a_step_are_one_row_and_bytes_are_summed_where_each_says_them() -> None:
    def record(name: str, start: int, end: int, **more: int) -> dict[str, object]:
        times = {key: f"2026-01-01T00:00:{at:02}.500Z" for key, at in (("start", start), ("end", end))}
        return {"step": name, "user_seconds": 1.5, "system_seconds": 0.5, "peak_memory_bytes": end, **times, **more}

    made = shapes.steps(
        [
            record("call.1-of-2", 12, 19, written_bytes=4),
            record("mem.L001", 2, 10, written_bytes=9),
            record("call.0-of-2", 11, 15, written_bytes=3, read_bytes=1),
        ]
    )
    assert [(one.name, one.jobs, one.begin, one.end) for one in made] == [("mem", 1, 0, 8), ("call", 2, 9, 17)]
    assert [(one.user, one.peak, one.read, one.written) for one in made] == [(1.5, 10, None, 9), (3.0, 19, None, 7)]
    assert shapes.steps([]) == ()


def test_the_meter_reads_user_time_with_nice_time_and_memory_that_cannot_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  300 100 50 9 0 0 0 0 0 0\ncpu0 1 1 1 1\n", encoding="ascii")
    (tmp_path / "meminfo").write_text(
        "MemTotal: 9 kB\nAnonPages:   3 kB\nCached: 7 kB\nShmem: 2 kB\n", encoding="ascii"
    )
    assert meter.user_seconds(tmp_path) == pytest.approx(4.0)
    assert meter.held(tmp_path) == 5 * 1024


def test_the_meter_tells_the_greatest_rise_and_what_was_spent(tmp_path: Path) -> None:
    def say(user: int, memory: int) -> None:
        (tmp_path / "stat").write_text(f"cpu  {user} 0 0 0\n", encoding="ascii")
        new = tmp_path / "new"
        new.write_text(f"AnonPages: {memory} kB\nShmem: 0 kB\n", encoding="ascii")
        new.rename(tmp_path / "meminfo")  # the meter reads it at any moment

    say(100, 10)
    with meter.metered(tmp_path) as used:
        say(250, 70)
        time.sleep(0.5)
        say(250, 30)
    assert (used.user, used.peak) == (1.5, 60 * 1024)
    assert used.wall >= 0.5

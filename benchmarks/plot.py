"""Draws docs/speed.svg: each shape's wall time as a share of the original's."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from figures import Data, Results, Step
from report import ORIGINAL, SAME

# Okabe and Ito's palette, which those who see colours otherwise can tell apart: https://jfly.uni-koeln.de/color/
_OF_STEPS: Final = {
    "mem": ("align", "#0072B2"),
    "finish": ("finish", "#E69F00"),
    "call": ("call", "#56B4E9"),
    "gather": ("gather", "#009E73"),
    "check": ("check", "#CC79A7"),
}
_REST: Final = ("start, wait, export", "#D0D0D0")
_SCRIPTS: Final = "#8C8C8C"
_INK: Final = "#24292F"
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "speed",  # ids are the same each time
    "svg.fonttype": "path",  # the same wherever it is looked at
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib
    "font.size": 11,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_WIDTH, _BAR, _ROOM = 8.6, 0.42, 0.75  # inches


def draw(results: Results, file: Path) -> None:
    """Writes the figure; the same bytes for the same results.

    Args:
        results: What was measured.
        file: An SVG, or whatever else its suffix says.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    heights = [len(data.costs) * _BAR + _ROOM for data in results.data]
    with mpl.rc_context(_STYLE):
        figure, every = plt.subplots(
            len(results.data),
            figsize=(_WIDTH, sum(heights) + 0.9),
            height_ratios=heights,
            squeeze=False,
            layout="constrained",
        )
        for axes, data in zip(every[:, 0], results.data, strict=True):
            axes.set_title(f"{data.title[0].upper()}{data.title[1:]}", loc="left", fontsize=11, fontweight="bold")
            for row, shape in enumerate(data.costs):
                left = 0.0
                for share, colour in _bar(data, shape):
                    axes.barh(row, share, left=left, color=colour, height=0.68, linewidth=0)
                    left += share
                ratios = data.ratios("wall", shape, ORIGINAL)
                around = [[ratios.median - ratios.least], [ratios.most - ratios.median]]
                axes.errorbar(ratios.median, row, xerr=around, color=_INK, capsize=3, linewidth=1.2)
                text = f"{ratios.median:.2f}   {data.of(shape, 'wall').median:.1f} s"
                axes.annotate(text, (ratios.most, row), xytext=(7, 0), textcoords="offset points", va="center")
            axes.set_yticks(range(len(data.costs)), [_label(shape) for shape in data.costs])
            axes.invert_yaxis()
            most = max(data.ratios("wall", shape, ORIGINAL).most for shape in data.costs)
            axes.set_xlim(0, most * 1.3)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        every[-1, 0].set_xlabel("wall time, the original's shape = 1: median, least and most")
        taken = {step.name for data in results.data for steps in data.steps.values() for step in steps}
        keys = [("scripts", _SCRIPTS), *(key for name, key in _OF_STEPS.items() if name in taken), _REST]
        figure.legend(
            handles=[Patch(color=colour, label=label) for label, colour in keys],
            loc="outside lower center",
            ncols=len(keys),
            frameon=False,
            fontsize=9.5,
            handlelength=1,
            columnspacing=1.2,
        )
        kind = file.suffix.removeprefix(".")
        figure.savefig(file, facecolor="white", dpi=100, metadata={"Date": None} if kind == "svg" else None)
        plt.close(figure)


def _label(shape: str) -> str:
    return shape if shape in (ORIGINAL, SAME) or not shape.startswith("ours") else f"{shape}, duplicates and QC too"


def _bar(data: Data, shape: str) -> Iterator[tuple[float, str]]:
    """A bar's parts: its median, shared out as the steps of the last round took their time."""
    length = data.ratios("wall", shape, ORIGINAL).median
    if shape not in data.steps:
        yield length, _SCRIPTS
        return
    last = data.costs[shape][-1].wall
    drawn = 0.0
    for name, seconds in phases(data.steps[shape]):
        drawn += (share := length * min(1.0, seconds / last))
        yield share, _OF_STEPS[name][1]
    yield max(0.0, length - drawn), _REST[1]


def phases(steps: Sequence[Step]) -> Iterator[tuple[str, float]]:
    """The steps that a run waits for, and how long each holds it: from its start, or the end of the one before."""
    reached = 0.0
    for step in steps:
        if step.name in _OF_STEPS:
            yield step.name, max(0.0, step.end - max(reached, step.begin))
            reached = max(reached, step.end)

"""What all figures share: colours, panels, box plots, saving bytes that do not change."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from analysis.shared.names import METRIC_NAMES, rate_name
from analysis.shared.tables import write_whole

# Okabe and Ito's vermilion and blue: apart for the colour-blind; in grey by hatch
WITHOUT, WITH = "#D55E00", "#0072B2"
# further boxes: colour, hatch
FURTHER = [("#009E73", "...."), ("#CC79A7", "||||"), ("#E69F00", "----"), ("#56B4E9", "\\\\\\\\")]
LINES = (
    {"color": "#D55E00", "linestyle": "-", "marker": "o"},
    {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    # three of a kind, apart in grey by dash and marker
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
)

# not the user's matplotlibrc: the same figures, byte for byte, for everybody
matplotlib.rcdefaults()
plt.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "hatch.linewidth": 0.6,
        "pdf.fonttype": 42,
    }
)


def label_log_axis(axis: matplotlib.axis.Axis) -> None:
    """As many labels between the powers of ten as have room, written plainly. Call it when all
    is drawn."""
    low, high = axis.get_view_interval()
    digits = "234567" if high < 20 * low else "25" if high < 500 * low else ""
    axis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in digits else "")


def panels(
    lines: int, columns: int, width: float, height: float = 3.5, **subplots: Any
) -> tuple[plt.Figure, list[plt.Axes]]:
    """A figure of lines x columns panels of width x height inches, with room for a legend; the
    panels line by line."""
    figure, grid = plt.subplots(
        lines, columns, squeeze=False, figsize=(columns * width, 0.5 + height * lines), **subplots
    )
    return figure, list(grid.flat)


def panels_for(
    count: int, width: float, height: float = 3.5, side_by_side: int = 3
) -> tuple[plt.Figure, list[plt.Axes]]:
    """The same for so many panels: up to `side_by_side` in one line, more in two columns."""
    columns = count if count <= side_by_side else 2
    figure, grid = panels(-(-count // columns), columns, width, height)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def write_in(axes: plt.Axes, text: str) -> None:
    """Say in the middle of an empty panel why it is empty."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.3", fontsize=9
    )


def spread(count: int, width: float) -> np.ndarray:
    """Places sideways of so many marks around 0, in a fixed way, so that equal scores stay visible
    and the file does not change."""
    return width * 0.8 * (((pd.Series(range(count)) * 0.618034) % 1) - 0.5).to_numpy()


def box_plot(
    axes: plt.Axes,
    position: float,
    scores: pd.Series,
    failed: pd.Series,
    color: str,
    hatch: str | None,
    width: float,
) -> None:
    """The paper's box plot of one setting: box, median (line), mean (diamond), and a circle per
    seed, a black cross for failed ones. Box: quartiles; whiskers: furthest run within 1.5 box
    heights. Of fewer than five runs, which have no quartiles to speak of, only circles, crosses and
    mean."""
    if len(scores) >= 5:
        drawn = axes.boxplot(
            [scores],
            positions=[position],
            widths=width,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            medianprops={"color": "black", "linewidth": 1.4},
        )
        drawn["boxes"][0].set(facecolor=color, alpha=0.45, hatch=hatch, edgecolor="black")
    axes.plot(
        position,
        scores.mean(),
        "D",
        markerfacecolor="white",
        markeredgecolor="black",
        markersize=5,
        zorder=4,  # a narrow box's circles would hide it
    )
    places = position + spread(len(scores), width)
    for chosen, marker, edge in (
        (~failed.to_numpy(), "o", color),
        (failed.to_numpy(), "x", "black"),
    ):
        axes.plot(
            places[chosen],
            scores.to_numpy()[chosen],
            marker,
            color=edge,
            markerfacecolor="none",
            markersize=4.5,
            markeredgewidth=1.1,
            linestyle="none",
            zorder=3,
        )


def box_panel(
    axes: plt.Axes,
    boxes: Sequence[tuple[float, pd.DataFrame, str, str | None]],
    width: float = 0.55,
) -> None:
    """Box plots of (position, runs of one setting, colour, hatch) over the majority level, a
    dotted line; scores in %."""
    runs = boxes[0][1]
    axes.axhline(100 * runs["majority_level"].iloc[0], color="black", linestyle=":", linewidth=1)
    for position, seeds, color, hatch in boxes:
        box_plot(axes, position, 100 * seeds["score"], seeds["failed"], color, hatch, width)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(f"dev {METRIC_NAMES[runs['metric'].iloc[0]]} (%)")


def correction_panel(
    axes: plt.Axes,
    runs: pd.DataFrame,
    by: str = "learning_rate",
    what: str = "peak learning rate",
    names: Mapping[Any, str] | None = None,
) -> None:
    """A pair of boxes, without and with bias correction, for each value of the column `by`, in
    order, or as `names` has them with what stands under each; failed runs of n under each box."""
    names = names or {
        value: rate_name(value) if by == "learning_rate" else str(value)
        for value in sorted(runs[by].unique())
    }
    looks = {False: (-0.2, WITHOUT, "////"), True: (0.2, WITH, None)}
    boxes = []
    for i, value in enumerate(names):
        for corrected, (shift, color, hatch) in looks.items():
            seeds = runs[(runs[by] == value) & (runs["bias_correction"] == corrected)]
            if len(seeds):
                boxes.append((i + shift, seeds, color, hatch))
    box_panel(axes, boxes, width=0.34)
    axes.set_xticks(range(len(names)), ["\n" + name for name in names.values()])
    for position, seeds, *_ in boxes:
        write_failures(axes, position, seeds, 8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"failed runs of n,{' ' if len(names) > 1 else chr(10)}and {what}")


def write_failures(axes: plt.Axes, position: float, runs: pd.DataFrame, size: float) -> None:
    """The failed runs of n under a box at `position`, in letters of `size` points."""
    axes.annotate(
        failures(runs),
        (position, 0),
        (0, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=size,
    )


def failures(runs: pd.DataFrame) -> str:
    """Failed runs of n: 3/25."""
    return f"{runs['failed'].sum()}/{len(runs)}"


CORRECTION_HANDLES = [
    Patch(
        facecolor=WITHOUT,
        alpha=0.45,
        hatch="////",
        edgecolor="black",
        label="without bias correction",
    ),
    Patch(facecolor=WITH, alpha=0.45, edgecolor="black", label="with bias correction"),
]


def box_legend(figure: plt.Figure, handles: Sequence[Patch] = ()) -> None:
    """Under a figure of box plots: what its marks mean, after `handles` for its boxes."""
    columns = 3 if figure.get_figwidth() > 4.5 else 2  # three are as wide as 4.4 inches
    figure.legend(
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
        handles=[
            *handles,
            Line2D([], [], marker="x", linestyle="none", color="black", label="failed run"),
            Line2D(
                [],
                [],
                marker="o",
                linestyle="none",
                markerfacecolor="none",
                color="black",
                label="other run",
            ),
            Line2D(
                [],
                [],
                marker="D",
                linestyle="none",
                markerfacecolor="white",
                color="black",
                label="mean",
            ),
            Line2D([], [], linestyle=":", color="black", label="majority level"),
        ],
    )


def write_plainly(figure: plt.Figure) -> None:
    """Let a $ in somebody's names stand as it is, and begin no formula. Numbers of a logarithmic
    axis are one, which matplotlib makes."""
    for text in figure.findobj(Text):
        if "$" in text.get_text() and r"\mathdefault" not in text.get_text():
            text.set_parse_math(False)


def settle(figure: plt.Figure) -> None:
    """Lay a figure out once, to a millionth of its size. The solver's last digits depend on where
    its variables lie in memory, and with many panels one of them rounds otherwise in the PDF."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.findobj(plt.Axes):
        axes.set_position([round(part, 6) for part in axes.get_position().bounds])


def save(figure: plt.Figure, path: Path) -> None:
    """<path>.pdf and <path>.png, without dates, so that the same data gives the same bytes."""
    write_plainly(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    undated = {"CreationDate": None, "Creator": None, "Producer": None}
    write_whole(path.with_suffix(".pdf"), lambda file: figure.savefig(file, metadata=undated))
    write_whole(
        path.with_suffix(".png"), lambda file: figure.savefig(file, metadata={"Software": None})
    )
    plt.close(figure)
    print(f"wrote {path.with_suffix('.png')}, .pdf")

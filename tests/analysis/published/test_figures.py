"""The paper's figures from its points: which are drawn, that counts on them are the published
ones, and that ours beside them have the same axes."""

import re
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from matplotlib.collections import PathCollection

from analysis import (
    bias_correction,
    catastrophic_forgetting,
    generalization,
    small_datasets,
    strong_baseline,
    training_length,
    vanishing_gradients,
)
from analysis.published import figures
from analysis.report.study import FIGURE_OF, STUDY


@pytest.fixture
def texts():
    """A function that draws a figure and gives all that is written on it."""

    def of(name: str) -> str:
        figure = figures.FIGURES[name]()
        figure.canvas.draw()
        found = [text.get_text() for text in figure.findobj(plt.Text) if text.get_visible()]
        return "\n".join(found)

    return of


def counts(text: str) -> list[str]:
    return re.findall(r"\d+/\d+", text)


def test_fig_1_has_the_failed_runs_that_the_paper_counts(texts):
    # Sec. 6, Table 1: RTE, MRPC, CoLA, each by default, by the paper's recipe and with Mixout
    text = texts("strong_baseline")
    assert " ".join(counts(text)) == "23/25 0/25 3/20 16/25 0/25 4/20 6/25 0/25 2/20"


def test_fig_9_has_every_point(texts):
    pairs = [pair.split("/") for pair in counts(texts("training_length"))]
    assert sum(int(n) for _, n in pairs) == 451 and len(pairs) == 18


def test_fig_3_calls_the_conditions_by_their_sizes(texts):
    text = texts("small_datasets")
    assert "1000 examples\n26 epochs" in text and "8551 examples" in text
    assert len(counts(text)) == 9


def test_fig_8_counts_runs_and_failures(texts):
    assert "451 runs, 135 failed" in texts("generalization")
    assert "10 runs, 0 failed" in texts("generalization")


def test_fig_8a_has_the_ends_that_the_paper_draws():
    (ends,) = figures.fig_8().axes[0].collections
    scores = ends.get_offsets()[:, 1]
    assert (len(scores), scores.min(), scores.max()) == (10, 68.95, 71.12)


def test_fig_4_ends_where_the_published_curves_end():
    figure = figures.fig_4()
    failed, successful = figure.axes
    (first,) = [line for line in failed.get_lines() if line.get_ydata()[0] == 0.12]
    assert list(first.get_ydata()) == [0.12, 0.000203, 0.000137]
    assert len(successful.get_lines()) == 8


def test_fig_2_has_six_curves_of_25_values():
    figure = figures.fig_2()
    curves = [line for axes in figure.axes[:2] for line in axes.get_lines()]
    assert [len(line.get_xdata()) for line in curves if len(line.get_xdata()) > 2] == [25] * 6


def tables(name, folder):
    """The reference results of a hypothesis, and of its curves where it has some."""
    paths = [folder / f"{name}.csv", folder / f"{name}_curves.csv"]
    return [pd.read_csv(path) for path in paths if path.is_file()]


OURS = {
    "strong_baseline": strong_baseline.draw,
    "catastrophic_forgetting": catastrophic_forgetting.draw,
    "small_datasets": small_datasets.draw,
    "vanishing_gradients": lambda runs: vanishing_gradients.draw(runs, "output"),
    "bias_correction": bias_correction.draw,
    "generalization": lambda runs, curves: generalization.draw(
        generalization.with_bins(runs), curves
    ),
    "training_length": training_length.draw,
}


def shared_axes(figure):
    """The panels by the unit of their y axis, and over the loss or not."""
    of = {}
    for axes in [axes for axes in figure.axes if axes.get_visible() and axes.axison]:
        if unit := axes.get_ylabel():
            over_loss = axes.get_xlabel().startswith("training loss")
            of.setdefault((unit, over_loss), []).append(axes)
    return of


def cut_off(axes):
    """How many points of a panel lie outside its limits."""
    (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    points = [line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) != 2]
    marks = [part for part in axes.collections if isinstance(part, PathCollection)]
    points += [np.ma.getdata(part.get_offsets()) for part in marks]
    x, y = np.concatenate(points).T
    return ((x < left) | (x > right) | (y < low) | (y > high)).sum()


def words(figure):
    """Where titles, words under boxes and counts stand, in pixels: each kind's boxes."""
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.axison]
    kinds = [[axes.title for axes in panels], [text for axes in panels for text in axes.texts]]
    ticks = []
    for axes in [axes for axes in panels if axes.get_xscale() == "linear"]:
        low, high = axes.get_xlim()
        ticks += [x for x in axes.get_xticklabels() if low <= x.get_position()[0] <= high]
    kinds.append(ticks)
    return [
        [text.get_window_extent() for text in kind if text.get_text() and text.get_visible()]
        for kind in kinds
    ]


def worst_overlap(boxes):
    """How many pixels two of the boxes share, in the direction in which they share fewer."""
    worst = 0
    for one, other in combinations(boxes, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        worst = max(worst, min(width, height))
    return worst


RESULTS = sorted((REPOSITORY / "results" / "reference").glob("*/*.csv"))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("published", name) for name in FIGURE_OF]
    + [(path.parent.name, path.stem) for path in RESULTS if path.stem in FIGURE_OF],
)
def test_no_words_overlap_or_leave_the_figure(folder, name):
    results = REPOSITORY / "results" / "reference" / folder
    figure = (
        figures.FIGURES[name]() if folder == "published" else OURS[name](*tables(name, results))
    )
    width, height = figure.canvas.get_width_height()
    for boxes in words(figure):
        assert worst_overlap(boxes) < 2
        assert all(box.x0 > -1 and box.x1 < width + 1 for box in boxes)
        assert all(box.y0 > -1 and box.y1 < height + 1 for box in boxes)


@pytest.mark.parametrize("name", list(FIGURE_OF))
def test_ours_has_the_same_axes_where_the_unit_is_the_same_and_nothing_is_cut_off(name):
    folder = REPOSITORY / "results" / "reference" / "mini"
    theirs, ours = (
        shared_axes(figures.FIGURES[name]()),
        shared_axes(OURS[name](*tables(name, folder))),
    )
    assert set(theirs) <= set(ours)
    for unit, over_loss in theirs:
        of_both = theirs[unit, over_loss] + ours[unit, over_loss]
        if (name, unit) == ("small_datasets", "dev F1 (%)"):  # a published run has 0
            (low, _), (published_low, _) = (
                ours[unit, over_loss][0].get_ylim(),
                of_both[0].get_ylim(),
            )
            assert published_low < 0 and low == 78
        else:
            assert len({axes.get_ylim() for axes in of_both}) == 1
        if over_loss or unit == "masked-LM perplexity":  # steps and rates differ
            assert len({axes.get_xlim() for axes in of_both}) == 1
    for axes in [axes for side in (theirs, ours) for panels in side.values() for axes in panels]:
        assert cut_off(axes) == 0


def test_each_is_committed_under_a_hypothesis_that_names_it():
    paper = {section.name: section.paper for section in STUDY}
    folder = REPOSITORY / "figures" / "reference" / "published"
    assert list(figures.FIGURES) == list(FIGURE_OF)
    for name, locator in FIGURE_OF.items():
        number = re.search(r"\d+", locator).group()
        assert re.search(rf"\b{number}\b", paper[name])
        assert (folder / f"{name}.png").is_file()

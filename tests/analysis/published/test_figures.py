"""The paper's figures from its points: which are drawn, and that counts on them are the published
ones."""

import re

import matplotlib.pyplot as plt
import pytest
from conftest import REPOSITORY

from analysis.published import figures
from analysis.report.study import PUBLISHED, STUDY


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


def test_fig_8b_counts_runs_and_failures(texts):
    assert "451 runs, 135 failed" in texts("generalization")


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


def test_each_is_committed_under_a_hypothesis_that_names_it():
    paper = {section.name: section.paper for section in STUDY}
    folder = REPOSITORY / "figures" / "reference" / "published"
    assert list(figures.FIGURES) == list(PUBLISHED)
    for name, locator in PUBLISHED.items():
        number = re.search(r"\d+", locator).group()
        assert re.search(rf"\b{number}\b", paper[name])
        assert (folder / f"{name}.png").is_file()

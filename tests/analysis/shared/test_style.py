"""What all figures share: a pair of boxes for each value, few runs without quartiles."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.patches import PathPatch

from analysis.shared.names import by_task
from analysis.shared.style import box_plot, correction_panel


def test_pairs_of_boxes_by_any_column(a_run):
    runs = pd.DataFrame(
        [
            a_run(score, method=method, bias_correction=corrected)
            for method in ("Mixout", "none")
            for corrected, score in ((False, 0.5), (True, 0.9))
            for _ in range(3 if corrected else 6)
        ]
    )
    _, (by_name, chosen) = plt.subplots(1, 2)
    correction_panel(by_name, runs, "method", "method")
    correction_panel(chosen, runs, "method", "method", {"none": "nothing"})
    assert [tick.get_text() for tick in by_name.get_xticklabels()] == ["\nMixout", "\nnone"]
    assert [text.get_text() for text in by_name.texts] == ["6/6", "0/3", "6/6", "0/3"]
    assert [tick.get_text() for tick in chosen.get_xticklabels()] == ["\nnothing"] and len(
        chosen.texts
    ) == 2


@pytest.mark.parametrize(("n", "boxes"), [(4, 0), (5, 1)])
def test_four_runs_have_no_quartiles(n, boxes):
    _, axes = plt.subplots()
    scores = pd.Series(range(n), dtype=float)
    box_plot(axes, 0, scores, scores < 1, "red", None, 0.5)
    assert sum(isinstance(artist, PathPatch) for artist in axes.get_children()) == boxes
    marks = {line.get_marker(): list(line.get_ydata()) for line in axes.lines}
    assert marks["o"] == list(range(1, n)) and marks["x"] == [0] and marks["D"] == [scores.mean()]


def test_tasks_stand_in_the_papers_order():
    assert [
        key[0]
        for key, _ in by_task(
            [((task, "m"), pd.DataFrame()) for task in ("qnli", "cola", "new", "mrpc", "rte")]
        )
    ] == ["rte", "mrpc", "cola", "qnli", "new"]

"""Axes that figures share: fixed by the unit, grown where a point would be cut off."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.shared.limits import SCORES, holding, share_scores


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([50, 90], (40, 100)),  # all inside
        ([], (40, 100)),
        ([np.nan, np.inf], (40, 100)),
        ([20, 90], (20 - 0.03 * 80, 100)),
        ([50, 120], (40, 120 + 0.03 * 80)),
    ],
)
def test_a_range_grows_only_where_a_point_lies_outside(values, expected):
    assert holding((40, 100), pd.Series(values, dtype=float)) == pytest.approx(expected)


def test_on_a_log_axis_the_margin_is_a_factor_and_zero_has_no_place():
    assert holding((1e-3, 10), pd.Series([0, -1, 3e-5, 60]), log=True) == pytest.approx((2e-5, 90))
    assert holding((1e-3, 10), pd.Series([0.0]), log=True) == (1e-3, 10)


def limits_of(runs, ranges=SCORES):
    _, axes = plt.subplots()
    share_scores(axes, pd.DataFrame(runs), ranges)
    return axes.get_ylim()


def test_scores_of_two_kinds_of_runs_share_the_range_of_their_metric(a_run):
    assert limits_of([a_run(0.9)]) == limits_of([a_run(0.5)]) == SCORES["accuracy"]
    low, high = limits_of([a_run(0.1), a_run(0.9)])  # six classes, say
    assert low < 10 and high == SCORES["accuracy"][1]
    low, _ = limits_of([a_run(0.9, majority_level=0.2)])  # the level is drawn too
    assert low < 20


def test_f1_has_a_range_and_holds_the_published_zero(a_run):
    assert limits_of([a_run(0.9, metric="f1", majority_level=0.81)]) == SCORES["f1"]
    assert limits_of([a_run(0.0, metric="f1", majority_level=0.81)])[0] < 0


def test_a_metric_without_a_range_is_left_as_it_is(a_run):
    assert limits_of([a_run(0.9, metric="pearson")]) == (0, 1)  # of an empty panel

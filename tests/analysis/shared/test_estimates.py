"""Statistics with interval and test: by hand, against scipy, and where two of them disagree."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, ttest_1samp, ttest_ind

from analysis.shared.estimates import mean, rank_correlation, share, spread
from analysis.shared.statistics import (
    bootstrap_interval,
    interval_of_stds,
    newcombe_interval,
    wilson_interval,
)


def test_standard_deviations_and_their_test_may_disagree():
    """One far score among 50 equal ones has the larger standard deviation, 25 and 25 two apart
    the larger mean distance."""
    one_far = pd.DataFrame({"score_points": [60.0] * 49 + [100.0]})
    two_heaps = pd.DataFrame({"score_points": [57.0] * 25 + [63.0] * 25})
    found = spread(one_far, two_heaps)
    assert found.effect > 0 and np.isnan(found.p_at(0)) and "other way" in found.remark
    assert spread(two_heaps, pd.DataFrame({"score_points": np.linspace(60, 61, 50)})).p_at(0) < 0.01


def test_newcombe_by_hand():
    """Newcombe 1998, table II, method 10: 56 of 70 less 48 of 80; 10 of 10 less 0 of 10."""
    assert newcombe_interval((56, 48), (70, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe_interval((10, 0), (10, 10)) == pytest.approx((0.6075, 1), abs=5e-5)


def test_a_margin_is_tested_where_the_interval_ends():
    """No failure in 25 and in 25: the interval ends at z^2 / (25 + z^2), which is the margin of
    a quarter for z^2 = 25 / 3."""
    none = pd.DataFrame({"failed": [False] * 25})
    found = share(none, none)
    assert found.p_at(25) == pytest.approx(2 * norm.sf((25 / 3) ** 0.5)) and found.p_at(0) == 1
    low, high = found.low, found.high
    assert found.p_at(high) == pytest.approx(0.05) and found.p_at(low) == pytest.approx(0.05)
    one = share(pd.DataFrame({"failed": [True] * 3}), None)
    assert (one.low, one.high) == pytest.approx(
        [100 * x for x in wilson_interval(3, 3)]
    ) and one.p_at(50) == pytest.approx(0.25)


def test_means_by_hand():
    """1, 2, 3 has mean 2 and standard error 1 / sqrt(3)."""
    found = mean(pd.DataFrame({"x": [1.0, 2, 3, np.nan]}), None, "x")
    assert (
        found.effect == 2
        and found.n == (3,)
        and found.remark.startswith("1 without a value left out")
    )
    assert np.isnan(found.low) and found.p_at(0) == pytest.approx(2 / 8)  # three signs
    assert np.isnan(mean(pd.DataFrame({"x": [1.0]}), pd.DataFrame({"x": [2.0, 3]}), "x").p_at(0))


def test_intervals_of_means_are_scipys():
    random = np.random.default_rng(1)
    one, other = random.normal(1, 2, 12), random.normal(0, 1, 25)
    expected, welch = ttest_1samp(one, 0), ttest_ind(one, other, equal_var=False)
    found, difference = (
        mean(pd.DataFrame({"x": one}), second, "x") for second in (None, pd.DataFrame({"x": other}))
    )
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert (difference.low, difference.high) == pytest.approx(tuple(welch.confidence_interval()))
    assert found.p_at(0) == pytest.approx(expected.pvalue) and difference.p_at(0) == pytest.approx(
        welch.pvalue
    )
    assert found.p_at(found.low) == pytest.approx(0.05)


def test_tied_or_few_runs_have_no_interval_but_a_test_of_ranks():
    """23 of 25 at the majority level against none; four and four apart: 2 of the C(8, 4) = 70
    orders."""
    tied, others = [53.0] * 23 + [80.0, 81.0], np.linspace(90, 95, 25)
    found = mean(pd.DataFrame({"x": others}), pd.DataFrame({"x": tied}), "x")
    assert np.isnan(found.low) and found.p_at(0) < 1e-6 and "rank test" in found.remark
    few = mean(pd.DataFrame({"x": [1.0, 2, 3, 4]}), pd.DataFrame({"x": [5.0, 6, 7, 8]}), "x")
    assert np.isnan(few.low) and few.p_at(0) == pytest.approx(2 / 70)
    assert np.isnan(
        spread(pd.DataFrame({"score_points": others}), pd.DataFrame({"score_points": tied})).low
    )


def test_intervals_of_standard_deviations_cover():
    """Normal values of standard deviation 3 and 1: at least 93 % of 1,000 intervals have 2 in
    them, and scale with the values."""
    random = np.random.default_rng(2)
    first, second = 3 * random.normal(size=(1000, 20)), random.normal(size=(1000, 20))
    low, high = interval_of_stds(first, second)
    assert ((low < 2) & (high > 2)).mean() > 0.93 and np.median(high - low) < 4
    assert interval_of_stds(10 * first[0], 10 * second[0]) == pytest.approx(
        (10 * low[0], 10 * high[0])
    )


def test_equal_values_have_an_exact_test():
    """Five equal values all lie on one side of another with chance 2 / 2^5; three and four that
    separate with 1 / (7 over 3)."""
    equal = pd.DataFrame({"x": [20.0] * 5})
    found = mean(equal, None, "x")
    assert (
        found.p_at(12) == pytest.approx(1 / 16)
        and found.p_at(20) == 1
        and "no spread" in found.remark
    )
    assert mean(equal[:3], pd.DataFrame({"x": [1.0] * 4}), "x").p_at(0) == pytest.approx(1 / 35)


def test_the_bootstrap_is_the_same_every_time_and_about_right():
    values = np.arange(40.0)
    first, second = (bootstrap_interval(lambda drawn: drawn.mean(axis=1), values) for _ in range(2))
    assert first == second
    half = 1.96 * values.std() / 40**0.5
    assert first == pytest.approx((19.5 - half, 19.5 + half), abs=0.8)
    pairs = pd.DataFrame(
        {"train_loss": values, "score": np.where(values < 20, values, 40 - values)}
    )
    found = rank_correlation(pairs, None)
    assert found.low < found.effect < found.high and rank_correlation(pairs, None)[:3] == found[:3]

"""Statistics against hand computations and the published ones."""

import numpy as np
import pandas as pd
import pytest

from analysis.shared.statistics import (
    effective_rates,
    fisher,
    largest_effective_rate,
    levene,
    over_seeds,
    spearman,
    wilson_interval,
)


def test_wilson_interval_by_hand():
    """10 of 25, z = 1.96: centre (0.4 + z^2/50) / (1 + z^2/25), half width z sqrt(0.24/25 +
    z^2/2500) / (1 + z^2/25)."""
    z = 1.959963985
    centre, half = (
        (0.4 + z**2 / 50) / (1 + z**2 / 25),
        z * (0.24 / 25 + z**2 / 2500) ** 0.5 / (1 + z**2 / 25),
    )
    assert wilson_interval(10, 25) == pytest.approx((centre - half, centre + half))
    assert wilson_interval(0, 5)[0] == 0.0 and wilson_interval(0, 5)[1] == pytest.approx(
        0.434, abs=1e-3
    )
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_over_seeds_by_hand():
    runs = pd.DataFrame(
        {
            "rate": [1, 1, 1, 1, 2],
            "score": [0.5, 0.7, 0.9, 0.5, 0.6],
            "failed": [True, False, False, True, False],
            "diverged": [True, False, False, False, False],
        }
    )
    first, second = over_seeds(runs, ["rate"]).to_dict("records")
    assert first["n"] == 4 and first["failed"] == 2 and first["diverged"] == 1
    assert (
        first["mean"] == pytest.approx(65)
        and first["median"] == pytest.approx(60)
        and first["max"] == pytest.approx(90)
    )
    assert first["std"] == pytest.approx(
        100 * (((0.15**2) + 0.05**2 + 0.25**2 + 0.15**2) / 4) ** 0.5
    )
    assert second["n"] == 1 and second["std"] == 0 and second["failed"] == 0


def test_published_points_give_the_published_statistics():
    """Mosbach et al. 2021, Fig. 9, RTE, 2e-5, 3 epochs, no correction: the points behind Table
    1's 4.5 / 50.9 / 67.5."""
    from analysis.published.evidence import published_runs

    runs = published_runs()
    chosen = runs[
        (runs["locator"] == "Fig. 9") & (runs["learning_rate"] == 2e-5) & ~runs["bias_correction"]
    ]
    row = over_seeds(chosen, ["learning_rate"]).iloc[0]
    assert (round(row["std"], 1), round(row["mean"], 1), round(row["max"], 1)) == (4.5, 50.9, 67.5)
    assert (row["n"], row["failed"]) == (25, 23)


def test_fisher_by_hand():
    """3 of 3 against 0 of 3: one way in C(6, 3) = 20, and its mirror image."""
    assert fisher(pd.Series([True] * 3), pd.Series([False] * 3)) == pytest.approx(2 / 20)
    assert fisher(pd.Series([False] * 3), pd.Series([False] * 4)) == 1
    assert np.isnan(fisher(pd.Series([True]), pd.Series([], dtype=bool)))


@pytest.mark.filterwarnings("error")
def test_levene_by_hand():
    """Distances from the mean 1, 0, 1 and 3, 0, 3: F = 2.6667 / (6.6667 / 4) = 1.6 with 1 and 4
    degrees of freedom, and t = sqrt(F) with 4 has the distribution 1/2 + t (t^2 + 6) / (2 (t^2 +
    4)^1.5)."""
    t = 1.6**0.5
    expected = 2 * (0.5 - t * (t**2 + 6) / (2 * (t**2 + 4) ** 1.5))
    assert levene([1, 2, 3], [1, 4, 7], center="mean") == pytest.approx(expected)
    assert levene([1, 2, 3, 3], [1, 4, 7, 9], center="median") != levene(
        [1, 2, 3, 3], [1, 4, 7, 9], center="mean"
    )
    for first, second in (
        ([1, 1, 1], [2, 2, 2]),
        ([1], [1, 2, 3]),
        ([1, 2], [1, 5]),
        ([0.1, 0.3] * 2, [0.2, 0.6] * 2),
    ):
        assert np.isnan(levene(first, second, center="mean")) and np.isnan(
            levene(first, second, center="median")
        )


@pytest.mark.filterwarnings("error")
def test_spearman_by_hand():
    """Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8."""
    assert spearman(pd.Series([1, 2, 3, 4]), pd.Series([1, 30, 20, 40]))[0] == pytest.approx(0.8)
    for first, second in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([], [])):
        assert np.isnan(
            spearman(pd.Series(first, dtype=float), pd.Series(second, dtype=float))
        ).all()


def test_largest_effective_rate_by_hand():
    """With correction the peak. Without it step 31 of 300 (beta2 0.999) is at the peak with (1 -
    0.9^31) / sqrt(1 - 0.999^31) = 0.9619 / 0.1748 of it; later steps have less."""
    assert largest_effective_rate(3e-4, True, 300, 0.1, 0.9, 0.999) == pytest.approx(3e-4)
    assert effective_rates(3e-4, True, 4, 0.25, 0.9, 0.999, "constant").tolist() == [0, *[3e-4] * 3]
    assert largest_effective_rate(1.0, False, 300, 0.1, 0.9, 0.999) == pytest.approx(
        0.9619 / 0.1748, rel=1e-3
    )
    columns = {
        "learning_rate": 2e-4,
        "bias_correction": [True, False],
        "steps": 300,
        "warmup_ratio": 0.1,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "score": 0.5,
        "failed": False,
        "diverged": False,
    }
    found = over_seeds(pd.DataFrame(columns), ["learning_rate", "bias_correction"]).set_index(
        "bias_correction"
    )
    assert found["largest_effective_rate"].to_dict() == pytest.approx(
        {True: 2e-4, False: 1.1e-3}, rel=0.01
    )

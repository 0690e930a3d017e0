"""Statistics against hand computations and the published ones."""

import pandas as pd
import pytest

from analysis.statistics import over_seeds, wilson_interval


def test_wilson_interval_by_hand():
    """10 of 25, z = 1.96: centre (0.4 + z^2/50) / (1 + z^2/25), half width z sqrt(0.24/25 + z^2/2500) / (1 + z^2/25)."""
    z = 1.959963985
    centre, half = (0.4 + z**2 / 50) / (1 + z**2 / 25), z * (0.24 / 25 + z**2 / 2500) ** 0.5 / (1 + z**2 / 25)
    assert wilson_interval(10, 25) == pytest.approx((centre - half, centre + half))
    assert wilson_interval(0, 5)[0] == 0.0 and wilson_interval(0, 5)[1] == pytest.approx(0.434, abs=1e-3)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_over_seeds_by_hand():
    runs = pd.DataFrame({"rate": [1, 1, 1, 1, 2], "score": [0.5, 0.7, 0.9, 0.5, 0.6], "failed": [True, False, False, True, False],
                         "diverged": [True, False, False, False, False]})
    first, second = over_seeds(runs, ["rate"]).to_dict("records")
    assert first["n"] == 4 and first["failed"] == 2 and first["diverged"] == 1
    assert first["mean"] == pytest.approx(65) and first["median"] == pytest.approx(60) and first["max"] == pytest.approx(90)
    assert first["std"] == pytest.approx(100 * (((0.15**2) + 0.05**2 + 0.25**2 + 0.15**2) / 4) ** 0.5)
    assert second["n"] == 1 and second["std"] == 0 and second["failed"] == 0


def test_published_points_give_the_published_statistics():
    """Mosbach et al. 2021, Fig. 9, RTE, 2e-5, 3 epochs, no correction: the points behind Table 1's 4.5 / 50.9 / 67.5."""
    from analysis.check import published_runs
    runs = published_runs()
    chosen = runs[(runs["locator"] == "Fig. 9") & (runs["learning_rate"] == 2e-5) & ~runs["bias_correction"]]
    row = over_seeds(chosen, ["learning_rate"]).iloc[0]
    assert (round(row["std"], 1), round(row["mean"], 1), round(row["max"], 1)) == (4.5, 50.9, 67.5)
    assert (row["n"], row["failed"]) == (25, 23)

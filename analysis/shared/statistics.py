"""What is computed over the seeds of one setting, apart from any drawing."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats


def wilson_interval(failed: int, runs: int) -> tuple[float, float]:
    """95 % Wilson score interval of a failure rate (Wilson 1927); (0, 1) when there are no runs."""
    if runs == 0:
        return 0.0, 1.0
    interval = stats.binomtest(failed, runs).proportion_ci(confidence_level=0.95, method="wilson")
    return interval.low, interval.high


def over_seeds(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row per setting: n, mean, std (population, ddof 0: the paper's measure of stability),
    median, min, max, failed, diverged, and the failure rate with its 95 % Wilson interval. Scores
    in percent points.

    `runs` has one row per run with columns score (0..1), failed, diverged and those in `by`.
    """

    def describe(group: pd.DataFrame) -> pd.Series:
        score, failed = 100 * group["score"], int(group["failed"].sum())
        low, high = wilson_interval(failed, len(group))
        return pd.Series(
            {
                "n": len(group),
                "mean": score.mean(),
                "std": score.std(ddof=0),
                "median": score.median(),
                "min": score.min(),
                "max": score.max(),
                "failed": failed,
                "diverged": int(group["diverged"].sum()),
                "failure_rate": failed / len(group),
                "failure_rate_low": low,
                "failure_rate_high": high,
            }
        )

    table = (
        runs.groupby(by, sort=True, dropna=False)[["score", "failed", "diverged"]]
        .apply(describe)
        .reset_index()
    )
    return table.astype({"n": int, "failed": int, "diverged": int})


def fisher(first: pd.Series, second: pd.Series) -> float:
    """Two-sided p of Fisher's exact test that two settings fail equally often; nan when one has no
    runs.

    `first`, `second`: whether each run of the setting failed. The runs count as independent, shared
    seeds or not.
    """
    if first.empty or second.empty:
        return np.nan
    return stats.fisher_exact([[runs.sum(), (~runs).sum()] for runs in (first, second)]).pvalue


def levene(first: Sequence[float], second: Sequence[float], *, center: str) -> float:
    """p of Levene's test that two settings' scores vary equally; center: "mean" (Levene 1960) or
    "median" (Brown and Forsythe 1974, less misled by skewed scores). nan where it is not defined:
    fewer than three scores in a setting, or distances from the centre that do not vary within
    either setting (all scores equal, for one)."""
    scores = [np.asarray(group, dtype=float) for group in (first, second)]
    if min(map(len, scores)) < 3 or all(
        np.ptp(abs(group - getattr(np, center)(group))) < 1e-9 for group in scores
    ):
        return np.nan
    return stats.levene(*scores, center=center).pvalue


def spearman(first: pd.Series, second: pd.Series) -> tuple[float, float]:
    """Spearman's rank correlation and its two-sided p; nan with fewer than three pairs or when
    one side never changes."""
    if len(first) < 3 or first.nunique() < 2 or second.nunique() < 2:
        return np.nan, np.nan
    return tuple(stats.spearmanr(first, second))


def newcombe_interval(
    failed: Sequence[int], runs: Sequence[int], z: float = stats.norm.ppf(0.975)
) -> tuple[float, float]:
    """Score interval of the difference of two failure rates, first less second (Newcombe 1998,
    method 10); 95 % as it stands."""

    def wilson(k: int, n: int) -> tuple[float, float]:
        centre, half = (
            (k + z * z / 2) / (n + z * z),
            z * np.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z),
        )
        return centre - half, centre + half

    (first, second), ((low1, high1), (low2, high2)) = (
        np.divide(failed, runs),
        map(wilson, failed, runs),
    )
    difference = first - second
    return (
        difference - np.hypot(first - low1, high2 - second),
        difference + np.hypot(high1 - first, second - low2),
    )


def bootstrap_interval(
    statistic: Callable[..., np.ndarray], *samples: Sequence, draws: int = 2000
) -> tuple[float, float]:
    """95 % percentile interval of a statistic over runs drawn again with replacement, each sample
    for itself; always the same draws. `statistic` takes an array draws x runs (x columns) for each
    sample and gives one value a draw."""
    random = np.random.default_rng(1)
    drawn = [
        np.asarray(sample)[random.integers(0, len(sample), (draws, len(sample)))]
        for sample in samples
    ]
    low, high = np.nanpercentile(statistic(*drawn), [2.5, 97.5])
    return float(low), float(high)


def holm(p: Sequence[float]) -> np.ndarray:
    """p values adjusted for their number (Holm 1979); nan where there is none, and not counted."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # nan sorts last
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def area_under_roc(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Chance that one of the first values lies above one of the second, ties half (Mann and
    Whitney 1947), along the last axis."""
    one, other = first[..., :, None], second[..., None, :]
    return ((one > other) + 0.5 * (one == other)).mean(axis=(-2, -1))


def expected_of_best(criterion: Sequence[float], value: Sequence[float]) -> np.ndarray:
    """Expected `value` of the run with the highest `criterion` of n runs, for n from 1 to their
    number N: sum of x_(i) ((i/N)^n - ((i-1)/N)^n), runs drawn with replacement (Dodge et al. 2020).
    Runs with equal criteria count with their mean value."""
    tied = (
        pd.DataFrame({"criterion": criterion, "value": value})
        .groupby("criterion")["value"]
        .agg(["mean", "size"])
    )
    reached, n = (
        tied["size"].cumsum().to_numpy() / len(value),
        np.arange(1, len(value) + 1)[:, None],
    )
    return (reached**n - np.concatenate([[0], reached[:-1]]) ** n) @ tied["mean"].to_numpy()

"""What is computed over the seeds of one setting, apart from any drawing."""

from collections.abc import Sequence

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
    """One row per setting: n, mean, std (population, ddof 0: the paper's measure of stability), median, min, max,
    failed, diverged, and the failure rate with its 95 % Wilson interval. Scores in percent points.

    `runs` has one row per run with columns score (0..1), failed, diverged and those in `by`.
    """
    def describe(group: pd.DataFrame) -> pd.Series:
        score, failed = 100 * group["score"], int(group["failed"].sum())
        low, high = wilson_interval(failed, len(group))
        return pd.Series({
            "n": len(group), "mean": score.mean(), "std": score.std(ddof=0), "median": score.median(),
            "min": score.min(), "max": score.max(), "failed": failed, "diverged": int(group["diverged"].sum()),
            "failure_rate": failed / len(group), "failure_rate_low": low, "failure_rate_high": high,
        })

    table = runs.groupby(by, sort=True, dropna=False)[["score", "failed", "diverged"]].apply(describe).reset_index()
    return table.astype({"n": int, "failed": int, "diverged": int})


def fisher(first: pd.Series, second: pd.Series) -> float:
    """Two-sided p of Fisher's exact test that two settings fail equally often; nan when one has no runs.

    `first`, `second`: whether each run of the setting failed. The runs count as independent, shared seeds or not.
    """
    if first.empty or second.empty:
        return np.nan
    return stats.fisher_exact([[runs.sum(), (~runs).sum()] for runs in (first, second)]).pvalue


def levene(first: Sequence[float], second: Sequence[float], center: str) -> float:
    """p of Levene's test that two settings' scores vary equally; center: "mean" (Levene 1960) or "median" (Brown and
    Forsythe 1974, less misled by skewed scores). nan where it is not defined: fewer than three scores in a setting, or
    distances from the centre that do not vary within either setting (all scores equal, for one)."""
    scores = [np.asarray(group, dtype=float) for group in (first, second)]
    if min(map(len, scores)) < 3 or all(np.ptp(abs(group - getattr(np, center)(group))) < 1e-9 for group in scores):
        return np.nan
    return stats.levene(*scores, center=center).pvalue


def spearman(first: pd.Series, second: pd.Series) -> tuple[float, float]:
    """Spearman's rank correlation and its two-sided p; nan with fewer than three pairs or when one side never changes."""
    if len(first) < 3 or first.nunique() < 2 or second.nunique() < 2:
        return np.nan, np.nan
    return tuple(stats.spearmanr(first, second))

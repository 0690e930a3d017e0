"""What is computed over the seeds of one setting, apart from any drawing."""

import pandas as pd
from scipy.stats import binomtest


def wilson_interval(failed: int, runs: int) -> tuple[float, float]:
    """95 % Wilson score interval of a failure rate (Wilson 1927); (0, 1) when there are no runs."""
    if runs == 0:
        return 0.0, 1.0
    interval = binomtest(failed, runs).proportion_ci(confidence_level=0.95, method="wilson")
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

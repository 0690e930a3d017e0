"""What is computed over the seeds of one setting, apart from any drawing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.shared.learnt import has_learnt


def wilson_interval(failed: int, runs: int) -> tuple[float, float]:
    """95 % Wilson score interval of a failure rate (Wilson 1927); (0, 1) when there are no runs."""
    if runs == 0:
        return 0.0, 1.0
    interval = stats.binomtest(failed, runs).proportion_ci(confidence_level=0.95, method="wilson")
    return interval.low, interval.high


RATE_COLUMNS = [
    "learning_rate",
    "bias_correction",
    "steps",
    "warmup_ratio",
    "adam_beta1",
    "adam_beta2",
]


def rate_columns(runs: pd.DataFrame) -> list[str]:
    """What effective_rates takes of a table of runs: RATE_COLUMNS, and the schedule, which older
    tables lack."""
    return [*RATE_COLUMNS, *runs.columns.intersection(["schedule"])]


def planned_steps(runs: pd.DataFrame) -> pd.Series:
    """Optimiser steps of each run's schedule. A run that diverged has done fewer: it has those of
    the longest of the same task, epochs, batch and examples, its own where there is no other."""
    alike = runs.columns.intersection(["task", "data", "epochs", "batch_size", "train_examples"])
    if alike.empty:
        return runs["steps"]
    longest = runs.groupby(list(alike), dropna=False)["steps"]
    return longest.transform("max").where(runs["diverged"].astype(bool), runs["steps"])


def over_seeds(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row per setting: n, mean, std (population, ddof 0: the paper's measure of stability),
    median, min, max, failed, diverged, and the failure rate with its 95 % Wilson interval. Scores
    in percent points. With learning_rate among `by` and all of RATE_COLUMNS in `runs` also the
    largest effective rate of any of the runs; for mini's data how many have learnt (learnt.py).

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
    table = table.astype({"n": int, "failed": int, "diverged": int})
    if (learnt := has_learnt(runs)) is not None:
        counted = runs.assign(learnt=learnt).groupby(by, sort=True, dropna=False)["learnt"].sum()
        table.insert(table.columns.get_loc("failed") + 1, "learnt", counted.to_numpy(dtype=int))
    if "learning_rate" in by and set(RATE_COLUMNS) <= set(runs):
        runs = runs.assign(steps=planned_steps(runs))
        columns = rate_columns(runs)
        kinds = runs[columns].drop_duplicates()
        kinds["largest_effective_rate"] = [
            largest_effective_rate(*kind) for kind in kinds.itertuples(index=False)
        ]
        largest = (
            runs.merge(kinds, on=columns).groupby(by, dropna=False)["largest_effective_rate"].max()
        )
        table = table.merge(largest.reset_index(), on=by)
    return table


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


# runs in each group; with fewer, a failure rate of 24 % often shows no failure at all
FEWEST_FOR_INTERVAL = 11
# largest share of a group's runs with the same value: for means, for standard deviations
MOST_TIED, MOST_TIED_STD = 0.6, 0.5
# The limits are where analysis/shared/interval_coverage.py finds the 95 % intervals below not to
# miss more than 7 % of the time.


def share_tied(values: np.ndarray) -> np.ndarray:
    """Share of the commonest value, along the last axis."""
    ordered = np.sort(values, axis=-1)
    count, most = np.ones(ordered.shape[:-1]), np.ones(ordered.shape[:-1])
    for i in range(1, ordered.shape[-1]):
        count = np.where(ordered[..., i] == ordered[..., i - 1], count + 1, 1)
        most = np.maximum(most, count)
    return most / ordered.shape[-1]


def interval_allowed(*groups: np.ndarray, most_tied: float = MOST_TIED) -> np.ndarray:
    """Whether intervals over these runs (along the last axis) cover about what they state:
    enough runs, not too many tied."""
    allowed = np.array(True)
    for group in groups:
        allowed = (
            allowed & (group.shape[-1] >= FEWEST_FOR_INTERVAL) & (share_tied(group) <= most_tied)
        )
    return allowed


def interval_of_means(
    first: np.ndarray, second: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the mean (t) or of first less second (Welch 1947), along the last axis;
    in the values' unit."""
    groups = [group for group in (first, second) if group is not None]
    effect, error, below = 0.0, 0.0, 0.0
    for sign, group in zip((1, -1), groups, strict=False):
        part = group.var(axis=-1, ddof=1) / group.shape[-1]
        effect = effect + sign * group.mean(axis=-1)
        error = error + part
        below = below + part**2 / (group.shape[-1] - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stats.t.ppf(0.975, error**2 / below) * np.sqrt(error)
    return effect - half, effect + half


def interval_of_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviation (ddof 1) and its 95 % interval, along the last axis: on the log scale,
    with the kurtosis about the trimmed mean (Bonett 2006). Wider than his: for the normal quantile
    that of t with n / 3 degrees of freedom, without which two heaps of values (failed runs and
    others) are covered 90 % of the time. Needs more than 9 values."""
    n = values.shape[-1]
    quantile = stats.t.ppf(0.975, n / 3)
    centre = stats.trim_mean(values, 1 / (2 * np.sqrt(n - 4)), axis=-1)
    variance = values.var(axis=-1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        fourth = ((values - np.expand_dims(centre, -1)) ** 4).sum(axis=-1)
        kurtosis = n * fourth / ((n - 1) * variance) ** 2
        factor = n / (n - quantile)
        error = factor * np.sqrt(np.maximum(kurtosis - (n - 3) / n, 0) / (n - 1))
        low, high = (
            np.sqrt(factor * variance * np.exp(side * quantile * error)) for side in (-1, 1)
        )
    return np.sqrt(variance), low, high


def interval_of_stds(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the first standard deviation less the second, from that of each (Zou and
    Donner 2008); along the last axis."""
    one, one_low, one_high = interval_of_std(first)
    other, other_low, other_high = interval_of_std(second)
    difference = one - other
    return difference - np.hypot(one - one_low, other_high - other), difference + np.hypot(
        one_high - one, other - other_low
    )


def effective_rates(
    learning_rate: float,
    bias_correction: bool,
    steps: int,
    warmup_ratio: float,
    beta1: float,
    beta2: float,
    schedule: str = "linear",
) -> np.ndarray:
    """The learning rate of each step [steps] in units of the unbiased moments: the schedule (linear
    warm-up from 0, then linear decay to 0, or "constant"), without bias correction times (1 -
    beta1^t) / sqrt(1 - beta2^t) in step t."""
    step, warmup = np.arange(steps), int(warmup_ratio * steps)
    after = np.ones(steps) if schedule == "constant" else (steps - step) / max(1, steps - warmup)
    factor = np.where(step < warmup, step / max(1, warmup), after)
    if not bias_correction:
        factor = factor * (1 - beta1 ** (step + 1.0)) / np.sqrt(1 - beta2 ** (step + 1.0))
    return learning_rate * factor


def largest_effective_rate(*schedule: Any) -> float:
    """The largest of a run's effective_rates; `schedule` as there."""
    return float(effective_rates(*schedule).max())


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

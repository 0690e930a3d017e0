"""What the claims estimate from one or two groups of runs: a statistic with its interval and its
test."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from analysis.shared.statistics import (
    FEWEST_FOR_INTERVAL,
    MOST_TIED,
    MOST_TIED_STD,
    bootstrap_interval,
    fisher,
    interval_allowed,
    interval_of_means,
    interval_of_stds,
    levene,
    newcombe_interval,
    spearman,
    wilson_interval,
)

# pairs for the bootstrap interval of a rank correlation, whose coverage has not been measured
ENOUGH_TO_DRAW = 20
INTERVAL_RULE = (  # for the notes under tables
    f"of scores no interval with fewer than {FEWEST_FOR_INTERVAL} runs in a group or where more"
    f" than {MOST_TIED:.0%} of one (for standard deviations {MOST_TIED_STD:.0%}) have the same, as"
    " it would miss more often than it states"
)
FEW_OR_TIED = f"fewer than {FEWEST_FOR_INTERVAL} runs or many tied: no interval"
NO_TEST, NO_SPREAD = "one run in a group: no test", "no spread: exact test"


class Estimate(NamedTuple):
    """A statistic with its 95 % interval, and its two-sided p value against any threshold (nan
    where there is no test)."""

    effect: float
    low: float
    high: float
    p_at: Callable[[float], float]
    n: tuple[int, ...]  # runs in each group
    remark: str = ""
    may_hold: bool = True  # what the sentence takes for granted is so
    may_fail: bool = True


def share(
    first: pd.DataFrame,
    second: pd.DataFrame | None,
    value: str = "failed",
    against: tuple[int, int] | None = None,
) -> Estimate:
    """Share of runs with `value`, in points: of one group (Wilson's interval, exact binomial test),
    or first less second or less a published count of n (Newcombe's interval; against 0 Fisher's
    exact test, against a margin from the interval)."""
    flags = [group[value].astype(bool) for group in (first, second) if group is not None]
    counts = [(int(flag.sum()), len(flag)) for flag in flags] + ([against] if against else [])
    said = " and ".join(f"{k} of {n}" for k, n in counts)
    if second is not None and "score_points" in first:
        said += "; std " + " and ".join(
            f"{group['score_points'].std(ddof=0):.1f}" for group in (first, second)
        )
    if len(counts) == 1:
        ((k, n),) = counts
        low, high = wilson_interval(k, n)
        return Estimate(
            100 * k / n,
            100 * low,
            100 * high,
            lambda t: stats.binomtest(k, n, t / 100).pvalue,
            (n,),
            said,
        )
    failed, runs = zip(*counts, strict=True)
    low, high = newcombe_interval(failed, runs)
    effect = failed[0] / runs[0] - failed[1] / runs[1]

    def p_at(threshold: float) -> float:
        if threshold == 0:
            return (
                stats.fisher_exact([[k, n - k] for k, n in counts]).pvalue
                if against
                else fisher(*flags)
            )
        # 1: the interval's upper end is the one that may reach the threshold
        side = int(effect < threshold / 100)

        def gap(z: float) -> float:
            return newcombe_interval(failed, runs, z)[side] - threshold / 100

        return 2 * stats.norm.sf(optimize.brentq(gap, 1e-9, 40)) if gap(1e-9) * gap(40) < 0 else 1.0

    return Estimate(100 * effect, 100 * low, 100 * high, p_at, runs, said)


def share_by_seed(first: pd.DataFrame, second: None, value: str) -> Estimate:
    """Share of the seeds, in points, of whose runs most have `value` (missing: not counted;
    Wilson's interval, exact binomial test): one seed in many settings is one seed. Runs without
    seeds count one by one."""
    known = first[first[value].notna()]
    seeds = [name for name in ("head_seed", "order_seed", "dropout_seed") if name in known]
    flags = known[value].astype(bool)
    by_seed = flags.groupby([known[name] for name in seeds]).mean() > 0.5 if seeds else flags
    n, k = len(by_seed), int(by_seed.sum())
    if not n:
        return Estimate(np.nan, np.nan, np.nan, no_p, (0,), "no run with a value")
    low, high = wilson_interval(k, n)
    said = f"{int(flags.sum())} of {len(flags)} runs, {k} of {n} seeds"

    def p_at(threshold: float) -> float:
        return stats.binomtest(k, n, threshold / 100).pvalue

    return Estimate(100 * k / n, 100 * low, 100 * high, p_at, (n,), said)


def no_p(threshold: float) -> float:
    """Where there is no test."""
    return np.nan


def finite(values: pd.Series) -> np.ndarray:
    """Without the values that are not finite, such as the loss of a run that has diverged."""
    array = values.to_numpy(dtype=float)
    return array[np.isfinite(array)]


def mean(
    first: pd.DataFrame, second: pd.DataFrame | None, value: str, heaped: bool = True
) -> Estimate:
    """Mean of a column, or difference of two means: t test (Welch's of two groups) and its
    interval. Values that may be `heaped`, as the scores of failed runs are at the majority level,
    have no interval with few or tied runs (interval_allowed), and the p value is that of ranks
    (rank_test). Without spread, where that is not defined: sign test, of two groups
    Fisher's exact test of which values are the larger ones. Runs without a finite value are left
    out."""
    groups = [finite(group[value]) for group in (first, second) if group is not None]
    lost = sum(len(group) for group in (first, second) if group is not None) - sum(map(len, groups))
    n, remark = tuple(map(len, groups)), f"{lost} without a value left out" if lost else ""
    if not all(map(len, groups)):
        return Estimate(
            np.nan,
            np.nan,
            np.nan,
            lambda t: np.nan,
            n,
            "; ".join(filter(None, [remark, "no value in a group"])),
        )
    effect = groups[0].mean() - (groups[1].mean() if len(groups) == 2 else 0)
    parts = [group.var(ddof=1) / len(group) if len(group) > 1 else np.nan for group in groups]
    error = sum(parts) ** 0.5
    if min(n) == 1:
        return Estimate(
            effect, np.nan, np.nan, lambda t: np.nan, n, "; ".join(filter(None, [remark, NO_TEST]))
        )
    if not error > 1e-12:
        exact = (
            stats.fisher_exact([[n[0], 0], [0, n[1]]]).pvalue if len(n) == 2 else 0.5 ** (n[0] - 1)
        )
        return Estimate(
            effect,
            np.nan,
            np.nan,
            lambda t: exact if abs(effect - t) > 1e-12 else 1.0,
            n,
            "; ".join(filter(None, [remark, NO_SPREAD])),
        )
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True)
    )
    if heaped and not interval_allowed(*groups):
        kind = "rank test" if len(groups) == 2 else "sign test"
        return Estimate(
            effect,
            np.nan,
            np.nan,
            lambda t: rank_test(groups, effect, t),
            n,
            "; ".join(filter(None, [remark, f"{FEW_OR_TIED}, {kind}"])),
        )
    low, high = map(float, interval_of_means(*groups))
    return Estimate(
        effect, low, high, lambda t: 2 * stats.t.sf(abs(effect - t) / error, freedom), n, remark
    )


def rank_test(groups: list[np.ndarray], effect: float, threshold: float) -> float:
    """Two-sided p that a group lies at the threshold (sign test) or a second one that far below it
    (Mann and Whitney 1947). nan where ranks lean the other way than the means do, whose difference
    is `effect`."""
    if len(groups) == 1:
        above, below = int((groups[0] > threshold).sum()), int((groups[0] < threshold).sum())
        p = stats.binomtest(above, above + below, 0.5).pvalue if above + below else 1.0
        lean = above - below
    else:
        moved = groups[0] - threshold
        found = stats.mannwhitneyu(moved, groups[1])
        p, lean = found.pvalue, found.statistic - len(moved) * len(groups[1]) / 2
    return np.nan if lean * (effect - threshold) < 0 else float(p)


def spread(first: pd.DataFrame, second: pd.DataFrame) -> Estimate:
    """Difference of the scores' standard deviations (ddof 0), in points: Brown and Forsythe's test,
    that is Levene's with the median as centre; the mean-centred one stands in the remark. No p
    where that test, which compares mean distances from the median, finds the other group to vary
    more than the standard deviations do. Interval: interval_of_stds, where interval_allowed and
    where it does not contradict that test."""
    groups = [group["score_points"].to_numpy(dtype=float) for group in (first, second)]
    allowed = interval_allowed(*groups, most_tied=MOST_TIED_STD)
    low, high = map(float, interval_of_stds(*groups)) if allowed else (np.nan, np.nan)
    p, remark = (
        levene(*groups, center="median"),
        f"std {groups[0].std():.2f} and {groups[1].std():.2f}",
    )
    remark += (
        f"; mean-centred Levene p {levene(*groups, center='mean'):.2g}"
        if p == p
        else "; test not defined"
    )
    distances = [abs(group - np.median(group)).mean() for group in groups]
    if (distances[0] - distances[1]) * (groups[0].std() - groups[1].std()) < 0:
        p, remark = (
            np.nan,
            f"{remark}; no p, as mean distances from the median differ the other way",
        )
    if not allowed:
        remark = f"{remark}; {FEW_OR_TIED}"
    elif p != p or (p < 0.05) == (low <= 0 <= high):
        low, high, remark = np.nan, np.nan, f"{remark}; no interval, as it and the test disagree"
    return Estimate(
        groups[0].std() - groups[1].std(), low, high, lambda t: p, tuple(map(len, groups)), remark
    )


def printed_levene(first: pd.DataFrame, second: pd.DataFrame, center: str) -> Estimate:
    """p of Levene's test of the paper's recipe against the other recipe with the smallest
    standard deviation."""
    ours, others = (
        first["score_points"],
        second[second["recipe"] != first["recipe"].iloc[0]].groupby("recipe")["score_points"],
    )
    if not len(others):
        return Estimate(np.nan, np.nan, np.nan, lambda t: np.nan, (len(ours),), "no other recipe")
    name = others.std(ddof=0).idxmin()
    other = others.get_group(name)
    p = levene(ours, other, center=center)
    return Estimate(p, np.nan, np.nan, lambda t: np.nan, (len(ours), len(other)), f"against {name}")


def rank_correlation(first: pd.DataFrame, second: None) -> Estimate:
    """Spearman's correlation of training loss and dev score; Fisher's z with variance 1.06 / (n -
    3); bootstrap interval (coverage not measured)."""
    pairs = first[["train_loss", "score"]].replace([np.inf, -np.inf], np.nan).dropna()
    n, (rho, _) = len(pairs), spearman(pairs["train_loss"], pairs["score"])
    if n < 4 or rho != rho:
        return Estimate(
            rho,
            np.nan,
            np.nan,
            lambda t: np.nan,
            (n,),
            "fewer than four runs with a loss, or no spread: no test",
        )

    def correlate(drawn: np.ndarray) -> np.ndarray:
        ranks = stats.rankdata(drawn, axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        norm = np.sqrt((ranks[..., 0] ** 2).sum(axis=1) * (ranks[..., 1] ** 2).sum(axis=1))
        return np.divide(
            (ranks[..., 0] * ranks[..., 1]).sum(axis=1),
            norm,
            out=np.full(len(norm), np.nan),
            where=norm > 0,
        )

    low, high = (
        bootstrap_interval(correlate, pairs.to_numpy()) if n >= ENOUGH_TO_DRAW else (np.nan, np.nan)
    )
    z = np.arctanh(np.clip(rho, -0.9999, 0.9999))
    return Estimate(
        rho,
        low,
        high,
        lambda t: 2 * stats.norm.sf(abs(z - np.arctanh(t)) * np.sqrt((n - 3) / 1.06)),
        (n,),
    )

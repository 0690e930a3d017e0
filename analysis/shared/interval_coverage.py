"""How often the 95 % intervals of means and standard deviations cover, on simulated runs of which
the truth is known.

Command : python -m analysis.shared.interval_coverage
Writes  : figures/reference/interval_coverage.md, .csv (always the same bytes)

Scores are normal, or a share of the runs fails: those lie at one value, and the others 30 to 45
points above it (uniform). Of two groups both have the same distribution, the first one's scores
times the ratio of the standard deviations.
"""

import numpy as np
import pandas as pd
from scipy import stats

from analysis.shared.reading import REPOSITORY, run_command
from analysis.shared.statistics import (
    FEWEST_FOR_INTERVAL,
    MOST_TIED,
    MOST_TIED_STD,
    interval_allowed,
    interval_of_means,
    interval_of_stds,
)
from analysis.shared.tables import save_table

SAMPLES = 20_000  # of each cell
RUNS, TIED, RATIOS = (5, 10, 11, 20, 25), (0, 0.24, 0.64, 0.92), (1, 2, 10)
NEAREST, FARTHEST = 30.0, 45.0  # points above the tied value


def truth(tied: float) -> tuple[float, float]:
    """Mean and standard deviation of one run's score; tied 0: standard normal."""
    if not tied:
        return 0.0, 1.0
    middle = (NEAREST + FARTHEST) / 2
    square = (1 - tied) * (middle**2 + (FARTHEST - NEAREST) ** 2 / 12)
    mean = (1 - tied) * middle
    return mean, float(np.sqrt(square - mean**2))


def draw(random: np.random.Generator, tied: float, runs: int) -> np.ndarray:
    """Scores [samples x runs]."""
    if not tied:
        return random.normal(size=(SAMPLES, runs))
    scores = random.uniform(NEAREST, FARTHEST, size=(SAMPLES, runs))
    scores[random.random((SAMPLES, runs)) < tied] = 0
    return scores


def agrees(first: np.ndarray, second: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether Brown and Forsythe's test says of the difference 0 what the interval says;
    estimates.spread prints no other one."""
    distances = [abs(group - np.median(group, axis=1, keepdims=True)) for group in (first, second)]
    with np.errstate(invalid="ignore", divide="ignore"):
        p = stats.f_oneway(*distances, axis=1).pvalue
    leans = np.sign(distances[0].mean(axis=1) - distances[1].mean(axis=1)) * np.sign(
        first.std(axis=1) - second.std(axis=1)
    )
    return np.isfinite(p) & (leans >= 0) & ((p < 0.05) != ((low <= 0) & (high >= 0)))


def row(
    statistic: str, runs: int, tied: float, ratio: float, printed: np.ndarray, covers: np.ndarray
) -> dict[str, object]:
    """One cell; shares in percent. A sample without an interval misses nothing."""
    missed = printed & ~covers
    among = 100 * (1 - missed.sum() / printed.sum()) if printed.any() else np.nan
    return {
        "statistic": statistic,
        "n": runs,
        "tied": f"{tied:.0%}" if tied else "normal",
        "ratio of std": ratio,
        "printed": 100 * printed.mean(),
        "not missed, of all samples": 100 * (1 - missed.mean()),
        "covered, of those printed": among,
    }


def coverage() -> pd.DataFrame:
    """One row per cell."""
    random, rows = np.random.default_rng(1), []
    for runs in RUNS:
        for tied in TIED:
            mean, std = truth(tied)
            for ratio in RATIOS:
                first, second = ratio * draw(random, tied, runs), draw(random, tied, runs)
                allowed = interval_allowed(first, second)
                if ratio == 1:
                    low, high = interval_of_means(first)
                    rows.append(
                        row(
                            "mean",
                            runs,
                            tied,
                            ratio,
                            interval_allowed(first),
                            (low <= mean) & (mean <= high),
                        )
                    )
                true = (ratio - 1) * mean
                low, high = interval_of_means(first, second)
                rows.append(
                    row(
                        "difference of means",
                        runs,
                        tied,
                        ratio,
                        allowed,
                        (low <= true) & (true <= high),
                    )
                )
                true = (ratio - 1) * std
                printed = covers = np.zeros(SAMPLES, dtype=bool)
                if runs >= FEWEST_FOR_INTERVAL:
                    low, high = interval_of_stds(first, second)
                    allowed = interval_allowed(first, second, most_tied=MOST_TIED_STD)
                    printed, covers = (
                        allowed & agrees(first, second, low, high),
                        (low <= true) & (true <= high),
                    )
                rows.append(row("difference of std", runs, tied, ratio, printed, covers))
    return pd.DataFrame(rows).sort_values(["statistic", "n"], kind="stable")


def main() -> None:
    table = coverage()
    error = 100 * np.sqrt(0.95 * 0.05 / SAMPLES)
    save_table(
        table,
        REPOSITORY / "figures" / "reference" / "interval_coverage",
        "How often the 95 % intervals cover",
        f"{SAMPLES:,} simulated samples a row, in percent (Monte-Carlo error {error:.2f} points at"
        " 95 %, if all are printed). n: runs in each group. Tied: share of the runs that fail, all"
        f" at one value, the others {NEAREST:g} to {FARTHEST:g} points above. Printed: from"
        f" {FEWEST_FOR_INTERVAL} runs a group on, if at most {MOST_TIED:.0%} of a group have the"
        f" same value ({MOST_TIED_STD:.0%} for standard deviations, and only where the interval"
        " agrees with Brown and Forsythe's test). Where few are printed these are the unusual"
        " samples, and the last column may be low although hardly any sample misleads. nan: none"
        " printed.",
        table.map(lambda x: f"{x:.1f}" if isinstance(x, float) else x),
    )


if __name__ == "__main__":
    run_command(main)

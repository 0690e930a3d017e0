"""Figure and table of experiments/sources_of_randomness.py: does a run's fate belong to its seeds,
or to rounding?

Paper   : none.
Command : python -m analysis.sources_of_randomness --profile mini
Reads   : results/<profile>/sources_of_randomness.csv
Writes  : figures/<profile>/sources_of_randomness.png, .pdf, .md, .csv
"""

from math import comb

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from scipy import stats

from analysis.shared.names import p_name, rate_name, setting_name, task_name
from analysis.shared.reading import BadInput, NothingToDraw, parse, parser, read_csv, run_command
from analysis.shared.statistics import wilson_interval
from analysis.shared.style import WITH, panels, save
from analysis.shared.tables import PANEL, readable, save_table

NOTHING, ALL, ROUNDING = "nothing", "all seeds", "rounding"
SOURCES = ("head", "order", "dropout", ALL, ROUNDING)  # in the order of the figure
NEEDED = [
    *PANEL,
    "learning_rate",
    "run",
    "moved",
    "base_seed",
    "start_noise_seed",
    "failed",
    "score",
]
FEWEST = 5  # base seeds
MISSING = "0.75"  # grey of a run that is not there
NOTE = (
    "Each run is held against the one of the same base seed in which nothing is moved. Head, "
    "order, dropout: this seed is another, the two others are not; all seeds: all three; "
    "rounding: every weight starts 1e-7 of itself away, several times. Share flipped: pairs "
    "of which one failed and the other did not, with Wilson's interval (rounding: t over the "
    "base seeds' shares, or where these are all the same Wilson's of so many base seeds). By "
    "chance: what it would be if the fate were drawn anew, 2 p (1 - p). Total effect "
    "(Jansen 1999): half the mean squared difference of the pairs over the "
    "variance; near 1 the source is worth as much as drawing the run anew, and above 1 is "
    "chance; the effects of several sources may add up to more than 1, since each includes "
    "what it does together with others. Clusters: runs test, exact, whether failures stand "
    "together in the order of the seeds. -: not asked, or not defined."
)


def pairs(runs: pd.DataFrame, source: str) -> pd.DataFrame:
    """Each run in which `source` is moved, beside the one of its base seed where nothing is:
    columns base_seed, failed, score, failed_base, score_base."""
    columns = ["base_seed", "failed", "score"]
    base = runs.loc[runs["moved"] == NOTHING, columns]
    return runs.loc[runs["moved"] == source, columns].merge(
        base, on="base_seed", suffixes=("", "_base")
    )


def flip_share(both: pd.DataFrame) -> tuple[float, float, float]:
    """Share of the pairs in which one run failed and the other did not, with its 95 % interval:
    Wilson's, or where a base seed has several pairs that of t over the base seeds' shares; where
    these are all the same, Wilson's of so many base seeds."""
    flipped = both["failed"] != both["failed_base"]
    by_seed = flipped.groupby(both["base_seed"]).mean()
    share = float(by_seed.mean())
    if len(by_seed) == len(both) or not by_seed.std(ddof=1) > 0:
        return share, *wilson_interval(round(share * len(by_seed)), len(by_seed))
    half = stats.t.ppf(0.975, len(by_seed) - 1) * by_seed.std(ddof=1) / np.sqrt(len(by_seed))
    return share, max(0.0, share - half), min(1.0, share + half)


def total_effect(first: pd.Series, second: pd.Series) -> float:
    """Share of the variance that goes with a source, alone or with others (Jansen 1999): half the
    mean squared difference of the pairs over the variance of all their runs. 1 where moving the
    source is as good as drawing the run anew; nan without variance."""
    values = pd.concat([first, second]).astype(float)
    variance = values.var(ddof=0)
    if not variance > 0:
        return np.nan
    return float(((first.astype(float) - second.astype(float)) ** 2).mean() / (2 * variance))


def effect_interval(both: pd.DataFrame, value: str) -> str:
    """A total effect with its 95 % interval: t over the base seeds' mean squared differences, the
    variance of all runs taken as known; as text. No interval where they are all the same."""
    first, second = both[value].astype(float), both[f"{value}_base"].astype(float)
    effect = total_effect(first, second)
    if effect != effect:
        return "-"
    squares = ((first - second) ** 2).groupby(both["base_seed"]).mean()
    squares = squares / (2 * pd.concat([first, second]).var(ddof=0))
    if not squares.std(ddof=1) > 0:
        return f"{effect:.2f} (-)"
    half = stats.t.ppf(0.975, len(squares) - 1) * squares.std(ddof=1) / np.sqrt(len(squares))
    return f"{effect:.2f} ({max(0.0, effect - half):.2f} to {effect + half:.2f})"


def runs_test(failed: list[bool]) -> float:
    """Two-sided p of the Wald and Wolfowitz runs test, exact: do failures stand in clusters, in the
    order of the seeds? nan where all or none failed."""
    n, m = sum(failed), len(failed) - sum(failed)
    if not n or not m:
        return np.nan
    chances = {}
    for count in range(2, n + m + 1):
        k = count // 2
        if count % 2 == 0:
            ways = 2 * comb(n - 1, k - 1) * comb(m - 1, k - 1)
        else:
            ways = comb(n - 1, k) * comb(m - 1, k - 1) + comb(n - 1, k - 1) * comb(m - 1, k)
        chances[count] = ways / comb(n + m, n)
    seen = 1 + int(np.sum(np.diff(np.asarray(failed, dtype=int)) != 0))
    likely = [chance for chance in chances.values() if chance <= chances[seen] + 1e-12]
    return min(1.0, sum(likely))


def clusters(runs: pd.DataFrame) -> str:
    """p of the runs test of a panel's runs in which the same is moved."""
    return p_name(runs_test(runs.sort_values("base_seed")["failed"].tolist()))


COMPARED = (  # what only pairs of runs have
    *("fate flipped", "share flipped, 95 % interval", "by chance"),
    *("total effect on failed", "total effect on score"),
)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a task, model and source; the first has the runs in which nothing is moved."""
    rows = []
    for panel, group in runs.groupby([*PANEL, "learning_rate"], sort=True):
        of_panel = dict(zip([*PANEL, "learning_rate"], panel, strict=True))
        base = group[group["moved"] == NOTHING]
        rows.append(
            {
                **of_panel,
                "moved": NOTHING,
                "base seeds": base["base_seed"].nunique(),
                "n": len(base),
                "failed": int(base["failed"].sum()),
                **dict.fromkeys(COMPARED, "-"),
                "p of clusters": clusters(base),
            }
        )
        for source in SOURCES:
            both = pairs(group, source)
            if both.empty:
                continue
            failed = pd.concat([both["failed"], both["failed_base"]]).mean()
            share, low, high = flip_share(both)
            rows.append(
                {
                    **of_panel,
                    "moved": source,
                    "base seeds": both["base_seed"].nunique(),
                    "n": len(both),
                    "failed": int(both["failed"].sum()),
                    "fate flipped": int((both["failed"] != both["failed_base"]).sum()),
                    "share flipped, 95 % interval": f"{share:.0%} ({low:.0%} to {high:.0%})",
                    "by chance": f"{2 * failed * (1 - failed):.0%}",
                    "total effect on failed": effect_interval(both, "failed"),
                    "total effect on score": effect_interval(both, "score"),
                    "p of clusters": (
                        clusters(group[group["moved"] == ALL]) if source == ALL else "-"
                    ),
                }
            )
    return pd.DataFrame(rows).assign(
        learning_rate=lambda rows: rows["learning_rate"].map(rate_name)
    )


def draw_flips(axes: plt.Axes, runs: pd.DataFrame) -> None:
    """Share of the runs whose fate flips, by what was moved, and where it would lie by chance."""
    named: list[str] = []
    chances = []
    for source in SOURCES:
        both = pairs(runs, source)
        if both.empty:
            continue
        share, low, high = flip_share(both)
        position = len(named)
        axes.plot([position] * 2, [100 * low, 100 * high], color=WITH, linewidth=1.5)
        axes.plot(position, 100 * share, "o", color=WITH, markersize=6)
        flips = int((both["failed"] != both["failed_base"]).sum())
        named.append(f"{source}\n{flips} of {len(both)}")
        chances.append(pd.concat([both["failed"], both["failed_base"]]).mean())
    chance = np.mean([2 * p * (1 - p) for p in chances])
    axes.axhline(100 * chance, color="black", linestyle=":", linewidth=1)
    axes.annotate(
        f"if drawn anew: {chance:.0%}",
        (len(named) - 0.45, 100 * chance),
        (0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    axes.set_xticks(range(len(named)), named, fontsize=8)
    axes.set(xlim=(-0.6, len(named) - 0.4), ylim=(0, 100))
    axes.set(xlabel="what is moved (95 % intervals)", ylabel="runs whose fate flips (%)")


def draw_fates(axes: plt.Axes, runs: pd.DataFrame) -> None:
    """A field per base seed and moved run: dark where it failed."""
    lines, names = [], []
    seeds = sorted(runs["base_seed"].unique())
    for source in (NOTHING, *SOURCES):
        moved = runs[runs["moved"] == source]
        for repeat, group in moved.groupby("start_noise_seed", sort=True):
            fates = group.set_index("base_seed")["failed"].reindex(seeds)
            lines.append(fates.astype(float).to_numpy())
            repeated = moved["start_noise_seed"].nunique() > 1
            names.append(f"{source} {repeat}" if repeated else source)
    greys = plt.get_cmap("Greys").with_extremes(bad=MISSING)
    axes.imshow(np.array(lines), cmap=greys, vmin=0, vmax=1.25, aspect="auto")
    counts = [f"{name}: {int(np.nansum(line))}" for name, line in zip(names, lines, strict=True)]
    axes.set_yticks(range(len(lines)), counts, fontsize=8)
    shown = range(0, len(seeds), max(1, len(seeds) // 12))
    axes.set_xticks(list(shown), [str(seeds[i]) for i in shown], fontsize=8)
    axes.set(xlabel="base seed", ylabel="what is moved: failed runs")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=3,
        frameon=False,
        fontsize=8,
        handles=[
            Patch(facecolor="0.15", edgecolor="black", label="failed"),
            Patch(facecolor="white", edgecolor="black", label="not failed"),
            *([Patch(facecolor=MISSING, label="no run")] if np.isnan(lines).any() else []),
        ],
    )


def draw(runs: pd.DataFrame) -> plt.Figure:
    """A line of two panels for each task and model."""
    groups = list(runs.groupby([*PANEL, "learning_rate"], sort=True))
    figure, grid = panels(len(groups), 2, 5.2, 3.9)
    for i, ((task, model, data, dtype, pretrained, rate), group) in enumerate(groups):
        flips, fates = grid[2 * i : 2 * i + 2]
        draw_flips(flips, group)
        draw_fates(fates, group)
        setting = setting_name(model, data, dtype, pretrained, rate_name(rate))
        flips.set_title(f"{task_name(task, data)}\n{setting}, without bias correction")
        fates.set_title("which runs fail")
    return figure


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "sources_of_randomness.csv"
    runs = read_csv(path, NEEDED)
    if not (runs["moved"] == NOTHING).any():
        raise BadInput(f"{path} has no run in which nothing is moved; run its experiment again")
    if runs["moved"].nunique() == 1 or runs["base_seed"].nunique() < FEWEST:
        raise NothingToDraw(
            f"nothing to draw: {path.name} has nothing moved, or fewer than {FEWEST} seeds, as in a"
            " first look; --seeds 25 asks for all"
        )
    save(draw(runs), options.figures / "sources_of_randomness")
    sources = table(runs)
    save_table(
        sources,
        options.figures / "sources_of_randomness",
        "Sources of randomness: what decides whether a run fails",
        NOTE,
        readable(sources),
    )


if __name__ == "__main__":
    run_command(main)

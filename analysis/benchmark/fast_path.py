"""Figure and table of experiments/benchmark/fast_path.py: do the fast path's runs fail as often and
score as well as the plain path's?

Paper   : none; a check of this repository.
Command : python -m analysis.benchmark.fast_path --profile mini
Reads   : results/<profile>/fast_path.csv
Writes  : figures/<profile>/fast_path.png, .pdf, .md, .csv
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from analysis.shared.names import p_name, setting_name, task_name
from analysis.shared.reading import parse, parser, read_csv, run_command
from analysis.shared.statistics import fisher, over_seeds
from analysis.shared.style import WITH, WITHOUT, box_legend, box_panel, failures, panels, save
from analysis.shared.tables import SCORES_NOTE, readable, save_table

PANEL = ["task", "model", "data", "pretrained"]
# in the order of the boxes
LOOK = {"plain": ("0.45", None), "fast": (WITH, "////"), "fast, bfloat16": (WITHOUT, "....")}
NEEDED = ["path", *PANEL, "dtype", "metric", "score", "majority_level", "failed", "diverged"]
# columns of the table
COMPARED = ("p_failures", "fewest_like_plain", "most_like_plain", "p_ranks", "p_distribution")


def comparisons(runs: pd.DataFrame) -> pd.DataFrame:
    """Statistics of each path, and two-sided p values that it is like the plain one: of failure
    counts (Fisher), of scores by rank (Mann and Whitney) and by their whole distribution
    (Kolmogorov and Smirnov)."""
    result, settings = (
        over_seeds(runs, [*PANEL, "dtype", "path"]),
        dict(list(runs.groupby([*PANEL, "path"]))),
    )
    values = []
    for key in result[[*PANEL, "path"]].itertuples(index=False, name=None):
        path, plain = settings[key], settings.get((*key[:-1], "plain"))
        values.append(
            (np.nan,) * len(COMPARED)
            if key[-1] == "plain" or plain is None
            else (
                fisher(path["failed"], plain["failed"]),
                *like(plain["failed"], len(path)),
                stats.mannwhitneyu(path["score"], plain["score"]).pvalue,
                stats.ks_2samp(path["score"], plain["score"]).pvalue,
            )
        )
    result[list(COMPARED)] = values
    return result.sort_values(
        [*PANEL, "path"],
        key=lambda column: (
            column.map({name: place for place, name in enumerate(LOOK)})
            if column.name == "path"
            else column
        ),
        ignore_index=True,
    )


def like(failed: pd.Series, n: int) -> tuple[int, int]:
    """The fewest and the most failures of n runs that Fisher's test would not tell from these at
    5 %."""
    counts = [
        k for k in range(n + 1) if fisher(pd.Series([True] * k + [False] * (n - k)), failed) >= 0.05
    ]
    return min(counts), max(counts)


def draw(runs: pd.DataFrame) -> plt.Figure:
    """A panel a task, a box a path."""
    groups = list(runs.groupby(PANEL, sort=True))
    figure, grid = panels(1, len(groups), 4.6)
    for axes, ((task, model, data, pretrained), panel) in zip(grid, groups, strict=True):
        found = [(name, seeds) for name in LOOK if len(seeds := panel[panel["path"] == name])]
        box_panel(axes, [(i, seeds, *LOOK[name]) for i, (name, seeds) in enumerate(found)])
        axes.set_xticks(range(len(found)), [f"{name}\n{failures(seeds)}" for name, seeds in found])
        axes.set_xlabel("path, and failed runs of n")
        setting = setting_name(model, data, "float32", pretrained, "without bias correction")
        axes.set_title(f"{task_name(task, data)}\n{setting}")
    box_legend(figure)
    return figure


def main() -> None:
    options = parse(parser(__doc__))
    runs = read_csv(options.results / "fast_path.csv", NEEDED)
    save(draw(runs), options.figures / "fast_path")
    table = comparisons(runs)
    short = readable(table.drop(columns=list(COMPARED)))
    save_table(
        table,
        options.figures / "fast_path",
        "The fast path against the plain one",
        SCORES_NOTE
        + " p, each against the plain path and two-sided: of the failures by Fisher's exact test,"
        " of the scores by Mann and Whitney's test and by Kolmogorov and Smirnov's. Like plain:"
        " the failures that Fisher's test at 5 % would not tell from the plain path's; a path"
        " that differs by less would go unseen.",
        short.assign(
            **{
                "p failures": table["p_failures"].map(p_name),
                "like plain": [
                    f"{low:.0f} to {high:.0f}" if low == low else "-"
                    for low, high in zip(
                        table["fewest_like_plain"], table["most_like_plain"], strict=True
                    )
                ],
                "p ranks": table["p_ranks"].map(p_name),
                "p distribution": table["p_distribution"].map(p_name),
            }
        ),
    )


if __name__ == "__main__":
    run_command(main)

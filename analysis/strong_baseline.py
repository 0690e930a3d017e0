"""Figure and tables of experiments/strong_baseline.py: the default recipe, the paper's, and others.

Paper   : Mosbach et al. 2021 (ICLR), section 6, Fig. 1 and Table 1.
Command : python -m analysis.strong_baseline --profile mini
Reads   : results/<profile>/strong_baseline.csv
Writes  : figures/<profile>/strong_baseline.png, .pdf, .md, .csv; strong_baseline_tests.md, .csv
"""

from itertools import combinations

import matplotlib.pyplot as plt
import pandas as pd

from analysis.shared.limits import share_scores
from analysis.shared.names import by_task, p_name, rate_name, setting_name, task_name
from analysis.shared.reading import one_setting, parse, parser, read_csv, run_command
from analysis.shared.statistics import fisher, levene, over_seeds
from analysis.shared.style import (
    FURTHER,
    WITH,
    WITHOUT,
    box_legend,
    box_panel,
    failures,
    panels_for,
    save,
)
from analysis.shared.tables import PANEL, SCORES_NOTE, readable, save_table

DEFAULT, PAPER = "default", "paper's recipe"
RECIPE = ["recipe", "learning_rate", "bias_correction", "epochs"]
NEEDED = [*PANEL, *RECIPE, "metric", "score", "majority_level", "failed", "diverged"]


def in_order(runs: pd.DataFrame) -> list[str]:
    """The recipes: the default, the paper's, then the others as they come in the CSV."""
    return list(dict.fromkeys([DEFAULT, PAPER, *runs["recipe"]]))


def draw(runs: pd.DataFrame) -> plt.Figure:
    """One panel a task and model: a box for each recipe (paper, Fig. 1)."""
    groups, recipes = by_task(runs.groupby(PANEL, sort=True)), in_order(runs)
    looks = dict(
        zip(recipes, [(WITHOUT, "////"), (WITH, None), *FURTHER * len(recipes)], strict=False)
    )
    settings = [
        sorted(panel.groupby(RECIPE), key=lambda group: (recipes.index(group[0][0]), group[0][1:]))
        for _, panel in groups
    ]
    # as narrow as the words under the boxes allow: two such figures stand side by side
    narrowest = 3.6 if len(groups) == 1 else 2.5  # one is no narrower than its legend
    width = max(narrowest, 0.6 + 0.95 * max(map(len, settings)))
    figure, grid = panels_for(len(groups), width, 3.7)
    for axes, ((task, model, data, dtype, pretrained), panel), boxes in zip(
        grid, groups, settings, strict=True
    ):
        box_panel(
            axes, [(i, seeds, *looks[recipe]) for i, ((recipe, *_), seeds) in enumerate(boxes)]
        )
        share_scores(axes, panel)
        axes.set_xticks(
            range(len(boxes)),
            [
                f"{failures(seeds)}\n{recipe}\n{epochs} epochs\n{rate_name(rate)}"
                for (recipe, rate, _, epochs), seeds in boxes
            ],
        )
        axes.set_xlim(-0.6, len(boxes) - 0.4)
        axes.set_xlabel("failed runs of n, and recipe")
        axes.set_title(f"{task_name(task, data)}\n{setting_name(model, data, dtype, pretrained)}")
    box_legend(figure)
    return figure


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each recipe (paper, Table 1)."""
    order = in_order(runs)
    result = over_seeds(runs, [*PANEL, *RECIPE]).sort_values(
        [*PANEL, *RECIPE],
        key=lambda column: column.map(order.index) if column.name == "recipe" else column,
    )
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """Each two recipes, task by task: spread of the scores (Levene), failures (Fisher). The
    default and the paper's always."""
    rows = []
    for _, panel in runs.groupby(PANEL, sort=True):
        of = {recipe: panel[panel["recipe"] == recipe] for recipe in in_order(panel)}
        for pair in combinations(of, 2):
            if pair != (DEFAULT, PAPER) and not all(len(of[recipe]) for recipe in pair):
                continue
            score = [100 * of[recipe]["score"] for recipe in pair]
            sides = {
                side: {
                    side: recipe,
                    f"{side}: failed/n, std": (
                        f"{failures(of[recipe])}, {points.std(ddof=0):.2f}" if len(points) else "-"
                    ),
                }
                for side, recipe, points in zip(("first", "second"), pair, score, strict=True)
            }
            rows.append(
                {
                    **panel.iloc[0][PANEL],
                    **sides["first"],
                    **sides["second"],
                    "Levene p, mean-centred": p_name(levene(*score, center="mean")),
                    "Levene p, median-centred": p_name(levene(*score, center="median")),
                    "Fisher p": p_name(fisher(*(of[recipe]["failed"] for recipe in pair))),
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "strong_baseline.csv"
    runs = read_csv(path, NEEDED)
    one_setting(path, runs, "recipe")
    save(draw(runs), options.figures / "strong_baseline")
    settings, comparisons = table(runs), compare(runs)
    save_table(
        settings,
        options.figures / "strong_baseline",
        "Recipes compared (paper: Fig. 1 and Table 1)",
        SCORES_NOTE,
        readable(settings),
    )
    save_table(
        comparisons,
        options.figures / "strong_baseline_tests",
        "Each two recipes compared",
        "Levene's test of equal variance of all runs' dev scores, centred at the mean and at the"
        " median (less misled by skewed scores, so the more careful of the two), and Fisher's exact"
        " test of the failed runs, two-sided. p values are not adjusted for the number of tests;"
        " with few runs a large p does not show that there is no difference. The tests take the"
        " runs as independent, also where the recipes share seeds. -: not defined.",
        readable(comparisons),
    )


if __name__ == "__main__":
    run_command(main)

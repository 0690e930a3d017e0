"""Figure and tables of experiments/small_datasets.py: do fewer examples, or fewer iterations, make
fine-tuning unstable?

Paper   : Mosbach et al. 2021 (ICLR), section 4.2, Fig. 3 and Table 4.
Command : python -m analysis.small_datasets --profile mini
Reads   : results/<profile>/small_datasets.csv
Writes  : figures/<profile>/small_datasets.png, .pdf, .md, .csv; small_datasets_tests.md, .csv
"""

from itertools import combinations

import matplotlib.pyplot as plt
import pandas as pd

from analysis.shared.limits import share_scores
from analysis.shared.names import by_task, p_name, rate_name, setting_name, task_name
from analysis.shared.reading import BadInput, one_setting, parse, parser, read_csv, run_command
from analysis.shared.statistics import fisher, over_seeds
from analysis.shared.style import (
    FURTHER,
    WITHOUT,
    box_legend,
    box_panel,
    failures,
    panels_for,
    save,
)
from analysis.shared.tables import PANEL, SCORES_NOTE, readable, save_table

CONDITIONS = {
    "full": (WITHOUT, "////"),
    "sample, same epochs": FURTHER[0],
    "sample, same iterations": FURTHER[1],
}
RECIPE = ["learning_rate", "bias_correction"]
SIZE = ["condition", "examples", "epochs"]
NEEDED = [*PANEL, *RECIPE, *SIZE, "metric", "score", "majority_level", "failed", "diverged"]


def draw(runs: pd.DataFrame) -> plt.Figure:
    """One panel a task, model and recipe: a box for each condition."""
    groups = by_task(runs.groupby([*PANEL, *RECIPE], sort=True))
    figure, grid = panels_for(len(groups), 3.7, 3.9)
    for axes, ((task, model, data, dtype, pretrained, rate, corrected), panel) in zip(
        grid, groups, strict=True
    ):
        sizes = list(panel.groupby(SIZE, sort=True))
        box_panel(axes, [(i, seeds, *CONDITIONS[size[0]]) for i, (size, seeds) in enumerate(sizes)])
        share_scores(axes, panel)
        axes.set_xticks(
            range(len(sizes)),
            [
                "\n".join(
                    [
                        failures(seeds),
                        *condition.split(" ", 1),
                        f"{examples} examples",
                        f"{epochs} epochs",
                    ]
                )
                for (condition, examples, epochs), seeds in sizes
            ],
            fontsize=8,
        )
        axes.set_xlim(-0.6, len(sizes) - 0.4)
        axes.set_xlabel("failed runs of n, and training set")
        setting = setting_name(model, data, dtype, pretrained, rate_name(rate))
        correction = f"{'with' if corrected else 'without'} bias correction"
        axes.set_title(f"{task_name(task, data)}\n{setting}\n{correction}")
    box_legend(figure)
    return figure


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each condition (paper, Table 4)."""
    result = over_seeds(runs, [*PANEL, *RECIPE, *SIZE])
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """Failures of each two conditions of a task, and of all tasks of a model together, by
    Fisher's exact test."""
    one_task = runs.groupby([*PANEL, *RECIPE], sort=True)
    model = [column for column in [*PANEL, *RECIPE] if column not in ("task", "data")]
    several = []
    for _, group in runs.groupby(model, sort=True):
        tasks = group[["task", "data"]].drop_duplicates("task").sort_values("task")
        if len(tasks) > 1:
            name = "all tasks"
            if len(tasks) < runs["task"].nunique():  # another rate has others
                name = " and ".join(task_name(*task) for task in tasks.to_numpy())
            several.append(group.assign(task=name))
    rows = []
    for group in [*(group for _, group in one_task), *several]:
        for first, second in combinations(CONDITIONS, 2):
            failed = [
                group.loc[group["condition"] == condition, "failed"]
                for condition in (first, second)
            ]
            rows.append(
                {
                    **group.iloc[0][[*PANEL, *RECIPE]],
                    "first": first,
                    "first failed": failed[0].sum(),
                    "first n": len(failed[0]),
                    "second": second,
                    "second failed": failed[1].sum(),
                    "second n": len(failed[1]),
                    "Fisher p": p_name(fisher(*failed)),
                }
            )
    return pd.DataFrame(rows).assign(
        learning_rate=lambda rows: rows["learning_rate"].map(rate_name)
    )


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "small_datasets.csv"
    runs = read_csv(path, NEEDED)
    one_setting(path, runs, "condition", RECIPE)
    if unknown := set(runs["condition"]) - set(CONDITIONS):
        raise BadInput(
            f"small_datasets.csv has the condition {min(unknown)!r}; expected"
            f" {', '.join(map(repr, CONDITIONS))}"
        )
    save(draw(runs), options.figures / "small_datasets")
    settings, comparisons = table(runs), compare(runs)
    save_table(
        settings,
        options.figures / "small_datasets",
        "Small training sets (paper: Fig. 3 and Table 4)",
        SCORES_NOTE + " The "
        "samples train for as many epochs or for as many iterations as the full training set.",
        readable(settings),
    )
    save_table(
        comparisons,
        options.figures / "small_datasets_tests",
        "Small training sets: failures compared",
        "Fisher's exact test, two-sided, of the failed runs of two conditions; p values are not"
        " adjusted for the number of tests, and with few runs a large p does not show that the"
        " rates are equal. The test takes the runs as independent, also where the conditions share"
        " seeds. All tasks: the counts summed over the tasks, whose rates may differ, so"
        " descriptive only.",
        readable(comparisons),
    )


if __name__ == "__main__":
    run_command(main)

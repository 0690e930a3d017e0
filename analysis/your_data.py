"""Figure and tables of experiments/your_data.py: three recipes on data of one's own, and what so
many seeds can tell.

Paper   : none; the recipes are Mosbach et al.'s (2021) and the Trainer's.
Command : python -m analysis.your_data --profile mini
Reads   : results/<profile>/your_data.csv
Writes  : figures/<profile>/your_data.png, .pdf, .md, .csv; your_data_tests.md, .csv
"""

from itertools import combinations

import matplotlib.pyplot as plt
import pandas as pd
from scipy import stats

from analysis.shared.names import METRIC_NAMES, by_task, p_name, rate_name, setting_name, task_name
from analysis.shared.reading import BadInput, one_setting, parse, parser, read_csv, run_command
from analysis.shared.schema import REGRESSIONS
from analysis.shared.statistics import (
    FEWEST_FOR_INTERVAL,
    fisher,
    interval_allowed,
    interval_of_means,
    over_seeds,
    planned_steps,
    wilson_interval,
)
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

DEFAULT, TRAINER, PAPER = "default", "Trainer's defaults", "paper's recipe"
LOOKS = {DEFAULT: (WITHOUT, "////"), TRAINER: FURTHER[0], PAPER: (WITH, None)}
RECIPE = ["recipe", "learning_rate", "bias_correction", "epochs"]
NEEDED = [*PANEL, *RECIPE, "metric", "score", "majority_level", "failed", "diverged", "steps"]
FEW_STEPS = 50  # the warm-up is then fewer than 5
SIGNIFICANT = 0.05  # of Fisher's test, two-sided
FEWEST_SURE = 5  # seeds that all fail: chance gives that to a rate of a half in one of 32
LASTING = 5  # seeds more
MOST_SEEDS = 1000  # beyond which no number of seeds is named


def in_order(panel: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of each recipe that the panel has, in LOOKS' order."""
    there = {name: panel[panel["recipe"] == name] for name in LOOKS}
    return {name: runs for name, runs in there.items() if len(runs)}


def interval_name(runs: pd.DataFrame) -> str:
    """Wilson's interval of the failure rate: 11 to 60 %."""
    low, high = wilson_interval(int(runs["failed"].sum()), len(runs))
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def draw(runs: pd.DataFrame) -> plt.Figure:
    """One panel a task and model: a box for each recipe."""
    groups = by_task(runs.groupby(PANEL, sort=True))
    figure, grid = panels_for(len(groups), 5.2, 3.9)
    for axes, ((task, model, data, dtype, pretrained), panel) in zip(grid, groups, strict=True):
        recipes = in_order(panel)
        box_panel(axes, [(i, recipes[name], *LOOKS[name]) for i, name in enumerate(recipes)])
        low, high = axes.get_ylim()
        if high - low < 1:  # all scores the same: no axis of hundredths of a point
            axes.set_ylim(low - 1, high + 1)
        labels = []
        for name, seeds in recipes.items():
            first = seeds.iloc[0]
            length = f"{first['epochs']} epochs" if first["epochs"] > 1 else "1 epoch"
            labels.append(
                f"{failures(seeds)} failed\n{interval_name(seeds)}\n{name}\n"
                f"{length}, {rate_name(first['learning_rate'])}"
            )
        axes.set_xticks(range(len(recipes)), labels)
        axes.set_xlim(-0.6, len(recipes) - 0.4)
        axes.set_xlabel("failed runs of n, 95 % interval of the rate; recipe")
        axes.set_title(f"{task_name(task, data)}\n{setting_name(model, data, dtype, pretrained)}")
    box_legend(figure)
    return figure


def fewest_seen(n: int, other: int, failed: int = 0) -> int | None:
    """The smallest number of failed runs of n that Fisher's test tells from `failed` of `other`
    and that is a higher rate; None where even n are not enough."""
    for k in range(n + 1):
        table = [[k, n - k], [failed, other - failed]]
        if k * other > failed * n and stats.fisher_exact(table).pvalue < SIGNIFICANT:
            return k
    return None


def seeds_for(first: float, second: float, there: int = 1) -> int | None:
    """From how many seeds of each on, more than are `there`, Fisher's test tells two failure rates
    apart, if the counts are what the rates say (so with about even odds); None beyond MOST_SEEDS.
    Counts are whole, so p goes up and down with n: it has to stay below for LASTING more."""
    lasts = 0
    for n in range(max(2, there + 1), MOST_SEEDS + 1):
        table = [[round(rate * n), n - round(rate * n)] for rate in (first, second)]
        lasts = lasts + 1 if stats.fisher_exact(table).pvalue < SIGNIFICANT else 0
        if lasts > LASTING:
            return n - LASTING
    return None


def what_seeds_tell(recipes: dict[str, pd.DataFrame]) -> str:
    """What as many seeds as there are can tell and what they cannot."""
    n = min(len(runs) for runs in recipes.values())
    _, high = wilson_interval(0, n)
    lines = [f"**What {n} {'seeds tell' if n > 1 else 'seed tells'}.**"]
    seen = fewest_seen(n, n)
    if seen is None:
        lines.append(
            f"Of failures nothing: not even {n} failed of {n} beside 0 of {n} gives p <"
            f" {SIGNIFICANT} in Fisher's test. The fewest that can tell are 4 seeds of each recipe."
        )
    else:
        lines.append(
            f"Beside a recipe without a failed run, Fisher's test (p < {SIGNIFICANT}) sees"
            f" {seen} failed of {n} or more: a difference of {100 * seen / n:.0f} points. A smaller"
            " one may be there, and would not have been seen."
        )
    lines.append(f"0 failed of {n} still allows a failure rate of up to {100 * high:.0f} %.")
    if n > 1:
        low, up = (((n - 1) / stats.chi2.ppf(q, n - 1)) ** 0.5 for q in (0.975, 0.025))
        lines.append(
            f"The true standard deviation is {100 * low:.0f} to {100 * up:.0f} % of the one over"
            f" {n} seeds, if scores are normal (95 %)."
        )
    return " ".join(lines)


def how_to_go_on(recipes: dict[str, pd.DataFrame]) -> str:
    """What to do next, from the failures and the means."""
    rates = {name: float(runs["failed"].mean()) for name, runs in recipes.items()}
    means = {name: 100 * float(runs["score"].mean()) for name, runs in recipes.items()}
    apart = [
        (low, high)
        for low, high in sorted(combinations(rates, 2))
        if fisher(recipes[low]["failed"], recipes[high]["failed"]) < SIGNIFICANT
    ]
    lines = ["**How to go on.**"]
    steps = min(float(planned_steps(runs).min()) for runs in recipes.values())
    if steps < FEW_STEPS:
        lines.append(
            f"A run has {steps:.0f} steps, too few to call a recipe failing: train for longer"
            " (--epochs) or on more examples first."
        )
    n = min(len(runs) for runs in recipes.values())
    if min(rates.values()) == 1:
        matter = "it is no matter of seeds" if n >= FEWEST_SURE else "it may be no matter of seeds"
        lines.append(
            f"Every run fails with every recipe, so {matter}: look at the learning rate"
            " (--learning-rates), the labels, the length of the inputs (--max-length) and the"
            " metric, and at what other causes look like (convergence_pitfalls)."
        )
        return " ".join(lines)
    for pair in apart:
        better, worse = sorted(pair, key=rates.__getitem__)
        lines.append(f"{better} fails less than {worse} (p < {SIGNIFICANT}): leave {worse}.")
    if not any(rates.values()):
        best = max(means, key=means.__getitem__)
        told = "the table of tests says whether others are told from it"
        if n < FEWEST_FOR_INTERVAL:
            told = f"whether others are told from it {FEWEST_FOR_INTERVAL} seeds or more can say"
        lines.append(
            f"No run failed, so choose by the score: {best} has the highest mean"
            f" ({means[best]:.1f}), and {told}."
        )
    elif not apart:
        low, high = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
        needed = seeds_for(rates[low], rates[high], n) if rates[low] < rates[high] else None
        if needed:
            lines.append(
                f"If the rates stay what they are, {high} and {low} are told apart from about"
                f" {needed} seeds each on, with even odds: the same call with --seeds {needed}"
                " or more; finished runs are kept."
            )
        else:
            lines.append(
                "No recipe is seen to fail more than another, by more than so many seeds can see."
            )
    lines.append("For use, train some seeds, drop those that failed, and keep one by dev score.")
    return " ".join(lines)


def report(runs: pd.DataFrame) -> str:
    """The paragraphs of each task and model."""
    parts = []
    for (task, model, data, dtype, pretrained), panel in by_task(runs.groupby(PANEL, sort=True)):
        recipes = in_order(panel)
        metric = METRIC_NAMES[panel["metric"].iloc[0]]
        found = [
            f"{name} {failures(seeds)} failed ({interval_name(seeds)}), mean"
            f" {100 * seeds['score'].mean():.1f}"
            for name, seeds in recipes.items()
        ]
        head = f"{task_name(task, data)}, {setting_name(model, data, dtype, pretrained)}"
        level = 100 * panel["majority_level"].iloc[0]
        size = f" on {panel['dev_examples'].iloc[0]:,} examples" if "dev_examples" in panel else ""
        parts += [
            f"**{head}**, {metric}{size}, best constant answer {level:.1f}: {'; '.join(found)}.",
            *what_a_correlation_hides(panel),
            what_seeds_tell(recipes),
            how_to_go_on(recipes),
        ]
    return "\n\n".join(parts)


def what_a_correlation_hides(panel: pd.DataFrame) -> list[str]:
    """Of a regression, how many runs have learnt nothing by their loss, whatever the correlation:
    one that learnt nothing has a correlation above 0 about half of the time."""
    if panel["metric"].iloc[0] not in REGRESSIONS or "train_loss" not in panel:
        return []
    nothing = int((~(panel["train_loss"] < panel["label_entropy"])).sum())
    return [
        f"Failed is a correlation of 0 or below. By their loss {nothing} of {len(panel)} runs have"
        " learnt nothing: its mean over the last epoch is no lower than that of the mean label as"
        " the answer."
    ]


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each recipe."""
    order = list(LOOKS)
    result = over_seeds(runs, [*PANEL, *RECIPE]).sort_values(
        [*PANEL, *RECIPE],
        key=lambda column: column.map(order.index) if column.name == "recipe" else column,
    )
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """Each two recipes, task by task: failures (Fisher), means (Welch's interval)."""
    rows = []
    for _, panel in runs.groupby(PANEL, sort=True):
        for (first, one), (second, other) in combinations(in_order(panel).items(), 2):
            seen = fewest_seen(len(one), len(other))
            scores = [100 * part["score"].to_numpy() for part in (one, other)]
            interval = "-"
            if interval_allowed(*scores):
                low, high = interval_of_means(*scores)
                interval = f"{low:.1f} to {high:.1f}"
            rows.append(
                {
                    **panel.iloc[0][PANEL],
                    "first": first,
                    "second": second,
                    "failed": f"{failures(one)} and {failures(other)}",
                    "Fisher p": p_name(fisher(one["failed"], other["failed"])),
                    "failed runs it sees beside none": "-" if seen is None else str(seen),
                    "difference of means": f"{scores[0].mean() - scores[1].mean():.2f}",
                    "its 95 % interval": interval,
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "your_data.csv"
    runs = read_csv(path, NEEDED)
    one_setting(path, runs, "recipe")
    if unknown := set(runs["recipe"]) - set(LOOKS):
        raise BadInput(
            f"your_data.csv has the recipe {min(unknown)!r}; expected {', '.join(map(repr, LOOKS))}"
        )
    save(draw(runs), options.figures / "your_data")
    settings, said = table(runs), report(runs)
    save_table(
        settings,
        options.figures / "your_data",
        "Three recipes on your data",
        f"{said}\n\n{SCORES_NOTE}",
        readable(settings),
    )
    comparisons = compare(runs)
    if len(comparisons):
        save_table(
            comparisons,
            options.figures / "your_data_tests",
            "Each two recipes compared on your data",
            "Fisher's exact test of the failed runs, two-sided, not adjusted for the number of"
            " tests; the fewest failed runs of the first that it would have told from none of the"
            " second; difference of the mean dev scores in points, first less second, with Welch's"
            " 95 % interval from 11 runs of each on where not too many are tied. -: not defined.",
            readable(comparisons),
        )
    print(f"\n{said}\n")


if __name__ == "__main__":
    run_command(main)

"""Figure and tables of experiments/convergence_pitfalls.py: can what went wrong be told from the
curves of a run?

Paper   : none; what practitioners ask about, beside the vanishing gradients of Mosbach et al. 2021
          (ICLR), section 5.1.
Command : python -m analysis.convergence_pitfalls --profile mini
Reads   : results/<profile>/convergence_pitfalls.csv, convergence_pitfalls_curves.csv
Writes  : figures/<profile>/convergence_pitfalls.png, .pdf, .md, .csv; convergence_pitfalls_runs.md,
          .csv

The rule, diagnose(), sees losses, dev score, answers and gradient norms of one run, not what was
done in it. Its thresholds and what is expected of each condition were fixed before any run of this
experiment was looked at, and are tuned to nothing. "Collapsed" and the rate that rises to the end
came later, when five pilots of it had been seen.
"""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from analysis.shared.names import METRIC_NAMES, number, rate_name, setting_name, task_name
from analysis.shared.reading import BadInput, belong, parse, parser, read_csv, run_command
from analysis.shared.schema import REGRESSIONS
from analysis.shared.statistics import wilson_interval
from analysis.shared.style import WITH, WITHOUT, save
from analysis.shared.tables import PANEL, readable, save_table

# nats, the loss of giving two labels equal chances; a small sample's own label entropy may be 0.
# Of more labels with_diagnoses takes the label entropy of the largest sample, if that is higher
UNINFORMED = np.log(2)
# nats; a loss so far above UNINFORMED gives the right label 30 % on (geometric) average, less than
# guessing does
FAR = 0.5
# root mean square of the change of the margins; so much is a factor of 1.65 in the odds
STILL = 0.5
# nats; two losses so close count as equal, a training loss below it as near 0
SMALL = UNINFORMED / 10
# of the way from the majority level to a perfect score; a dev score below it is near the majority
# level
NEAR = 1 / 10
# times smaller than before the first step, and a gradient has vanished: the paper's "two orders of
# magnitude" (5.1)
GONE = 100

DIAGNOSES = ["loss rose", "collapsed", "never moved", "memorised", "vanished", "learnt", "unclear"]
FAILED, NOT_FAILED = "without bias correction, failed", "without bias correction, not failed"
EXPECTED = {
    "with bias correction": "learnt",
    FAILED: "vanished",
    NOT_FAILED: "learnt",
    "rate too high": "loss rose",
    "rate rising to the end": "collapsed",
    "SGD": "never moved",
    "examples": "memorised",
}
CONDITIONS = [
    *("with bias correction", "without bias correction", "rate too high"),
    *("rate rising to the end", "SGD", "examples"),
]
SEEN = [
    "first_loss",
    "last_loss",
    "highest_loss",
    "first_dev_loss",
    "last_dev_loss",
    "lowest_dev_loss",
    "margin_change",
    "margin_spread",
    "first_layer_gradient_at_start",
    "first_layer_gradient_at_end",
    "classifier_gradient_at_start",
    "classifier_gradient_at_end",
]
NEEDED = [
    "condition",
    *PANEL,
    "score",
    "majority_level",
    "failed",
    "diverged",
    "constant_prediction",
    "label_entropy",
    *SEEN,
]
NEEDED_CURVES = [
    "condition",
    *PANEL,
    "learning_rate",
    "epochs",
    "run",
    "failed",
    "metric",
    "majority_level",
    "label_entropy",
    "step",
    "train_loss",
    "score",
    "first_layer_gradient",
    "classifier_gradient",
]
FLOOR = 1e-8  # losses and gradient norms below it are drawn there: a log axis has no place for 0
SEED, MEDIAN = {"linewidth": 0.6, "alpha": 0.5}, {"linewidth": 1.5}
LINE = {"color": "black", "linestyle": "-"}
GRADIENTS: dict[str, tuple[str, dict]] = {
    "first_layer_gradient": ("first layer", {"color": WITHOUT, "linestyle": "-"}),
    "classifier_gradient": ("classifier", {"color": WITH, "linestyle": (0, (3, 1))}),
}


def diagnose(run: pd.Series, uninformed: float = UNINFORMED) -> str:
    """What the curves of a run say happened to it, one of DIAGNOSES; `uninformed`: nats, the loss
    of answers that do not look at the input."""
    gone = GONE * run["first_layer_gradient_at_end"] < run["first_layer_gradient_at_start"]
    near_majority = run["score"] < run["majority_level"] + NEAR * (1 - run["majority_level"])
    if (
        run["diverged"]
        or not np.isfinite(run["last_loss"])
        or run["highest_loss"] > uninformed + FAR
    ):
        return "loss rose"
    if run["failed"] and run["lowest_dev_loss"] < run["label_entropy"] - SMALL:
        return "collapsed"
    if (
        run["margin_change"] < STILL
        and abs(run["last_loss"] - run["first_loss"]) < SMALL
        and not gone
    ):
        return "never moved"
    if run["last_loss"] < SMALL and (run["last_dev_loss"] > uninformed + FAR or near_majority):
        return "memorised"
    if gone and run["constant_prediction"] and abs(run["last_loss"] - run["label_entropy"]) < SMALL:
        return "vanished"
    return "unclear" if run["failed"] else "learnt"


def place(condition: str) -> tuple[int, int, str]:
    """Where a condition stands: as in CONDITIONS, those of few examples by their number."""
    kind = re.sub(r"^\d+ |, .*$", "", condition)
    if kind not in CONDITIONS:
        raise BadInput(
            f"a CSV of convergence_pitfalls has the condition {condition!r}, which is none of the"
            " experiment's; run experiments/convergence_pitfalls.py again"
        )
    return CONDITIONS.index(kind), int(condition.split()[0]) if kind == "examples" else 0, condition


def with_diagnoses(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` in order, with the diagnosis of each; those without bias correction in two
    conditions."""
    condition = runs["condition"].where(
        runs["condition"] != "without bias correction",
        runs["failed"].map({True: FAILED, False: NOT_FAILED}),
    )
    places = {name: i for i, name in enumerate(sorted(set(condition), key=place))}
    entropy = runs.groupby(["task", "data"])["label_entropy"].transform("max")
    levels = entropy.clip(lower=UNINFORMED)
    found = [diagnose(run, level) for (_, run), level in zip(runs.iterrows(), levels, strict=True)]
    return runs.assign(condition=condition, diagnosis=found).sort_values(
        [*PANEL, "condition"],
        key=lambda column: column.map(places) if column.name == "condition" else column,
    )


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a condition: how often each diagnosis was made, and the share of the expected one."""
    rows = []
    for setting, group in runs.groupby([*PANEL, "condition"], sort=False):
        counts = group["diagnosis"].value_counts().reindex(DIAGNOSES, fill_value=0)
        expected = EXPECTED[re.sub(r"^\d+ ", "", setting[-1])]
        right = int(counts[expected])
        low, high = wilson_interval(right, len(group))
        rows.append(
            {
                **dict(zip([*PANEL, "condition"], setting, strict=True)),
                "n": len(group),
                "failed": int(group["failed"].sum()),
                **counts,
                "expected": expected,
                "as_expected": right / len(group),
                "as_expected_low": low,
                "as_expected_high": high,
            }
        )
    return pd.DataFrame(rows)


def short(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the share and its interval in one column."""
    share = ["as_expected", "as_expected_low", "as_expected_high"]
    return readable(table.drop(columns=share)).assign(
        **{
            "as expected, 95 % interval": [
                f"{value:.0%} ({low:.0%} to {high:.0%})"
                for value, low, high in table[share].to_numpy()
            ]
        }
    )


def medians(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a condition: the median of what the rule sees, over the runs where it is a number."""
    groups = runs.replace([np.inf, -np.inf], np.nan).groupby([*PANEL, "condition"], sort=False)
    seen = groups[["score", *SEEN]].median().map(number)
    return pd.concat(
        [groups.agg(n=("failed", "size"), failed=("failed", "sum")), seen], axis=1
    ).reset_index()


def draw(curves: pd.DataFrame) -> plt.Figure:
    """For each task and model a line of panels a condition: loss, dev score and gradient norms
    over steps."""
    curves = curves.replace([np.inf, -np.inf], np.nan)
    groups = list(curves.groupby(PANEL, sort=True))
    columns = [
        sorted(
            group.groupby(["condition", "epochs"]),
            key=lambda column: (place(column[0][0]), column[0][1]),
        )
        for _, group in groups
    ]
    heights = [1.2 + 1.4 * len(conditions) for conditions in columns]  # inches
    figure = plt.figure(figsize=(7.2, sum(heights)))
    parts = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (setting, _), conditions in zip(parts, groups, columns, strict=True):
        part.suptitle(
            f"{task_name(setting[0], setting[2])}, {setting_name(*setting[1:])}", fontsize=10
        )
        grid = part.subplots(len(conditions), 3, squeeze=False, sharex="row", sharey="col")
        for line, ((condition, epochs), runs) in zip(grid, conditions, strict=True):
            draw_condition(line, runs)
            failed = runs.groupby("run")["failed"].first()
            rates = ", ".join(map(rate_name, sorted(runs["learning_rate"].unique())))
            line[0].set_ylabel(
                f"{condition}\n{rates}, {epochs} epochs\n{failed.sum()} of {len(failed)} failed",
                fontsize=7,
            )
        metric = conditions[0][1]["metric"].iloc[0]
        for axes, name in zip(
            grid[0],
            ("training loss (nats)", f"dev {METRIC_NAMES[metric]} (%)", "gradient norm (L2)"),
            strict=True,
        ):
            axes.set_title(name, fontsize=9)
        for axes in grid[-1]:
            axes.set_xlabel("step")
        part.align_ylabels(grid[:, 0])
        part.legend(
            handles=legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=8
        )
    return figure


def draw_condition(panels: np.ndarray, runs: pd.DataFrame) -> None:
    """The three panels of a condition."""
    loss, score, gradient = panels
    runs = runs.assign(
        score=100 * runs["score"],
        **{name: runs[name].clip(lower=FLOOR) for name in ("train_loss", *GRADIENTS)},
    )
    loss.set_yscale("log")
    gradient.set_yscale("log")
    draw_seeds(loss, runs, "train_loss", LINE)
    draw_seeds(score, runs, "score", LINE)
    for name, (_, look) in GRADIENTS.items():
        draw_seeds(gradient, runs, name, look)
    failed = runs[runs["failed"] & runs["score"].notna()].groupby("run").last()
    score.plot(
        failed["step"],
        failed["score"],
        "x",
        color="black",
        markersize=5,
        markeredgewidth=1.1,
        zorder=3,
    )
    entropy = runs["label_entropy"].median()
    if entropy > 0:
        loss.axhline(entropy, color="black", linestyle=":", linewidth=1)
    score.axhline(100 * runs["majority_level"].iloc[0], color="black", linestyle=":", linewidth=1)


def draw_seeds(axes: plt.Axes, runs: pd.DataFrame, name: str, look: dict) -> None:
    """A thin line a run, and the median over the runs that have a value at the step."""
    runs = runs.dropna(subset=name)
    for _, run in runs.groupby("run"):
        axes.plot(run["step"], run[name], **look, **SEED)
    axes.plot(runs.groupby("step")[name].median(), **look, **MEDIAN)


def legend() -> list[Line2D]:
    return [
        Line2D([], [], **LINE, **SEED, label="a seed"),
        Line2D([], [], **LINE, **MEDIAN, label="median of the seeds"),
        Line2D(
            [], [], color="black", linestyle=":", linewidth=1, label="label entropy; majority level"
        ),
        Line2D([], [], color="black", marker="x", linestyle="none", label="end of a failed run"),
        *(
            Line2D([], [], **look, **MEDIAN, label=f"gradient, {name}")
            for name, look in GRADIENTS.values()
        ),
        Line2D([], [], linestyle="none", label=f"below {rate_name(FLOOR)}: drawn there"),
    ]


def read(path: Path, needed: list[str]) -> pd.DataFrame:
    """A CSV in which models whose layers have other names lack the first layer's gradient, and
    older calls the lowest dev loss."""
    told_by = {"first_layer": "vanished", "lowest_dev_loss": "collapsed"}
    table = read_csv(path, [name for name in needed if not name.startswith(tuple(told_by))])
    lacking = [name for name in needed if name not in table]
    for beginning, diagnosis in told_by.items():
        if names := [name for name in lacking if name.startswith(beginning)]:
            print(
                f"{path.name} has no {names[0]}: drawn without it, and no run can count as"
                f" {diagnosis}"
            )
    return table.assign(**dict.fromkeys(lacking, np.nan))


def main() -> None:
    options = parse(parser(__doc__))
    paths = tuple(options.results / f"convergence_pitfalls{end}.csv" for end in ("", "_curves"))
    runs, curves = with_diagnoses(read(paths[0], NEEDED)), read(paths[1], NEEDED_CURVES)
    if set(curves["metric"]) & set(REGRESSIONS):
        raise BadInput(
            "convergence_pitfalls judges by losses in nats, which a regression has not: expected"
            " tasks with classes, or other experiments"
        )
    belong(runs, curves, paths)
    save(draw(curves), options.figures / "convergence_pitfalls")
    diagnoses, seen = table(runs), medians(runs)
    save_table(
        diagnoses,
        options.figures / "convergence_pitfalls",
        "What was done, and what the curves say",
        "All finished runs of the task and model in the store, whichever experiment trained them,"
        " that are alike in all but rate, correction, length, examples and seeds, by what was done"
        " (with and without bias correction: at any rate and length, on any number of examples)"
        " and by what a rule says of their losses, dev score, answers and gradient norms alone. In"
        " this order: loss rose: a loss that is not finite, or the mean of ten steps' training"
        f" loss above {UNINFORMED + FAR:.2f} nats; collapsed: failed, though the dev loss had been"
        f" {SMALL:.2f} nats below the label entropy; never moved: margins and training loss hardly"
        f" changed (by less than {STILL} and {SMALL:.2f} nats) though the gradient had not"
        f" vanished; memorised: training loss below {SMALL:.2f}, but dev loss above"
        f" {UNINFORMED + FAR:.2f} or a dev score less than {100 * NEAR:.0f} % of the way from the"
        f" majority level to 1; vanished: training loss within {SMALL:.2f} of the label entropy,"
        f" constant answers, and a first-layer gradient {GONE} times smaller than before the first"
        " step; learnt: none of these and not failed; unclear: none of these and failed. The rule"
        " and what is expected were fixed before any run of this experiment was looked at, those"
        " of the rising rate after five pilots; a run without the lowest dev loss, as older ones"
        " are, cannot count as collapsed. A long"
        " run that has learnt and is too sure of itself counts as memorised too. The 95 % Wilson"
        " interval takes the runs as independent, though they share seeds and data.",
        short(diagnoses),
    )
    save_table(
        seen,
        options.figures / "convergence_pitfalls_runs",
        "What the rule sees: medians",
        "Medians over the runs of a condition, without values that are not finite. Losses in nats,"
        " first and last: over the first and last tenth of the steps, highest: of ten steps, dev"
        " losses before training, at its end, and the lowest after the start (of runs that have"
        " it). Margin: the logit of label 1 less that of label 0 of a dev example; change: root"
        " mean square from start to end, spread: standard deviation at the end. Gradients: L2 norm"
        " of one weight matrix, median over the first and last tenth.",
        readable(seen),
    )


if __name__ == "__main__":
    run_command(main)

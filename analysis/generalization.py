"""Figure and tables of experiments/generalization.py: does training on, to a training loss near
zero, cost dev score?

Paper   : Mosbach et al. 2021 (ICLR), section 5.2, Fig. 8.
Command : python -m analysis.generalization --profile mini
Reads   : results/<profile>/generalization.csv, generalization_curves.csv
Writes  : figures/<profile>/generalization.png, .pdf, .md, .csv; generalization_tests.md, .csv
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.shared.limits import LOSS, SCORES_OVER_STEPS, holding, share_scores
from analysis.shared.names import METRIC_NAMES, p_name, rate_name, setting_name, task_name
from analysis.shared.reading import belong, parse, parser, read_csv, run_command
from analysis.shared.statistics import over_seeds, spearman
from analysis.shared.style import WITH, WITHOUT, label_log_axis, panels, save
from analysis.shared.tables import PANEL, readable, save_table

GROUP = [*PANEL, "train_examples"]  # a sample's training loss is not compared with the full set's
RECIPE = ["epochs", "bias_correction", "learning_rate"]
NEEDED = [
    "run",
    *GROUP,
    *RECIPE,
    "metric",
    "score",
    "majority_level",
    "failed",
    "diverged",
    "train_loss",
    "label_entropy",
]
NEEDED_CURVES = ["run", *RECIPE, "failed", "step", "score"]
EDGES = [0, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.65, np.inf]  # nats, as read from the paper's Fig. 8b
BINS = [
    "< 1e-4",
    "1e-4 to 1e-3",
    "1e-3 to 0.01",
    "0.01 to 0.1",
    "0.1 to 0.5",
    "0.5 to 0.65",
    "> 0.65",
    "none: diverged",
]


def with_bins(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` with the number of each run's bin of training loss in BINS, and train_examples in
    words."""
    losses = runs["train_loss"].replace(np.inf, np.nan)
    number = (
        pd.cut(losses, EDGES, labels=False, include_lowest=True).fillna(len(BINS) - 1).astype(int)
    )
    examples = runs["train_examples"].map(lambda n: f"{n:.0f}" if n == n else "all")
    return runs.assign(bin=number, train_examples=examples)


def draw(runs: pd.DataFrame, curves: pd.DataFrame) -> plt.Figure:
    """A line of two panels a task and model: dev score over steps, and over the training loss of
    the last epoch."""
    groups = list(runs.groupby(GROUP, sort=True))
    figure, grid = panels(len(groups), 2, 4.6, 3.7)
    for ((task, model, data, dtype, pretrained, examples), group), left, right in zip(
        groups, grid[::2], grid[1::2], strict=True
    ):
        draw_curves(left, curves[curves["run"].isin(group["run"])])
        share_scores(left, group, SCORES_OVER_STEPS)
        draw_losses(right, group)
        notes = [f"{examples} examples"] if examples != "all" else []
        left.set_title(
            f"{task_name(task, data)},"
            f" {setting_name(model, data, dtype, pretrained, *notes)}\n{left.get_title()}"
        )
        for axes in (left, right):
            axes.axhline(
                100 * group["majority_level"].iloc[0],
                color="black",
                linestyle=":",
                linewidth=1,
                label="majority level",
            )
            axes.set_ylabel(f"dev {METRIC_NAMES[group['metric'].iloc[0]]} (%)")
    labels: dict[str, Any] = {}
    for axes in grid[:2]:
        handles, names = axes.get_legend_handles_labels()
        labels |= dict(zip(names, handles, strict=True))
    figure.legend(
        labels.values(), labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    return figure


def draw_curves(axes: plt.Axes, curves: pd.DataFrame) -> None:
    """Dev scores of the successful runs of one recipe: the longest, of several the one with bias
    correction and most runs."""
    axes.set(xlabel="step", title="no curves")
    if curves.empty:
        return
    (epochs, corrected, rate), longest = max(
        curves.groupby(RECIPE), key=lambda group: (*group[0][:2], len(group[1]))
    )
    successful = longest[~longest["failed"]]
    for _, curve in successful.groupby("run"):
        axes.plot(curve["step"], 100 * curve["score"], color=WITH, alpha=0.35, linewidth=0.8)
    axes.plot(
        100 * successful.groupby("step")["score"].mean(),
        color="black",
        linewidth=2,
        label="mean of the runs",
    )
    axes.set_title(
        f"{epochs} epochs, {rate_name(rate)}, {'with' if corrected else 'without'} bias"
        f" correction\nthe {successful['run'].nunique()} successful of {longest['run'].nunique()}"
        " runs",
        fontsize=9,
    )


def draw_losses(axes: plt.Axes, runs: pd.DataFrame) -> None:
    """A point a run; mean and standard deviation of each bin of training loss over the bin's own
    range of losses."""
    drawn = runs[np.isfinite(runs["train_loss"])]
    # no place for 0 on a log axis
    drawn = drawn.assign(loss=drawn["train_loss"].clip(lower=1e-8), score=100 * drawn["score"])
    for failed, look in (
        (False, {"marker": "o", "color": WITH, "alpha": 0.5, "label": "successful run"}),
        (
            True,
            {"marker": "x", "color": "black", "linewidth": 0.9, "zorder": 5, "label": "failed run"},
        ),
    ):
        chosen = drawn[drawn["failed"] == failed]
        axes.scatter(chosen["loss"], chosen["score"], s=16, **look)
    bins = drawn.groupby("bin")
    low, high, mean = bins["loss"].min(), bins["loss"].max(), bins["score"].mean()
    middle = (low * high) ** 0.5
    axes.errorbar(
        middle,
        mean,
        yerr=bins["score"].std(ddof=0),
        xerr=[middle - low, high - middle],
        fmt="s",
        color=WITHOUT,
        markersize=4,
        markeredgecolor="black",
        capsize=3,
        linewidth=1.6,
        zorder=4,
        label="bin of the loss: mean and std of the\nscore, least to highest loss",
    )
    axes.axvline(
        runs["label_entropy"].median(),
        color="0.5",
        linestyle="-.",
        linewidth=1,
        label="label entropy",
    )
    axes.set(
        xscale="log",
        xlabel="training loss of the last epoch (nats)",
        xlim=holding(LOSS, drawn["loss"], log=True),
    )
    share_scores(axes, runs)
    label_log_axis(axes.xaxis)
    lost = len(runs) - len(drawn)
    axes.set_title(
        f"{len(runs)} runs, {runs['failed'].sum()} failed"
        + (f"\n{lost} of them diverged: no loss, not drawn" if lost else ""),
        fontsize=9,
    )


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures in each bin of training loss, all learning rates, lengths and
    optimisers together."""
    result = over_seeds(runs, [*GROUP, "bin"])
    return result.assign(bin=result["bin"].map(dict(enumerate(BINS)))).rename(
        columns={"bin": "train_loss"}
    )


def correlate(runs: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of training loss and dev score among the runs that did not
    fail."""
    rows = []
    for _, group in runs.groupby(GROUP, sort=True):
        successful = group[~group["failed"] & group["train_loss"].notna()]
        rho, p = spearman(successful["train_loss"], successful["score"])
        rows.append(
            {
                **group.iloc[0][GROUP],
                "runs not failed": len(successful),
                "of": len(group),
                "Spearman rho": f"{rho:.2f}" if rho == rho else "-",
                "p": p_name(p),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    options = parse(parser(__doc__))
    paths = tuple(options.results / f"generalization{end}.csv" for end in ("", "_curves"))
    runs, curves = with_bins(read_csv(paths[0], NEEDED)), read_csv(paths[1], NEEDED_CURVES)
    belong(runs, curves, paths)
    save(draw(runs, curves), options.figures / "generalization")
    losses, correlations = table(runs), correlate(runs)
    save_table(
        losses,
        options.figures / "generalization",
        "Training loss and dev score (paper: Fig. 8b)",
        "Dev scores in percent points over the n runs whose mean training loss of the last epoch"
        " (nats) lies in the bin, whatever their learning rate, length and optimiser; std is the"
        " population form (ddof 0); failed: dev score at the end of training at or below the"
        " majority level, with the 95 % Wilson interval of the rate. The runs of a bin share"
        " settings and seeds, so they are no independent sample.",
        readable(losses),
    )
    save_table(
        correlations,
        options.figures / "generalization_tests",
        "Training loss and dev score: rank correlation",
        "Spearman's rank correlation over the runs that did not fail, with its two-sided p value. A"
        " negative one: a lower training loss goes with a higher dev score. Lower losses come from"
        " longer training and higher learning rates too, so this is no effect of the loss alone; p"
        " takes the runs as independent. -: not defined.",
        readable(correlations),
    )


if __name__ == "__main__":
    run_command(main)

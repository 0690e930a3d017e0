"""Figures and table of experiments/bias_correction.py: dev scores per learning rate, without and
with bias correction, and the learning rate that takes effect.

Paper   : Mosbach et al. 2021 (ICLR), Figs 5 and 6, and the 3-epoch part of Fig. 9. Zhang et al.
          2021, Fig. 1.
Command : python -m analysis.bias_correction --profile mini
Reads   : results/<profile>/bias_correction.csv, bias_correction_learning_rate.csv (where there is
          one)
Writes  : figures/<profile>/bias_correction.png, .pdf, .md, .csv; bias_correction_learning_rate.png,
          .pdf
"""

from itertools import product
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd

from analysis.shared.limits import share_scores
from analysis.shared.names import by_task, model_name, rate_name, setting_name, task_name
from analysis.shared.reading import belong, parse, parser, read_csv, run_command
from analysis.shared.statistics import over_seeds
from analysis.shared.style import (
    CORRECTION_HANDLES,
    WITH,
    WITHOUT,
    box_legend,
    correction_panel,
    panels,
    panels_for,
    save,
)
from analysis.shared.tables import SCORES_NOTE, readable, save_table

SETTING = [
    "task",
    "model",
    "data",
    "epochs",
    "dtype",
    "pretrained",
    "learning_rate",
    "bias_correction",
]
NEEDED = [
    *SETTING,
    "metric",
    "score",
    "majority_level",
    "failed",
    "diverged",
    "train_loss",
    "label_entropy",
    "first_layer_gradient",
]
NEEDED_STEPS = ["model", "task", "epochs", "total_steps", "step", "scheduled", "without", "with"]


def draw(runs: pd.DataFrame) -> plt.Figure:
    """One panel a model, task and length of training: a pair of boxes for each learning rate."""
    groups = by_task(
        runs.groupby(["task", "model", "data", "epochs", "dtype", "pretrained"], sort=True)
    )
    rates = [panel["learning_rate"].nunique() for _, panel in groups]
    narrow = [count == 1 for count in rates]
    if all(narrow):
        # one is no narrower than its legend
        figure, grid = panels_for(len(groups), max(2.5, 3.6 / len(groups)), side_by_side=4)
    elif len(groups) == 2 and any(narrow):
        figure, grid = panels(1, 2, 4.5, 3.6, width_ratios=[max(count, 1.4) for count in rates])
    elif any(narrow):  # a line for each task with several rates, one for all the others
        figure = plt.figure(
            figsize=(max(7.5, 2.5 * sum(narrow)), 0.5 + 3.6 * (narrow.count(False) + 1))
        )
        lines = figure.add_gridspec(narrow.count(False) + 1, sum(narrow))
        grid = [
            figure.add_subplot(
                lines[-1, sum(narrow[:i])] if narrow[i] else lines[narrow[:i].count(False), :]
            )
            for i in range(len(groups))
        ]
    else:
        figure, grid = panels_for(len(groups), max(3.6, 0.9 + 1.1 * max(rates)), side_by_side=2)
    for axes, ((task, model, data, epochs, dtype, pretrained), panel), is_narrow in zip(
        grid, groups, narrow, strict=True
    ):
        correction_panel(axes, panel)
        share_scores(axes, panel)
        name = task_name(task, data)
        setting = setting_name(model, data, dtype, pretrained, f"{epochs} epochs")
        if is_narrow:
            name = name.replace(" (", "\n(")
            if len(setting) > 26:  # characters, of which 2.5 inches hold 28
                setting = ",\n".join(setting.rsplit(", ", 1))
        if "segment_ids" in panel and not panel["segment_ids"].any():
            setting += ",\nwithout segment ids"
        axes.set_title(f"{name}\n{setting}")
    box_legend(figure, CORRECTION_HANDLES)
    return figure


def draw_learning_rate(steps: pd.DataFrame, runs: pd.DataFrame) -> plt.Figure:
    """A line for each model and the tasks that share rates. Left: the step size without and with
    bias correction, as a share of the peak learning rate, at each step. Right: their quotient,
    sqrt(1 - b2^t) / (1 - b1^t) (paper, Fig. 6), and on the right axis its inverse, Zhang et al.'s
    bias ratio."""
    data_of = runs.drop_duplicates(["model", "task"]).set_index(["model", "task"])["data"]
    alike: dict[tuple, list[tuple[str, pd.DataFrame]]] = {}  # tasks with the same rates
    for (task, model, epochs, total), group in by_task(
        steps.groupby(["task", "model", "epochs", "total_steps"], sort=True)
    ):
        rates = group[["step", "scheduled", "without", "with"]].to_numpy(float).tobytes()
        name = task_name(task, data_of.get((model, task), ""))
        alike.setdefault((model, epochs, total, rates), []).append((name, group))
    figure, grid = panels(len(alike), 2, 4.4, 3.2)
    for ((model, epochs, total, _), found), left, right in zip(
        alike.items(), grid[::2], grid[1::2], strict=True
    ):
        names, group = fill(", ".join(name for name, _ in found), 52), found[0][1]
        data = data_of.get((model, group["task"].iloc[0]), "")
        peak = group.loc[group["scheduled"].idxmax(), "step"]
        left.axvspan(0, peak, color="0.9", linewidth=0, label="warm-up")
        right.axvspan(1, peak, color="0.9", linewidth=0)
        left.plot(
            group["step"],
            group["without"],
            color=WITHOUT,
            linestyle="--",
            label="without bias correction",
        )
        left.plot(group["step"], group["with"], color=WITH, label="with bias correction")
        left.set(
            xlim=(0, total), ylim=(0, 1.05), xlabel="step", ylabel="effective / peak learning rate"
        )
        left.set_title(f"{names}\n{model_name(model, data)}, {epochs} epochs, {total} steps")
        group = group[group["scheduled"] > 0]  # nothing to divide by at the first step of a warm-up
        if group.empty:
            right.set_visible(False)
            continue
        factor = group["with"] / group["without"]
        right.plot(group["step"], factor, color=WITH)
        lowest = factor.idxmin()
        right.plot(group["step"][lowest], factor[lowest], "o", color=WITH)
        right.set(
            xscale="log",
            xlim=(1, total),
            ylim=(0, 1.05 * max(1, factor.max())),
            xlabel="step",
            ylabel="with / without bias correction",
        )
        right.set_title(
            f"largest bias ratio: {1 / factor[lowest]:.2f} at step {group['step'][lowest]}\n"
            f"(factor {factor[lowest]:.3f})"
        )
        # the same curve, read on the other axis
        ratios, inverse = [0.8, 1, 1.2, 1.5, 2, 3, 6], right.twinx()
        inverse.spines["right"].set_visible(True)
        inverse.set_yticks([1 / ratio for ratio in ratios], [f"{ratio:g}" for ratio in ratios])
        inverse.set(ylim=right.get_ylim(), ylabel="bias ratio (without / with)")
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    return figure


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each setting; losses and gradients of its failed and
    other runs (medians)."""
    result = over_seeds(runs, SETTING)
    for outcome, chosen in (
        ("failed", runs[runs["failed"]]),
        ("successful", runs[~runs["failed"]]),
    ):
        medians = chosen.groupby(SETTING, dropna=False)[
            ["train_loss", "first_layer_gradient"]
        ].median()
        result = result.merge(
            medians.add_suffix(f"_{outcome}").reset_index(), on=SETTING, how="left"
        )
        for name, digits in (("train_loss", ".3f"), ("first_layer_gradient", ".1e")):
            column = f"{name}_{outcome}"
            result[column] = [format(x, digits) if x == x else "-" for x in result[column]]
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "bias_correction.csv"
    runs = read_csv(path, NEEDED)
    steps = options.results / "bias_correction_learning_rate.csv"
    rates = read_csv(steps, NEEDED_STEPS) if steps.is_file() else None
    if rates is not None:
        belong(runs, rates, (path, steps), ["model", "task", "epochs"])
    save(draw(runs), options.figures / "bias_correction")
    if rates is not None:
        save(draw_learning_rate(rates, runs), options.figures / "bias_correction_learning_rate")
    settings = table(runs)
    measured = ("train_loss", "first_layer_gradient")
    outcomes = [
        f"{name}_{outcome}" for name, outcome in product(measured, ("failed", "successful"))
    ]
    short = readable(settings.drop(columns=outcomes)).assign(
        **{
            f"{name}, failed / other": settings[failed] + " / " + settings[successful]
            for name, failed, successful in (
                ("train loss", *outcomes[:2]),
                ("first-layer gradient", *outcomes[2:]),
            )
        }
    )
    save_table(
        settings,
        options.figures / "bias_correction",
        "Bias correction (paper: Figs 5 and 9)",
        SCORES_NOTE
        + " Train loss: mean of the last epoch, nats. First-layer gradient: L2 norm at the"
        " attention output of layer 1, median of the last tenth of training. The last columns are"
        " medians over the failed and over the other runs.",
        short,
    )


if __name__ == "__main__":
    run_command(main)

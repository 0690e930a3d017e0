"""Figure and table of experiments/early_signs.py: what the first steps tell of a run, and what
stopping it saves.

Paper   : none.
Command : python -m analysis.early_signs --profile mini
Reads   : results/<profile>/early_signs.csv
Writes  : figures/<profile>/early_signs.png, .pdf, .md, .csv; early_signs_restart.png, .pdf, .md,
          .csv
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from analysis.shared.early_rule import SIGNS, risk, threshold
from analysis.shared.names import number, rate_name, setting_name, task_name
from analysis.shared.reading import parse, parser, read_csv, run_command
from analysis.shared.restarts import write_restarts
from analysis.shared.statistics import area_under_roc, bootstrap_interval
from analysis.shared.style import FURTHER, LINES, label_log_axis, panels, save, write_in
from analysis.shared.tables import PANEL, readable, save_table

NEEDED = [
    *PANEL,
    "learning_rate",
    "bias_correction",
    "epochs",
    "run",
    "seed",
    "failed",
    "score",
    "share",
    "steps",
    "train_loss",
    "label_entropy",
    "first_layer_gradient",
]
LOOKS = [
    *((line["color"], line["marker"]) for line in LINES),
    # of learning rates
    *((color, marker) for (color, _), marker in zip(FURTHER, "DvPX", strict=True)),
]


def unknown(runs: pd.DataFrame, column: str) -> str:
    """Why there is nothing to predict, or nothing to predict it from; empty if there is."""
    n, failed = len(runs), runs["failed"].sum()
    if n == 0:
        return "no run without correction"
    if failed in (0, n):
        return f"{'all' if failed else 'none'} of the {n} runs failed:\nno ROC curve"
    return "" if np.isfinite(runs[column]).any() else "nothing logged by then"


def stopped_unseen(risks: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Which runs are stopped, each by the threshold of all others."""
    return np.array(
        [one >= threshold(np.delete(risks, i), np.delete(failed, i)) for i, one in enumerate(risks)]
    )


def within_rates(risks: np.ndarray, failed: np.ndarray, rates: pd.Series) -> float:
    """The area under the ROC curve over pairs of runs of the same learning rate; nan if no rate
    has both classes."""
    areas, weights = [], []
    for rate in rates.unique():
        same = (rates == rate).to_numpy()
        of_failed, of_others = risks[failed & same], risks[~failed & same]
        if len(of_failed) and len(of_others):
            areas.append(area_under_roc(of_failed, of_others))
            weights.append(len(of_failed) * len(of_others))
    return float(np.average(areas, weights=weights)) if weights else np.nan


def roc(risks: np.ndarray, failed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the other runs and of the failed runs at or above each risk, from none to all."""
    stopped = risks >= np.array([np.nan, *np.unique(risks)[::-1]])[:, None]
    return stopped[:, ~failed].mean(axis=1), stopped[:, failed].mean(axis=1)


def judge(runs: pd.DataFrame, column: str) -> dict[str, str]:
    """One sign at one share of the training: how well it tells failed runs, and what stopping by
    it catches, loses and saves."""
    names = [
        "AUC",
        "95 % interval",
        "AUC within a rate",
        "threshold",
        "failed caught",
        "others lost",
        "steps saved",
    ]
    if unknown(runs, column):
        return dict.fromkeys(names, "-")
    risks, failed = risk(runs, column), runs["failed"].to_numpy(dtype=bool)
    low, high = bootstrap_interval(area_under_roc, risks[failed], risks[~failed])
    cut = threshold(risks, failed)
    bound = (
        f"< {number(np.exp(-cut))}"
        if column == "first_layer_gradient"
        else f"> {number(cut + runs['label_entropy'].iloc[0])}"
    )
    stopped, spared = stopped_unseen(risks, failed), (1 - runs["share"]) * runs["steps"]
    within = within_rates(risks, failed, runs["learning_rate"])
    return dict(
        zip(
            names,
            [
                f"{area_under_roc(risks[failed], risks[~failed]):.2f}",
                f"{low:.2f} to {high:.2f}" if high > low else "-",
                f"{within:.2f}" if within == within else "-",
                bound if np.isfinite(cut) else "-" if cut != cut else "not finite",
                f"{(stopped & failed).sum()}/{failed.sum()}",
                f"{(stopped & ~failed).sum()}/{(~failed).sum()}",
                f"{spared[stopped].sum() / runs['steps'].sum():.0%}",
            ],
            strict=True,
        )
    )


def uncorrected(early: pd.DataFrame) -> list[tuple[tuple, pd.DataFrame]]:
    """Each task and model, with its runs without bias correction (none, if there are only
    others)."""
    return [
        (panel, runs[~runs["bias_correction"].astype(bool)])
        for panel, runs in early.groupby(PANEL, sort=True)
    ]


def table(early: pd.DataFrame) -> pd.DataFrame:
    """One row a task, model, share of the training and sign; all learning rates together."""
    rows = []
    for panel, runs in uncorrected(early):
        for share in sorted(early["share"].unique()):
            part = runs[runs["share"] == share]
            for sign, column in SIGNS.items():
                rows.append(
                    {
                        **dict(zip(PANEL, panel, strict=True)),
                        "after": f"{share:.0%}",
                        "sign": sign,
                        "n": len(part),
                        "failed": part["failed"].sum(),
                        **judge(part, column),
                    }
                )
    return pd.DataFrame(rows)


def draw(early: pd.DataFrame) -> plt.Figure:
    """A line of panels a task and model: both signs of each run at the middle share, and a panel
    of ROC curves for each sign."""
    groups, shares = uncorrected(early), sorted(early["share"].unique())
    rates = sorted(early.loc[~early["bias_correction"].astype(bool), "learning_rate"].unique())
    looks = dict(zip(rates, LOOKS * len(rates), strict=False))
    figure, grid = panels(len(groups), 3, 3.7, 3.9)
    for i, ((task, model, data, dtype, pretrained), runs) in enumerate(groups):
        both, *of_signs = grid[3 * i : 3 * i + 3]
        draw_runs(both, runs[runs["share"] == shares[len(shares) // 2]], looks)
        both.set_title(
            f"{task_name(task, data)},"
            f" {setting_name(model, data, dtype, pretrained)}\n{both.get_title()}"
        )
        for axes, (sign, column) in zip(of_signs, SIGNS.items(), strict=True):
            draw_roc(axes, [runs[runs["share"] == share] for share in shares], column)
            axes.set_title(
                f"{sign}\n{runs.loc[runs['failed'], 'run'].nunique()} failed of"
                f" {runs['run'].nunique()} runs",
                fontsize=9,
            )
    figure.legend(
        loc="outside lower center",
        ncols=2 + len(looks),
        frameon=False,
        fontsize=8,
        handles=[
            *(
                Line2D(
                    [],
                    [],
                    marker=marker,
                    linestyle="none",
                    color=color,
                    label=f"{rate_name(rate)}, without correction",
                )
                for rate, (color, marker) in looks.items()
            ),
            Line2D([], [], marker="o", linestyle="none", color="black", label="failed run"),
            Line2D(
                [],
                [],
                marker="o",
                linestyle="none",
                color="black",
                markerfacecolor="white",
                label="successful run",
            ),
        ],
    )
    return figure


def draw_runs(axes: plt.Axes, runs: pd.DataFrame, looks: dict[float, tuple[str, str]]) -> None:
    """Both signs of each run; filled if the run fails."""
    axes.set(
        xlabel="gradient norm of the first layer", ylabel="training loss less label entropy (nats)"
    )
    drawn = runs[
        (runs["first_layer_gradient"] > 0)
        & np.isfinite(runs["first_layer_gradient"])
        & np.isfinite(runs["train_loss"])
    ]
    if drawn.empty:
        return write_in(axes, unknown(runs, "first_layer_gradient") or "no run with both values")
    for (rate, failed), part in drawn.groupby(["learning_rate", "failed"]):
        color, marker = looks[rate]
        axes.plot(
            part["first_layer_gradient"],
            part["train_loss"] - part["label_entropy"],
            marker,
            markersize=5,
            markeredgecolor=color,
            markerfacecolor=color if failed else "none",
            alpha=0.8,
        )
    axes.axhline(0, color="0.5", linestyle="-.", linewidth=1)
    axes.set_xscale("log")
    label_log_axis(axes.xaxis)
    lost = len(runs) - len(drawn)
    axes.set_title(
        f"after {runs['share'].iloc[0]:.0%} of the steps"
        + (f", {lost} without a value not drawn" if lost else "")
    )


def draw_roc(axes: plt.Axes, parts: list[pd.DataFrame], column: str) -> None:
    """ROC curves of one sign, one for each share of the training."""
    axes.set(
        xlabel="other runs stopped (%)",
        ylabel="failed runs stopped (%)",
        xlim=(-3, 103),
        ylim=(-3, 103),
    )
    if all(reasons := [unknown(part, column) for part in parts]):
        return write_in(axes, reasons[0])
    axes.plot([0, 100], [0, 100], color="0.5", linestyle=":", linewidth=1)
    # thinner on top, where curves lie on each other
    for width, part, line in zip((3, 2, 1.2), parts, LINES, strict=False):
        if not unknown(part, column):
            risks, failed = risk(part, column), part["failed"].to_numpy(dtype=bool)
            others, caught = roc(risks, failed)
            axes.plot(
                100 * others,
                100 * caught,
                color=line["color"],
                linestyle=line["linestyle"],
                linewidth=width,
                label=(
                    f"after {part['share'].iloc[0]:.0%}: AUC"
                    f" {area_under_roc(risks[failed], risks[~failed]):.2f}"
                ),
            )
    axes.legend(loc="best", fontsize=8, handlelength=3)  # curves of bad signs lie below


def main() -> None:
    options = parse(parser(__doc__))
    early = read_csv(options.results / "early_signs.csv", NEEDED)
    save(draw(early), options.figures / "early_signs")
    signs = table(early)
    save_table(
        signs,
        options.figures / "early_signs",
        "Which runs will fail, told early",
        "Runs without bias correction, all learning rates together. Signs, after a share of the"
        " steps, as means over the tenth of all steps before: a low gradient norm of the first"
        " layer's output matrix; a training loss that is high against the label entropy. A value"
        " that is not finite counts as the worst. AUC: area under the ROC curve, the chance that a"
        " failed run looks worse than a successful one, ties half; 0.5 is guessing; interval:"
        " bootstrap over the failed and over the successful runs (-: no spread, as where they are"
        " apart altogether, which with few runs is no precision; coverage not measured). Within a"
        " rate: pairs of runs of"
        " one learning rate only, since the rate alone tells something. Threshold: highest Youden"
        " index on all runs, in-sample. Caught, lost and saved are not: each run is judged by the"
        " threshold of all others (which share its seed at other rates). Steps saved: share of all"
        " runs' steps, if flagged ones stop there. -: not defined, as where none or all of the runs"
        " failed.",
        readable(signs),
    )
    write_restarts(early, options.figures / "early_signs_restart")


if __name__ == "__main__":
    run_command(main)

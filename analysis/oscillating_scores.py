"""Figure and table of experiments/oscillating_scores.py: precision and recall jump after every
epoch; which model do I keep?

Command : python -m analysis.oscillating_scores --profile mini
Reads   : results/<profile>/oscillating_scores.csv, oscillating_scores_curves.csv
Writes  : figures/<profile>/oscillating_scores.png, .pdf, .md, .csv
"""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.shared.names import METRIC_NAMES, rate_name, setting_name, task_name
from analysis.shared.reading import belong, parse, parser, read_csv, run_command
from analysis.shared.style import WITH, WITHOUT, panels, save, write_in
from analysis.shared.tables import PANEL, readable, save_table

GROUP = [*PANEL, "learning_rate", "train_examples", "epochs"]  # one line of panels
MEASURES = {  # column: what the table calls it; in points of F1 but the last three
    "late_mean": "late mean",
    "late_std": "late std",
    "late_range": "late range",
    "last_std": "last quarter's std",
    "deepest_dip": "deepest dip",
    "dev_std": "std by dev alone",
    "jump": "jump",
    "dev_jump": "jump by dev alone",
    "gain_there": "gain there",
    "gain_held_out": "gain held out",
    "halves_together": "halves' correlation",
    "precision_with_recall": "precision with recall",
    "plateau_epoch": "plateau from epoch",
}
NO_POINTS = ("halves_together", "precision_with_recall", "plateau_epoch")
NEEDED = [*GROUP, "run", "schedule", "metric", "score", "failed", *MEASURES]
CURVES = [*GROUP, "run", "seed", "schedule", "step", "score", "precision", "recall"]
WIDTHS = {
    "late_std": "second\nhalf",
    "last_std": "last\nquarter",
    "dev_std": "by dev\nalone",
    "jump": "from epoch\nto epoch",
    "dev_jump": "that, by\ndev alone",
}
GAINS = {"gain_there": "half that\nchose", "gain_held_out": "other\nhalf"}
LOOKS = {"constant": (WITHOUT, "o"), "linear": (WITH, "s")}
NAMES = {"constant": "constant rate", "linear": "linear decay to 0"}


def draw(runs: pd.DataFrame, curves: pd.DataFrame) -> plt.Figure:
    """A line of panels a task and setting: F1 over the epochs for each schedule, how wide its
    bands are and how wide dev makes them, what the best epoch gains."""
    groups = list(runs.groupby(GROUP, sort=True, dropna=False))
    figure, grid = panels(2 * len(groups), 2, 4.2, 3.3)
    for i, (key, line) in enumerate(groups):
        of_line = grid[4 * i : 4 * i + 4]
        shown = curves[curves["run"].isin(line["run"])]
        metric = METRIC_NAMES[line["metric"].iloc[0]]
        low = lowest_shown(shown)
        for axes, schedule in zip(of_line[:2], LOOKS, strict=True):
            draw_curves(axes, shown[shown["schedule"] == schedule], line, schedule, low)
        of_line[0].set_ylabel(f"dev {metric} (%)")
        draw_pairs(of_line[2], line, WIDTHS)
        of_line[2].set_ylabel(f"standard deviation of {metric}\nover the epochs (points)")
        draw_pairs(of_line[3], line, GAINS)
        of_line[3].set_ylabel(f"best epoch less last\n({metric}, points)")
        named = dict(zip(GROUP, key, strict=True))
        examples = named["train_examples"]
        sample = [] if np.isnan(examples) else [f"{examples:.0f} sentences"]
        setting = setting_name(
            named["model"], named["data"], named["dtype"], named["pretrained"], *sample
        )
        of_line[0].set_title(
            f"{task_name(named['task'], named['data'])},\n{setting},"
            f" {rate_name(named['learning_rate'])}\n{of_line[0].get_title()}",
            fontsize=9,
        )
        of_line[2].set_title("how wide the band is", fontsize=9)
        of_line[3].set_title("what the best epoch gains, chosen on half of dev", fontsize=9)
    return figure


def lowest_shown(curves: pd.DataFrame) -> float:
    """Where the axis of the curves begins, in %: below all of the second half's scores, so that the
    first epochs, which rise from near 0, do not press the band flat."""
    late = curves[curves["step"] > curves.groupby("run")["step"].transform("max") / 2]
    lowest = 100 * late[["score", "precision", "recall"]].min().min()
    return max(0.0, lowest - 0.5 * (100 - lowest) - 1)


def draw_curves(
    axes: plt.Axes, curves: pd.DataFrame, runs: pd.DataFrame, schedule: str, low: float
) -> None:
    """F1 of every run over the epochs; of the first one precision and recall; grey: how far dev of
    this size may have the first one's F1 off (1.96 standard deviations)."""
    of_schedule = runs[runs["schedule"] == schedule]
    failed = of_schedule["failed"].sum()
    axes.set_title(f"{NAMES[schedule]}, n = {len(of_schedule)}, {failed} failed", fontsize=9)
    axes.set(xlabel="epochs", ylim=(low, 100.4))
    if curves.empty:
        write_in(axes, "no such run")
        return
    color, _ = LOOKS[schedule]
    epochs = runs["epochs"].iloc[0]
    for number, (run, points) in enumerate(curves.groupby("run", sort=False)):
        points = points.sort_values("step")
        epoch = epochs * points["step"] / points["step"].max()
        if number == 0:
            first = of_schedule[of_schedule["run"] == run].iloc[0]
            middle, half = 100 * first["late_mean"], 196 * first["dev_std"]
            axes.fill_between(
                [epochs / 2, epochs], middle - half, middle + half, color="0.85", linewidth=0
            )
            for column, dash in (("precision", ":"), ("recall", "--")):  # over the thick line
                axes.plot(epoch, 100 * points[column], dash, color="0.1", linewidth=0.9, zorder=3)
        axes.plot(
            epoch,
            100 * points["score"],
            color=color,
            linewidth=1.6 if number == 0 else 0.7,
            alpha=1 if number == 0 else 0.6,
        )
    axes.plot([], [], color=color, label="F1 (thick: the first seed)")
    axes.plot([], [], ":", color="0.1", linewidth=0.9, label="its precision")
    axes.plot([], [], "--", color="0.1", linewidth=0.9, label="its recall")
    axes.fill_between([], [], [], color="0.85", label="95 % by the size of dev alone")
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def draw_pairs(axes: plt.Axes, runs: pd.DataFrame, columns: dict[str, str]) -> None:
    """A mark a run and its mean for each column, in points, one schedule beside the other."""
    axes.axhline(0, color="black", linestyle=":", linewidth=1)
    for (i, column), (side, schedule) in product(enumerate(columns), enumerate(LOOKS)):
        color, marker = LOOKS[schedule]
        values = 100 * runs.loc[runs["schedule"] == schedule, column].to_numpy()
        if not len(values):
            continue
        where = i + 0.34 * (side - 0.5)
        spread = where + 0.2 * ((np.arange(len(values)) * 0.618034) % 1 - 0.5)
        axes.plot(
            spread, values, marker, color=color, markerfacecolor="none", markersize=4,
            linestyle="none", label=NAMES[schedule] if i == 0 else None,
        )  # fmt: skip
        axes.plot(
            where, values.mean(), "D", color=color, markeredgecolor="black", markersize=5, zorder=4
        )
    axes.plot([], [], "D", color="0.5", markeredgecolor="black", label="mean")
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_xticks(range(len(columns)), list(columns.values()), fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.legend(fontsize=7, frameon=False)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of each setting and schedule, in percent points but NO_POINTS."""
    rows = []
    for key, group in runs.groupby([*GROUP, "schedule"], sort=True, dropna=False):
        row = {**dict(zip([*GROUP, "schedule"], key, strict=True)), "n": len(group)}
        for column, name in MEASURES.items():
            row[name] = group[column].mean() * (1 if column in NO_POINTS else 100)
        row["last epoch, mean"] = 100 * group["score"].mean()
        row["last epoch, std"] = 100 * group["score"].std(ddof=0)
        rows.append({**row, "failed": int(group["failed"].sum())})
    return pd.DataFrame(rows).assign(
        learning_rate=lambda rows: rows["learning_rate"].map(rate_name)
    )


def main() -> None:
    options = parse(parser(__doc__))
    paths = tuple(options.results / f"oscillating_scores{end}.csv" for end in ("", "_curves"))
    runs, curves = read_csv(paths[0], NEEDED), read_csv(paths[1], CURVES)
    belong(runs, curves, paths)
    belong(curves, runs, paths[::-1])
    path = options.figures / "oscillating_scores"
    save(draw(runs, curves), path)
    found = table(runs)
    save_table(
        found,
        path,
        "Oscillating scores: how wide the band, whose it is, what the best epoch gains",
        "F1 in percent points, means over the n seeds. Late: over the evaluations of the second"
        " half of the epochs; dip: their median less their lowest. Where a run still learns, its"
        " rise is in the late std; the last quarter has less of it. Std by dev alone: of one"
        " model's F1 over dev sets of this size (sentences drawn again, bootstrap). Jump: root"
        " mean square of the difference between neighbouring epochs; by dev alone: standard"
        " deviation of that difference when the same sentences are drawn again for both. Gain: of"
        " the best epoch over the last, chosen on half of dev, there and on the other half, mean"
        " over 200 cuts. Halves' correlation: of the two halves' late scores over the epochs;"
        " near 1 the whole band is the model's, near 0 dev's. Plateau: first epoch within 2 points"
        " of the late mean.",
        readable(found),
    )


if __name__ == "__main__":
    run_command(main)

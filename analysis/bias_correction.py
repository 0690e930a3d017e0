"""Figure and table of experiments/bias_correction.py: dev scores per learning rate, without and with bias correction.

Paper   : Mosbach et al. 2021 (ICLR), Fig. 5, and the 3-epoch part of Fig. 9.
Command : python -m analysis.bias_correction --profile mini
Reads   : results/<profile>/bias_correction.csv
Writes  : figures/<profile>/bias_correction.png, .pdf, .md, .csv
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.statistics import over_seeds
from analysis.style import (
    METRIC_NAMES,
    WITH,
    WITHOUT,
    box_plot,
    model_name,
    parse,
    parser,
    rate_name,
    read_csv,
    run_command,
    save,
    save_table,
    task_name,
)

SETTING = ["task", "model", "data", "epochs", "dtype", "pretrained", "learning_rate", "bias_correction"]
NEEDED = [*SETTING, "metric", "score", "majority_level", "failed", "diverged", "train_loss", "label_entropy",
          "first_layer_gradient"]


def draw(runs: pd.DataFrame) -> plt.Figure:
    """One panel a model, task and length of training: a pair of boxes for each learning rate."""
    panels = list(runs.groupby(["task", "model", "data", "epochs", "dtype", "pretrained"], sort=True))
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    most_rates = max(panel["learning_rate"].nunique() for _, panel in panels)
    figure, grid = plt.subplots(lines, columns, squeeze=False,
                                figsize=(columns * max(3.6, 1.2 + 1.5 * most_rates), 0.5 + 3.5 * lines))
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    for axes, ((task, model, data, epochs, dtype, pretrained), panel) in zip(grid.flat, panels, strict=False):
        rates = sorted(panel["learning_rate"].unique())
        level = 100 * panel["majority_level"].iloc[0]
        axes.axhline(level, color="black", linestyle=":", linewidth=1)
        labels, places = [], []
        for i, rate in enumerate(rates):
            for corrected, shift, color, hatch in ((False, -0.2, WITHOUT, "////"), (True, 0.2, WITH, None)):
                seeds = panel[(panel["learning_rate"] == rate) & (panel["bias_correction"] == corrected)]
                if seeds.empty:
                    continue
                box_plot(axes, i + shift, 100 * seeds["score"], seeds["failed"], color, hatch)
                places.append(i + shift)
                labels.append(f"{seeds['failed'].sum()}/{len(seeds)}")
        axes.set_xticks(range(len(rates)), ["\n" + rate_name(rate) for rate in rates])
        axes.tick_params(axis="x", length=0)
        for place, label in zip(places, labels, strict=True):
            axes.annotate(label, (place, 0), (0, -4), xycoords=("data", "axes fraction"), textcoords="offset points",
                          ha="center", va="top", fontsize=8)
        axes.set_xlim(-0.6, len(rates) - 0.4)
        axes.set_xlabel("failed runs of n, and peak learning rate")
        axes.set_ylabel(f"dev {METRIC_NAMES[panel['metric'].iloc[0]]} (%)")
        notes = [model_name(model, data), f"{epochs} epochs", *([dtype] if dtype != "float32" else []),
                 *([] if pretrained else ["random weights"])]
        axes.set_title(f"{task_name(task, data)}\n{', '.join(notes)}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8, handles=[
        Patch(facecolor=WITHOUT, alpha=0.45, hatch="////", edgecolor="black", label="without bias correction"),
        Patch(facecolor=WITH, alpha=0.45, edgecolor="black", label="with bias correction"),
        Line2D([], [], marker="x", linestyle="none", color="black", label="failed run"),
        Line2D([], [], marker="D", linestyle="none", markerfacecolor="white", color="black", label="mean"),
        Line2D([], [], linestyle=":", color="black", label="majority level")])
    return figure


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each setting; losses and gradients of its failed and other runs (medians)."""
    result = over_seeds(runs, SETTING)
    for outcome, chosen in (("failed", runs[runs["failed"]]), ("successful", runs[~runs["failed"]])):
        medians = chosen.groupby(SETTING, dropna=False)[["train_loss", "first_layer_gradient"]].median()
        result = result.merge(medians.add_suffix(f"_{outcome}").reset_index(), on=SETTING, how="left")
        for name, digits in (("train_loss", ".3f"), ("first_layer_gradient", ".1e")):
            column = f"{name}_{outcome}"
            result[column] = [format(x, digits) if x == x else "-" for x in result[column]]
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table with fewer and shorter columns."""
    return pd.DataFrame({
        "model": [model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)],
        "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
        "weights": table["pretrained"].map({True: "pre-trained", False: "random"}),
        "epochs": table["epochs"], "learning rate": table["learning_rate"],
        "bias correction": table["bias_correction"].map({True: "with", False: "without"}),
        "n": table["n"], "mean": table["mean"], "std": table["std"], "median": table["median"], "max": table["max"],
        "failed": table["failed"],
        "failure rate, 95 % interval": [f"{rate:.0%} ({low:.0%} to {high:.0%})" for rate, low, high in zip(
            table["failure_rate"], table["failure_rate_low"], table["failure_rate_high"], strict=True)],
        "train loss, failed / other": table["train_loss_failed"] + " / " + table["train_loss_successful"],
        "first-layer gradient, failed / other": table["first_layer_gradient_failed"] + " / "
                                                + table["first_layer_gradient_successful"],
    })


def main() -> None:
    options = parse(parser(__doc__))
    runs = read_csv(options.results / "bias_correction.csv", NEEDED)
    save(draw(runs), options.figures / "bias_correction")
    settings = table(runs)
    save_table(settings, options.figures / "bias_correction", "Bias correction (paper: Figs 5 and 9)",
               "Dev scores in percent points over n seeds; std is the population form (ddof 0), as in the paper; failed: dev "
               "score at the end of training at or below the majority level, with the 95 % Wilson interval of the rate. Train "
               "loss: mean of the last epoch, nats. First-layer gradient: L2 norm at the attention output of layer 1, median "
               "of the last tenth of training. The last columns are medians over the failed and over the other runs.",
               readable(settings))


if __name__ == "__main__":
    run_command(main)

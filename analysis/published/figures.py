"""The paper's figures from its published points, drawn by the code that draws our runs, on the
same axes where the unit is the same (analysis/shared/limits.py).

Paper   : Mosbach et al. 2021 (ICLR), Figs 1, 2, 3, 4, 5, 8 and 9. Of the loss surfaces (Figs 7 and
          13) only the numbers at the colour levels are published, no points.
Command : python -m analysis.published.figures --figures figures/reference/published
Reads   : analysis/published/runs.csv, numbers.csv
Writes  : figures/reference/published/<hypothesis>.png, .pdf
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis import (
    bias_correction,
    catastrophic_forgetting,
    generalization,
    small_datasets,
    strong_baseline,
    training_length,
)
from analysis.published.audit import MAJORITY_LEVEL
from analysis.published.evidence import numbers, published_perplexities, published_runs
from analysis.shared.limits import GRADIENT, PERPLEXITY, SCORES_OVER_STEPS
from analysis.shared.reading import REPOSITORY, expanded, parser, run_command
from analysis.shared.style import panels, save, spread, write_in
from analysis.vanishing_gradients import DASHES, HEAD

OTHER_RUNS = "whose runs of BERT with 3 epochs are others than those of"
FULL = {"cola": 8551, "mrpc": 3668, "qnli": 104_743, "rte": 2490}  # training examples, GLUE


def runs_of(name: str) -> pd.DataFrame:
    """The published points of an experiment's figures with the columns that its script draws."""
    runs = published_runs(name)
    return runs.assign(majority_level=runs["task"].map(MAJORITY_LEVEL))


def fig_1() -> plt.Figure:
    """Three recipes. Whether Lee et al.'s runs with Mixout correct the bias is not said."""
    runs = runs_of("strong_baseline")
    return strong_baseline.draw(
        runs.assign(
            bias_correction=runs["bias_correction"].fillna("not said"),
            epochs=runs["epochs"].astype(int),
        )
    )


def fig_2() -> plt.Figure:
    """Perplexity of three failed and three successful runs; mean dev score of ten failed ones."""
    figure, (failed, successful, nothing, score) = panels(2, 2, 3.6, 3.05)
    figure.suptitle("RTE, bert-large-uncased; perplexity on WikiText-2, a line a run", fontsize=9)
    runs = published_perplexities()
    runs = runs.assign(seed=runs["run"].str.split().str[-1], score=np.nan)
    for axes, outcome in ((failed, "failed"), (successful, "successful")):
        chosen = runs[runs["failed"] == (outcome == "failed")]
        axes.set(yscale="log", ylim=PERPLEXITY, xlim=(-0.5, 24.5))
        catastrophic_forgetting.draw_perplexity(axes, chosen, outcome, np.inf)
        for line in axes.get_lines():
            line.set_label("_")  # a seed or a score of the published curves is not known
        level = runs["pretrained_perplexity"].iloc[0]
        axes.axhline(level, color="black", linestyle=":", linewidth=1, label="pre-trained")
        axes.set(
            title=f"perplexity, {outcome} runs\nn = {chosen['run'].nunique()}",
            xlabel="top layers put back (k)",
            ylabel="masked-LM perplexity",
        )
    nothing.set_axis_off()
    write_in(nothing, "training loss:\nno points are published")
    points = numbers(["Fig. 2c / 14b"])
    points = points[points["statistic"] == "mean_at_iteration"].sort_values("at")
    score.plot(
        points["at"],
        100 * points["value"],
        color=catastrophic_forgetting.LINES[0]["color"],
        label="mean of the runs",
    )
    level = 100 * MAJORITY_LEVEL["rte"]
    score.axhline(
        level, color="black", linestyle=":", linewidth=1, label=f"majority level {level:.1f}"
    )
    score.set(
        title="dev score, failed runs\nmean of 10, all failed",
        xlabel="step",
        ylabel="dev accuracy (%)",
        ylim=SCORES_OVER_STEPS["accuracy"],
    )
    for axes in (successful, score):
        axes.legend(loc="upper right", frameon=False, fontsize=8)
    return figure


def fig_3() -> plt.Figure:
    """The whole training set, and samples of 1,000 for as many epochs or as many iterations."""
    runs = runs_of("small_datasets")
    examples = runs["train_examples"].fillna(runs["task"].map(FULL)).astype(int)
    return small_datasets.draw(runs.assign(examples=examples))


def fig_4() -> plt.Figure:
    """Gradient norms of one failed and one successful run, of the curves the published numbers:
    at the first and the last step, and the median after step 100."""
    figure, pair = panels(1, 2, 4.2, 2.8, sharey=True)
    norms = numbers(["Fig. 4"])
    places = ["layer 1", "layer 4", "layer 8", "layer 12", "layer 16", "layer 20"]
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(places)))
    styles = {
        place: {"color": color, "linestyle": DASHES[i]}
        for i, (place, color) in enumerate(zip(places, colors, strict=True))
    } | HEAD
    statistics = [("at_iteration", 0), ("median_from_iteration", 100), ("at_iteration", 460)]
    for axes, outcome in zip(pair, ("failed run", "successful run"), strict=True):
        of_run = norms[norms["approach"] == outcome]
        for place, style in styles.items():
            of_place = of_run[of_run["part"] == place].set_index(["statistic", "at"])["value"]
            axes.plot(range(3), of_place[statistics], **style, marker="o", markersize=3)
        axes.set(yscale="log", ylim=GRADIENT)
        axes.set_xticks(range(3), ["step 0", "median after\nstep 100", "460"])
        axes.set_title(f"RTE, BERT-large, {outcome}, n = 1\n2e-5, without bias correction")
    pair[0].set_ylabel("L2 norm of the gradient")
    figure.legend(
        pair[0].get_lines(),
        styles,
        loc="outside right center",
        frameon=False,
        fontsize=8,
        handlelength=3,
    )
    return figure


def fig_5() -> plt.Figure:
    """Scores after 3 epochs by rate, of BERT, RoBERTa and ALBERT (v1's runs of BERT)."""
    runs = runs_of("bias_correction")
    figure = bias_correction.draw(runs[runs["locator"] == "Fig. 5"])
    figure.suptitle(f"Fig. 5, {OTHER_RUNS} Fig. 9", fontsize=9)
    return figure


def fig_8() -> plt.Figure:
    """Left (8a): where the paper's recipe ends, ten runs. Right (8b): dev score over the training
    loss at the end, all lengths, rates and optimisers together."""
    figure, (left, right) = panels(1, 2, 4.6, 3.7)
    ends = numbers(["Fig. 8a"])
    places = spread(len(ends), 0.5)
    left.scatter(places, ends["value"], s=16, color=generalization.WITH, alpha=0.5)
    left.set(xlim=(-1, 1), ylim=SCORES_OVER_STEPS["accuracy"])
    left.set_xticks([0], ["at the end (curves are not published as points)"])
    runs = generalization.with_bins(runs_of("generalization"))
    level = 100 * runs["majority_level"].iloc[0]
    failed = (ends["value"] <= level).sum()
    left.set_title(
        "RTE, bert-large-uncased\n20 epochs, 2e-5, with bias correction\n"
        f"{len(ends)} runs, {failed} failed",
        fontsize=9,
    )
    generalization.draw_losses(right, runs)
    for axes in (left, right):
        axes.axhline(level, color="black", linestyle=":", linewidth=1, label="majority level")
        axes.set_ylabel("dev accuracy (%)")
    figure.legend(
        *right.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    return figure


def fig_9() -> plt.Figure:
    """Scores by length of training, rate and bias correction."""
    figure = training_length.draw(runs_of("training_length"))
    figure.suptitle(f"Fig. 9, {OTHER_RUNS} Fig. 5", fontsize=9)
    return figure


FIGURES: dict[str, Callable[[], plt.Figure]] = {
    "strong_baseline": fig_1,
    "catastrophic_forgetting": fig_2,
    "small_datasets": fig_3,
    "vanishing_gradients": fig_4,
    "bias_correction": fig_5,
    "generalization": fig_8,
    "training_length": fig_9,
}


def main() -> None:
    given = parser(__doc__).parse_args().figures
    default = REPOSITORY / "figures" / "reference" / "published"
    folder = expanded(given or default)
    for name, draw in FIGURES.items():
        save(draw(), folder / name)


if __name__ == "__main__":
    run_command(main)

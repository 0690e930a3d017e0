"""Figures and tables of experiments/checkpoint_selection.py: scores jump between epochs and
restarts; which model do I keep?

Paper   : Mosbach et al. 2021 (ICLR), section 3 (the last checkpoint), and its first arXiv version
          (the best on dev); Zhang et al. 2021, section 3 (one half of dev selects, the other
          reports); Dodge et al. 2020 (best of n restarts; early stopping).
Command : python -m analysis.checkpoint_selection --profile mini
Reads   : results/<profile>/checkpoint_selection.csv; analysis/published/numbers.csv
Writes  : figures/<profile>/checkpoint_selection.png, .pdf, .md, .csv;
          checkpoint_selection_differences.md, .csv; checkpoint_selection_restarts.md, .csv
"""

import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from analysis.shared.estimates import INTERVAL_RULE, mean
from analysis.shared.names import METRIC_NAMES, rate_name, setting_name, task_name
from analysis.shared.reading import PUBLISHED, NothingToDraw, parse, parser, read_csv, run_command
from analysis.shared.statistics import expected_of_best, over_seeds
from analysis.shared.style import (
    FURTHER,
    WITH,
    WITHOUT,
    box_legend,
    box_panel,
    save,
    write_failures,
)
from analysis.shared.tables import PANEL, readable, save_table

RECIPE = ["bias_correction", "epochs", "learning_rate"]
NEEDED = [
    *PANEL,
    *RECIPE,
    "run",
    "seed",
    "failed",
    "final_score",
    "majority_level",
    "metric",
    "step",
    "total_steps",
    "train_loss",
    "dev_loss",
    "score",
    "selection_score",
    "selection_loss",
    "reporting_score",
]


class Protocol(NamedTuple):
    """Keep a run's checkpoint with the highest (sign 1) or lowest (-1) `select`, and report its
    `report`."""

    select: str
    sign: int
    report: str
    look: tuple[str, str | None]  # colour and hatch


LAST, BEST = "last checkpoint", "best on dev"
LAST_HALF, BEST_HALF, LOSS_HALF = (
    f"{what}, reporting half"
    for what in ("last checkpoint", "best on selection half", "lowest loss on selection half")
)
PROTOCOLS = {
    LAST: Protocol("step", 1, "score", ("0.45", None)),
    BEST: Protocol("score", 1, "score", (WITHOUT, "////")),
    LAST_HALF: Protocol("step", 1, "reporting_score", ("0.45", "||||")),
    BEST_HALF: Protocol("selection_score", 1, "reporting_score", (WITH, "----")),
    LOSS_HALF: Protocol("selection_loss", -1, "reporting_score", FURTHER[0]),
}
POSITIONS = (0, 1, 2.4, 3.4, 4.4)  # in a panel: all of dev, a gap, the reporting half
GAINS = {
    "gain, best on dev": (BEST, LAST),
    "gain, best on half": (BEST_HALF, LAST_HALF),
    "gain, lowest loss on half": (LOSS_HALF, LAST_HALF),
}
SHOWN_RESTARTS = (1, 2, 3, 5, 10, 20)
WIDEST = 13.5  # inches of a figure


def candidates(evaluations: pd.DataFrame) -> pd.DataFrame:
    """The evaluations that may be kept, in order of training; that before the first step is
    none. With `diverged`, of their run."""
    after = evaluations[evaluations["step"] > 0].sort_values(
        [*PANEL, *RECIPE, "seed", "run", "step"], ignore_index=True
    )
    finite = np.isfinite(after[["train_loss", "dev_loss"]].astype(float)).all(axis=1)
    return after.assign(diverged=~finite.groupby(after["run"]).transform("all"))


def keep(evaluations: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """The kept evaluation of each run, with the score it reports as `score`, and whether the kept
    model has `failed`: by its score on all of dev, also where half reports. A value that is not
    finite is never chosen; where none is, the run's last one stands."""
    value = protocol.sign * evaluations[protocol.select]
    value = value.where(np.isfinite(value))
    value = value.fillna(-np.inf).where(
        value.groupby(evaluations["run"]).transform("count") > 0, evaluations["step"]
    )
    # the first of equal ones
    kept = evaluations.loc[value.groupby(evaluations["run"], sort=False).idxmax()]
    reported = kept[protocol.report]
    failed = (kept["score"] <= kept["majority_level"]) | kept["failed"] & (
        kept["step"] == kept["total_steps"]
    )
    return kept.assign(
        score=reported.where(np.isfinite(reported), kept["final_score"]), failed=failed
    )


def apply_protocols(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row a run and protocol (its number in PROTOCOLS)."""
    return pd.concat(
        [
            keep(evaluations, protocol).assign(protocol=i)
            for i, protocol in enumerate(PROTOCOLS.values())
        ],
        ignore_index=True,
    )


def differences(kept: pd.DataFrame) -> pd.DataFrame:
    """One row a run: what its protocols differ by, in points."""
    scores = 100 * kept.pivot(
        index=[*PANEL, "metric", *RECIPE, "run"], columns="protocol", values="score"
    )
    scores.columns = list(PROTOCOLS)
    result = pd.DataFrame(
        {name: scores[first] - scores[second] for name, (first, second) in GAINS.items()}
    )
    optimism = {
        "optimism": scores[BEST] - scores[BEST_HALF],
        "optimism less that of the last": (
            result["gain, best on dev"] - result["gain, best on half"]
        ),
    }
    return result.assign(**optimism).reset_index()


def restarts(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Of each recipe, the expected score of the best of n restarts: on the half that selects,
    and on the half that reports."""
    rows = []
    chosen = PROTOCOLS[BEST_HALF]
    selected = keep(evaluations, chosen._replace(report=chosen.select))
    reported = keep(evaluations, chosen)
    for recipe, runs in selected.groupby([*PANEL, *RECIPE], sort=True):
        setting = {**dict(zip([*PANEL, *RECIPE], recipe, strict=True)), "seeds": len(runs)}
        ones = expected_of_best(runs["score"], 100 * selected.loc[runs.index, "score"])
        others = expected_of_best(runs["score"], 100 * reported.loc[runs.index, "score"])
        for n, (one, other) in enumerate(zip(ones, others, strict=True), 1):
            best = {"restarts": n, "as selected": one, "on the reporting half": other}
            rows.append({**setting, **best})
    if not rows:
        raise NothingToDraw(
            "nothing to draw: checkpoint_selection.csv has no evaluation after the first"
        )
    return pd.DataFrame(rows).assign(
        learning_rate=lambda rows: rows["learning_rate"].map(rate_name)
    )


def draw(kept: pd.DataFrame, best: pd.DataFrame) -> plt.Figure:
    """Three lines of panels a task and model, a column for each recipe: scores by protocol, gains
    over the last checkpoint, best of n restarts. Tasks and models side by side where they fit."""
    groups, restarts_of = (
        list(kept.groupby(PANEL, sort=True)),
        dict(list(best.groupby([*PANEL, *RECIPE]))),
    )
    columns = max(len(panel[RECIPE].drop_duplicates()) for _, panel in groups)
    width = 0.7 + 1.9 * columns
    side_by_side = min(len(groups), max(1, int(WIDEST // width)))
    lines = math.ceil(len(groups) / side_by_side)
    figure = plt.figure(figsize=(max(6.6, width * side_by_side), 0.4 + 7.8 * lines))
    parts = figure.subfigures(lines, side_by_side, squeeze=False).flat
    for part, ((task, model, data, dtype, pretrained), panel) in zip(parts, groups, strict=False):
        part.suptitle(
            f"{task_name(task, data)}, {setting_name(model, data, dtype, pretrained)}", fontsize=10
        )
        grid = part.subplots(3, columns, squeeze=False, sharey="row")
        by_recipe = list(panel.groupby(RECIPE, sort=True))
        for axes in grid[:, len(by_recipe) :].flat:
            axes.set_visible(False)
        for column, ((corrected, epochs, rate), runs) in zip(grid.T, by_recipe, strict=False):
            draw_protocols(column[0], runs)
            column[0].set_title(
                f"{rate_name(rate)}, {'with' if corrected else 'without'} correction\n{epochs}"
                f" epochs, n = {runs['run'].nunique()}",
                fontsize=8,
            )
            draw_gains(column[1], differences(runs))
            draw_restarts(
                column[2],
                restarts_of[
                    (task, model, data, dtype, pretrained, corrected, epochs, rate_name(rate))
                ],
            )
        metric = METRIC_NAMES[panel["metric"].iloc[0]]
        for axes, label in zip(
            grid[:, 0],
            (
                f"dev {metric} (%)",
                "gain over the last\ncheckpoint (points)",
                "expected score\nof the best (%)",
            ),
            strict=True,
        ):
            axes.set_ylabel(label)
        grid[1, 0].set_title("dot: a run; diamond: mean, 95 % interval", fontsize=7)
        for axes in grid[0, : len(by_recipe)]:
            axes.set_xlabel("failed, by all of dev, of n;\nand what reports", fontsize=8)
    box_legend(
        figure,
        [
            Patch(facecolor=color, alpha=0.45, hatch=hatch, edgecolor="black", label=name)
            for name, (*_, (color, hatch)) in PROTOCOLS.items()
        ],
    )
    return figure


def draw_protocols(axes: plt.Axes, kept: pd.DataFrame) -> None:
    """A box for each protocol, with the kept models that have failed under it."""
    boxes = [
        (position, kept[kept["protocol"] == i], *protocol.look)
        for i, (position, protocol) in enumerate(zip(POSITIONS, PROTOCOLS.values(), strict=True))
    ]
    box_panel(axes, boxes, width=0.75)
    axes.set(ylabel="", xlim=(-0.7, 5.1))
    axes.set_xticks([0.5, 3.4], ["\nall of dev", "\nreporting half"], fontsize=8)
    for position, seeds, *_ in boxes:
        write_failures(axes, position, seeds, 7)


def draw_gains(axes: plt.Axes, gained: pd.DataFrame) -> None:
    """Each run's gain over its last checkpoint on the same examples, and the mean with its 95 %
    interval."""
    axes.axhline(0, color="black", linestyle=":", linewidth=1)
    for i, (name, (protocol, _)) in enumerate(GAINS.items()):
        color, _ = PROTOCOLS[protocol].look
        spread = i + 0.35 * ((np.arange(len(gained)) * 0.618034) % 1) + 0.08
        axes.plot(spread, gained[name], ".", color="0.5", markersize=4, linestyle="none")
        effect, low, high, *_ = mean(gained, None, name)
        axes.plot([i - 0.1] * 2, [low, high], "_-", color=color, markersize=7, linewidth=1.6)
        axes.plot(
            i - 0.1, effect, "D", color=color, markeredgecolor="black", markersize=5, zorder=4
        )
    axes.set_xlim(-0.6, 2.7)
    axes.set_xticks(
        range(3), ["best\non dev", "best\non half", "lowest\nloss\non half"], fontsize=8
    )


def draw_restarts(axes: plt.Axes, best: pd.DataFrame) -> None:
    """Expected score of the best of n restarts: dashed on the half that selects, solid on the
    half that reports."""
    for column, look in (
        (
            "as selected",
            {"color": WITHOUT, "linestyle": "--", "marker": "s", "markerfacecolor": "white"},
        ),
        ("on the reporting half", {"color": WITH, "marker": "o"}),
    ):
        axes.plot(best["restarts"], best[column], **look, markersize=3, linewidth=1.3, label=column)
    axes.set(xlabel="restarts n", xlim=(0.5, best["restarts"].max() + 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if axes.get_subplotspec().colspan.start == 0:
        axes.legend(fontsize=7, frameon=False, loc="best")


def table(kept: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each recipe and protocol."""
    result = over_seeds(kept, [*PANEL, *RECIPE, "protocol"])
    return result.assign(
        learning_rate=result["learning_rate"].map(rate_name),
        protocol=result["protocol"].map(dict(enumerate(PROTOCOLS))),
    )


def published_gain() -> pd.Series:
    """v1 less v3 of the paper's Table 1 for its own recipe: mean score of the best checkpoint on
    dev less that of the last one."""
    columns = ["task", "metric", "bias_correction", "epochs"]
    numbers = read_csv(
        PUBLISHED / "numbers.csv", ["source", "locator", "approach", "statistic", "value", *columns]
    )
    numbers = numbers[
        numbers["source"].isin(["mosbach2020", "mosbach2021"])
        & (numbers["locator"] == "Table 1")
        & (numbers["statistic"] == "mean")
        & numbers["approach"].isin(["Ours, best dev checkpoint", "Ours"])
    ]
    numbers = (
        numbers.astype({"bias_correction": bool, "epochs": int})
        .set_index([*columns, "source"])["value"]
        .unstack()
    )
    return (numbers["mosbach2020"] - numbers["mosbach2021"]).dropna()


def compare(kept: pd.DataFrame) -> pd.DataFrame:
    """Mean difference of protocols over the seeds of each recipe, with its 95 % interval."""
    gained, published, rows = differences(kept), published_gain(), []
    for (*recipe, metric), runs in gained.groupby([*PANEL, *RECIPE, "metric"], sort=True):
        row = {**dict(zip([*PANEL, *RECIPE], recipe, strict=True)), "n": len(runs)}
        for name in gained.columns[-5:]:
            effect, low, high, *_ = mean(runs, None, name)
            row[name] = (
                f"{effect:.2f} ({low:.2f} to {high:.2f})" if low == low else f"{effect:.2f} (-)"
            )
        theirs = published.get((row["task"], metric, row["bias_correction"], row["epochs"]))
        rows.append(
            {**row, "published gain, best on dev": "-" if theirs is None else f"{theirs:.1f}"}
        )
    return pd.DataFrame(rows).assign(
        learning_rate=lambda rows: rows["learning_rate"].map(rate_name)
    )


def main() -> None:
    options = parse(parser(__doc__))
    evaluations = candidates(read_csv(options.results / "checkpoint_selection.csv", NEEDED))
    kept, best = apply_protocols(evaluations), restarts(evaluations)
    path = options.figures / "checkpoint_selection"
    save(draw(kept, best), path)
    settings, compared = table(kept), compare(kept)
    save_table(
        settings,
        path,
        "Which checkpoint to keep (paper: v1 keeps the best on dev, v3 the last)",
        "Dev scores in percent points over n seeds; std is the population form (ddof 0), as in the"
        " paper. Best on dev: the highest score of all evaluations, reported on the very examples"
        " that chose it, so optimistic. Selection half and reporting half: dev cut in two, each"
        " class in halves; one half chooses, the other reports, and the last checkpoint on the"
        " reporting half is what these two compare with. No evaluation before the first step"
        " counts; of equal ones the earliest is kept; one that is not finite is never chosen."
        " Failed: the kept model's score on all of dev, whichever half reports, is at or below the"
        " majority level, with the 95 % Wilson interval of the rate. So a run that fails at the end"
        " counts as successful where an earlier checkpoint, kept, gets one example more right.",
        readable(settings),
    )
    save_table(
        compared,
        path.with_name(path.name + "_differences"),
        "Checkpoints: what choosing gains, and what it only seems to",
        "Mean over the n seeds, in percent points, with its 95 % interval of the t distribution"
        f" (-: {INTERVAL_RULE}). Gain: over the last checkpoint on the same examples; best on dev"
        " reports on the examples that chose (v1 less v3 of the paper), the other two on the half"
        " that did not. Optimism: best on dev, less best on the selection half reported on the"
        " other. The two differ in their examples too, so the last column takes off the same"
        " difference of the last checkpoints. All seeds share one cut of dev in halves, and its"
        " chance is not in the intervals; choosing on half of dev is noisier than on all of it."
        " Published: the paper's own recipe on BERT-large, Table 1 of v1 less that of v3, for"
        " context only: another model, and other runs in v1 than in v3. The intervals are not"
        " adjusted for their number.",
        readable(compared),
    )
    save_table(
        best,
        path.with_name(path.name + "_restarts"),
        "The best of n restarts (Dodge et al. 2020)",
        "Expected score, in percent points, of the best of n restarts, each with its own best"
        " checkpoint; run and checkpoint are chosen on the selection half. It is the sum over the"
        " runs, in order of their selection score, of ((i/N)^n - ((i-1)/N)^n) times the score as"
        " selected, or times that on the reporting half; runs of equal selection score count with"
        " the mean of their scores. The n restarts are drawn with replacement from the N seeds at"
        " hand, so all is in-sample, and near n = N it hangs on one run. The halves differ in"
        " difficulty, so look less at the difference of the two than at how it grows with n.",
        readable(best[best["restarts"].isin(SHOWN_RESTARTS) | (best["restarts"] == best["seeds"])]),
    )


if __name__ == "__main__":
    run_command(main)

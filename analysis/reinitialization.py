"""Figure and tables of experiments/reinitialization.py: how many top layers to draw anew, and what
that adds to the other remedies.

Paper   : Zhang et al. 2021 (ICLR), "Revisiting Few-sample BERT Fine-tuning", sections 5 and 6,
          Table 1.
Command : python -m analysis.reinitialization --profile mini
Reads   : results/<profile>/reinitialization.csv
Writes  : figures/<profile>/reinitialization.png, .pdf, .md, .csv; reinitialization_selection.md,
          .csv
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd

from analysis.shared import estimates
from analysis.shared.names import p_name, rate_name, setting_name, task_name
from analysis.shared.reading import BadInput, parse, parser, read_csv, run_command
from analysis.shared.statistics import fisher, over_seeds
from analysis.shared.style import (
    FURTHER,
    WITH,
    WITHOUT,
    box_legend,
    box_panel,
    failures,
    panels,
    save,
    write_in,
)
from analysis.shared.tables import PANEL, SCORES_NOTE, readable, save_table

SHORT, LONG = 3, 20  # epochs
ASPECTS = {  # (bias correction, layers re-initialised, more epochs): name, colour, hatch
    (False, False, False): ("none", WITHOUT, "////"),
    (True, False, False): ("optimiser", WITH, None),
    (False, True, False): ("initialisation", *FURTHER[1]),
    (True, True, False): ("optimiser,\ninitialisation", *FURTHER[0]),
    (True, False, True): ("optimiser,\niterations", *FURTHER[2]),
    (True, True, True): ("all three", *FURTHER[3]),
}
CHOICES = {"all L": 0, "L > 0": 1}  # what L is chosen among: its lowest
SEEDS = ["head_seed", "order_seed", "dropout_seed"]
LINE = [*PANEL, "learning_rate"]
SETTING = [*LINE, "epochs", "bias_correction", "reinitialized_layers"]
NEEDED = [
    *SETTING,
    *SEEDS,
    "metric",
    "score",
    "majority_level",
    "failed",
    "diverged",
    "selection_score",
    "reporting_score",
]


def corrected_and_short(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["bias_correction"] & (runs["epochs"] == SHORT)]


def aspects(line: pd.DataFrame) -> list[tuple[str, pd.DataFrame, str, str | None]]:
    """Boxes of the three aspects; of the L > 0 only those that were also run without correction
    or for longer."""
    layers, boxes = line["reinitialized_layers"], []
    studied = layers.isin({0, *layers.drop(corrected_and_short(line).index)})
    for (corrected, anew, longer), (name, *look) in ASPECTS.items():
        chosen = (
            (line["bias_correction"] == corrected)
            & (line["epochs"] == (LONG if longer else SHORT))
            & ((layers > 0) == anew)
        )
        boxes += [
            (name + (f"\nL = {number}" if anew else ""), seeds, *look)
            for number, seeds in line[chosen & studied].groupby("reinitialized_layers", sort=True)
        ]
    return boxes


def boxes_in(
    axes: plt.Axes, boxes: Sequence[tuple[str, pd.DataFrame, str, str | None]], label: str
) -> None:
    """Box plots of (name, runs of one setting, colour, hatch) side by side, failed runs of n and
    the name under each."""
    if not boxes:
        axes.set_xticks([])
        return write_in(axes, "no such runs")
    box_panel(axes, [(i, *box) for i, (_, *box) in enumerate(boxes)])
    axes.set_xticks(
        range(len(boxes)), [f"{failures(seeds)}\n{name}" for name, seeds, *_ in boxes], fontsize=8
    )
    axes.set_xlim(-0.6, len(boxes) - 0.4)
    axes.set_xlabel(label)


def draw(runs: pd.DataFrame) -> plt.Figure:
    """A line of two panels a task and model: a box for each number of layers at 3 epochs with
    correction, and the three aspects."""
    lines = []
    for names, line in runs.groupby(LINE, sort=True):
        by_layers = corrected_and_short(line).groupby("reinitialized_layers", sort=True)
        boxes = []
        for layers, seeds in by_layers:
            boxes.append((str(layers), seeds, *ASPECTS[True, layers > 0, False][1:]))
        lines.append((names, boxes, aspects(line)))
    widths = (
        max(4, 0.8 + 0.45 * max(len(boxes) for _, boxes, _ in lines)),
        max(5.2, 0.8 + 0.75 * max(len(boxes) for *_, boxes in lines)),
    )
    figure, grid = panels(len(lines), 2, sum(widths) / 2, 3.8, width_ratios=widths)
    for ((task, model, data, dtype, pretrained, rate), by_layers, by_aspect), left, right in zip(
        lines, grid[::2], grid[1::2], strict=True
    ):
        boxes_in(
            left,
            by_layers,
            f"failed runs of n, and re-initialised layers L\n({SHORT} epochs, with bias"
            " correction)",
        )
        boxes_in(
            right,
            by_aspect,
            "failed runs of n, and what is changed (optimiser: bias correction;\n"
            f"initialisation: top L layers drawn anew; iterations: {LONG} epochs)",
        )
        # nearer, since nothing is at the majority level
        if by_layers and not any(seeds["failed"].any() for _, seeds, *_ in by_layers):
            scores = 100 * pd.concat([seeds["score"] for _, seeds, *_ in by_layers])
            left.set_ylim(scores.min() - 1, scores.max() + 1)
        setting = setting_name(model, data, dtype, pretrained, rate_name(rate))
        left.set_title(f"{task_name(task, data)}\n{setting}")
        right.set_title("optimiser, initialisation, iterations\n")
    box_legend(figure)
    return figure


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each length, optimiser and number of layers."""
    result = over_seeds(runs, SETTING)
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def choose(runs: pd.DataFrame) -> pd.DataFrame:
    """The L that the selection half of dev chooses at 3 epochs with correction, and its score on
    the reporting half against that of L = 0 and of the L that would have been best there. The
    smallest of equals. A diverged run has no score on a half: its score on all of dev stands for
    it."""
    halves = {
        f"{half}_score": runs[f"{half}_score"].fillna(runs["score"])
        for half in ("selection", "reporting")
    }
    lines = corrected_and_short(runs.assign(**halves)).groupby(LINE, sort=True)
    rows = []
    for _, line in lines:
        setting = {
            **line.iloc[0][PANEL],
            "learning_rate": rate_name(line["learning_rate"].iloc[0]),
        }
        for name, lowest in CHOICES.items():
            if line["reinitialized_layers"].max() >= lowest:
                rows.append({**setting, "choice": name, **choice(line, lowest)})
    return pd.DataFrame(rows)


def choice(line: pd.DataFrame, lowest: int) -> dict[str, float | str]:
    layers = line["reinitialized_layers"]
    means = 100 * line[layers >= lowest].groupby("reinitialized_layers")[
        ["selection_score", "reporting_score"]
    ].mean().round(9)
    chosen, best = means.idxmax()
    result = {
        "chosen L": chosen,
        "best L": best,
        "chosen: selection mean": means.loc[chosen, "selection_score"],
    }
    for name, of in (("chosen", chosen), ("L = 0", 0), ("best", best)):
        seeds = line[layers == of]
        score = 100 * seeds["reporting_score"]
        result |= {
            f"{name}: mean": score.mean(),
            f"{name}: std": score.std(ddof=0),
            f"{name}: failed/n": failures(seeds),
        }
    return result | against(line[layers == chosen], line[layers == 0] if chosen else line[:0])


def against(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float | str]:
    """Scores on the reporting half, first less second, paired by seed, and failures."""
    pairs = first.merge(second, on=SEEDS)
    found = estimates.mean(
        pairs.assign(difference=100 * (pairs["reporting_score_x"] - pairs["reporting_score_y"])),
        None,
        "difference",
    )
    return {
        "pairs": len(pairs),
        "difference": found.effect,
        "95 % from": found.low,
        "95 % to": found.high,
        "paired p": p_name(found.p_at(0)),
        "Fisher p": p_name(fisher(first["failed"], second["failed"])),
    }


def main() -> None:
    options = parse(parser(__doc__))
    runs = read_csv(options.results / "reinitialization.csv", NEEDED)
    if corrected_and_short(runs).empty:
        raise BadInput(
            f"reinitialization.csv has no run of {SHORT} epochs with bias correction, among which L"
            " is chosen; run experiments/reinitialization.py again"
        )
    save(draw(runs), options.figures / "reinitialization")
    settings, choices = table(runs), choose(runs)
    save_table(
        settings,
        options.figures / "reinitialization",
        "Re-initialised layers (Zhang et al. 2021: Table 1)",
        SCORES_NOTE,
        readable(settings.rename(columns={"reinitialized_layers": "re-initialised layers"})),
    )
    save_table(
        choices,
        options.figures / "reinitialization_selection",
        "Re-initialised layers: chosen on one half of dev, reported on the other",
        f"Runs of {SHORT} epochs with bias correction. Chosen L: highest mean score of the seeds on"
        " the selection half of dev, among all L (0 included) or L > 0 (as Zhang et al. 2021)."
        " Means and standard deviations (std, ddof 0) are otherwise of the reporting half, in"
        " percent points; failed is judged on all of dev. Best L: highest mean on the reporting"
        " half itself, so optimistic. Difference: chosen L less L = 0. These runs share seeds, so"
        " they are paired by seed: t test of the differences, two-sided, with its 95 % interval;"
        f" where there is none, sign test ({estimates.INTERVAL_RULE}). Fisher's exact test of the"
        " failed runs, two-sided, takes them as independent. p values are not adjusted for the"
        " number of tests; with few runs a large p does not show that there is no difference. The"
        " same runs select and report, so what a seed gains on both halves still favours the"
        " chosen L. -: not defined, as where L = 0 itself is chosen.",
        readable(choices).astype(object).fillna("-"),
    )


if __name__ == "__main__":
    run_command(main)

"""Figure and tables of experiments/mitigations.py: other remedies, without and with bias
correction.

Paper   : Mosbach et al. 2021 (ICLR), section 2 and Fig. 1. Zhang et al. 2021, Table 2. Yang and Ma
          2022.
Command : python -m analysis.mitigations --profile mini
Reads   : results/<profile>/mitigations.csv
Writes  : figures/<profile>/mitigations.png, .pdf, .md, .csv; mitigations_tests.md, .csv
"""

import re
from itertools import product
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.shared import estimates
from analysis.shared.limits import share_scores
from analysis.shared.names import p_name, rate_name, setting_name, task_name
from analysis.shared.reading import BadInput, one_setting, parse, parser, read_csv, run_command
from analysis.shared.statistics import fisher, holm, levene, over_seeds
from analysis.shared.style import CORRECTION_HANDLES, box_legend, correction_panel, panels, save
from analysis.shared.tables import PANEL, SCORES_NOTE, readable, save_table

# what methods are compared with; the last two are the control of all, and Mixout's
NONE, ALONE, LOW, CONTROL = "none", "bias correction alone", "0.3 x the rate", "no dropout"
SETTING = [*PANEL, "learning_rate", "method", "bias_correction"]
COST_NOTE = (
    " Cost of a step: its floating-point operations, forward and backward, over those of the"
    " default recipe; the time of a step falls by less on a small model. A smaller batch makes more"
    " steps."
)
MOST_SIDE_BY_SIDE = 7  # methods
TESTS = ["Fisher p", "Levene p"]
NEEDED = [*SETTING, "epochs", "metric", "score", "majority_level", "failed", "diverged"]


def in_order(runs: pd.DataFrame) -> list[str]:
    """The methods: none, the low rate, then the others by name, 5 before 10."""

    def place(method: str) -> tuple[bool, bool, str]:
        padded = re.sub(r"\d+", lambda digits: digits[0].zfill(6), method)
        return method != NONE, method != LOW, padded

    return sorted(runs["method"].unique(), key=place)


def recipe_rate(panel: pd.DataFrame) -> float:
    """The default recipe's learning rate: that of none, or where it is missing the commonest."""
    none = panel[panel["method"] == NONE]
    return (panel if none.empty else none)["learning_rate"].mode().iloc[0]


def draw(runs: pd.DataFrame) -> plt.Figure:
    """For each task and model a pair of boxes for each method, in lines of so many as print."""
    parts = []
    for names, panel in runs.groupby(PANEL, sort=True):
        methods = in_order(panel)
        lines = -(-len(methods) // MOST_SIDE_BY_SIDE)
        for shown in np.array_split(methods, lines):
            parts.append((names, panel, list(shown)))
    widest = max(len(shown) for *_, shown in parts)
    figure, grid = panels(len(parts), 1, max(4.6, 0.8 + 1.15 * widest))
    for axes, ((task, model, data, dtype, pretrained), panel, shown) in zip(
        grid, parts, strict=True
    ):
        rate = recipe_rate(panel)
        labels = {method: label(panel, method, rate) for method in shown}
        correction_panel(axes, panel, "method", "method", labels)
        share_scores(axes, panel)
        setting = setting_name(
            model, data, dtype, pretrained, f"{rate_name(rate)} where none is given"
        )
        axes.set_title(f"{task_name(task, data)}, {setting}")
    box_legend(figure, CORRECTION_HANDLES)
    return figure


def label(panel: pd.DataFrame, method: str, rate: float) -> str:
    """What stands under a method's boxes: its name, and its rate where that is not `rate`."""
    lines = [fill(method, 12, break_long_words=False, break_on_hyphens=False)]
    rates = panel.loc[panel["method"] == method, "learning_rate"].unique()
    return "\n".join(lines + [rate_name(other) for other in sorted(rates) if other != rate])


# runs that share these share what is trained and what a step costs
COST_FIELDS = ["frozen_layers", "lora_rank", "batch_size"]


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Trained parameters of each setting of `table`, and the operations of a step as a multiple of
    those of the default recipe (none, or the low rate); empty without such columns. A run whose row
    lacks them, which is an older one, has those of the runs that train alike."""
    measured = ["trained_parameters", "step_operations"]
    if not {*measured, *COST_FIELDS} <= set(runs):
        return pd.DataFrame()
    alike = [runs[name] for name in PANEL] + [runs[name].fillna(0) for name in COST_FIELDS]
    known = runs[SETTING].assign(
        **{name: runs.groupby(alike)[name].transform("max") for name in measured}
    )
    full = known[known["method"].isin((NONE, LOW))].groupby(PANEL)["step_operations"].max()
    known = known.join(full.rename("full"), on=PANEL)
    known["cost_of_a_step"] = known["step_operations"] / known["full"]
    result = known.groupby(SETTING)[["trained_parameters", "cost_of_a_step"]].max()
    for name, form in (("trained_parameters", ".0f"), ("cost_of_a_step", ".2f")):
        result[name] = ["-" if x != x else format(x, form) for x in result[name]]
    return result


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each method and optimiser."""
    order = in_order(runs)
    result = over_seeds(runs, SETTING).sort_values(
        [*PANEL, "method", "learning_rate", "bias_correction"],
        key=lambda column: column.map(order.index) if column.name == "method" else column,
    )
    if len(cost := costs(runs)):
        result = result.join(cost, on=SETTING)
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def controls(method: str, corrected: bool) -> list[tuple[str, tuple[str, bool]]]:
    """What a method is held against: a name, and the method and correction of those runs."""
    against = [(NONE, (NONE, corrected))]
    if method != LOW:
        against.append((LOW, (LOW, corrected)))
    if method.startswith("Mixout"):
        against.append((CONTROL, (CONTROL, corrected)))
    if not corrected:
        against.append((ALONE, (NONE, True)))
    return against


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """Each method against none and against the low rate with the same optimiser, Mixout also
    against no dropout, and those without bias correction against bias correction alone: failures
    (Fisher), spread (Levene), means; Holm over all p values."""
    rows = []
    for _, panel in runs.assign(points=100 * runs["score"]).groupby(PANEL, sort=True):
        of = dict(list(panel.groupby(["method", "bias_correction"])))
        compared = []
        for corrected, method in product((False, True), in_order(panel)):
            if method != NONE and (method, corrected) in of:
                for against, other in controls(method, corrected):
                    if against == NONE or other in of:
                        compared.append((method, corrected, against, other))
        for method, corrected, against, other in compared:
            pair = {"method": of[method, corrected], "other": of.get(other, panel[:0])}
            means = estimates.mean(pair["method"], pair["other"], "points")
            described = {}
            for name, seeds in pair.items():
                described[f"{name}: n"] = len(seeds)
                described[f"{name}: failed"] = seeds["failed"].sum()
                described[f"{name}: std"] = seeds["points"].std(ddof=0)
            rows.append(
                {
                    **panel.iloc[0][PANEL],
                    "learning_rate": rate_name(pair["method"]["learning_rate"].iloc[0]),
                    "bias_correction": corrected,
                    "method": method,
                    "against": against,
                    **described,
                    "Fisher p": fisher(*[seeds["failed"] for seeds in pair.values()]),
                    "Levene p": levene(
                        *[seeds["points"] for seeds in pair.values()], center="median"
                    ),
                    "difference of means": means.effect,
                    "95 % from": means.low,
                    "95 % to": means.high,
                }
            )
    result = pd.DataFrame(rows)
    adjusted = holm(result[TESTS].to_numpy().ravel()).reshape(-1, len(TESTS))
    for test, column in zip(TESTS, adjusted.T, strict=True):
        result[test] = result[test].map(p_name)
        result.insert(
            result.columns.get_loc(test) + 1, f"{test}, Holm", [p_name(p) for p in column]
        )
    return result


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "mitigations.csv"
    runs = read_csv(path, NEEDED)
    one_setting(path, runs, "method")
    if set(runs["method"]) == {NONE}:
        raise BadInput(
            f"mitigations.csv has no method but {NONE!r}; run experiments/mitigations.py again"
        )
    save(draw(runs), options.figures / "mitigations")
    settings, comparisons = table(runs), compare(runs)
    save_table(
        settings,
        options.figures / "mitigations",
        "Mitigations, without and with bias correction (Zhang et al. 2021: Table 2)",
        SCORES_NOTE + (COST_NOTE if "cost_of_a_step" in settings else ""),
        readable(settings),
    )
    count = (comparisons[TESTS] != "-").to_numpy().sum()
    save_table(
        comparisons,
        options.figures / "mitigations_tests",
        "Mitigations against none, against 0.3 x the rate, and against bias correction alone",
        "Against none, 0.3 x the rate, or no dropout: with the same optimiser. Failed runs:"
        " Fisher's exact test."
        " Standard deviation (std, ddof 0) of the dev scores, in percent points: Levene's test,"
        f" centred at the median. Both two-sided; Holm: adjusted over all {count} p values of this"
        " table. A small std may be that of runs that all failed. Difference of means: method less"
        f" the other, with the 95 % interval of Welch's t test ({estimates.INTERVAL_RULE}), not"
        " adjusted. With few runs a large p does not show that there is no difference. All take"
        " the runs as independent, also where methods share seeds. -: not defined.",
        readable(comparisons).astype(object).fillna("-"),
    )


if __name__ == "__main__":
    run_command(main)

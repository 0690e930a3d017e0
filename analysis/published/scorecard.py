"""Which of the paper's claims hold: on the published points, on the reference results, on yours.

Command : python -m analysis.published.scorecard --profile mini [--strict]
Reads   : analysis/published/*.csv, results/reference/mini/*.csv, results/reference/small/*.csv,
          results/<profile>/*.csv
Writes  : figures/<profile>/scorecard.md, .csv; scorecard_summary.md, .csv, .png, .pdf and
          scorecard_summary_others.png, .pdf: those that our own runs have data for; comparison.md,
          .csv (analysis/published/comparison.py) if there are runs of yours.
With --results results/reference the table has no column for yours.

The claims, their thresholds and the rules are data: analysis/published/claims.py. Every claim is
evaluated by the same code on each source. --strict ends with status 1 if a claim does not hold on
your results.
"""

import sys
from collections.abc import Sequence
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from analysis.published import comparison
from analysis.published.claims import CLAIMS
from analysis.published.evidence import (
    LEARNING_RATES,
    Missing,
    Source,
    all_runs,
    published,
    results,
)
from analysis.published.rules import (
    ABSENT,
    FEWEST,
    TESTED,
    Claim,
)
from analysis.published.verdicts import FAILS, HOLDS, NO_DATA, OPEN, WHY_OPEN, evaluate
from analysis.shared.estimates import ENOUGH_TO_DRAW, INTERVAL_RULE
from analysis.shared.reading import REPOSITORY, BadInput, parse, parser, run_command
from analysis.shared.style import FURTHER, WITH, WITHOUT, save
from analysis.shared.tables import save_table

NO_RUNS = "no runs"
RATE = "points of failure rate"  # the unit of half of the claims
NOTE_OF_LINES = "line: 95 %, not adjusted; none: not known"
# of the sources, in their order
MARKS = [("s", "black"), ("o", WITHOUT), ("^", WITH), ("D", FURTHER[0][0])]
REFERENCE = REPOSITORY / "results" / "reference"


def wanted(claim: Claim) -> str:
    relation = (
        "none"
        if claim.rule == ABSENT
        else (
            f"within {claim.threshold:g}"
            if claim.relation == "within"
            else (f"{claim.relation} {claim.threshold:g}")
        )
    )
    compared = (
        f": {group_words(claim.first)} minus {group_words(claim.second)}"
        if claim.second and claim.rule == TESTED
        else ""
    )
    return f"{relation} {claim.unit}{compared}"


def group_words(group: dict) -> str:
    """One side of a comparison, in words."""
    words = []
    for column, value in group.items():
        known = {
            "bias_correction": f"{'with' if value else 'without'} correction",
            "failed": "failed runs" if value else "successful runs",
            "epochs": f"{value} epochs",
            "reinitialized_layers": f"{value} layers drawn anew",
            "lowest_third": "lowest third of the losses" if value else "the others",
            "adam_beta2": f"b2 = {value}",
            "warmup_ratio": f"warm-up of {value} of the steps",
            "multiple": f"{value} times the middle rate",
        }
        other = "whole set" if value == "full" else str(value).replace(",", "")
        words.append(known.get(column, other))
    return ", ".join(words)


def effect(row: pd.Series) -> str:
    """The value and its interval."""
    interval = f" ({row['low']:.3g} to {row['high']:.3g})" if row["low"] == row["low"] else ""
    return f"{row['effect']:.3g}{interval}" if row["effect"] == row["effect"] else "no value"


def evidence_cell(claim: Claim, row: pd.Series) -> str:
    """Effect, interval, p and n in one cell."""
    if row["verdict"] == NO_DATA:
        return row["remark"]
    return "; ".join(
        filter(
            None,
            [
                f"{effect(row)} {claim.unit}",
                f"p {row['p_holm']:.2g}" if row["p_holm"] == row["p_holm"] else "",
                f"n {row['n']}",
                row["remark"],
                row["why_open"],
            ],
        )
    )


def models(source: Source) -> str:
    """The models of a folder's runs."""
    try:
        return ", ".join(sorted(set(source("all runs")["model_name"])))
    except Missing:
        return NO_RUNS


def count(table: pd.DataFrame) -> str:
    return ", ".join(
        f"{(table['verdict'] == verdict).sum()} {words}"
        for verdict, words in (
            (HOLDS, "hold"),
            (FAILS, "do not hold"),
            (OPEN, "are open"),
            (NO_DATA, "have no data"),
        )
    )


def count_open(table: pd.DataFrame) -> str:
    """How many are open for which reason."""
    reasons = {why: (table["why_open"] == why).sum() for why in WHY_OPEN}
    return "; ".join(f"{number}: {why}" for why, number in reasons.items() if number)


def tables(evaluated: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The whole table, and the shorter one for reading."""
    whole = pd.DataFrame(
        [
            {
                "claim": claim.id,
                "statement": claim.statement,
                "locator": claim.locator,
                "rule": claim.rule,
                "holds_if": wanted(claim),
                "threshold_from": claim.basis,
            }
            for claim in CLAIMS
        ]
    )
    short = pd.DataFrame(
        [
            {
                "claim": f"{claim.statement}. `{claim.id}`",
                "in": claim.locator,
                "holds if": wanted(claim),
            }
            for claim in CLAIMS
        ]
    )
    for name, table in evaluated.items():
        for column in table:
            values = table[column].to_numpy()
            whole[f"{name.split(':')[0]}_{column}"] = (
                [f"{x:.6g}" for x in values] if table[column].dtype == float else values
            )
        short[name] = [
            f"**{row['verdict']}**: {evidence_cell(claim, row)}"
            for claim, (_, row) in zip(CLAIMS, table.iterrows(), strict=True)
        ]
    return whole.replace("nan", ""), short


def with_data(evaluated: dict[str, pd.DataFrame]) -> list[Claim]:
    """The claims that some of our own runs have data for; the first source are the published
    points."""
    ours = list(evaluated.values())[1:]
    has_data = pd.DataFrame([table["verdict"] != NO_DATA for table in ours]).any()
    return [claim for claim in CLAIMS if has_data.get(claim.id, False)]


def summary(evaluated: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Verdict, effect and n of the claims that some of our own runs have data for."""
    names, rows = list(evaluated), with_data(evaluated)

    def cell(row: pd.Series) -> str:
        return (
            NO_DATA
            if row["verdict"] == NO_DATA
            else f"**{row['verdict']}**: {effect(row)}; n {row['n']}"
        )

    cells = []
    for claim in rows:
        verdicts = {name: cell(evaluated[name].loc[claim.id]) for name in names}
        cells.append({"claim": f"{claim.statement} ({wanted(claim)}). `{claim.id}`", **verdicts})
    return pd.DataFrame(cells, columns=["claim", *names])


def draw(evaluated: dict[str, pd.DataFrame], claims: Sequence[Claim]) -> plt.Figure:
    """The same of some claims as a figure: a panel a unit, a line a claim, a mark a source with its
    interval; filled where the claim holds, hollow where it is open, a cross where it does not hold;
    the threshold as a short line; n on the right."""
    by_unit: dict[str, list[Claim]] = {}
    for claim in claims:
        by_unit.setdefault(claim.unit, []).append(claim)
    heights = [0.55 + 0.34 * len(claims) for claims in by_unit.values()]
    figure, grid = plt.subplots(
        len(by_unit), 1, squeeze=False, figsize=(8.8, 0.6 + sum(heights)), height_ratios=heights
    )
    for axes, (unit, claims) in zip(grid[:, 0], by_unit.items(), strict=True):
        for line, claim in enumerate(claims):
            for side in (-1, 1) if claim.relation == "within" else (1,):
                axes.plot(
                    [side * claim.threshold] * 2,
                    [line - 0.45, line + 0.45],
                    color="0.5",
                    linewidth=1,
                )
            for i, (table, (marker, color)) in enumerate(
                zip(evaluated.values(), MARKS, strict=False)
            ):
                row, y = table.loc[claim.id], line + 0.24 * (i - (len(evaluated) - 1) / 2)
                if row["verdict"] == NO_DATA or not np.isfinite(row["effect"]):
                    continue
                axes.plot([row["low"], row["high"]], [y, y], color=color, linewidth=1)
                axes.plot(
                    row["effect"],
                    y,
                    "x" if row["verdict"] == FAILS else marker,
                    color=color,
                    markersize=5,
                    markerfacecolor=color if row["verdict"] == HOLDS else "white",
                )
                axes.annotate(
                    f"n {row['n']}",
                    (1.01, y),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=5.5,
                    color=color,
                    annotation_clip=False,
                )
        axes.set(ylim=(len(claims) - 0.5, -0.5), xlabel=unit)
        claimed = []
        for claim in claims:
            sign = "±" if claim.relation == "within" else claim.relation
            claimed.append("\n".join(wrap(f"{claim.statement} ({sign})", 78)[:3]))
        axes.set_yticks(range(len(claims)), claimed, fontsize=6.2, linespacing=1.1)
        axes.tick_params(axis="y", length=0)
    figure.legend(
        loc="outside upper center",  # the figure is longer than a screen
        ncols=4,
        frameon=False,
        fontsize=8,
        handles=[
            *(
                Line2D([], [], marker=marker, color=color, linewidth=1, label=name.split(":")[0])
                for name, (marker, color) in zip(evaluated, MARKS, strict=False)
            ),
            Line2D([], [], marker="o", color="0.3", linestyle="none", label="filled: holds"),
            Line2D(
                [],
                [],
                marker="o",
                color="0.3",
                linestyle="none",
                markerfacecolor="white",
                label="hollow: open",
            ),
            Line2D([], [], marker="x", color="0.3", linestyle="none", label="does not hold"),
            Line2D(
                [], [], color="0.5", linewidth=1, label="threshold (>, <: claimed side; ±: between)"
            ),
            Line2D([], [], linestyle="none", label=NOTE_OF_LINES),
        ],
    )
    return figure


def show(evaluated: dict[str, pd.DataFrame]) -> None:
    """The verdicts in less than 100 columns, and how many there are of each."""
    verdicts = pd.DataFrame(
        {name.split(":")[0]: table["verdict"] for name, table in evaluated.items()}
    ).rename_axis("claim")
    for row in [["claim", *verdicts], *verdicts.itertuples(name=None)]:
        print(f"{row[0]:33}" + "".join(f"{cell:17}" for cell in row[1:]).rstrip())
    for name, table in evaluated.items():
        print(f"{name}: {count(table)}")
        if reasons := count_open(table):
            print(f"  open: {reasons}")


NOTE = f"""The thresholds were set before any claim was evaluated, but when the published numbers
and first results of mini were known; the same code evaluates each source. **mini is a model
organism, trained on generated tasks that mirror RTE, MRPC, CoLA and QNLI (entailment, paraphrase,
acceptability, question answering); small is gte-small, another model than the paper's, on GLUE.
Where a claim holds on them, the mechanism can be had there; where it does not, that is no
evidence against the paper. Neither says anything about BERT-large. The published points are the
paper's own: that its claims hold on them is no second source.** Lowest, middle and highest rate
are 1e-5, 2e-5, 3e-5 for the paper's models, 2e-4, 3e-4, 4e-4 for mini, 5e-5, 1e-4, 2e-4 for
small.

**Holds**: on the claimed side of the threshold, with p < 0.05. **Does not hold**: on the other
side, with p < 0.05. **Open**: all else, also what only the adjustment keeps from a verdict, and
whatever has fewer than {FEWEST} runs in a group; with 3 seeds a setting hardly anything else is
possible. **No data**: no such runs, or none that can be compared. p is two-sided, of the value
lying at the threshold, and adjusted by Holm over all tested claims of a source. A claim of
equality or of no harm has a margin as threshold: it holds if the value is significantly better
than the margin. What the paper prints (p values of Levene's test, that no run fails) is compared
as it is, for the paper's models only; that no run fails is contradicted by one.

Tests: Fisher's exact test of failure rates (against a margin: from Newcombe's interval), exact
binomial test of one rate, Welch's t test of means (one group: t test; perplexities and gradients
as logarithms), Brown and Forsythe's of standard deviations, Fisher's z of rank correlations.
Intervals (95 %, not adjusted): Newcombe's and Wilson's of rates; Welch's and t of means; of
standard deviations on the log scale with the kurtosis (Bonett 2006); {INTERVAL_RULE}: p is then
of ranks for two means, of signs for one. How often they miss: interval_coverage.md. Of rank
correlations, from {ENOUGH_TO_DRAW} pairs on, 2,000 bootstrap draws, coverage not measured; p
decides if the two disagree. All take runs as independent, though settings share seeds and claims
share runs. n: runs in each group. Standard deviations are the population form.

Where each threshold comes from stands in `scorecard.csv`; the claims as data in
`analysis/published/claims.py`."""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--strict", action="store_true", help="status 1 if a claim does not hold on your results"
    )
    options = parse(arguments)
    if not options.results.is_dir() and options.results != REPOSITORY / "results" / options.profile:
        raise BadInput(
            f"no folder {options.results}: expected one with the CSVs of the experiments; see"
            " --results"
        )
    references = {name: results(REFERENCE / name) for name in LEARNING_RATES}
    sources: dict[str, Source] = {
        "published: BERT-large and others": published,
        **{
            f"{name}: reference, {found}": source
            for name, source in references.items()
            if (found := models(source)) != NO_RUNS
        },
    }
    if options.results.resolve() != REFERENCE:
        sources[f"yours: {models(results(options.results))}"] = results(options.results)
    evaluated = {name: evaluate(source) for name, source in sources.items()}
    show(evaluated)
    whole, short = tables(evaluated)
    counted = []
    for name, table in evaluated.items():
        reasons = count_open(table)
        counted.append(f"**{name}**: {count(table)}{reasons and f' ({reasons})'}.")
    save_table(
        whole,
        options.figures / "scorecard",
        "Scorecard: the paper's claims",
        "\n\n".join([NOTE, *counted]),
        short,
    )
    for name, of_rates in (("scorecard_summary", True), ("scorecard_summary_others", False)):
        # on two pages, since one would be too long to print
        if chosen := [claim for claim in with_data(evaluated) if (claim.unit == RATE) == of_rates]:
            save(draw(evaluated, chosen), options.figures / name)
    save_table(
        summary(evaluated),
        options.figures / "scorecard_summary",
        "Does it carry over?",
        "Verdict, effect with its 95 % interval, and runs of each group, for the claims that some"
        " of our own runs have data for. How they are judged, p values, counts: scorecard.md. mini"
        " and small are other models than the paper's: what holds on them can be had there, and"
        " says nothing about BERT-large.",
    )
    if len(ours := all_runs(options.results)):
        comparison.write(ours, options.figures)
    if options.strict and (list(evaluated.values())[-1]["verdict"] == FAILS).any():
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)

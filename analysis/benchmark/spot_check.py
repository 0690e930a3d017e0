"""Figure and tables of experiments/benchmark/spot_check.py: do a few runs fail as often as the
published ones?

Paper   : Mosbach et al. 2021 (ICLR camera-ready, arXiv v3), Figs 5 and 9; a check of a machine.
Command : python -m analysis.benchmark.spot_check --profile paper [--before]
Reads   : results/<profile>/spot_check.csv; the published points, for mini and small
          results/reference
Writes  : figures/<profile>/spot_check.png, .pdf, .md, .csv; spot_check_power.md, .csv. With
          --before it reads no runs and prints the power alone.

A count k of n is judged by how probable it is when k0 of n0 have failed before at the same rate:
beta-binomial, of the posterior of that rate after k0 of n0 with Jeffreys' prior Beta(1/2, 1/2). A
binomial at k0 / n0 would take the published rate as known. It comes from 50 runs: after 1 of 51 the
binomial gives 2 or more of 5 a chance of 1 in 270, the beta-binomial 1 in 84. Both sides together:
the product, as they are independent. p is the probability of all counts that are no more probable
than those seen.
"""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from analysis.published.evidence import (
    AS_PUBLISHED,
    LEARNING_RATES,
    published_runs,
    read_runs,
    unlike_published,
)
from analysis.published.rules import SEEDS, differ_in, trained_with
from analysis.shared.names import PAPER_MODELS, model_name, p_name, rate_name, task_name
from analysis.shared.reading import REPOSITORY, BadInput, parse, parser, read_csv, run_command
from analysis.shared.style import WITH, WITHOUT, panels, save
from analysis.shared.tables import save_table

LEVEL = 0.05
SIDES = {False: "without", True: "with"}  # bias correction
PUBLISHED = {"pretrained": True, "dtype": "float32", "train_examples": None, **AS_PUBLISHED}
NEEDED = [
    *("model", "data", "task", "learning_rate", "epochs", "bias_correction", "failed"),
    *(*SEEDS, "segment_ids", "packed", *PUBLISHED),
]
SIZES = (5, 10, 25)  # runs a side, of the table of power
RATES = tuple(round(0.1 * i, 1) for i in range(11))  # true rates, of the same
SOURCE = "Mosbach et al. 2021, ICLR camera-ready (arXiv v3), Figs 5 and 9"
REFERENCE = REPOSITORY / "results" / "reference"


class Counts(NamedTuple):
    """Failed runs of so many."""

    failed: int
    runs: int

    def __str__(self) -> str:
        return f"{self.failed} of {self.runs}"


Before = dict[bool, Counts]  # what is known of the two sides


def counts(runs: pd.DataFrame) -> Before:
    """Failed of n, without and with bias correction."""
    found = {}
    for corrected in SIDES:
        failed = runs.loc[runs["bias_correction"] == corrected, "failed"]
        found[corrected] = Counts(int(failed.sum()), len(failed))
    return found


def known_of(runs: pd.DataFrame) -> tuple[Before, str]:
    """What is known of a setting and from where: of the paper's models the published points, of
    others what results/reference has of other seeds."""
    first = runs.iloc[0]
    if (name := model_name(first["model"], first["data"])) in PAPER_MODELS:
        if unlike := unlike_published(runs, PUBLISHED):
            raise BadInput(
                f"spot_check.csv has runs of {name} whose {', '.join(unlike)} no published run has:"
                f" expected {', '.join(f'{field} {PUBLISHED[field]}' for field in unlike)}; run"
                " experiments/benchmark/spot_check.py again"
            )
        points = published_runs("bias_correction").assign(model=name_of)
        wanted = {"model": name, **first[["task", "learning_rate", "epochs"]]}
        return counts(like(points, wanted)), SOURCE
    tables = []
    for path in sorted(REFERENCE.glob("*/bias_correction.csv")):
        table = read_runs(path)
        alike = {*trained_with(runs)} & {*table} - {*SEEDS, "bias_correction"}
        tables.append(like(table, dict(first[sorted(alike)])))
    reference = pd.concat(tables).drop_duplicates([*SEEDS, "bias_correction"])
    tested = set(runs[list(SEEDS)].itertuples(index=False, name=None))
    others = [seed not in tested for seed in reference[list(SEEDS)].itertuples(index=False)]
    return counts(reference[np.array(others, dtype=bool)]), "results/reference, other seeds"


def name_of(points: pd.DataFrame) -> list[str]:
    """The models of published points by their short names."""
    return [model_name(*pair) for pair in zip(points["model"], points["data"], strict=True)]


def like(runs: pd.DataFrame, wanted: dict) -> pd.DataFrame:
    """The runs that have these values."""
    for column, value in wanted.items():
        runs = runs[runs[column].isna() if pd.isna(value) else runs[column] == value]
    return runs


def known_before(profile: str) -> tuple[Before, str]:
    """The same before there are runs, of a profile's first model on RTE."""
    rate = LEARNING_RATES[profile][1]
    wanted = {"task": "rte", "learning_rate": rate, "epochs": 3}
    if profile == "paper":
        points = published_runs("bias_correction")
        return counts(like(points, {"model": PAPER_MODELS[0], **wanted})), SOURCE
    path = REFERENCE / profile / "bias_correction.csv"
    return counts(like(read_runs(path), wanted)), f"results/reference/{profile}"


def predicted(known: Counts, n: int) -> np.ndarray:
    """Probability of 0 to n failures of n, [n + 1]."""
    a, b = known.failed + 0.5, known.runs - known.failed + 0.5
    return stats.betabinom(n, a, b).pmf(np.arange(n + 1))


def p_values(probabilities: np.ndarray) -> np.ndarray:
    """Of each count the probability of all that are no more probable, itself among them; of any
    shape."""
    flat = probabilities.ravel()
    order = np.argsort(flat, kind="stable")
    upto = np.cumsum(flat[order])
    last = np.searchsorted(flat[order], flat * (1 + 1e-9), side="right") - 1
    return np.minimum(upto[last], 1.0).reshape(probabilities.shape)


def together(known: Before, sizes: dict[bool, int]) -> np.ndarray:
    """Probability of both counts, [failures without, failures with]."""
    return np.outer(*[predicted(known[side], sizes[side]) for side in SIDES])


def power(known: Before, sizes: dict[bool, int], rates: dict[bool, float]) -> float:
    """How likely the check notices (p below LEVEL) that the true rates are these."""
    noticed = p_values(together(known, sizes)) < LEVEL
    true = [stats.binom(sizes[side], rates[side]).pmf(np.arange(sizes[side] + 1)) for side in SIDES]
    return float(np.outer(*true)[noticed].sum())


def power_table(known: Before) -> pd.DataFrame:
    """One row per true rate, of one side while the other is as known, or of both, by runs a side:
    how likely the check notices."""
    as_known = {side: known[side].failed / known[side].runs for side in SIDES}
    changes = {"without": [False], "with": [True], "both": [False, True]}
    rows = []
    for rate in RATES:
        row: dict[str, float] = {"rate": rate}
        for n in SIZES:
            sizes = dict.fromkeys(SIDES, n)
            for name, sides in changes.items():
                rates = as_known | dict.fromkeys(sides, rate)
                row[f"{name}_{n}"] = power(known, sizes, rates)
        rows.append(row)
    return pd.DataFrame(rows)[["rate", *[f"{name}_{n}" for name in changes for n in SIZES]]]


def verdict(p: float) -> str:
    """In words; not to be told apart is no proof of sameness."""
    return "differs from what is known" if p < LEVEL else "not told apart from what is known"


def judged(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per side and one for both: counts, what is known, p, verdict."""
    known, source = known_of(runs)
    seen = counts(runs)
    first = runs.iloc[0]
    for side, name in SIDES.items():
        if not known[side].runs:
            raise BadInput(
                f"nothing is known of {name} bias correction at {first['learning_rate']:g} on"
                f" {first['task']} with {first['model']} and other seeds; expected a setting of"
                f" {SOURCE}, or of results/reference; other seeds: --seeds 26-30"
            )
        if not seen[side].runs:
            raise BadInput(
                f"spot_check.csv has no run {name} bias correction; expected some of both: run"
                " experiments/benchmark/spot_check.py again"
            )
    sizes = {side: seen[side].runs for side in SIDES}
    rows = []
    for side, name in SIDES.items():
        p = p_values(predicted(known[side], sizes[side]))[seen[side].failed]
        rows.append((name, *seen[side], *known[side], p, ""))
    p = p_values(together(known, sizes))[seen[False].failed, seen[True].failed]
    rows.append(("both", *map(sum, zip(*seen.values(), strict=True)), "", "", p, verdict(p)))
    columns = ["bias_correction", "failed", "runs", "known_failed", "known_runs", "p", "verdict"]
    return pd.DataFrame(rows, columns=columns).assign(
        known_from=source, **first[["model", "data", "task", "learning_rate"]]
    )


def draw(table: pd.DataFrame) -> plt.Figure:
    """A panel a side: bars, how probable each count was; a black edge, the count seen."""
    figure, grid = panels(1, 2, 3.6, 2.8, sharey=True)
    for axes, color, (_, row) in zip(grid, (WITHOUT, WITH), table.iterrows(), strict=False):
        known = Counts(row["known_failed"], row["known_runs"])
        probable = predicted(known, row["runs"])
        bars = axes.bar(range(len(probable)), probable, color=color, alpha=0.45)
        bars[row["failed"]].set(edgecolor="black", linewidth=2)
        axes.set_xlabel(f"failed of {row['runs']}; seen: {row['failed']} (edge)")
        axes.set_title(f"{row['bias_correction']} bias correction\nknown: {known}")
    grid[0].set_ylabel("probability")
    return figure


POWER_NOTE = (
    "How likely the check notices, at p < 0.05, that the true rate of failures without correction,"
    " with it (the other being as known), or both are `rate`, for so many runs a side. Where the"
    " rate is as known, this is how often it would be wrong."
)


def power_title(known: Before, source: str) -> str:
    return (
        f"Power of the spot check; known: {known[False]} failed without bias correction,"
        f" {known[True]} with ({source})"
    )


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """A table of power for reading."""
    short = table.map(lambda share: f"{100 * share:.0f} %")
    return short.rename(columns=lambda name: name.replace("_", ", n "))


def main() -> None:
    p = parser(__doc__)
    p.add_argument(
        "--before", action="store_true", help="only print the power; there need be no runs yet"
    )
    options = parse(p)
    if options.before:
        known, source = known_before(options.profile)
        print(power_title(known, source), POWER_NOTE, sep="\n")
        print(in_percent(power_table(known)).to_string(index=False), flush=True)
        return
    runs = read_csv(options.results / "spot_check.csv", NEEDED)
    if mixed := differ_in(runs, ("bias_correction",)):
        raise BadInput(
            f"{options.results / 'spot_check.csv'} has runs that differ in {', '.join(mixed)};"
            " expected one setting: run experiments/benchmark/spot_check.py again"
        )
    table = judged(runs)
    save(draw(table), options.figures / "spot_check")
    first, both = table.iloc[0], table.iloc[-1]
    name = model_name(first["model"], first["data"])
    save_table(
        table,
        options.figures / "spot_check",
        f"Spot check: {task_name(first['task'], first['data'])}, {name},"
        f" {rate_name(first['learning_rate'])}",
        "p: probability of counts no more probable than those seen, when the rate of failures is"
        f" that of the known runs ({both['known_from']}), itself estimated: beta-binomial with"
        " Jeffreys' prior; both: of the two counts together. Runs that are not told apart may still"
        " differ: spot_check_power.md says how likely a difference is noticed.",
        table[
            ["bias_correction", "failed", "runs", "known_failed", "known_runs", "verdict"]
        ].assign(p=table["p"].map(p_name)),
    )
    known, source = known_of(runs)
    powers = power_table(known)
    save_table(
        powers,
        options.figures / "spot_check_power",
        power_title(known, source),
        POWER_NOTE,
        in_percent(powers),
    )
    print(f"spot check: {both['verdict']} (p = {p_name(both['p'])})")


if __name__ == "__main__":
    run_command(main)

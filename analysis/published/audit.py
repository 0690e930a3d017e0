"""The statistics that the paper prints, recomputed from the runs that it plots: which agree and
which differ.

Command : python -m analysis.published.audit --profile paper
Reads   : analysis/published/runs.csv and numbers.csv; no results of ours, so every profile gives
          the same
Writes  : figures/<profile>/audit.md (the agreeing ones summed up), .csv (all)

A number agrees when it lies no further from the recomputed one than half a unit of its last printed
digit, plus what the points lost when they were read off the vector figures (five decimals). An
audit of reporting, not of the experiments.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.shared.names import TASK_NAMES, number, rate_name
from analysis.shared.reading import PUBLISHED, parse, parser, read_csv, run_command
from analysis.shared.statistics import levene
from analysis.shared.tables import save_table

V1, V3 = "mosbach2020", "mosbach2021"
NAMES = {V1: "Mosbach v1", V3: "Mosbach v3", "lee2020": "Lee et al."}
SETTING = [
    "model",
    "task",
    "train_examples",
    "learning_rate",
    "bias_correction",
    "epochs",
    "metric",
]
# rows of the training and the dev set: Wang et al. 2019 (GLUE), Khot et al. 2018 (SciTail)
ROWS = {
    "rte": (2490, 277),
    "mrpc": (3668, 408),
    "cola": (8551, 1043),
    "qnli": (104743, 5463),
    "scitail": (23596, 1304),
}
# what always answering the dev set's majority class scores; MRPC as F1, 279 paraphrases of 408;
# SciTail's classes not at hand
MAJORITY_LEVEL = {"rte": 146 / 277, "mrpc": 2 * 279 / (279 + 408), "cola": 0.0, "qnli": 2761 / 5463}
VERDICTS = {"differs": "differ", "cannot be recomputed": "cannot be recomputed", "agrees": "agree"}
READ_OFF = 1e-5  # of a score from 0 to 1: a point's last decimal


def population_std(values: pd.Series) -> float:
    """Standard deviation with ddof 0, the paper's."""
    return values.std(ddof=0)


STATISTICS = {
    "mean": pd.Series.mean,
    "std": population_std,
    "std_ddof1": pd.Series.std,
    "median": pd.Series.median,
    "min": pd.Series.min,
    "max": pd.Series.max,
}


def read_published() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The single runs and the numbers; what is not known of a setting is "-", so that settings
    can be compared."""
    runs, numbers = (
        read_csv(PUBLISHED / f"{name}.csv", [*SETTING, "source", "locator", "approach"])
        for name in ("runs", "numbers")
    )
    for table in (runs, numbers):
        table[SETTING] = table[SETTING].astype(object).where(table[SETTING].notna(), "-")
    return runs, numbers


def describe(statistic: str, points: pd.DataFrame) -> float:
    """A statistic of runs' scores, in %, or a count of them. A run fails at or below the
    majority level (paper, Sec. 3)."""
    if statistic == "n":
        return len(points)
    if statistic == "failed":
        return int((points["score"] <= points["task"].map(MAJORITY_LEVEL) + READ_OFF).sum())
    return STATISTICS[statistic](100 * points["score"])


# The functions below take a row of numbers.csv, the runs and all numbers, and give the recomputed
# values by remark; nan: cannot
Recompute = Callable[[pd.Series, pd.DataFrame, pd.DataFrame], dict[str, float]]


def plotted(figure: str, approach: str | None = None) -> Recompute:
    """From the runs of the row's setting in a figure. Where the printed number is another
    statistic of theirs, say so."""

    def recompute(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
        points = runs[(runs["locator"] == figure) & (runs[SETTING] == row[SETTING]).all(axis=1)]
        if figure == "Fig. 1":
            points = points[points["approach"] == (approach or row["approach"])]
        if points.empty:
            return {"no such run is plotted": np.nan}
        value, remark = describe(row["statistic"], points), ""
        if row["statistic"] == "failed":
            remark = f"of {len(points)} runs"
        elif row["statistic"] in STATISTICS and judge(row, value) == "differs":
            others = {name: describe(name, points) for name in STATISTICS}
            remark = "; ".join(
                f"their {name} is {other:.2f}"
                for name, other in others.items()
                if judge(row, other) == "agrees"
            )
        return {remark: value}

    return recompute


def plotted_by_loss(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
    """A statistic of the scores in Fig. 8b whose training loss (nats) lies in a range."""
    points = runs[
        (runs["locator"] == "Fig. 8b")
        & runs["training_loss"].between(row["at"], row["up_to"], inclusive="left")
    ]
    return {f"training loss {row['at']:g} to {row['up_to']:g}": describe(row["statistic"], points)}


def runs_of_each_setting(
    row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame
) -> dict[str, float]:
    points = runs[(runs["model"] == row["model"]) & (runs["locator"] != "Fig. 8b")]
    return {
        f"{group['locator'].iloc[0]}: {setting(group.iloc[0])}": len(group)
        for _, group in points.groupby(["locator", "approach", *SETTING], sort=False)
    }


def ten_best(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
    """One of the ten best RTE scores of Fig. 1, in percent, the lowest of them first."""
    points = runs[
        (runs["locator"] == "Fig. 1") & (runs["task"] == "rte") & (runs["approach"] == "Ours")
    ]
    return {"": 100 * points["score"].nlargest(10).sort_values().iloc[int(row["at"]) - 1]}


def levene_p(center: str) -> Recompute:
    """Ours against the method with the second-smallest std, which is what the paper says it
    tested."""

    def recompute(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
        scores = runs[(runs["locator"] == "Fig. 1") & (runs["task"] == row["task"])].groupby(
            "approach"
        )["score"]
        second = scores.std(ddof=0).drop("Ours").idxmin()
        return {
            f"{center}-centred, against {second}": levene(
                scores.get_group("Ours"), scores.get_group(second), center=center
            )
        }

    return recompute


def data_set(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
    training, dev = ROWS[row["task"]]
    if row["statistic"] == "majority_level":
        return {
            "" if row["task"] in MAJORITY_LEVEL else "dev classes not at hand": MAJORITY_LEVEL.get(
                row["task"], np.nan
            )
        }
    return {"": training if row["statistic"] == "training_examples" else dev}


def gradient_ratio(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
    """By how many orders of magnitude the successful run's gradient norms in Fig. 4 lie above
    the failed run's, by layer."""
    norms = numbers[
        (numbers["locator"] == "Fig. 4")
        & (numbers["statistic"] == "at_iteration")
        & (numbers["at"] == 460)
    ]
    norms = norms.pivot(index="part", columns="approach", values="value")
    return {
        f"layer {k}": np.log10(
            norms.loc[f"layer {k}", "successful run"] / norms.loc[f"layer {k}", "failed run"]
        )
        for k in (1, 4, 8, 12, 16, 20)
    }


def number_of_runs(row: pd.Series, runs: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, float]:
    """How many runs Fig. 8b shows."""
    return {"": (runs["locator"] == "Fig. 8b").sum()}


def nothing(*_: object) -> dict[str, float]:
    return {"": np.nan}


OTHER_RUNS = "Fig. 5: v1's runs of the same recipe"
# published rows (source, locator, what else they say), how they are recomputed, from what or why
# not
CLAIMS: tuple[tuple[str, str, dict[str, str], Recompute, str], ...] = (
    (V3, "Table 1", {}, plotted("Fig. 1"), "runs of Fig. 1"),
    (V3, "Table 1", {"task": "rte", "approach": "Devlin"}, plotted("Fig. 9"), "runs of Fig. 9"),
    (V3, "Table 1", {"task": "rte", "approach": "Ours"}, plotted("Fig. 9"), "runs of Fig. 9"),
    (V3, "Table 1", {"task": "rte", "approach": "Devlin"}, plotted("Fig. 5"), OTHER_RUNS),
    (V3, "Table 1 / Sec. 6", {}, levene_p("mean"), "runs of Fig. 1"),
    (V3, "Table 1 / Sec. 6", {}, levene_p("median"), "runs of Fig. 1"),
    (V3, "Table 2", {}, data_set, "the data sets' rows and classes"),
    (V3, "Table 3", {"statistic": "seeds"}, runs_of_each_setting, "runs drawn for each setting"),
    (V3, "Table 4", {}, nothing, "no run is plotted"),
    (V3, "Sec. 4.2", {}, plotted("Fig. 3"), "runs of Fig. 3"),
    (V3, "Sec. 5.1", {}, gradient_ratio, "Fig. 4 at iteration 460"),
    (V3, "Fig. 8b / Sec. 5.2", {}, number_of_runs, "runs of Fig. 8b"),
    (V3, "Fig. 8a", {}, ten_best, "the ten best of the 25 runs of Fig. 1"),
    (V3, "Fig. 1", {}, plotted("Fig. 1"), "runs of Fig. 1"),
    (V3, "Fig. 3", {}, plotted("Fig. 3"), "runs of Fig. 3"),
    (V3, "Fig. 5", {}, plotted("Fig. 5"), "runs of Fig. 5"),
    (V3, "Fig. 9", {}, plotted("Fig. 9"), "runs of Fig. 9"),
    (V3, "Fig. 8b", {}, plotted_by_loss, "runs of Fig. 8b"),
    (V1, "Table 1", {"task": "rte", "approach": "Devlin"}, plotted("Fig. 5"), "v3's Fig. 5"),
    (V1, "Table 1", {"task": "cola", "approach": "Devlin"}, plotted("Fig. 1"), "v3's Fig. 1"),
    (
        V1,
        "Table 1",
        {"task": "mrpc", "approach": "Devlin"},
        nothing,
        "accuracy of the runs is not plotted",
    ),
    (V1, "Table 1", {"approach": "Lee"}, plotted("Fig. 1"), "v3's Fig. 1"),
    (
        V1,
        "Table 1",
        {"approach": "Ours, best dev checkpoint"},
        nothing,
        "scores of best dev checkpoints are not plotted in v3",
    ),
    (V1, "Fig. 3", {"task": "cola"}, plotted("Fig. 3"), "v3's Fig. 3"),
    (V1, "Fig. 3", {"task": "mrpc"}, nothing, "accuracy of the runs is not plotted"),
    (
        "lee2020",
        "Table 1",
        {"approach": "mixout(w_pre,0.7) + wdecay(w_pre,0.01)"},
        plotted("Fig. 1", "Lee"),
        "v3's Fig. 1, row Lee",
    ),
)


def tolerance(row: pd.Series) -> float:
    """Of a published value: half a unit of its last digit, and what reading the points off lost."""
    return row["rounding"] + {"percent": 100 * READ_OFF, "fraction": READ_OFF}.get(row["unit"], 0)


def judge(row: pd.Series, value: float) -> str:
    """Whether a recomputed value is the published one, as far as its digits and the reading off
    allow."""
    if np.isnan(value):
        return "cannot be recomputed"
    holds = (
        value < row["value"]
        if row["relation"] == "<"
        else abs(value - row["value"]) <= tolerance(row) + 1e-9
    )
    return "agrees" if holds else "differs"


def setting(row: pd.Series) -> str:
    """What was run, in words."""
    words = [
        TASK_NAMES.get(row["task"], row["task"].strip("-")),
        "" if row["model"] == "bert-large-uncased" else row["model"].strip("-"),
        "" if pd.isna(row["approach"]) or row["approach"] == "ablation" else row["approach"],
        "" if row["train_examples"] == "-" else f"{row['train_examples']:.0f} examples",
        "" if row["learning_rate"] == "-" else rate_name(row["learning_rate"]),
        "" if row["epochs"] == "-" else f"{row['epochs']:.0f} epochs",
        {True: "with bias correction", False: "without bias correction"}.get(
            row["bias_correction"], ""
        ),
    ]
    return ", ".join(word for word in words if word) or row["model"]


def audit(runs: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """One row per published number and way to recompute it. `kind`: "stated" by the paper; "other
    runs", stated of one set of runs and held against another; "digitised", a number that stands
    nowhere but was read off, or computed from, the same figures, so that agreeing checks only our
    own file."""
    rows = []
    for source, locator, which, recompute, basis in CLAIMS:
        claims = numbers[(numbers["source"] == source) & (numbers["locator"] == locator)]
        for column, value in which.items():
            claims = claims[claims[column] == value]
        for _, row in claims.iterrows():
            kind = (
                "other runs"
                if basis == OTHER_RUNS
                else "stated"
                if row["reading"] in ("printed", "image")
                else "digitised"
            )
            rows += [
                {
                    "verdict": judge(row, value),
                    "kind": kind,
                    "published in": f"{NAMES[source]}, {locator}",
                    "setting": setting(row),
                    "statistic": row["statistic"],
                    "relation": row["relation"],
                    "published": row["value"],
                    "recomputed": value,
                    "difference": value - row["value"],
                    "tolerance": tolerance(row),
                    "recomputed from": basis,
                    "remark": remark,
                }
                for remark, value in recompute(row, runs, numbers).items()
            ]
    return pd.DataFrame(rows)


def plain(x: float) -> str:
    return number(x) if abs(x) < 1e4 or x != x else f"{x:.0f}"


def sum_up(table: pd.DataFrame) -> pd.DataFrame:
    """For reading: what differs first and one by one; of the rest, what was recomputed from the
    same runs on one row."""
    rows = []
    for (verdict, _, place, basis), group in table.groupby(
        ["verdict", "kind", "published in", "recomputed from"], sort=False
    ):
        for part in (
            [group.loc[[i]] for i in group.index]
            if verdict == "differs" or len(group) <= 3
            else [group]
        ):
            row, one = part.iloc[0], len(part) == 1
            rows.append(
                {
                    "verdict": verdict,
                    "published in": place,
                    "setting": row["setting"] if one else f"{len(part)} values",
                    "statistic": ", ".join(part["statistic"].unique()),
                    "published": (
                        f"{row['relation'].strip('=')} {plain(row['published'])}".strip()
                        if one
                        else ""
                    ),
                    "recomputed": plain(row["recomputed"]) if one else "",
                    "difference": (
                        f"{row['difference']:.2g}"
                        if one
                        else f"at most {part['difference'].abs().max():.2g}"
                    ),
                    "tolerance": f"{part['tolerance'].max():.2g}",
                    "recomputed from": basis,
                    "remark": row["remark"] if one else "",
                }
            )
    table = pd.DataFrame(rows).replace({"nan": "-", "at most nan": "-"})
    return table.sort_values(
        "verdict", key=lambda column: column.map(list(VERDICTS).index), kind="stable"
    )


def count(table: pd.DataFrame) -> str:
    return ", ".join(
        f"{(table['verdict'] == verdict).sum()} {name}" for verdict, name in VERDICTS.items()
    )


def main() -> None:
    options = parse(parser(__doc__))
    table = audit(*read_published())
    stated, other_runs, digitised = (
        count(table[table["kind"] == kind]) for kind in ("stated", "other runs", "digitised")
    )
    print(f"stated: {stated}\nheld against other runs: {other_runs}\ndigitised: {digitised}")
    digits = {
        name: table[name].map(lambda x: f"{x:.6g}")
        for name in ("published", "recomputed", "difference", "tolerance")
    }
    save_table(
        table.assign(**digits),
        options.figures / "audit",
        "The paper's statistics, recomputed from its plotted runs",
        f"What the paper, its first version and Lee et al. state: {stated}. Table 1's default"
        f" recipe on RTE held against the other published set of runs of that recipe: {other_runs};"
        " that is spread between two sets, not an error. What stands nowhere but was read off the"
        f" figures with the points, so that it checks only our own file: {digitised}.\n\nThe runs"
        " are points read off the vector figures of v3, to five decimals; nothing was trained."
        " Tolerance: half a unit of the last printed digit, and 0.001 points for the reading; none"
        " for counts and for bounds; half an order of magnitude where the text says about. Figs 2,"
        " 4, 7 and 10 to 14 show curves and surfaces, not runs; of these only Fig. 4 is used, one"
        " failed and one successful run.",
        sum_up(table),
    )


if __name__ == "__main__":
    run_command(main)

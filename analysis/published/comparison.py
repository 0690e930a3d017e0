"""Our means, standard deviations and failure counts beside the published ones, judged where the
setting is the paper's.

Command : python -m analysis.published.comparison --profile paper
Reads   : results/<profile>/*.csv that have a row a run; analysis/published/runs.csv, numbers.csv
Writes  : figures/<profile>/comparison.md, .csv

A mean or a standard deviation is "inside" when it lies in the interval in which 95 % of such values
would lie if our runs were of the published kind: the published points are drawn again with
replacement, from these as many as we have runs, again with replacement, 2,000 times. So the
tolerance holds the chance in both sets of runs. Failure counts are "inside" unless Fisher's exact
test (two-sided) gives p < 0.05. Fewer than 10 runs are "too few runs". Another model than the
paper's is not judged: what it does says nothing about BERT-large. Nor are runs of one setting that
differ in anything else but their seeds.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.published.audit import READ_OFF
from analysis.published.evidence import (
    RUN_TABLES,
    all_runs,
    published_points,
    unlike_published,
)
from analysis.published.rules import differ_in
from analysis.shared.names import PAPER_MODELS, is_mini, model_name, rate_name, task_name
from analysis.shared.reading import BadInput, parse, parser, run_command
from analysis.shared.statistics import fisher
from analysis.shared.tables import save_table

SETTING = [
    "model",
    "task",
    "train_examples",
    "learning_rate",
    "bias_correction",
    "epochs",
    "pretrained",
    "dtype",
]
STATISTICS = ("mean", "std", "failed")
IDENTITY = ["data", "whole_model"]  # with the hashes of their files
FEWEST = 10  # with 10 of ours against 25, Fisher's test just tells 5 failures from 23
OTHER_MODEL, NO_SUCH, TOO_FEW = (
    "not judged: another model",
    "not judged: no such published runs",
    "too few runs",
)


def tolerance(points: pd.Series, n: int) -> dict[str, tuple[float, float]]:
    """For a mean and a standard deviation of n new runs: where 95 % of them would lie."""
    random, points = np.random.default_rng(1), points.to_numpy()
    again = points[random.integers(0, len(points), (2000, len(points)))]
    drawn = np.take_along_axis(again, random.integers(0, len(points), (2000, n)), axis=1)
    return {
        name: tuple(np.percentile(values, [2.5, 97.5]))
        for name, values in (("mean", drawn.mean(axis=1)), ("std", drawn.std(axis=1)))
    }


def same_runs_once(points: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The published sets of runs of one setting and where they are plotted; a set in two figures
    once."""
    sets: list[tuple[str, pd.DataFrame]] = []
    for locator, group in points.groupby("locator"):
        for i, (places, known) in enumerate(sets):
            one, other = sorted(group["score"]), sorted(known["score"])
            if len(one) == len(other) and np.allclose(one, other, rtol=0, atol=3 * READ_OFF):
                sets[i] = (f"{places}, {locator}", known)
                break
        else:
            sets.append((locator, group))
    return sets


def compare(ours: pd.DataFrame) -> pd.DataFrame:
    """One row per setting of ours, published set of runs of that setting, and statistic."""
    published = published_points()
    published = published[
        published["locator"].isin(["Fig. 1", "Fig. 3", "Fig. 5", "Fig. 9"])
        & (published["recipe"] != "mixout")
    ]
    ours = ours.assign(
        whole_model=ours["model"],
        model=[model_name(*pair) for pair in zip(ours["model"], ours["data"], strict=True)],
    )
    rows = []
    for (*values, data, whole_model), runs in ours.groupby(
        [*SETTING, *IDENTITY], sort=True, dropna=False
    ):
        key = dict(zip(SETTING, values, strict=True))
        why_not = NO_SUCH
        if is_mini(data) or key["model"] not in PAPER_MODELS:
            why_not = OTHER_MODEL
        elif mixed := differ_in(runs, ()):
            why_not = f"not judged: runs that differ in {', '.join(mixed)}"
        common = {**key, "data": data, "whole_model": whole_model}
        judged = why_not == NO_SUCH and not unlike_published(runs)
        sets = same_runs_once(published[of_setting(published, key)]) if judged else []
        for place, theirs in sets:
            inside = tolerance(100 * theirs["score"], len(runs))
            for statistic in STATISTICS:
                row = row_of(statistic, runs, theirs, inside)
                rows.append({**common, **row, "published_in": place})
        if not sets:
            for statistic in STATISTICS:
                row = {**ours_alone(statistic, runs), "verdict": why_not, "published_in": "-"}
                rows.append({**common, **row})
    return pd.DataFrame(rows)


def of_setting(published: pd.DataFrame, key: dict[str, Any]) -> pd.Series:
    """Which published runs are of a setting."""
    same = pd.Series(True, published.index)
    for column, value in key.items():
        same &= published[column].isna() if pd.isna(value) else published[column] == value
    return same


def ours_alone(statistic: str, runs: pd.DataFrame) -> dict[str, Any]:
    """A statistic of our runs, and nothing beside it."""
    return {
        "statistic": statistic,
        "n": len(runs),
        "ours": value_of(statistic, runs),
        "published_n": 0,
        **dict.fromkeys(("published", "low", "high", "fisher_p"), np.nan),
    }


def row_of(
    statistic: str,
    runs: pd.DataFrame,
    theirs: pd.DataFrame,
    inside: dict[str, tuple[float, float]],
) -> dict[str, Any]:
    """A statistic of our runs beside that of published ones of their setting, and the verdict;
    `inside`: where a mean and a standard deviation may lie."""
    row = ours_alone(statistic, runs)
    row |= {"published_n": len(theirs), "published": value_of(statistic, theirs)}
    if statistic == "failed":
        row["fisher_p"] = fisher(runs["failed"].astype(bool), theirs["failed"])
        agrees = row["fisher_p"] >= 0.05
    else:
        row["low"], row["high"] = inside[statistic]
        agrees = row["low"] - 0.001 <= row["ours"] <= row["high"] + 0.001
    verdict = "inside" if agrees else "outside"
    return {**row, "verdict": TOO_FEW if len(runs) < FEWEST else verdict}


def value_of(statistic: str, runs: pd.DataFrame) -> float:
    """A statistic of runs' scores, in percent points, or the number of those that failed."""
    if statistic == "failed":
        return runs["failed"].sum()
    score = 100 * runs["score"]
    return score.mean() if statistic == "mean" else score.std(ddof=0)


def setting_words(row: pd.Series) -> str:
    return ", ".join(
        [
            row["model"],
            task_name(row["task"], row["data"]),
            *([f"{row['train_examples']:.0f} examples"] if row["train_examples"] > 0 else []),
            rate_name(row["learning_rate"]),
            f"{row['epochs']:.0f} epochs",
            f"{'with' if row['bias_correction'] else 'without'} correction",
            *([] if row["pretrained"] else ["random weights"]),
            *([] if row["dtype"] == "float32" else [row["dtype"]]),
        ]
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A row per setting and published set of runs, a column per statistic: ours; theirs and the
    tolerance; the verdict."""

    def cell(row: pd.Series) -> str:
        digits = 0 if row["statistic"] == "failed" else 1
        our, their, low, high = (
            f"{row[name]:.{digits}f}" for name in ("ours", "published", "low", "high")
        )
        range_or_p = (
            f"p {row['fisher_p']:.2g}" if row["statistic"] == "failed" else f"{low} to {high}"
        )
        return f"{our}; {their} ({range_or_p}): {row['verdict']}" if row["published_n"] else our

    rows = []
    for _, group in table.groupby([*SETTING, *IDENTITY, "published_in"], sort=False, dropna=False):
        first = group.iloc[0]
        rows.append(
            {
                "setting": setting_words(first),
                "n; published n": f"{first['n']}; {first['published_n'] or '-'}",
                **{row["statistic"]: cell(row) for _, row in group.iterrows()},
                "published in": first["published_in"] if first["published_n"] else first["verdict"],
            }
        )
    return pd.DataFrame(rows)


def write(ours: pd.DataFrame, figures: Path) -> pd.DataFrame:
    """comparison.md and comparison.csv of these runs."""
    table = compare(ours)
    digits = {
        name: table[name].map(lambda x: f"{x:.6g}")
        for name in ("ours", "published", "low", "high", "fisher_p", "learning_rate")
    }
    judged, outside = (
        table["verdict"].isin(["inside", "outside"]).sum(),
        (table["verdict"] == "outside").sum(),
    )
    said = (
        f"{judged} statistics were judged, {outside} of them lie outside; about {0.05 * judged:.0f}"
        " would by chance."
        if judged
        else "None was judged."
    )
    save_table(
        table.assign(**digits),
        figures / "comparison",
        "Our runs beside the published ones",
        "Ours; the published value, and in brackets in which range 95 % of such values would lie"
        " if our runs were of the published kind (drawn 2,000 times from the published points, as"
        " many as our runs), for failed runs the p of Fisher's exact test, two-sided; the verdict."
        f" Scores in percent points, std the population form (ddof 0). Fewer than {FEWEST} runs are"
        " not judged, nor are other models than the paper's: what they do says nothing about"
        f" BERT-large. {said} Two sets of runs of one recipe are published for BERT-large on RTE at"
        " 3 epochs; each is compared.",
        readable(table),
    )
    return table


def main() -> None:
    options = parse(parser(__doc__))
    ours = all_runs(options.results)
    if ours.empty:
        raise BadInput(
            f"no {', '.join(f'{name}.csv' for name in RUN_TABLES)} in {options.results}: run bash"
            " run_all.sh first, or give --results"
        )
    print(readable(write(ours, options.figures)).to_string(index=False))


if __name__ == "__main__":
    run_command(main)

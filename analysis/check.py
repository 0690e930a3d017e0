"""Our failure counts and scores beside the published ones, judged where model, task and learning rate are the paper's.

Command : python -m analysis.check --profile paper
Reads   : results/<profile>/bias_correction.csv, analysis/published/runs.csv
Writes  : figures/<profile>/check.md, .csv

The failure counts are compared by Fisher's exact test (two-sided) with each published set of runs; p < 0.05 is called
"differs". Equal counts of few runs say little: n stands beside each. Runs of another model than the paper's are shown and
not judged: what they do says nothing about BERT-large.
"""

from pathlib import Path

import pandas as pd
from scipy.stats import fisher_exact

from analysis.statistics import over_seeds
from analysis.style import parse, parser, rate_name, read_csv, run_command, save_table

RTE_MAJORITY_LEVEL = 146 / 277  # of the dev set; published points are within 0.001 of a multiple of 1/277
SETTING = ["model", "task", "learning_rate", "bias_correction", "epochs", "pretrained", "dtype"]


def published_runs() -> pd.DataFrame:
    """The published 3-epoch runs on RTE: columns as in our CSV, with `locator`, and `failed` from the majority level."""
    runs = read_csv(Path(__file__).parent / "published" / "runs.csv", [*SETTING[:5], "locator", "score"])
    runs = runs[runs["locator"].isin(["Fig. 5", "Fig. 9"]) & (runs["epochs"] == 3)].astype({"bias_correction": bool, "epochs": int})
    return runs.assign(pretrained=True, dtype="float32", failed=runs["score"] < RTE_MAJORITY_LEVEL + 0.001, diverged=False)


def compare(ours: pd.DataFrame) -> pd.DataFrame:
    """One row per setting of ours and published set of runs of that setting; one with dashes where there is none."""
    ours = over_seeds(ours.assign(model=ours["model"].str.split("/").str[-1]), SETTING)
    published = over_seeds(published_runs(), [*SETTING, "locator"])
    rows = []
    for _, our in ours.iterrows():
        same = published[(published[SETTING] == our[SETTING]).all(axis=1)]
        for their in [row for _, row in same.iterrows()] or [None]:
            p = None if their is None else fisher_exact([[our["failed"], our["n"] - our["failed"]],
                                                         [their["failed"], their["n"] - their["failed"]]]).pvalue
            rows.append({
                "setting": f"{our['model'].split('@')[0]} {our['task']}, {rate_name(our['learning_rate'])}, {our['epochs']} epochs, "
                           f"{'with' if our['bias_correction'] else 'without'} bias correction",
                "ours: failed/n, mean, std": _summary(our),
                "published: failed/n, mean, std": "-" if their is None else _summary(their),
                "published in": "-" if their is None else f"Mosbach et al. v3, {their['locator']}",
                "Fisher p": "-" if p is None else f"{p:.3f}",
                "verdict": "not judged: no such published runs" if p is None else "differs" if p < 0.05 else "agrees",
            })
    return pd.DataFrame(rows)


def _summary(row: pd.Series) -> str:
    return f"{row['failed']}/{row['n']}, {row['mean']:.1f}, {row['std']:.1f}"


def main() -> None:
    options = parse(parser(__doc__))
    ours = read_csv(options.results / "bias_correction.csv", [*SETTING, "score", "failed", "diverged"])
    table = compare(ours)
    print(table.to_string(index=False))
    save_table(table, options.figures / "check", "Our runs beside the published ones",
               "Failed runs by Fisher's exact test, two-sided, against each published set of runs of the same model, task, "
               "learning rate and length. Runs of other models are shown and not judged.")


if __name__ == "__main__":
    run_command(main)

"""Tables as CSV and as Markdown, and files that appear whole."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.shared.names import model_name, rate_name, task_name

# runs that differ in one of these never share a panel
PANEL = ["task", "model", "data", "dtype", "pretrained"]


SCORES_NOTE = (  # under every table of statistics.over_seeds
    "Dev scores in percent points over n seeds; std is the population form (ddof 0), as in the"
    " paper; failed: dev score at the end of training at or below the majority level, with the 95 %"
    " Wilson interval of the rate. Largest effective rate, where given: of all steps, the"
    " schedule's, without bias correction times (1 - beta1^t) / sqrt(1 - beta2^t). Learnt, of mini"
    " only: ended above a bag of words (analysis/published/mini_baselines.csv) and, where the CSV"
    " has it, above its own score before training; claims are judged by failed."
)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of statistics.over_seeds, or another with the columns PANEL, with fewer and
    shorter columns."""
    names = zip(table["model"], table["data"], table["dtype"], strict=True)
    short = {
        "model": [
            model_name(model, data) + ("" if dtype == "float32" else f", {dtype}")
            for model, data, dtype in names
        ],
        "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
        "weights": table["pretrained"].map({True: "pre-trained", False: "random"}),
    }
    for column in table.columns.difference(
        [*PANEL, "min", "diverged", "failure_rate_low", "failure_rate_high"], sort=False
    ):
        if column == "bias_correction":
            short["bias correction"] = table[column].map({True: "with", False: "without"})
        elif column == "largest_effective_rate":
            short["largest effective rate"] = [
                rate_name(float(f"{rate:.1e}")) for rate in table[column]
            ]
        elif column == "failure_rate":
            short["failure rate, 95 % interval"] = [
                f"{rate:.0%} ({low:.0%} to {high:.0%})"
                for rate, low, high in zip(
                    table[column],
                    table["failure_rate_low"],
                    table["failure_rate_high"],
                    strict=True,
                )
            ]
        elif column in ("warmup_ratio", "adam_beta2"):  # two digits would make 1.00 of 0.999
            short[column.replace("_", " ")] = [f"{x:g}" for x in table[column]]
        else:
            short[column.replace("_", " ")] = table[column]
    return pd.DataFrame(short)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` write a file beside `path` and put it in its place: nobody reads half a file."""
    half = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(half)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def save_table(
    table: pd.DataFrame, path: Path, title: str, note: str, readable: pd.DataFrame | None = None
) -> None:
    """<path>.csv with all columns and digits that matter, and <path>.md for reading (of
    `readable` where given)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        path.with_suffix(".csv"),
        lambda file: table.to_csv(file, index=False, float_format="%.6g", lineterminator="\n"),
    )
    cells = (table if readable is None else readable).map(
        lambda x: f"{x:.2f}" if isinstance(x, float) else str(x)
    )
    lines = [
        f"# {title}",
        "",
        note,
        "",
        "| " + " | ".join(cells.columns) + " |",
        "|" + "---|" * len(cells.columns),
    ]
    lines += ["| " + " | ".join(values) + " |" for values in cells.to_numpy()]
    text = "\n".join(lines) + "\n"
    write_whole(path.with_suffix(".md"), lambda file: file.write_text(text, encoding="utf-8"))
    print(f"wrote {path.with_suffix('.md')}, .csv")

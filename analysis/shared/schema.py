"""What may stand in the CSVs of experiments: checked once, on reading, for every script.

A value that does not fit is refused in one line with file, line, column, value and what was
expected. Columns that are not named here are taken as they are.
"""

import csv
from collections.abc import Callable
from math import inf, isfinite
from pathlib import Path

import pandas as pd

TRUTH = {"true": True, "1": True, "false": False, "0": False}
CORRELATIONS = ("matthews_correlation", "pearson", "spearman")
SHARES = ("accuracy", "f1", "token_f1", "entity_f1")  # metrics from 0 to 1
METRICS = (*SHARES, *CORRELATIONS)


def _number(text: str, low: float = -inf, high: float = inf) -> bool:
    """Whether `text` is a finite number from low to high."""
    try:
        value = float(text)
    except ValueError:
        return False
    return isfinite(value) and low <= value <= high


def _any_number(text: str) -> bool:
    """A number, inf, NaN or nothing: the losses of a diverged run are data."""
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _truth(text: str) -> bool:
    return text.lower() in TRUTH


def _name(text: str) -> bool:
    return bool(text.strip())


def _metric(text: str) -> bool:
    return text in METRICS


def _rate(text: str) -> bool:
    return _number(text, 0) and float(text) > 0


def _count(text: str) -> bool:
    return _number(text, 0) and float(text).is_integer()


def _score(text: str) -> bool:
    return _number(text, -1, 1)


def _share(text: str) -> bool:
    return _number(text, 0, 1)


# kind -> (whether a text is of it, what to say is expected)
KINDS: dict[str, tuple[Callable[[str], bool], str]] = {
    "truth": (_truth, "True or False"),
    "name": (_name, "a name"),
    "metric": (_metric, " or ".join(METRICS)),
    "rate": (_rate, "a finite number above 0"),
    "share": (_share, "a number from 0 to 1"),
    "score": (_score, "a number from -1 to 1"),
    "count": (_count, "a whole number from 0 on"),
    "loss": (_any_number, "a number, inf or nothing"),
}
COLUMNS = {
    **dict.fromkeys(("failed", "diverged", "constant_prediction", "bias_correction"), "truth"),
    **dict.fromkeys(("pretrained",), "truth"),
    **dict.fromkeys(("run", "task", "model", "data", "dtype"), "name"),
    "metric": "metric",
    "learning_rate": "rate",
    **dict.fromkeys((*SHARES, "precision", "recall", "majority_level"), "share"),
    **dict.fromkeys(("score", "final_score", *CORRELATIONS), "score"),
    **dict.fromkeys(("epochs", "step", "steps", "layers_put_back"), "count"),
    **dict.fromkeys(("train_loss", "dev_loss", "label_entropy", "loss", "norm"), "loss"),
    **dict.fromkeys(("first_layer_gradient", "classifier_gradient", "perplexity"), "loss"),
}
# scores that a row may lack: a curve has steps without an evaluation, a task one metric or more
MAY_BE_BLANK = (*METRICS, "precision", "recall")
# what tells one row from another, as far as a table has it
KEY = (
    "run",
    "failed_run",
    "successful_run",
    "method",
    "recipe",
    "condition",
    "path",
    "step",
    "share",
    "matrix",
    "layer",
    "layers_put_back",
    "embeddings",
    "a",
    "b",
    "line",
    "position",
)


def header(path: Path) -> list[str]:
    """The names of a CSV's columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def check(path: Path) -> str:
    """What is wrong with a CSV, or "" if nothing is. Lines count from 1, the header's."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        for name in names:
            if names.count(name) > 1:
                return f"{path} has the column {name} twice; keep one"
        seen: dict[tuple[str, ...], int] = {}
        for cells in reader:
            if not cells:
                continue
            line = reader.line_num
            if len(cells) != len(names):
                return (
                    f"{path} line {line} has {len(cells)} columns, expected {len(names)}, as in "
                    "its header; is a comma the decimal sign, or a line cut?"
                )
            row = dict(zip(names, cells, strict=True))
            if problem := _check_row(row):
                return f"{path} line {line}: {problem}"
            key = _key(path, row)
            if key and key in seen:
                what = f"run {row['run']} stands" if "run" in row else "the same row stands"
                return (
                    f"{path}: {what} twice (lines {seen[key]} and {line}); was the file joined "
                    "from two machines? keep each once"
                )
            seen[key] = line
    return ""


def _check_row(row: dict[str, str]) -> str:
    """The first value of a row that does not fit, in words."""
    for column, text in row.items():
        kind = COLUMNS.get(column, "")
        if not kind:
            continue
        if not text and (column in MAY_BE_BLANK or (column == "score" and "step" in row)):
            continue
        if column == "score" and row.get("metric") in SHARES:
            kind = "share"
        fits, expected = KINDS[kind]
        if not fits(text):
            return f"{column} is {text!r}, expected {expected}"
    return ""


def _key(path: Path, row: dict[str, str]) -> tuple[str, ...]:
    """What no other row may have; () where no column holds the id of a stored run, as in a table
    that somebody numbers by seed. The curves of convergence_pitfalls have rows of one step that
    differ in which values they hold, so there it is the whole row."""
    run = row.get("run", row.get("failed_run", ""))
    if len(run) != 16:
        return ()
    if path.stem == "convergence_pitfalls_curves":
        return tuple(row.values())
    return tuple(row[column] for column in KEY if column in row)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """A checked table with true and false as such however written, and 3.0 epochs as 3."""
    for column in table.columns.intersection(list(COLUMNS)):
        if COLUMNS[column] == "truth":
            table[column] = table[column].astype(str).str.lower().map(TRUTH).astype(bool)
        elif COLUMNS[column] == "count":
            table[column] = table[column].astype(int)
    return table

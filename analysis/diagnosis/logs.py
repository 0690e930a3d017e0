"""Logs of fine-tuning runs as texts, whoever wrote them, in one form; folders.py finds the files.

Read are: the Trainer's trainer_state.json, or its log_history alone; a folder that holds one, or
checkpoint-N folders that do (the highest N counts), or a folder of such folders or of log files, a
seed each; pasted console lines, a dict a line as the Trainer prints them, with numbers or with
numbers in quotation marks (transformers 5), or lines with "loss: 0.69", as Keras prints them; a CSV
with step, loss and scores, or a table as notebooks, model cards, fastai and W&B have it; a run of
this project's store, or a folder of results with a store.
"""

import ast
import base64
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.diagnosis.cells import as_number
from analysis.diagnosis.columns import (
    DEV_LOSS,
    RATE,
    STEP,
    TRAIN_LOSS,
    from_columns,
    from_records,
    is_loss,
    is_read,
    numbers_of,
)
from analysis.diagnosis.pasted import Row, by_marks, header_of, lines_of, rows_of, spelled
from analysis.diagnosis.records import Log, records_of
from analysis.shared.reading import BadInput

EXPECTED = (
    "expected a trainer_state.json, a folder that holds one, console lines such as"
    " {'loss': 0.69, 'epoch': 1.0}, a CSV or table with the columns step and loss, or a run of a"
    " store"
)
MOST_PYTHON = 1_000_000  # characters
BY_ENTITY_OR_WORD = ("entity_f1", "token_f1")  # of which a store keeps counts and no margins
# of a pasted dict: a number, in quotation marks or as np.float64(0.5), perhaps with a decimal comma
PAIR = re.compile(
    r"""["']([^"']+)["']\s*:\s*(?:[\w.]+\()?["']?([-+\w.]+(?:,\d+)?%?)["']?\)?\s*[,}]"""
)


def read_text(text: str, name: str, metric: str | None = None) -> Log:
    """The log in a text of any of the forms. BadInput where it is of none, or has no loss."""
    if not text.strip():
        raise BadInput(f"{name} is empty: {EXPECTED}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = text.lstrip()[0]
    whole = None
    if first in "{[":
        try:
            whole = json.loads(text, object_pairs_hook=lambda pairs: as_dict(pairs, name))
        except ValueError:  # Python's own spelling, a dict a line, or cut off
            whole = as_python(text)
        except RecursionError:
            raise BadInput(
                f"{name} is JSON of another kind, nested too deeply: {EXPECTED}"
            ) from None
    if whole is None and re.match(r'\{"schema": \d+, "run": ', text):
        raise BadInput(
            f"{name} is a run of a store that was cut off: expected all of it; train it again"
        )
    if whole is not None:
        log = from_json(whole, name, metric)
    elif (table := table_before_records(text)) is not None:
        log = from_table(*table, name, metric)
    else:
        log = from_lines(text, name, metric)
    parts = (log.training, log.evaluations)
    if not any(len(part.known("loss")[0]) or part.broken.any() for part in parts):
        raise BadInput(
            f"{name} has no loss (neither of {', '.join(TRAIN_LOSS[:2])} nor of"
            f" {', '.join(DEV_LOSS[:3])}): {EXPECTED}"
        )
    log.digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return log


def as_python(text: str) -> dict[str, list[Any]] | None:
    """The columns of a dict of lists that Python printed, as of Keras' history; None of others."""
    if len(text) > MOST_PYTHON:
        return None
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    is_columns = isinstance(found, dict) and any(isinstance(x, list) for x in found.values())
    return found if is_columns else None


def as_dict(pairs: Sequence[tuple[str, Any]], name: str) -> dict[str, Any]:
    """A record; BadInput where it has two losses or scores of one name."""
    record: dict[str, Any] = {}
    for key, value in pairs:
        if is_read(key) and key in record and record[key] != value:
            raise BadInput(
                f"{name} has {key} twice in one record, {record[key]!r} and {value!r}: keep one"
            )
        record[key] = value
    return record


def from_json(found: Any, name: str, metric: str | None) -> Log:
    """A trainer_state.json, its log_history alone, a record, or a run of our store."""
    if isinstance(found, dict) and isinstance(found.get("log_history"), list):
        records = [record for record in found["log_history"] if isinstance(record, dict)]
        log = from_records(records, name, metric or best_metric(found))
        planned, done = found.get("max_steps"), found.get("global_step")
        if isinstance(planned, int) and planned > 0:
            log.steps = planned
            log.done = done if isinstance(done, int) else None
            if log.done is not None and log.done < planned:
                log.notes.append(
                    f"stops at step {log.done:,} of {planned:,}: it is still going, or was stopped;"
                    " judged by what is there"
                )
        return log
    if isinstance(found, dict) and {"run", "outcome", "history"} <= found.keys():
        return from_store(found, name)
    if isinstance(found, dict) and any(is_loss(key) for key in found):
        columns = {key: cells for key, cells in found.items() if isinstance(cells, list)}
        if any(is_loss(key) for key in columns):
            return from_lists(columns, name, metric)
        found = [found]
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return from_records(found, name, metric)
    raise BadInput(f"{name} is JSON of another kind: {EXPECTED}")


def from_lists(columns: Mapping[str, list[Any]], name: str, metric: str | None) -> Log:
    """A list a column, as Keras' history."""
    lengths = {key: len(cells) for key, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{length} of {key}" for key, length in lengths.items())
        raise BadInput(
            f"{name} has lists of different lengths ({said}): expected one value a record"
        )
    return from_columns(columns, max(lengths.values()), name, metric)


def best_metric(state: Mapping[str, Any]) -> str | None:
    """The score that the Trainer chose its best checkpoint by, where that is no loss."""
    name = (state.get("best_metric_name") or state.get("metric_for_best_model")) or ""
    return name if name and "loss" not in name else None


def from_store(record: Mapping[str, Any], name: str) -> Log:
    """A run of our own store (experiments/sweeps/store.py). Its evaluation before training is left
    out: other logs have none."""
    try:
        outcome, history = record["outcome"], record["history"]
        losses = history["train_loss"]
        rows = [row for row in history["evaluations"] if row["step"]]
        score = outcome["metric"]
        check_record(losses, rows, score, name)
        log = Log(
            name,
            records_of(range(1, 1 + len(losses)), losses),
            records_of(
                [row["step"] for row in rows],
                [row["dev_loss"] for row in rows],
                [row[score] for row in rows],
                norm=False,
            ),
            score,
            outcome["steps"],
            label_entropy=float(outcome.get("label_entropy", math.nan)),
            constant_level=float(outcome["majority_level"]),
        )
        margins = history.get("dev_margins")
        if margins and score not in BY_ENTITY_OR_WORD:
            log.dev_examples = len(base64.b64decode(margins[-1], validate=True)) // 2  # float16
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{name} looks like a run of a store but lacks {error}: {EXPECTED}"
        ) from None
    run = record["run"]
    log.name = f"{name} ({run.get('task')}, seed {run.get('head_seed')})"
    return log


def check_record(
    losses: Sequence[Any], rows: Sequence[Mapping[str, Any]], score: str, name: str
) -> None:
    """BadInput for a stored run with a loss below 0 or a score that is no share."""
    for row in rows:
        if not -1 <= (row[score] or 0) <= 1:
            raise BadInput(
                f"{name}: {score} is {row[score]}: expected -1 to 1; train the run again"
            )
    for loss in [*losses, *(row["dev_loss"] for row in rows)]:
        if loss is not None and loss < 0:
            raise BadInput(
                f"{name}: a loss is {loss}: expected numbers from 0 on; train the run again"
            )


def from_table(
    text: str, table: tuple[int, Callable[[str], Row]], name: str, metric: str | None
) -> Log:
    """A CSV, or another table with a header (pasted.py)."""
    number, parted = table
    if parted is by_marks:
        return from_csv("\n".join(text.split("\n")[number:]), name, metric)
    header, rows, others = rows_of(text, number, parted)
    if not rows:
        raise BadInput(
            f"{name} has a header of {len(header)} names and no line with as many cells: {EXPECTED}"
        )
    columns = {key: [row[i] for row in rows] for i, key in enumerate(map(spelled, header))}
    empty_where_nan(columns, len(rows))
    log = from_columns(columns, len(rows), name, metric)
    if others:
        log.notes.append(f"warning: {others} lines under its header are no rows of it: not read")
    return log


def empty_where_nan(columns: dict[str, list[Any]], count: int) -> None:
    """Take nan in the losses of a table for an empty cell where the row has another loss, and, if
    that is so anywhere, where it has no number at all, as a summary's row that pandas wrote."""
    losses = [key for key in columns if is_loss(key)]
    measured = [key for key in columns if key in RATE or is_read(key)]
    measured = [key for key in measured if key not in (*STEP, "epoch")]
    found = False
    for i in range(count if len(losses) > 1 else 0):
        numbers = {key: as_number(columns[key][i]) for key in losses}
        if any(x is not None and x == x for x in numbers.values()):
            for key, x in numbers.items():
                found |= x is not None and x != x
                columns[key][i] = None if x != x else columns[key][i]
    for i in range(count if found else 0):
        if not any(x == x for x in numbers_of([columns[key][i] for key in measured])):
            for key in losses:
                columns[key][i] = None


def from_csv(text: str, name: str, metric: str | None) -> Log:
    """A CSV with a row a record: training, evaluation, or both in one row. An empty cell is
    missing; nan is a loss that is no number, but where empty_where_nan has it otherwise."""
    header, rows = table_of(text, name)
    columns: dict[str, list[Any]] = {}
    for key, *cells in zip(header, *rows, strict=True):
        columns[key] = cells
    empty_where_nan(columns, len(rows))
    return from_columns(columns, len(rows), name, metric)


def table_of(text: str, name: str) -> tuple[list[str], list[list[str]]]:
    """The header of a CSV, names that are read in small letters, and its rows, all as long.
    BadInput where a row is longer: a decimal comma between commas moves all that stands after it.
    """
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        header, *rows = [[cell.strip() for cell in row] for row in reader if row]
    except csv.Error as error:
        raise BadInput(f"{name} is no CSV ({error}): {EXPECTED}") from None
    header = [spelled(key) for key in header]
    for key in header:
        if header.count(key) > 1 and is_read(key):
            raise BadInput(
                f"{name} has the column {key} twice: keep one; of several runs give each a file"
            )
    if not rows:
        raise BadInput(f"{name} has a header and no rows: {EXPECTED}")
    for number, row in enumerate(rows, 2):
        if any(row[len(header) :]):
            raise BadInput(
                f"{name} has {len(row)} columns in row {number}, expected {len(header)}, as in its"
                " header; is a comma the decimal sign? replace it"
            )
        row[len(header) :] = []
        row += [""] * (len(header) - len(row))
    return header, rows


def table_before_records(text: str) -> tuple[str, tuple[int, Callable[[str], Row]]] | None:
    """The text up to its first dict, with a table in it: what stands behind a notebook's table, as
    the Trainer's closing numbers, is not read. None where no row of numbers stands before."""
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if "{" in line), len(lines))
    found = header_of("\n".join(lines[:first]))
    if found is None:
        return None
    number, parted = found
    for line in lines[number + 1 : first] if first < len(lines) else ():
        if any(as_number(cell) is not None for cell in parted(line)):
            return "\n".join(lines[:first]), found
    return None if first < len(lines) else (text, found)


def from_lines(text: str, name: str, metric: str | None) -> Log:
    """Pasted console lines, JSON lines, or a JSON file that was cut off: each innermost dict is a
    record."""
    records = []
    for part in text.split("{")[1:]:
        if pairs := PAIR.findall(part):
            records.append(as_dict(pairs, name))
    if not records and (lines := lines_of(text)):
        return from_records(lines, name, metric)
    if not records:
        first = text.strip().split("\n")[0]
        if first.lower().replace('"', "") == "wall time,step,value":
            raise BadInput(
                f"{name} is one curve as TensorBoard exports it, which does not say of what:"
                " expected losses and scores side by side, in columns step, loss, eval_loss"
            )
        raise BadInput(
            f"{name} holds no record of a log (its first line is {first[:60]!r}): {EXPECTED}"
        )
    log = from_records(records, name, metric)
    if not any("train_runtime" in record for record in records[-3:]):
        log.notes.append(
            "has no closing line (train_runtime): it may be still going, or was cut; judged by"
            " what is there"
        )
    return log

"""Logs of fine-tuning runs, whoever wrote them, in one form.

Read are: the Trainer's trainer_state.json, or its log_history alone; a folder that holds one, or
checkpoint-N folders that do (the highest N counts); pasted console lines, a dict a line as the
Trainer prints them, with numbers or with numbers in quotation marks (transformers 5); a CSV with
step, loss and scores; a run of this project's store, or a folder of results with a store.
"""

import base64
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.diagnosis.cells import as_number
from analysis.diagnosis.records import (
    DEV_LOSS,
    TRAIN_LOSS,
    Log,
    from_columns,
    from_records,
    is_loss,
    is_read,
    records_of,
)
from analysis.shared.reading import BadInput

EXPECTED = (
    "expected a trainer_state.json, a folder that holds one, console lines such as"
    " {'loss': 0.69, 'epoch': 1.0}, a CSV with the columns step and loss, or a run of a store"
)
# of a pasted dict: a number, in quotation marks or as np.float64(0.5), perhaps with a decimal comma
PAIR = re.compile(
    r"""["']([^"']+)["']\s*:\s*(?:[\w.]+\()?["']?([-+\w.]+(?:,\d+)?%?)["']?\)?\s*[,}]"""
)


def read_logs(path: Path, metric: str | None = None) -> list[Log]:
    """The logs at a path: one, or those of all runs of a store. `metric` names the score to look
    at. BadInput where there is none."""
    if not path.exists():
        raise BadInput(f"no file or folder {path}: {EXPECTED}")
    if path.is_dir():
        return read_folder(path, metric)
    if not path.is_file():  # a pipe has no end while somebody may write to it
        raise BadInput(
            f"{path} is no file but a pipe or device: {EXPECTED}; - reads standard input"
        )
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is no UTF-8 text (byte {error.start}): {EXPECTED}; convert it, e.g. with iconv"
        ) from None
    name = str(path.parent if path.name == "trainer_state.json" else path)
    return [read_text(text, name, metric)]


def read_folder(folder: Path, metric: str | None) -> list[Log]:
    """The log of a run's or checkpoint's folder, or those of a store's runs."""
    if (folder / "trainer_state.json").is_file():
        return read_logs(folder / "trainer_state.json", metric)
    states = []
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        if number := re.fullmatch(r"checkpoint-(\d+)", path.parent.name):
            states.append((int(number[1]), path))
    if states:
        log = read_logs(max(states)[1], metric)[0]
        log.name = str(folder)
        return [log]
    runs = sorted([*folder.glob("runs/*.json"), *folder.glob("*.json")])
    if folder.name == "runs" or (folder / "runs").is_dir():
        logs = []
        for path in runs:
            logs += read_logs(path, metric)
        if logs:
            return logs
    raise BadInput(
        f"{folder} holds no log (no trainer_state.json, no checkpoint-N/trainer_state.json, no"
        f" runs/*.json): {EXPECTED}"
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
        except ValueError:  # a dict a line, or cut off: read line by line below
            whole = None
        except RecursionError:
            raise BadInput(
                f"{name} is JSON of another kind, nested too deeply: {EXPECTED}"
            ) from None
    if whole is not None:
        log = from_json(whole, name, metric)
    elif is_csv(text):
        log = from_csv(text, name, metric)
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
            if isinstance(done, int) and done < planned:
                log.notes.append(
                    f"stops at step {done:,} of {planned:,}: it is still going, or was stopped;"
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
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{name} looks like a run of a store but lacks {error}: {EXPECTED}"
        ) from None
    if margins := history.get("dev_margins"):
        log.dev_examples = len(base64.b64decode(margins[-1])) // 2  # float16
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


def is_csv(text: str) -> bool:
    """Whether the first line names columns, among them a loss."""
    line = text.lstrip().split("\n", 1)[0]
    return "{" not in line and any(is_loss(cell.strip('"').lower()) for cell in split(line))


def split(line: str) -> list[str]:
    separator = max(",;\t", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]


def from_csv(text: str, name: str, metric: str | None) -> Log:
    """A CSV with a row a record: training, evaluation, or both in one row. An empty cell is
    missing; nan is a loss that is no number, but in a row that has the other loss missing too."""
    header, rows = table_of(text.lstrip(), name)
    columns: dict[str, list[Any]] = {}
    for key, *cells in zip(header, *rows, strict=True):
        columns[key] = cells
    losses = [key for key in header if is_loss(key)]
    for i in range(len(rows) if len(losses) > 1 else 0):
        numbers = {key: as_number(columns[key][i]) for key in losses}
        if any(x is not None and x == x for x in numbers.values()):
            for key, x in numbers.items():
                columns[key][i] = None if x != x else columns[key][i]
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
    header = [key.lower() if is_read(key.lower()) else key for key in header]
    for key in header:
        if header.count(key) > 1 and is_read(key):
            raise BadInput(f"{name} has the column {key} twice: keep one")
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


def from_lines(text: str, name: str, metric: str | None) -> Log:
    """Pasted console lines, JSON lines, or a JSON file that was cut off: each innermost dict is a
    record."""
    records = []
    for part in text.split("{")[1:]:
        if pairs := PAIR.findall(part):
            records.append(as_dict(pairs, name))
    if not records:
        raise BadInput(f"{name} holds no record of a log: {EXPECTED}")
    log = from_records(records, name, metric)
    if not any("train_runtime" in record for record in records[-3:]):
        log.notes.append(
            "has no closing line (train_runtime): it may be still going, or was cut; judged by"
            " what is there"
        )
    return log

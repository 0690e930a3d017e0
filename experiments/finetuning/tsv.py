"""GLUE's TSV files, read strictly."""

import contextlib
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import REGRESSION, Split, Task


def tsv_files(task: Task, folder: Path) -> dict[str, tuple[Path, int]]:
    """For each split its file and the number of rows it must have."""
    here = folder / task.folder
    if not here.is_dir():
        what = "for tables of your own give --text-columns and --label-column"
        if (folder / "train.txt").is_file():
            what = "of words with a label each name the files train.conll and dev.conll"
        raise BadInput(
            f"no folder {here}: expected GLUE's TSV layout, {task.folder}/train.tsv and"
            f" {task.folder}/{task.dev_file}; {what}"
        )
    files = {
        "train": (here / "train.tsv", task.train_rows),
        "dev": (here / task.dev_file, task.dev_rows),
    }
    subsets = sorted(here.glob("train_subset_*.tsv"))
    if not files["train"][0].exists() and subsets:
        rows = subsets[0].stem.removeprefix("train_subset_")
        if not rows.isdecimal():
            raise BadInput(
                f"{subsets[0]}: expected a name like train_subset_1000.tsv, with the number of rows"
            )
        files["train"] = (subsets[0], int(rows))
    for path, _ in files.values():
        if not path.is_file():
            raise BadInput(
                f"no file {path}: expected GLUE's TSV layout, {task.folder}/train.tsv and"
                f" {task.folder}/{task.dev_file}"
            )
    return files


def read_tsv(task: Task, path: Path, expected_rows: int) -> Split:
    """A file in GLUE's layout. No quoting: a quotation mark in GLUE is only a quotation mark."""
    lines = _lines(path)
    columns = _header(task, path, lines[0] if lines else "")
    texts, labels, cut = [], [], 0
    for number, line in enumerate(lines[task.tsv_header :], start=1 + task.tsv_header):
        where = f"{path} line {number}"
        cells = line.split("\t")
        if len(cells) < len(columns) and cut < task.cut_rows and path.name != task.dev_file:
            cut += 1
            continue
        if len(cells) != len(columns):
            raise BadInput(
                f"{where}: {len(cells)} columns, expected {len(columns)}, {', '.join(columns)}; is"
                " a tab inside a sentence? Get GLUE's own file again"
            )
        if any(QUOTED.fullmatch(cell) for cell in cells):
            raise BadInput(
                f"{where}: a cell in quotation marks with doubled ones inside, as spreadsheets"
                " write it; expected GLUE's own file, get it again"
            )
        row = dict(zip(columns, cells, strict=True))
        texts.append(tuple(row[name] for name in task.tsv_text))
        labels.append(_label(task, row[task.tsv_label], where))
    if len(labels) != expected_rows or not labels:
        expected = f"{expected_rows:,}" if expected_rows else "some"
        raise BadInput(
            f"{path}: {len(labels):,} rows, expected {expected}; get GLUE's own file again,"
            " or name a part of the training set train_subset_<rows>.tsv"
        )
    check_classes(task, str(path), labels)
    return Split(texts, as_labels(task, labels))


def as_labels(task: Task, labels: Sequence[float]) -> np.ndarray:
    """Labels as Split.labels has them."""
    return np.array(labels, dtype=np.float32 if task.kind == REGRESSION else np.int64)


def _label(task: Task, text: str, where: str) -> float:
    """A label id, or a regression's number."""
    with contextlib.suppress(ValueError):
        if task.kind != REGRESSION:
            return task.labels.index(text)
        if math.isfinite(value := float(text)):
            return value
    expected = " or ".join(task.labels) or "a number"
    raise BadInput(f"{where}: label {text!r}, expected {expected}")


QUOTED = re.compile(r'"(?=.*"")(?:[^"]|"")*"')  # a cell as a spreadsheet saves one that has quotes


def _lines(path: Path) -> list[str]:
    """The lines of a text file, whatever ends them. BadInput for what is no text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: not UTF-8 at byte {error.start}; expected GLUE's own file, get it again"
        ) from None
    if "\0" in text:
        raise BadInput(f"{path}: NUL bytes; expected GLUE's own file, get it again")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _header(task: Task, path: Path, line: str) -> list[str]:
    """The names of a file's columns in its order. BadInput where its first line should name them
    and does not."""
    if not task.tsv_header:
        return list(task.tsv_columns)
    columns = line.split("\t")
    expected = task.tsv_columns
    if path.name == task.dev_file and task.dev_columns:
        expected = task.dev_columns
    if sorted(columns) != sorted(expected):
        raise BadInput(
            f"{path} line 1: {', '.join(columns)[:80]!r}, expected a header with the columns"
            f" {', '.join(expected)}; get GLUE's own file again"
        )
    return columns


def check_classes(task: Task, where: str, labels: Sequence[float]) -> None:
    """BadInput unless every label occurs: with one class only, every answer is the best one. Of a
    regression two different numbers."""
    if task.kind == REGRESSION and len(set(labels)) < 2:
        raise BadInput(f"{where}: all labels are the same; expected numbers that differ")
    if missing := set(range(len(task.labels))) - set(labels):
        names = " or ".join(task.labels[label] for label in sorted(missing))
        raise BadInput(f"{where}: no example is labelled {names}; expected examples of every label")

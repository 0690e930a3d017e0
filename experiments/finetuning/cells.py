"""The rows of somebody's table: texts, and labels that are classes or numbers. BadInput names the
first row that is neither."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.finetuning.errors import BadInput
from experiments.finetuning.spellings import check_labels, check_texts, check_writing
from experiments.finetuning.tables import Table

LARGEST = float(np.finfo(np.float32).max)  # number of a regression
WHOLE = re.compile("[+-]?[0-9]+")
LIST = re.compile(r"\[\s*(['\"].*|.*,.*)\]", re.DOTALL)  # not such a label as [CLS]


def read_part(
    table: Table, text_columns: Sequence[str], remarks: list[str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Texts and labels of a part, labels as text. BadInput names the first row that lacks one."""
    columns = [table.columns[name] for name in text_columns]
    label_column = next(name for name in table.columns if name not in text_columns)
    texts: list[tuple[str, ...]] = []
    labels: list[str] = []
    blank = 0
    for row, (*cells, value) in enumerate(
        zip(*columns, table.columns[label_column], strict=True), start=1
    ):
        where = f"{table.where} row {row}"
        text = tuple(as_text(cell, where) for cell in cells)
        label = as_label(value, table.class_names, where)
        if label == label_column and [part.strip() for part in text] == list(text_columns):
            raise BadInput(
                f"{where} is the header again ({', '.join([*text_columns, label])}), as joining"
                " files leaves it; expected a row: take it out"
            )
        empty = not any(part.strip() for part in text)
        if empty and not label:
            blank += 1
            continue
        if empty:
            names = " and ".join(text_columns)
            raise BadInput(
                f"{where}: {names} empty; expected a text: leave the row out, or fill it"
            )
        if not label:
            raise BadInput(
                f"{where}: {label_column} is empty; expected a label: leave the row out, or fill it"
            )
        texts.append(text)
        labels.append(label)
    remarks += check_texts(texts, table.where)
    if blank:
        remarks.append(f"{table.where}: {blank} rows without text and label are left out")
    if not texts:
        raise BadInput(f"{table.where} has no rows: expected examples")
    return texts, labels


def listed(labels: Sequence[str]) -> str:
    """Labels for a message, with escapes where one could not be seen."""
    return ", ".join(label if label.isprintable() else ascii(label) for label in labels)[:200]


def as_text(cell: Any, where: str) -> str:
    """A cell of text; a number as it is written, nothing as ""."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, bool | int | float):
        return str(cell)
    raise BadInput(f"{where}: {type(cell).__name__} where text was expected; join it into one text")


def as_label(value: Any, names: list[str] | None, where: str) -> str:
    """A label as text, without blanks around it; a whole number without a point."""
    if names and isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else ""
    if isinstance(value, list | tuple):
        raise BadInput(
            f"{where}: a list where a label was expected: several labels an example are not"
            " supported; expected one, such as one data set a label with yes or no"
        )
    text = as_text(value, where).strip()
    if WHOLE.fullmatch(text):  # however long: a float has 53 bits
        return str(int(text))
    number = as_number(text)
    # above 2^53 floats skip whole numbers, and 1e39 has 40 digits
    whole = number is not None and number.is_integer() and abs(number) < 2**53
    return str(int(number)) if number is not None and whole else text


def as_number(text: str) -> float | None:
    """A finite number, or None. To Python 1_0 is 10; here it is a text."""
    if "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def row_of(label: str, table: Table) -> int:
    """The first row of a table that has this label, blank rows counted."""
    column = list(table.columns.values())[-1]
    return [as_label(value, table.class_names, table.where) for value in column].index(label) + 1


def as_numbers(labels: Sequence[str], table: Table) -> np.ndarray:
    """The labels of a regression."""
    numbers = []
    for label in labels:
        number = as_number(label)
        if number is None or abs(number) > LARGEST:
            raise BadInput(
                f"{table.where}: label {label!r} in row {row_of(label, table)}: expected a finite"
                " number, since the metric is a correlation; classes want accuracy, f1 or"
                " matthews_correlation"
            )
        numbers.append(number)
    return np.array(numbers, dtype=np.float32)


def odd_labels(table: Table) -> list[str]:
    """Warnings about the labels of a part that are classes. BadInput for such as cannot be meant.
    Of names that the data declares nothing is said."""
    if table.class_names:
        return []
    labels, written = [], []
    for value in list(table.columns.values())[-1]:
        if label := as_label(value, None, table.where):
            labels.append(label)
            written.append(as_text(value, table.where).strip())
    return check_labels(Counter(labels), table.where) + check_writing(labels, written, table.where)


def class_names(read: dict[str, tuple[list, list[str]]], tables: dict[str, Table]) -> list[str]:
    """The classes of the training set in their order. BadInput for labels that are no classes, and
    for such as train has not."""
    labels, where = read["train"][1], tables["train"].where
    known = set(labels)
    if lists := [label for label in labels if LIST.fullmatch(label)]:
        raise BadInput(
            f"{where} has lists written as text, such as {lists[0][:40]!r}: expected one label a"
            " row; lists of words and labels need .jsonl or .parquet"
        )
    numbers = {label: as_number(label) for label in known}
    if None not in numbers.values():
        if fractions := [label for label in labels if not float(label).is_integer()]:
            row = row_of(fractions[0], tables["train"])
            raise BadInput(
                f"{where} has labels with a fraction ({fractions[0]} in row {row}): expected"
                " classes; for a regression give --metric pearson or spearman"
            )
        names = sorted(known, key=lambda label: (float(label), label))  # of long ones floats tie
    else:
        names = sorted(known)
    if declared := tables["train"].class_names:
        names = [name for name in declared if name in known]
    if len(names) == 1:
        raise BadInput(
            f"all {len(labels):,} labels of {where} are {names[0]!r}: expected two classes or more"
        )
    if len(names) > len(labels) / 2:
        raise BadInput(
            f"{where} has {len(names):,} different labels in {len(labels):,} rows:"
            " expected classes that repeat; is it another column, or a text?"
        )
    if "dev" in read and (strange := sorted(set(read["dev"][1]) - known)):
        raise BadInput(
            f"{tables['dev'].where} has labels that train has not: {listed(strange)}; expected of"
            f" {listed(names)}"
        )
    return names

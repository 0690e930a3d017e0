"""The cells of a log as numbers. What cannot be is refused in one line: no verdict is better than
one from numbers that were read wrongly. What was changed or left out is told in a note."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.shared.reading import BadInput

MISSING = None
BLANK = ("", "-", "--", "no log", "na", "n/a", "<na>", "none", "null")
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?%?", re.IGNORECASE)
HIGHEST_STEP = 2.0**53  # beyond it neighbouring steps are one number
ROUNDING = 1e-6  # of a loss or score
CORRELATIONS = (
    "matthews",
    "mcc",
    "pearson",
    "spearman",
    "kappa",
)  # parts of the names of such scores
Cells = Sequence[Any]
Numbers = list[float | None]


def as_number(cell: Any) -> float | None:
    """A number, NaN where the log says nan, a share where it says percent; MISSING for what is
    neither."""
    if isinstance(cell, bool) or cell is None or "_" in str(cell):  # 0_7 would be 7
        return MISSING
    try:
        return float(cell)
    except OverflowError:  # a whole number of 400 digits
        return math.inf
    except (TypeError, ValueError):
        pass
    if isinstance(cell, str) and cell.rstrip().endswith("%"):
        share = as_number(cell.rstrip()[:-1])
        return share if share is None else share / 100
    return MISSING


def is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in BLANK)


def numbers(column: str, cells: Cells, name: str, notes: list[str]) -> Numbers:
    """The numbers of a column of the log `name`. BadInput where a comma is the decimal sign."""
    found = [as_number(cell) for cell in cells]
    unread = [
        cell for cell, x in zip(cells, found, strict=True) if x is None and not is_blank(cell)
    ]
    for cell in unread:
        if isinstance(cell, str) and DECIMAL_COMMA.fullmatch(cell.strip()):
            raise BadInput(
                f"{name}: {column} is {shown(cell)}: expected a number with a decimal point; is the"
                " comma the decimal sign? replace it"
            )
    if unread:
        there = len(unread) + sum(x is not None for x in found)
        notes.append(
            f"warning: {len(unread)} of {there} cells of {column} are no numbers, such as"
            f" {shown(unread[0])}: not read"
        )
    if any(isinstance(cell, str) and cell.rstrip().endswith("%") for cell in cells):
        notes.append(f"warning: {column} has percent signs: read as shares, 50% as 0.5")
    return found


def shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:40]}..."


def losses(column: str, cells: Cells, name: str, notes: list[str]) -> Numbers:
    """Losses or gradient norms, which are never below 0. BadInput where one is, or where none of
    the cells is a number."""
    found = numbers(column, cells, name, notes)
    if all(x is None for x in found):
        for cell in cells:
            if not is_blank(cell):
                raise BadInput(f"{name}: {column} is {shown(cell)}: expected a number")
    for x in found:
        if x is not None and -math.inf < x < -ROUNDING:
            raise BadInput(
                f"{name}: {column} is {x:g}: expected a number from 0 on, as a cross-entropy or a"
                " norm is; is it a log-likelihood? turn its sign"
            )
    return found


def scores(column: str, cells: Cells, name: str, notes: list[str]) -> Numbers:
    """Scores; of a metric that is at most 1 in shares of 1, also where the log has them in percent.
    BadInput where they are neither, or both."""
    found = numbers(column, cells, name, notes)
    lowest = lowest_of(column)
    known = [x for x in found if x is not None and math.isfinite(x)]
    if math.isnan(lowest) or not known:
        return found
    low, high = min(known), max(known)
    if lowest - ROUNDING <= low and high <= 1 + ROUNDING:
        return found
    if low < 100 * lowest - ROUNDING or high > 100 + ROUNDING:
        beyond = high if high > 100 else low
        raise BadInput(
            f"{name}: {column} is {beyond:g}: expected {lowest:g} to 1, or {100 * lowest:g} to 100"
            " in percent"
        )
    for x in known:
        if 0 < abs(x) <= 1:
            raise BadInput(
                f"{name}: {column} is {x:g} in one place and {high if high > 1 else low:g} in"
                " another: shares or percent? write all in one way"
            )
    notes.append(
        f"warning: {column} goes to {high:.4g}, so it is in percent: read as shares, divided by 100"
    )
    return [x if x is None else x / 100 for x in found]


def constant_answers(
    column: str, found: Numbers, loss: Numbers, table: bool, notes: list[str]
) -> Numbers:
    """Scores with 0 for a correlation that is no number beside a dev loss that is one: one constant
    answer has no variance to divide by. In a `table` nan is a missing cell where no loss stands."""
    if not any(part in column.lower() for part in CORRELATIONS):
        return found
    read, changed = list(found), 0
    for i, (x, beside) in enumerate(zip(found, loss, strict=True)):
        evaluated = not table if beside is None else math.isfinite(beside)
        if x is not None and math.isnan(x) and evaluated:
            read[i] = 0.0
            changed += 1
    if changed:
        there = sum(x is not None for x in found)
        notes.append(
            f"warning: {column} is no number (nan) in {changed} of {there} evaluations, which is"
            " what one constant answer gives: read as 0"
        )
    return read


def lowest_of(column: str) -> float:
    """The lowest value of a score that is at most 1; NaN for another score."""
    name = column.lower()
    if any(part in name for part in CORRELATIONS):
        return -1.0
    return 0.0 if any(part in name for part in ("acc", "f1", "auc")) else math.nan


def steps(column: str, cells: Cells, name: str, notes: list[str]) -> Numbers:
    """Steps or epochs: BadInput for one that cannot be. Those that cannot be read are counted by
    their place, as where there are none."""
    try:
        found = numbers(column, cells, name, notes)
    except BadInput:  # 1,000 with a comma for the thousands: the place does as well
        first = next(cell for cell in cells if "," in str(cell))
        notes.append(
            f"warning: {column} has commas, such as {shown(first)}: records are counted by their"
            " place"
        )
        return [MISSING] * len(cells)
    for x in found:
        if x is not None and not 0 <= x <= HIGHEST_STEP:
            raise BadInput(
                f"{name}: {column} is {x:g}: expected numbers from 0 to {HIGHEST_STEP:.0g}; mend"
                " the column, or leave it out: records are then counted by their place"
            )
    return found


def order_of(steps: np.ndarray, table: bool) -> tuple[np.ndarray | None, bool]:
    """The order that sorts the steps of one run, None where they are sorted or several runs are in
    one file; and whether that is so. A run logs a step once, and several begin anew where the step
    goes back. Only the rows of a `table` may have been sorted by anything; what a run printed is
    at most read from its end."""
    falls = np.flatnonzero(np.diff(steps) < 0)
    lowest = np.minimum.accumulate(steps)
    if not len(falls):
        return None, False
    once = len(np.unique(steps)) == len(steps)
    backwards = len(falls) == len(steps) - 1 and len(steps) > 2
    if once and (backwards or (table and (steps[falls + 1] > lowest[falls]).any())):
        return np.argsort(steps, kind="stable"), False
    return None, True

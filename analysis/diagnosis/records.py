"""The log of a run as records: training losses and evaluations, in the order of their steps."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import numpy as np

from analysis.diagnosis import cells


@dataclass(frozen=True)
class Records:
    """Records of one kind, in order: arrays of equal length, NaN where a value is missing or not
    finite."""

    step: np.ndarray  # or epoch, or the place, where the log has no steps
    loss: np.ndarray  # nats; of training: mean since the last record
    other: np.ndarray  # of training the gradient norm (L2), of evaluations the score
    broken: np.ndarray  # whether a loss or norm stands there that is no finite number

    def __len__(self) -> int:
        return len(self.step)

    def known(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of "loss" or "other" where there is one."""
        values = getattr(self, name)
        there = ~np.isnan(values)
        return self.step[there], values[there]


@dataclass
class Log:
    """The log of one run."""

    name: str
    training: Records
    evaluations: Records
    metric: str | None = None  # name of the score
    steps: int | None = None  # planned, where the log says so
    done: int | None = None  # likewise
    mean_loss: float = math.nan  # nats, over the whole run, as the Trainer says it at the end
    dev_examples: int | None = None
    divided_by: int = 1  # its training losses (scale.py)
    gradient_ratio: float = math.nan  # the first layer's gradient norm over the classifier's
    other_task: str = ""  # the name of a score that classes do not have, where there is no other
    notes: list[str] = field(default_factory=list)  # a line each, for the reader
    digest: str = ""  # of the text it was read from
    # of a run of our own store: label entropy (nats), level of the best constant answer
    label_entropy: float = math.nan
    constant_level: float = math.nan


def in_order(
    training: Records, evaluations: Records, table: bool, notes: list[str]
) -> tuple[Records, Records]:
    """Both sorted by their steps where they are of one run and in another order; noted, as it is
    where they look like several runs."""
    parts, moved, several = [], False, False
    for part in (training, evaluations):
        order, again = cells.order_of(part.step, table)
        several |= again
        if order is not None:
            moved = True
            part = chosen(part, order)
        parts.append(part)
    if several:
        notes.append(
            "warning: its steps go back; several runs in one file are judged as one: give each a"
            " file of its own"
        )
    elif moved:
        notes.append(
            "warning: its records are not in the order of their steps: sorted; if they are of"
            " several runs, give each a file of its own"
        )
    return parts[0], parts[1]


def chosen(records: Records, which: np.ndarray) -> Records:
    """Those records, by their places or a mask."""
    return Records(*(getattr(records, part.name)[which] for part in fields(records)))


def records_of(
    step: Iterable[float],
    loss: Iterable[float | None],
    other: Iterable[float | None] | None = None,
    norm: bool = True,
) -> Records:
    """Records from values that may be None. `norm`: whether `other` is one, and broken where it is
    not finite; a score may well be undefined."""
    steps = np.array(list(step), dtype=float)
    losses, others = list(loss), [None] * len(steps) if other is None else list(other)
    there = [
        np.array([cell is not None for cell in values], dtype=bool) for values in (losses, others)
    ]
    arrays = []
    for values in (losses, others):
        arrays.append(
            np.array([math.nan if cell is None else cell for cell in values], dtype=float)
        )
    broken = there[0] & ~np.isfinite(arrays[0])
    if norm:
        broken |= there[1] & ~np.isfinite(arrays[1])
    for values in arrays:
        values[~np.isfinite(values)] = math.nan
    return Records(steps, arrays[0], arrays[1], broken)

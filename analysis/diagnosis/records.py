"""A log as records: training losses and evaluations, from dicts or columns of anybody's names."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.shared.reading import BadInput

TRAIN_LOSS = ("loss", "train_loss", "training_loss", "train/loss")
DEV_LOSS = ("eval_loss", "dev_loss", "val_loss", "valid_loss", "validation_loss", "eval/loss")
NORM = ("grad_norm", "gradient_norm", "train/grad_norm")
STEP = ("step", "global_step", "train/global_step", "steps", "iteration")
# a score whose name ends so, the first that is there: those whose best constant answer is known
# whatever the labels come first
SCORES = (
    "matthews_correlation",
    "matthews_corrcoef",
    "mcc",
    "matthews",
    "pearson",
    "spearmanr",
    "spearman",
    "accuracy",
    "acc",
    "f1_macro",
    "macro_f1",
    "f1",
    "score",
)


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
    mean_loss: float = math.nan  # nats, over the whole run, as the Trainer says it at the end
    dev_examples: int | None = None
    notes: list[str] = field(default_factory=list)  # a line each, for the reader
    # of a run of our own store: label entropy (nats), level of the best constant answer
    label_entropy: float = math.nan
    constant_level: float = math.nan


def is_loss(key: str) -> bool:
    return key in TRAIN_LOSS or key in DEV_LOSS


def from_records(records: Iterable[Mapping[str, Any]], name: str, metric: str | None) -> Log:
    """A list of dicts as in the Trainer's log_history."""
    columns: dict[str, list[Any]] = {}
    count = 0
    for record in records:
        for key, value in record.items():
            column = columns.setdefault(key, [])
            column += [MISSING] * (count - len(column)) + [as_number(value)]
        count += 1
    for column in columns.values():
        column += [MISSING] * (count - len(column))
    # the Trainer's closing record: the mean over the whole run, no record of a step
    closing = math.nan
    if "train_runtime" in columns and "train_loss" in columns:
        closes = [runtime is not MISSING for runtime in columns["train_runtime"]]
        for i in np.flatnonzero(closes):
            closing, columns["train_loss"][i] = columns["train_loss"][i], MISSING
    log = from_columns(columns, count, name, metric)
    log.mean_loss = closing
    log.dev_examples = evaluated(columns)
    return log


def evaluated(columns: Mapping[str, list[Any]]) -> int | None:
    """Dev examples, from the Trainer's seconds and examples per second; a pasted log may have one
    of the two, or neither."""
    seconds_of, speed_of = (
        columns.get(name, []) for name in ("eval_runtime", "eval_samples_per_second")
    )
    for seconds, speed in zip(seconds_of, speed_of, strict=False):
        if seconds and speed:
            return round(seconds * speed)
    return None


MISSING = None


def as_number(value: Any) -> Any:
    """A number, NaN where the log says nan; MISSING for what is neither."""
    if isinstance(value, bool) or value is None:
        return MISSING
    try:
        return float(value)
    except (TypeError, ValueError):
        return MISSING


def from_columns(
    columns: Mapping[str, list[Any]], count: int, name: str, metric: str | None
) -> Log:
    """A log from columns in which None stands for a value that is not there."""
    score = chosen_score(columns, name, metric)

    def column(names: Iterable[str]) -> list[Any]:
        there = [name for name in names if name in columns]
        return columns[there[0]] if there else [None] * count

    step = column(STEP)
    if all(value is None for value in step):
        step = column(("epoch", "train/epoch"))
    if any(value is None for value in step):
        step = list(range(1, count + 1))  # by their place: pasted lines often lack both
    loss, norm, dev_loss = column(TRAIN_LOSS), column(NORM), column(DEV_LOSS)
    scores = columns[score] if score else [None] * count
    trained = [i for i in range(count) if loss[i] is not None]
    judged = [i for i in range(count) if dev_loss[i] is not None or scores[i] is not None]
    log = Log(
        name,
        records_of(
            [step[i] for i in trained], [loss[i] for i in trained], [norm[i] for i in trained]
        ),
        records_of(
            [step[i] for i in judged],
            [dev_loss[i] for i in judged],
            [scores[i] for i in judged],
            norm=False,
        ),
        score,
    )
    if (np.diff(log.training.step) < 0).any() or (np.diff(log.evaluations.step) < 0).any():
        log.notes.append(
            "warning: its steps go back; several runs in one file are judged as one: give each a"
            " file of its own"
        )
    return log


def chosen_score(columns: Iterable[str], name: str, metric: str | None) -> str | None:
    """The column of the score: the one asked for, or the first of SCORES that is there."""
    known = list(columns)
    if metric:
        for column in (metric, f"eval_{metric}"):
            if column in known:
                return column
        raise BadInput(f"{name} has no score {metric!r}: it has {', '.join(known)}")
    for ending in SCORES:
        for column in known:
            plain = re.sub(r"^(eval|dev|val|valid|validation|test)[_/]", "", column.lower())
            if plain == ending:
                return column
    return None


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
        np.array([cell is not None for cell in cells], dtype=bool) for cells in (losses, others)
    ]
    arrays = []
    for cells in (losses, others):
        arrays.append(np.array([math.nan if cell is None else cell for cell in cells], dtype=float))
    broken = there[0] & ~np.isfinite(arrays[0])
    if norm:
        broken |= there[1] & ~np.isfinite(arrays[1])
    for values in arrays:
        values[~np.isfinite(values)] = math.nan
    return Records(steps, arrays[0], arrays[1], broken)

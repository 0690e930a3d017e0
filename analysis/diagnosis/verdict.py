"""What a verdict on a log is: the shapes, the thresholds, and what several rules read of a run's
end."""

from dataclasses import dataclass
from math import log, nan

import numpy as np

from analysis.diagnosis.chance import Chance, kind_of
from analysis.diagnosis.records import Log

NEVER, COLLAPSED, NO_NUMBER, LIES = (
    "never left chance",
    "learnt and collapsed",
    "NaN or 0",
    "the metric lies",
)
MEMORISED, OSCILLATES, LEARNT, UNKNOWN = "memorised", "oscillates", "learnt", "cannot tell"
SHAPES = [NEVER, COLLAPSED, NO_NUMBER, LIES, MEMORISED, OSCILLATES, LEARNT, UNKNOWN]
LETTERS = {NEVER: "A", COLLAPSED: "B", NO_NUMBER: "C", LIES: "D"}

SMALL = log(2) / 10  # nats; a training loss below it is near 0


@dataclass(frozen=True)
class Thresholds:
    """What was chosen on runs with odd seeds, before the rule was widened (LOG.md, Logs of others);
    but for band and moved, which nothing there bears on, and those behind them, which were set when
    gte-small's runs had been looked at. A share is one of the way from the constant answer's score
    (0) to a perfect one (1)."""

    tied: float = 0.01  # share: still at chance
    near: float = 0.1  # the same, where the losses are at the label entropy as well
    at_entropy: float = 0.01  # nats below the label entropy: still at chance
    left_score: float = 0.2  # share: has left chance
    left_dev: float = 0.03  # nats that the dev loss is below the label entropy: likewise
    # nats, of the mean training loss since the last record; at most 0.3 of the label entropy
    left_train: float = 0.2
    mean_small: float = 0.25  # nats: a mean training loss of the whole run below it ends near 0
    band: float = 0.1  # share: median move from one evaluation to the next of an oscillation
    moved: float = 0.3  # share of the label entropy by which the dev loss fell at a fixed score
    off_chance: float = 0.05  # nats that the training loss is below the label entropy
    risen: float = 0.03  # nats that the last dev loss is above an earlier one
    alike: float = 0.05  # nats between training and dev loss of one constant answer
    settled: float = 0.005  # nats between its last two dev losses
    uneven: float = 0.15  # share of the guessed label entropy: that of very uneven labels


CHOSEN = Thresholds()


@dataclass(frozen=True)
class Verdict:
    """A shape, and the numbers it rests on, a sentence each."""

    shape: str
    because: list[str]
    failed: bool | None = None  # at the end at chance or without a number; None: not known


def smoothed(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """A series of at most so many points: means of as many parts, at their last step."""
    if len(steps) <= most:
        return steps, values
    edges = np.linspace(0, len(steps), most + 1).astype(int)
    return steps[edges[1:] - 1], np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def end_loss(log_: Log) -> float:
    """Mean training loss of the records of the last tenth of the run, in nats; without records the
    mean over the whole run, where that is known."""
    steps, losses = log_.training.known("loss")
    if not len(steps):
        return log_.mean_loss
    begun = np.flatnonzero(np.diff(steps) < 0)  # where another run begins, whose end counts
    if len(begun):
        steps, losses = steps[begun[-1] + 1 :], losses[begun[-1] + 1 :]
    late = losses[steps > 0.9 * steps[-1]]
    return float((late if len(late) else losses[-1:]).mean())  # none: the only step is 0


def last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else nan


def way(score: float | np.ndarray, chance: Chance) -> float | np.ndarray:
    """How far a score is on the way from the best constant answer (0) to a perfect one (1)."""
    return (score - chance.level) / (1 - chance.level)


def fallen(chance: Chance, thresholds: Thresholds) -> float:
    """The training loss (nats) below which a run has left chance."""
    return chance.entropy - min(thresholds.left_train, 0.3 * chance.entropy)


def near_zero(log_: Log, chance: Chance, thresholds: Thresholds) -> float:
    """The training loss (nats) at the end below which it is near 0; of a log that has only the mean
    over the run that mean's. At most half of the label entropy, which may be small itself: of very
    uneven labels, or of numbers from 0 to 1, whose variance takes its place. Where that is not
    known, half of the first loss."""
    losses = log_.training.known("loss")[1]
    near = SMALL if len(losses) else thresholds.mean_small
    if chance.entropy > 0:
        return min(near, chance.entropy / 2)
    if kind_of(log_.metric) == "correlation":
        return min(near, losses[0] / 2) if len(losses) else 0.0
    return near

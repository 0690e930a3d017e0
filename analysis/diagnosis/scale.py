"""Training losses that are logged as a multiple: under gradient accumulation transformers 5.23 sums
those of the micro-batches, and of several processes."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analysis.diagnosis.records import Records

FACTORS = range(2, 65)  # micro-batches times processes
NEAR = 0.15  # of the factor: so near to a whole number is a quotient taken for one
FLAT = 0.1  # share: records so alike are of a loss that does not fall, which alone can be compared
APART = 0.3  # nats: a smaller difference has many other causes


def comparable(training: "Records", evaluations: "Records", notes: list[str]) -> "Records":
    """The training records; where their losses do not fall, and lie a whole number of times above
    the last dev loss, divided by it, as a note says. A loss that falls is a mean over steps at
    which it was higher, so that nothing follows from its height."""
    steps, losses = training.known("loss")
    evaluated, dev = evaluations.known("loss")
    if len(losses) < 2 or not len(dev) or not dev[-1] > 0 or evaluated[-1] < 0.95 * steps[-1]:
        return training
    mean = float(losses.mean())
    factor = round(mean / dev[-1])
    whole = factor in FACTORS and abs(mean / dev[-1] - factor) <= NEAR
    if not whole or mean - dev[-1] < APART or np.ptp(losses) > FLAT * mean:
        return training
    notes.append(
        f"warning: training losses stay at {mean:.3g}, {factor} times the dev loss of"
        f" {dev[-1]:.3g}, as where those of micro-batches are summed: divided by {factor}"
    )
    return replace(training, loss=training.loss / factor)

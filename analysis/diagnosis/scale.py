"""Training losses that are logged as a multiple: under gradient accumulation transformers 5.23 sums
those of the micro-batches, and of several processes."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analysis.diagnosis.records import Records

NEAR = 0.1  # of the factor: so near to a whole number is a quotient taken for one
LEAST, APART = 1.6, 0.3  # times, and nats: a smaller difference has many other causes


def comparable(training: "Records", evaluations: "Records", notes: list[str]) -> "Records":
    """The training records; where their losses of the last tenth lie far above the last dev loss,
    divided by the factor if that is a whole number, else without them, as a note says."""
    steps, losses = training.known("loss")
    evaluated, dev = evaluations.known("loss")
    if not len(losses) or not len(dev) or not dev[-1] > 0 or evaluated[-1] < 0.95 * steps[-1]:
        return training
    late = float(losses[steps > 0.9 * steps[-1]].mean()) if steps[-1] > 0 else float(losses[-1])
    times = late / dev[-1]
    if times < LEAST or late - dev[-1] < APART:
        return training
    said = f"warning: training losses end at {late:.3g}, {times:.2g} times the dev loss of"
    said += f" {dev[-1]:.3g}, as where"
    whole = round(times)
    if abs(times / whole - 1) <= NEAR:
        notes.append(f"{said} those of micro-batches are summed: divided by {whole}")
        return replace(training, loss=training.loss / whole)
    notes.append(f"{said} those of micro-batches are summed, or training is made harder: not read")
    return replace(training, loss=np.full(len(training), np.nan))

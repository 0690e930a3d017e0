"""Training losses that are logged as a multiple: under gradient accumulation transformers 5.23 sums
those of the micro-batches, and of several processes."""

from dataclasses import replace

from analysis.diagnosis.records import Records

FACTORS = range(2, 65)  # micro-batches times processes
NEAR = 0.15  # of the factor: so near to a whole number is a quotient taken for one
# share that the last third may lie below the first: of a loss that falls more, and so is a mean
# over steps at which it was higher, nothing follows
FLAT = 0.1
APART = 0.5  # nats: a smaller difference has many other causes


def comparable(training: Records, evaluations: Records, notes: list[str]) -> tuple[Records, int]:
    """The training records and 1; where their losses do not fall, and lie a whole number of times
    above the last dev loss, divided by it, as a note says, and that number."""
    steps, losses = training.known("loss")
    evaluated, dev = evaluations.known("loss")
    if len(losses) < 2 or not len(dev) or not dev[-1] > 0 or evaluated[-1] < 0.95 * steps[-1]:
        return training, 1
    mean = float(losses.mean())
    factor = round(mean / dev[-1])
    whole = factor in FACTORS and abs(mean / dev[-1] - factor) <= NEAR
    third = max(1, len(losses) // 3)
    falls = losses[:third].mean() - losses[-third:].mean() > FLAT * mean
    if not whole or mean - dev[-1] < APART or falls:
        return training, 1
    notes.append(
        f"warning: training losses stay at {mean:.3g}, {factor} times the dev loss of"
        f" {dev[-1]:.3g}, as where those of micro-batches are summed: divided by {factor}"
    )
    return replace(training, loss=training.loss / factor), factor

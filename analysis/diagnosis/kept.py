"""Evaluations after training, which are of the checkpoint that was kept and not of the end.

With load_best_model_at_end the Trainer loads its best checkpoint again before the evaluation that
a script ends with: a run that had collapsed would look as one that learnt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.diagnosis import cells

SUMMARY = ("train_runtime", "train_samples_per_second")  # stand in the closing record alone
ALIKE = 1e-3  # of a loss or score: less apart are two evaluations of one checkpoint


def end_of_training(columns: Mapping[str, Sequence[Any]], count: int) -> int:
    """The row of the last training summary; the number of rows where there is none."""
    rows = []
    for name in SUMMARY:
        rows += [i for i, cell in enumerate(columns.get(name, ())) if not cells.is_blank(cell)]
    return max(rows, default=count)


def is_kept(
    step: np.ndarray,
    loss: np.ndarray,
    score: np.ndarray,
    broken: np.ndarray,
    after: np.ndarray,
    notes: list[str],
) -> np.ndarray:
    """Which evaluations to leave out, as a note says: one at the last step that contradicts the
    first there; `after` the training summary also one that says again what an earlier one said."""
    kept = np.zeros(len(step), dtype=bool)
    if not len(step) or (np.diff(step) < 0).any():  # several runs, or read from the end
        return kept
    for i in np.flatnonzero(after | (step == step[-1])):
        first = np.searchsorted(step, step[i])
        apart = np.fmax(np.abs(loss[:i] - loss[i]), np.abs(score[:i] - score[i]))
        same = (apart <= ALIKE) & (broken[:i] == broken[i])
        if first == i:
            kept[i] = after[i] and bool(same.any())
        elif apart[first] > ALIKE or broken[first] != broken[i]:
            kept[i] = True
        elif after[i] and same[first]:
            kept[i] = True
            continue  # of the end as well: nothing to say
        if kept[i]:
            numbers = [f"{x:.4g}" for x in (score[i], loss[i]) if np.isfinite(x)]
            notes.append(
                f"warning: the evaluation {'after training' if after[i] else 'that comes second'}"
                f" at step {step[i]:,.6g} ({', '.join(numbers)}) is not of the end of the run but of"
                " a kept checkpoint (load_best_model_at_end) or another set: left out"
            )
    return kept

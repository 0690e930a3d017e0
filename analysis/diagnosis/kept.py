"""Evaluations after training, which are of the checkpoint that was kept and not of the end.

With load_best_model_at_end the Trainer loads its best checkpoint again before the evaluation that
a script ends with: a run that had collapsed would look as one that learnt.
"""

from collections.abc import Iterable, Mapping, Sequence
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


def is_kept(evaluations: Iterable[np.ndarray], after: np.ndarray, notes: list[str]) -> np.ndarray:
    """Which evaluations (step, loss, score, whether broken) to leave out, as a note says: one at
    the last step that contradicts the first there; `after` the training summary also one that
    repeats an earlier one, without a note where that is of the same step."""
    step, loss, score, broken = evaluations
    kept = np.zeros(len(step), dtype=bool)
    if not len(step) or (np.diff(step) < 0).any():  # several runs, or read from the end
        return kept
    before = int((~after).sum())
    # a step that stands twice is told from epochs without decimals, which all do
    second = (step == step[-1]) & (len(np.unique(step)) >= before - 1)
    told = []
    for i in np.flatnonzero(after | second):
        first = int(np.searchsorted(step, step[i]))
        # the first of its step with all before the summary, another with that first one
        others = slice(first, first + 1) if first < i else slice(0, before if after[i] else 0)
        apart = np.fmax(np.abs(loss[others] - loss[i]), np.abs(score[others] - score[i]))
        same = (apart <= ALIKE) & (broken[others] == broken[i])
        other = first < i and bool((apart > ALIKE).any() or broken[first] != broken[i])
        kept[i] = other or (after[i] and bool(same.any()))
        if other or (kept[i] and first == i):
            told.append(i)
    if told:
        i = told[0]
        numbers = [f"{x:.4g}" for x in (score[i], loss[i]) if np.isfinite(x)]
        said = f" ({', '.join(numbers)})" if numbers else ""
        more = f"; {len(told) - 1} more likewise" if len(told) > 1 else ""
        notes.append(
            f"warning: the evaluation {'after training' if after[i] else 'that comes second'}"
            f" at step {step[i]:,.6g}{said} is not of the end of the run but"
            f" of a kept checkpoint (load_best_model_at_end) or another set: left out{more}"
        )
    return kept

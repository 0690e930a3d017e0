"""Oscillating scores: precision and recall jump after every epoch; which model do I keep?

Hypothesis : at a constant rate the scores of a sequence labeller never settle, however long it is
             trained; decay to 0 ends it. The band is the model's as much as dev's: a dev set of
             this size explains how far a score may be off, not that it jumps. Keeping the best
             epoch gains on the set that is reported, and less or nothing on held-out sentences.
Paper      : none; as practitioners ask it (six labels, hundreds of epochs, Adam without a
             schedule). Mosbach et al. 2021 (ICLR) decay linearly, with bias correction.
Command    : python -m experiments.oscillating_scores --profile mini
Cost       : mini: a first look takes 1 minute on 2 slow cores, 2 runs of 60 epochs on 48 sentences.
Writes     : results/<profile>/oscillating_scores.csv, one row per run: how wide its band is over
             the second half of the epochs, how wide dev alone makes it, what the best epoch gains;
             oscillating_scores_curves.csv, one row per run and evaluation.

Both kinds of run are alike but in the schedule: bias correction, no warm-up, dev scored after every
epoch. Data of one's own with a label a word: --data, as in the README; --sample-size and --epochs
as elsewhere. Tasks with a label an example are left out.
"""

import argparse
import sys
from typing import Any

import numpy as np

from experiments.finetuning.glue import TOKENS
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import MINI, load_splits, task_of
from experiments.finetuning.tokens import count, counts_from_text, scores
from experiments.sweeps.command import default_rate
from experiments.sweeps.flags import SCHEDULES
from experiments.sweeps.grid import grid, one_seed_at_first, say_left_out
from experiments.sweeps.rows import curves, row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

EPOCHS = 60
MINI_SENTENCES = 48  # 3 steps an epoch; 300 sentences of dev take as long as 5 steps
DRAWS, CUTS, SEED = 1000, 200, 1  # of dev's sentences with replacement; of dev in halves
NEAR = 0.02  # of the second half's mean F1: from the first such epoch on a run is at its plateau


def planned(options: argparse.Namespace) -> list[Run]:
    runs: list[Run] = []
    rates = options.learning_rates if options.rates_given else [default_rate(options)]
    for schedule in [options.schedule] if options.schedule else SCHEDULES:
        runs += grid(
            one_seed_at_first(options),
            tasks=tasks_with_words(options),
            learning_rates=rates,
            corrections=[True],
            epochs=options.epochs or [EPOCHS],
            schedule=schedule,
            warmup_ratio=0.0,
            evaluations_per_epoch=1,
            train_examples=options.sample_size or (MINI_SENTENCES if is_mini(options) else None),
            sampling_seed=options.sampling_seed,
        )
    return runs


def is_mini(options: argparse.Namespace) -> bool:
    return options.data in MINI


def tasks_with_words(options: argparse.Namespace) -> list[str]:
    """The tasks with a label a word; none, and a line that says so, where there is none."""
    tasks = options.tasks or (["tagging"] if is_mini(options) else [])
    chosen = [task for task in tasks if task_of(task, options.data).kind == TOKENS]
    if not chosen:
        print(
            "oscillating_scores: no task with a label a word, so nothing to train; expected"
            " --tasks tagging with mini's data, or --data with data of your own that has one",
            file=sys.stderr,
        )
    else:
        say_left_out("oscillating_scores", tasks, chosen, "it needs a label a word")
    return chosen


def write(options: argparse.Namespace, records: Records) -> None:
    rows, points = [], []
    for record in records:
        counts = counts_of(record)
        metric = record["outcome"]["metric"]
        rows.append({**row(record), **band_of(counts, metric), **choice_of(counts, metric)})
        points += [{**fields_of(record), **point} for point in points_of(record)]
    write_csv(options.results / "oscillating_scores.csv", rows)
    write_csv(options.results / "oscillating_scores_curves.csv", points)


def fields_of(record: dict[str, Any]) -> dict[str, Any]:
    """What tells the runs of a curve apart besides run_columns."""
    return {name: record["run"][name] for name in ("schedule", "train_examples")}


def points_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The curve of a run: its evaluations, with precision and recall."""
    points = []
    for point, found in zip(curves(record), record["history"]["evaluations"], strict=True):
        points.append({**point, "precision": found["precision"], "recall": found["recall"]})
    return points


def counts_of(record: dict[str, Any]) -> np.ndarray:
    """Counts of all evaluations but the one before training [evaluations, sentences, 3]."""
    run = Run(**record["run"])
    labels = load_splits(run.task, run.data_source)["dev"].labels
    there = count(labels, labels, task_of(run.task, run.data_source).labels)[:, 0]
    texts = record["history"]["dev_margins"][1:]
    return np.stack([counts_from_text(text, there) for text in texts])


def band_of(counts: np.ndarray, metric: str) -> dict[str, float | None]:
    """How far the scores of the second half of the epochs lie apart, and how far sentences drawn
    again (bootstrap) would move them. F1 from 0 to 1. Where a run still learns, `late_std` has its
    rise in it; `last_std` is of the last quarter, and `jump` hardly sees a rise.

    `dev_std`: standard deviation of one model's F1 over dev sets of this size. `jump`: root mean
    square of F1's difference between neighbouring epochs; `dev_jump`: standard deviation of that
    difference over such dev sets, the same sentences for both epochs. Of one epoch alone both are
    nan. `plateau_epoch`: None where no epoch is NEAR the mean."""
    found = scores(counts, metric)
    level, half = found[metric], len(counts) // 2
    late = {name: values[half:] for name, values in found.items()}
    f1 = late[metric]
    drawn = drawn_again(counts[half:], metric)
    same = np.std(late["precision"]) == 0 or np.std(late["recall"]) == 0
    together = np.nan if same else np.corrcoef(late["precision"], late["recall"])[0, 1]
    jump = dev_jump = np.nan
    if len(f1) > 1:
        jump = np.sqrt(np.mean(np.diff(f1) ** 2))
        dev_jump = np.sqrt(np.mean(np.diff(drawn, axis=1).var(axis=0)))
    near = abs(level - f1.mean()) <= NEAR
    return {
        "late_mean": float(f1.mean()),
        "late_std": float(f1.std()),
        "late_range": float(np.ptp(f1)),
        "last_std": float(level[-max(1, len(level) // 4) :].std()),
        "deepest_dip": float(np.median(f1) - f1.min()),
        "late_precision_std": float(late["precision"].std()),
        "late_recall_std": float(late["recall"].std()),
        "precision_with_recall": float(together),
        "dev_std": float(drawn.std(axis=0).mean()),
        "jump": float(jump),
        "dev_jump": float(dev_jump),
        "plateau_epoch": int(1 + near.argmax()) if near.any() else None,
    }


def drawn_again(counts: np.ndarray, metric: str) -> np.ndarray:
    """F1 [draws, evaluations] on as many sentences, drawn with replacement: in each draw the same
    ones for all evaluations."""
    sentences = counts.shape[1]
    random = np.random.default_rng(SEED)
    times = random.multinomial(sentences, np.full(sentences, 1 / sentences), DRAWS)
    summed = np.einsum("ds,esk->dek", times, counts)
    return scores(summed[:, :, None, :], metric)[metric]


def choice_of(counts: np.ndarray, metric: str) -> dict[str, float]:
    """Mean over many cuts of dev in halves: what the best epoch on the one half gains over the last
    one there, and on the other half, which did not choose; and how far the halves' scores of the
    second half of the epochs go together (correlation; nan where one never moves)."""
    sentences, last = counts.shape[1], len(counts) - 1
    random = np.random.default_rng(SEED)
    there, held_out, together = [], [], []
    for _ in range(CUTS):
        chosen = random.permutation(sentences) < sentences // 2
        one, other = (scores(counts[:, half], metric)[metric] for half in (chosen, ~chosen))
        best = int(one.argmax())  # the first of equal ones
        there.append(one[best] - one[last])
        held_out.append(other[best] - other[last])
        late = one[len(one) // 2 :], other[len(one) // 2 :]
        if min(np.ptp(late[0]), np.ptp(late[1])) > 0:
            together.append(np.corrcoef(*late)[0, 1])
    return {
        "gain_there": float(np.mean(there)),
        "gain_held_out": float(np.mean(held_out)),
        "halves_together": float(np.mean(together)) if together else np.nan,
    }


EXPERIMENT = Experiment("oscillating_scores", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

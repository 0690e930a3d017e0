"""Early signs: can a failing run be told before it has failed?

Hypothesis : after a tenth or two of the steps the first layer's gradient and the training loss tell
             which runs will fail.
Paper      : none. Dodge et al. 2020 stop the trials with the lowest dev scores early; here runs
             that will fail are predicted from training loss and gradients, which is not their rule.
Command    : python -m experiments.early_signs --profile mini
Cost       : mini: a first look takes 6 minutes on 2 slow cores, the runs of checkpoint_selection.
Writes     : results/<profile>/early_signs.csv, one row per run and share of the training: what is
             known by then.
"""

import argparse
from typing import Any

import numpy as np

from experiments.finetuning.histories import gradient_norms_of
from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, learning_rates
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import write_csv
from experiments.sweeps.sweep import Experiment, Records, main, steps

SHARES = (0.1, 0.2, 0.3)  # of all steps, after which a run may be judged


def planned(options: argparse.Namespace) -> list[Run]:
    tasks = options.tasks or ["rte"]
    return grid(
        options,
        tasks=tasks,
        learning_rates=learning_rates(options),
        corrections=[False],
        epochs=LENGTHS[:1],
    ) + grid(
        options,
        tasks=tasks,
        learning_rates=[default_rate(options)],
        corrections=[True],
        epochs=[LENGTHS[0], LENGTHS[-1]],
    )


def write(options: argparse.Namespace, records: Records) -> None:
    rows = []
    for record in records:
        rows += [early_signs_of(record, share) for share in SHARES]
    write_csv(options.results / "early_signs.csv", rows)


def early_signs_of(record: dict[str, Any], share: float) -> dict[str, Any]:
    """What training has shown after a share of its steps: the mean training loss (nats) over the
    tenth of all steps before, and the mean gradient norms of the first layer's output matrix and of
    the classifier over the same steps."""
    run, outcome, history = Run(**record["run"]), record["outcome"], record["history"]
    planned_steps = steps(run)  # also of a run that diverged before
    window = slice(
        max(0, round((share - 0.1) * planned_steps)), max(1, round(share * planned_steps))
    )
    every = history["gradient_norm_every"]

    def mean_norm(name: str) -> float:
        norms = [
            norm
            for number, norm in enumerate(gradient_norms_of(record, name))
            if window.start <= number * every < window.stop
        ]
        return float(np.mean(norms)) if norms else np.nan

    losses = history["train_loss"][window]
    return {
        "task": run.task,
        "model": run.model,
        "data": run.data,
        "dtype": run.dtype,
        "pretrained": run.pretrained,
        "learning_rate": run.learning_rate,
        "bias_correction": run.bias_correction,
        "epochs": run.epochs,
        "run": run.id,
        "seed": run.seed,
        "failed": outcome["failed"],
        "score": outcome["score"],
        "share": share,
        "steps": planned_steps,
        "train_loss": float(np.mean(losses)) if losses else np.nan,
        "label_entropy": outcome["label_entropy"],
        "first_layer_gradient": mean_norm("layer 1 output"),
        "classifier_gradient": mean_norm("classifier"),
    }


EXPERIMENT = Experiment("early_signs", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

"""Convergence pitfalls: well-known ways not to converge, and what their curves look like.

Hypothesis : what went wrong can be told from loss, dev score and gradient norms: a learning rate
             far too high diverges, one that rises to the last step is learnt from first and
             collapses late, a handful of examples is memorised, SGD at an Adam learning rate never
             moves, and Adam without bias correction lets the gradient of the lower layers vanish.
Paper      : none; the first four are what practitioners ask about, the last is Mosbach et al. 2021
             (ICLR), section 5.1. Rates: 5e-3 where the default recipe has 2e-5, so 250 times it;
             the rising one ends at 5 times the default, as looked for on mini (LOG.md).
Command    : python -m experiments.convergence_pitfalls --profile mini
Cost       : mini: a first look (8 examples only, 1 seed) takes 5 minutes on 2 slow cores, 10 runs,
             most of them shared.
Writes     : results/<profile>/convergence_pitfalls.csv, one row per finished run of the task,
             whichever experiment trained it, that differs from these only in rate, correction,
             length, examples and seeds: what was done, and what its curves say;
             convergence_pitfalls_curves.csv, one row per ten steps and per evaluation of this
             experiment's own runs.

Each pitfall changes the corrected recipe of 3 epochs in one thing, but SGD comes without dropout
and weight decay, as people try it. A few examples are seen as often as gives the steps of 3 epochs
on all.
"""

import argparse
from typing import Any

import numpy as np

from experiments.finetuning.histories import gradient_norms_of, margins_from_text
from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate
from experiments.sweeps.flags import SEED_FLAGS
from experiments.sweeps.grid import examples_of, grid, matching_epochs, one_seed_at_first
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import alike, row, run_columns, write_csv
from experiments.sweeps.store import stored
from experiments.sweeps.sweep import Experiment, Records, main

TOO_HIGH = 250  # times the default recipe's rate
RISING = 5  # times it, reached at the last step: all of training is warm-up
FEW = (2, 8)  # examples
EVERY = 10  # steps a row of the curves covers
VARIED = ("learning_rate", "bias_correction", "epochs", "train_examples", *SEED_FLAGS)
# name of a column -> the matrix
GRADIENTS = {"first_layer": "layer 1 output", "classifier": "classifier"}


def planned(options: argparse.Namespace) -> list[Run]:
    short, rate = LENGTHS[:1], default_rate(options)
    one = one_seed_at_first(options)
    runs = []
    for task in options.tasks or ["rte"]:
        runs += grid(
            options, tasks=[task], learning_rates=[rate], corrections=[False, True], epochs=short
        )
        runs += grid(
            options, tasks=[task], learning_rates=[rate], corrections=[True], epochs=LENGTHS[-1:]
        )
        runs += grid(
            one, tasks=[task], learning_rates=[TOO_HIGH * rate], corrections=[True], epochs=short
        )
        if not options.quick:
            runs += grid(
                options,
                tasks=[task],
                learning_rates=[round(RISING * rate, 10)],
                corrections=[True],
                epochs=short,
                warmup_ratio=1.0,
            )
        for examples in FEW[-1:] if options.quick else FEW:
            runs += grid(
                one,
                tasks=[task],
                learning_rates=[rate],
                corrections=[True],
                train_examples=examples,
                epochs=[matching_epochs(examples_of(options, task), examples)],
            )
        runs += grid(
            one,
            tasks=[task],
            learning_rates=[rate],
            corrections=[True],
            epochs=short,
            optimizer="sgd",
            dropout=0.0,
            weight_decay=0.0,
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    highest = TOO_HIGH * default_rate(options) / 10
    write_csv(
        options.results / "convergence_pitfalls.csv",
        [
            {"condition": condition(record, highest), **row(record), **curve_summary(record)}
            for record in alike(stored(options.results), records, VARIED)
        ],
    )
    points = []
    for record in records:
        points += [{"condition": condition(record, highest), **point} for point in curve(record)]
    write_csv(options.results / "convergence_pitfalls_curves.csv", points)


def condition(record: dict[str, Any], highest_rate: float) -> str:
    """What was done in a run, of the things this experiment is about."""
    run = Run(**record["run"])
    if run.optimizer == "sgd":
        return "SGD"
    if run.warmup_ratio == 1.0:
        return "rate rising to the end"
    if run.learning_rate > highest_rate:
        return "rate too high"
    if run.train_examples is not None and run.train_examples <= max(FEW):
        return f"{run.train_examples} examples"
    return "with bias correction" if run.bias_correction else "without bias correction"


def curve_summary(record: dict[str, Any]) -> dict[str, float]:
    """What the curves of a stored run say: losses in nats, at the start and the end as means over a
    tenth of the steps; gradient norms (L2), at the start before the first update, at the end as the
    median over a tenth; margins as differences of logits."""
    history, steps = record["history"], record["outcome"]["steps"]
    losses, tenth = np.asarray(history["train_loss"], dtype=float), max(1, steps // 10)
    first, last = (margins_from_text(history["dev_margins"][i]) for i in (0, -1))
    result = {
        "first_loss": losses[:tenth].mean(),
        "last_loss": losses[-tenth:].mean(),
        "highest_loss": max(
            losses[start : start + EVERY].mean() for start in range(0, len(losses), EVERY)
        ),
        "first_dev_loss": history["evaluations"][0]["dev_loss"],
        "last_dev_loss": history["evaluations"][-1]["dev_loss"],
        # after the start; not a number where there is none
        "lowest_dev_loss": np.fmin.reduce(
            [at["dev_loss"] for at in history["evaluations"][1:]], initial=np.nan
        ),
        "margin_change": np.sqrt(np.mean((last - first) ** 2)),
        "margin_spread": last.std(),
    }
    for short, name in GRADIENTS.items():
        if values := gradient_norms_of(record, name):
            result |= {
                f"{short}_gradient_at_start": values[0],
                f"{short}_gradient_at_end": np.median(values[-max(1, len(values) // 10) :]),
            }
    return {name: float(value) for name, value in result.items()}


def curve(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The curves of a stored run: a row every EVERY steps with the mean training loss of those
    steps and the gradient norms at the first of them, and a row an evaluation with the dev score
    after so many steps."""
    history, rows = record["history"], []
    norms = {short: gradient_norms_of(record, name) for short, name in GRADIENTS.items()}

    def add(step: int, **values: float | None) -> None:
        rows.append(
            {
                **run_columns(record),
                "step": step,
                "train_loss": None,
                "score": None,
                "first_layer_gradient": None,
                "classifier_gradient": None,
                **values,
            }
        )

    for number in range(len(history["gradient_norms"])):
        add(
            number * EVERY,
            train_loss=float(np.mean(history["train_loss"][number * EVERY : (number + 1) * EVERY])),
            **{f"{short}_gradient": values[number] for short, values in norms.items() if values},
        )
    for evaluation in history["evaluations"]:
        add(evaluation["step"], score=evaluation[record["outcome"]["metric"]])
    return rows


EXPERIMENT = Experiment(
    "convergence_pitfalls", __doc__, planned, write, in_parts=False, class_an_example=True
)

if __name__ == "__main__":
    main(EXPERIMENT)

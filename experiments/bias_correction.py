"""Bias correction: does Adam without it make fine-tuning fail?

Hypothesis : without bias correction more runs fail, the more the higher the learning rate; with it
             few or none.
Paper      : Mosbach et al. 2021 (ICLR), section 5.1, Figs 5, 6 and 9: RTE, 3 epochs, 25 seeds a
             setting, and three models.
Command    : python -m experiments.bias_correction --profile mini --seeds 5
Cost       : mini: a first look takes 5 minutes on 2 slow cores, 20 runs; 5 seeds: 40 runs. paper,
             25 seeds: 450 runs of 468 steps on one GPU.
Rates      : as in the paper the rates are compared on one task: of several --tasks the first has
             all of them, the others the middle one, unless --learning-rates names them.
Writes     : results/<profile>/bias_correction.csv, one row per run;
             bias_correction_learning_rate.csv, one row per step: the learning rate that the
             schedule sets, and what bias correction makes of it.
"""

import argparse
from math import sqrt

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, learning_rates, profile_of
from experiments.sweeps.flags import BIAS_CORRECTION
from experiments.sweeps.grid import grid
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main, steps


def planned(options: argparse.Namespace) -> list[Run]:
    first, *others = options.tasks or profile_of(options).correction_tasks
    rates_of = dict.fromkeys(
        [first, *others], options.learning_rates or [default_rate(options)]
    ) | {first: learning_rates(options)}
    runs = []
    for task, rates in rates_of.items():
        runs += grid(
            options,
            models=options.models,
            tasks=[task],
            learning_rates=rates,
            corrections=BIAS_CORRECTION[options.bias_correction],
            epochs=options.epochs or [3],
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    write_csv(options.results / "bias_correction.csv", [row(record) for record in records])
    schedules: dict[tuple, Run] = {}
    for record in records:
        run = Run(**record["run"])
        schedules[run.model, run.task, run.epochs] = run
    rates = []
    for run in schedules.values():
        rates += effective_learning_rates(run)
    write_csv(options.results / "bias_correction_learning_rate.csv", rates)


def effective_learning_rates(run: Run) -> list[dict]:
    """For each step t (1 is the first) the step size as a share of the peak learning rate: as
    scheduled, which is what Adam without bias correction takes, and with it (paper, Fig. 6: sqrt(1
    - b2^t) / (1 - b1^t) times the schedule)."""
    from experiments.finetuning.optimizers import learning_rate_factor

    total, rows = steps(run), []
    for t in range(1, total + 1):
        scheduled = learning_rate_factor(t - 1, total, run.warmup_ratio, run.schedule)
        factor = sqrt(1 - run.adam_beta2**t) / (1 - run.adam_beta1**t)
        rows.append(
            {
                "model": run.model,
                "task": run.task,
                "epochs": run.epochs,
                "total_steps": total,
                "step": t,
                "scheduled": scheduled,
                "without": scheduled,
                "with": scheduled * factor,
            }
        )
    return rows


EXPERIMENT = Experiment("bias_correction", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

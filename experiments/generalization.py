"""Generalization: does a small training loss cost dev score?

Hypothesis : no. Long runs that reach a training loss near 0 keep their dev score; and over all runs
             a lower training loss goes with a higher dev score, failed runs at its upper end.
Paper      : Mosbach et al. 2021 (ICLR), section 5.2, Fig. 8 (and 14): RTE, the 20-epoch runs with
             bias correction; 450 models. The paper's Fig. 8a shows the ten best of 25 runs; here
             are all of them that have not failed.
Command    : python -m experiments.generalization --profile mini
Cost       : mini: a first look takes 5 minutes on 2 slow cores, one of them idle: 1 run of 20
             epochs, shared with training_length and strong_baseline.
Writes     : results/<profile>/generalization.csv, one row per finished run of the task with the
             paper's method, whichever experiment trained it; generalization_curves.csv, one row per
             evaluation of the long runs.
"""

import argparse

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, learning_rates
from experiments.sweeps.flags import SEED_FLAGS
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import alike, curves, row, write_csv
from experiments.sweeps.store import stored
from experiments.sweeps.sweep import Experiment, Records, main

# in all else the runs of generalization.csv are alike
VARIED = ("learning_rate", "bias_correction", "epochs", *SEED_FLAGS)


def planned(options: argparse.Namespace) -> list[Run]:
    return grid(
        options,
        tasks=options.tasks or ["rte"],
        learning_rates=[default_rate(options)],
        corrections=[True],
        epochs=LENGTHS[-1:],
    )


def write(options: argparse.Namespace, records: Records) -> None:
    # convergence_pitfalls and effective_learning_rate have some far beyond
    rates = {*learning_rates(options)}
    for part in options.others:
        rates |= {*learning_rates(part)}
    write_csv(
        options.results / "generalization.csv",
        [
            row(record)
            for record in alike(stored(options.results), records, VARIED)
            if record["run"]["learning_rate"] in rates
        ],
    )
    points = []
    for record in records:
        points += curves(record)
    write_csv(options.results / "generalization_curves.csv", points)


EXPERIMENT = Experiment("generalization", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

"""Training length: do more iterations help, with and without bias correction?

Hypothesis : longer training lets fewer runs fail; with bias correction as well, (almost) none.
Paper      : Mosbach et al. 2021 (ICLR), Fig. 9: RTE, 3, 10 and 20 epochs, three learning rates, 25
             seeds a setting.
Command    : python -m experiments.training_length --profile mini
Cost       : mini: a first look (3 epochs, 3 seeds, at the lowest rate 1; of 20 only the paper's
             recipe, 1 seed) takes 7 minutes on 2 slow cores, 15 runs (with --seeds N all settings
             get N). paper: 450 runs of 468 to 3,120 steps.
Writes     : results/<profile>/training_length.csv, one row per run.
"""

import argparse

from experiments.finetuning.run import Run
from experiments.sweeps.command import learning_rates
from experiments.sweeps.flags import BIAS_CORRECTION
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main


def planned(options: argparse.Namespace) -> list[Run]:
    return grid(
        options,
        tasks=options.tasks or ["rte"],
        learning_rates=learning_rates(options),
        corrections=BIAS_CORRECTION[options.bias_correction],
        epochs=options.epochs or LENGTHS,
    )


def write(options: argparse.Namespace, records: Records) -> None:
    write_csv(options.results / "training_length.csv", [row(record) for record in records])


EXPERIMENT = Experiment("training_length", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

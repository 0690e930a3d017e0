"""Spot check: do a few runs fail as often as the published ones?

Not a hypothesis of the paper, but a check of a new machine before days of computing: the default
recipe at the middle rate, 5 seeds without and 5 with bias correction.

Command : python -m experiments.benchmark.spot_check --profile paper --device cuda
Cost    : 10 runs of 3 epochs, shared with bias_correction: of BERT-large on RTE 468 steps each,
          7 minutes on an H200 at the rehearsal's 90 ms a step (not run); mini 10 minutes on 2
          cores.
Writes  : results/<profile>/spot_check.csv, one row per run.

analysis/benchmark/spot_check.py judges the two counts of failures by their probability under the
published rates, of mini and small under those of results/reference; its --before says, before
anything is trained, how likely it would notice another rate.
"""

import argparse

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate
from experiments.sweeps.grid import grid, one_task
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

SEEDS = 5  # on each side, unless --seeds asks for others


def planned(options: argparse.Namespace) -> list[Run]:
    few = argparse.Namespace(**{**vars(options), "seeds": options.seeds or SEEDS, "quick": False})
    return grid(
        few,
        tasks=one_task(options, "spot_check"),
        learning_rates=[default_rate(options)],
        corrections=[False, True],
    )


def write(options: argparse.Namespace, records: Records) -> None:
    write_csv(options.results / "spot_check.csv", [row(record) for record in records])


EXPERIMENT = Experiment("spot_check", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

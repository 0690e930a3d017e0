"""Checkpoint selection: scores jump between epochs and restarts; which model do I keep?

Hypothesis : the best checkpoint on dev looks better than the last one, mostly because it is
             reported on the dev set that chose it; a failed run is not saved by it.
Paper      : Mosbach et al. 2021 (ICLR) report the last checkpoint, their first arXiv version the
             best on dev (section 3; RTE 67.3 and 70.1); Dodge et al. 2020, expected best of n
             restarts; Zhang et al. 2021, half of dev selects and the other half reports.
Command    : python -m experiments.checkpoint_selection --profile mini
Cost       : mini: a first look takes 6 minutes on 2 slow cores, 11 runs, all shared with
             bias_correction and strong_baseline.
Writes     : results/<profile>/checkpoint_selection.csv, one row per run and evaluation.
"""

import argparse

from experiments.finetuning.histories import half_scores
from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, learning_rates
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import curves, write_csv
from experiments.sweeps.sweep import Experiment, Records, main


def planned(options: argparse.Namespace) -> list[Run]:
    tasks, rate = options.tasks or ["rte"], default_rate(options)
    rates = learning_rates(options)
    return grid(
        options, tasks=tasks, learning_rates=rates, corrections=[False], epochs=LENGTHS[:1]
    ) + grid(
        options,
        tasks=tasks,
        learning_rates=[rate],
        corrections=[True],
        epochs=[LENGTHS[0], LENGTHS[-1]],
    )


def write(options: argparse.Namespace, records: Records) -> None:
    points = []
    for record in records:
        for point, halves in zip(curves(record), half_scores(record), strict=True):
            points.append({**point, "total_steps": record["outcome"]["steps"], **halves})
    write_csv(options.results / "checkpoint_selection.csv", points)


EXPERIMENT = Experiment("checkpoint_selection", __doc__, planned, write, class_an_example=True)

if __name__ == "__main__":
    main(EXPERIMENT)

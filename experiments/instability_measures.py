"""Instability measures: do runs with like scores give like answers?

Hypothesis : where fine-tuning is unstable, runs also disagree example by example; measures that
             look at the answers see differences that the standard deviation of the score does not.
Paper      : Du and Nguyen 2023 (ACL), "Measuring the Instability of Fine-Tuning": pairwise
             disagreement, Fleiss' kappa, Jensen-Shannon divergence; Mosbach et al. 2021, section
             7.1: per-point stability.
Command    : python -m experiments.instability_measures --profile mini
Cost       : mini: 7 runs, all shared with bias_correction and strong_baseline.
Writes     : results/<profile>/instability_measures.csv, one row per run, with its condition and its
             dev margins (base64 of little-endian float16: above 0 the prediction is 1);
             instability_measures_labels.csv, the dev labels, a digit each.
"""

import argparse

from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import CLASSIFICATION
from experiments.finetuning.histories import dev_labels
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import task_of
from experiments.sweeps.command import default_rate
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

CONDITIONS = {
    "default": (LENGTHS[0], False),
    "with bias correction": (LENGTHS[0], True),
    "paper's recipe": (LENGTHS[-1], True),
}


def two_classes(options: argparse.Namespace) -> bool:
    """Whether each task has two, an example: the measures compare two labels' probabilities."""
    tasks = [task_of(task, options.data) for task in options.tasks or ["rte"]]
    return all(task.kind == CLASSIFICATION and task.outputs == 2 for task in tasks)


def planned(options: argparse.Namespace) -> list[Run]:
    runs: list[Run] = []
    if not two_classes(options):
        return runs
    for epochs, corrected in CONDITIONS.values():
        runs += grid(
            options,
            tasks=options.tasks or ["rte"],
            learning_rates=[default_rate(options)],
            corrections=[corrected],
            epochs=[epochs],
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    for part in (options, *options.others):
        if not two_classes(part):
            raise BadInput(
                f"it compares answers to tasks of two classes, and {part.tasks[0]} is another;"
                " expected two, or other experiments"
            )
    names = {condition: name for name, condition in CONDITIONS.items()}
    write_csv(
        options.results / "instability_measures.csv",
        [
            {
                "condition": names[record["run"]["epochs"], record["run"]["bias_correction"]],
                **row(record),
                "dev_margins": record["history"]["dev_margins"][-1],
            }
            for record in records
        ],
    )
    data_sets: dict[tuple[str, str], Run] = {}
    for record in records:
        run = Run(**record["run"])
        data_sets[run.task, run.data] = run
    write_csv(
        options.results / "instability_measures_labels.csv",
        [
            {"task": task, "data": data, "labels": "".join(map(str, dev_labels(run)))}
            for (task, data), run in data_sets.items()
        ],
    )


EXPERIMENT = Experiment("instability_measures", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

"""Instability measures: do runs with like scores give like answers?

Hypothesis : where fine-tuning is unstable, runs also disagree example by example; measures that
             look at the answers see differences that the standard deviation of the score does not.
Paper      : Du and Nguyen 2023 (ACL), "Measuring the Instability of Fine-Tuning": pairwise
             disagreement, Fleiss' kappa, Jensen-Shannon divergence; Mosbach et al. 2021, section
             7.1: per-point stability.
Command    : python -m experiments.instability_measures --profile mini
Cost       : mini: a first look takes 5 minutes on 2 slow cores, 7 runs, all shared with
             bias_correction and strong_baseline.
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
from experiments.sweeps.grid import grid, say_left_out
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

CONDITIONS = {
    "default": (LENGTHS[0], False),
    "with bias correction": (LENGTHS[0], True),
    "paper's recipe": (LENGTHS[-1], True),
}
NEEDED = "it needs one of two classes an example"


def tasks_of_two_classes(options: argparse.Namespace) -> list[str]:
    """Those of the tasks that have two, an example: the measures compare two labels'
    probabilities."""
    chosen = []
    for name in options.tasks or ["rte"]:
        task = task_of(name, options.data)
        if task.kind == CLASSIFICATION and task.outputs == 2:
            chosen.append(name)
    return chosen


def planned(options: argparse.Namespace) -> list[Run]:
    runs: list[Run] = []
    tasks = tasks_of_two_classes(options)
    say_left_out("instability_measures", options.tasks or (), tasks, NEEDED)
    for epochs, corrected in CONDITIONS.values():
        runs += grid(
            options,
            tasks=tasks,
            learning_rates=[default_rate(options)],
            corrections=[corrected],
            epochs=[epochs],
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    if not any(tasks_of_two_classes(part) for part in (options, *options.others)):
        raise BadInput(f"{NEEDED}; expected another of --tasks, or other experiments")
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

"""Small data sets: are few examples the cause, or the few iterations that come with them?

Hypothesis : on a sample of the training set more runs fail at the same number of epochs, and no
             more than on the whole set at the same number of iterations.
Paper      : Mosbach et al. 2021 (ICLR), section 4.2, Fig. 3, Table 4: MRPC, CoLA and QNLI, 1,000
             examples, default recipe, 25 seeds. "The same number of iterations" is rounded up to
             whole epochs: 11, 26 and 312, as the paper says them.
Command    : python -m experiments.small_datasets --profile mini
Cost       : mini: a first look (CoLA, 3 seeds) takes 2 minutes on 2 slow cores, 9 runs. paper: 225
             runs, two thirds of 690 to 19,700 steps.
Writes     : results/<profile>/small_datasets.csv, one row per run, with the condition and the
             number of examples.

The paper does not say how its 1,000 examples were drawn: here at random, without regard to the
label, from one seed, the same for all runs (--sampling-seed).
"""

import argparse

from experiments.finetuning.errors import BadInput
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import MINI, train_rows
from experiments.sweeps.command import default_rate
from experiments.sweeps.grid import grid, matching_epochs
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

PAPER_SAMPLE = 1000
MINI_SAMPLE = 400  # of 1,600: as MRPC's 1,000 of 3,668


def planned(options: argparse.Namespace) -> list[Run]:
    runs = []
    for task in options.tasks or (["cola"] if options.quick else ["mrpc", "cola", "qnli"]):
        common = {
            "tasks": [task],
            "learning_rates": [default_rate(options)],
            "corrections": [False],
        }
        sample = sample_size(options, task)
        length = matching_epochs(train_rows(task, options.data), sample)
        few = {"train_examples": sample, "sampling_seed": options.sampling_seed}
        runs += (
            grid(options, **common, epochs=LENGTHS[:1], train_examples=None)
            + grid(options, **common, epochs=LENGTHS[:1], **few)
            + grid(options, **common, epochs=[length], **few)
        )
        if length == LENGTHS[0]:
            raise BadInput(
                f"--sample-size {sample} is nearly all of {task}: {length} epochs on"
                " it are as many iterations as on all, so there is nothing to compare; expected"
                " fewer examples"
            )
    return runs


def sample_size(options: argparse.Namespace, task: str) -> int:
    """Of --sample-size, else the paper's or mini's; half of a training set that is too small to
    compare so many with, and a line that says so."""
    usual = MINI_SAMPLE if options.data in MINI else PAPER_SAMPLE
    rows = train_rows(task, options.data)
    if options.sample_size or matching_epochs(rows, usual) > LENGTHS[0]:
        return options.sample_size or usual
    print(
        f"small_datasets: {task} has {rows:,} training examples, so half of them, {rows // 2:,},"
        f" are the sample, not {usual:,} (--sample-size)",
        flush=True,
    )
    return rows // 2


def write(options: argparse.Namespace, records: Records) -> None:
    rows = []
    for record in records:
        run = Run(**record["run"])
        condition = (
            "full"
            if run.train_examples is None
            else "sample, same epochs"
            if run.epochs == LENGTHS[0]
            else "sample, same iterations"
        )
        rows.append(
            {
                "condition": condition,
                "examples": run.train_examples or train_rows(run.task, run.data_source),
                **row(record),
            }
        )
    write_csv(options.results / "small_datasets.csv", rows)


EXPERIMENT = Experiment("small_datasets", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

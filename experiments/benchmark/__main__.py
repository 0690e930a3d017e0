"""Benchmark: how fast is a step, beside what others do and beside what the machine could do?

Not a hypothesis of the paper. On the same examples in the same batches, one after the other in
every round, one thread:

    official  what the released code does: inputs padded to the full length, AdamW as a Python loop
              over the parameters, the norm of every parameter's gradient read one by one
    trainer   Hugging Face's Trainer at its documented best: dynamic padding, SDPA attention, fused
              AdamW
    plain     this repository's --plain path
    ours      its fast path; and with bfloat16 autocast where --dtypes names it
    limit     the matrix products alone, at the rate the same machine has just reached on large
              ones, and the bytes that AdamW has to move at the rate of a copy of that size: what
              this arithmetic takes without anything around it

Then the same contenders on the whole machine, as one process with a thread a core and as one
process a core with one thread; and how cost grows: with runs, workers, examples, layers, and with
the examples in a step, measured by whole runs of this repository.

Command : python -m experiments.benchmark --profile mini
Cost    : mini, 15 to 25 minutes on 2 idle cores (the more with two --dtypes); the numbers mean
          something only while nothing else runs.
Writes  : results/<profile>/benchmark.csv, one row per measurement.

The official loop and the limit are written here from their descriptions. The Trainer needs the
package accelerate (tests/requirements.txt) and is left out, with a line that says so, where that is
missing. --device cuda has not been run.
"""

import argparse

from experiments.benchmark.contenders import compare
from experiments.benchmark.growth import growth
from experiments.benchmark.machine import whole_machine
from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import CLASSIFICATION
from experiments.finetuning.tasks import task_of, train_rows
from experiments.sweeps.command import (
    check_device,
    default_rate,
    parse,
    run_command,
    warn_of_no_effect,
)
from experiments.sweeps.flags import number, parser
from experiments.sweeps.grid import grid
from experiments.sweeps.rows import write_csv


def main() -> None:
    p = parser(__doc__)
    count = number(int, 1, 1000, "a whole number")
    p.add_argument(
        "--steps",
        type=count,
        default=20,
        metavar="N",
        help="optimiser steps of each contender in a round (default 20)",
    )
    p.add_argument(
        "--rounds",
        type=count,
        default=7,
        metavar="N",
        help="rounds; the first is not counted (default 7)",
    )
    p.add_argument(
        "--dtypes",
        nargs="+",
        default=["float32"],
        choices=["float32", "bfloat16"],
        metavar="TYPE",
        help="arithmetic of the fast path and of the Trainer (default float32)",
    )
    p.add_argument(
        "--no-growth",
        action="store_true",
        help="only the contenders, neither the whole machine nor how cost grows",
    )
    options = parse(p)
    if options.dtype_given:
        warn_of_no_effect(f"--dtype {options.dtype}", "the benchmark: --dtypes chooses")
    tasks, rows = options.tasks or ["rte", "cola"], []
    for task in tasks:
        (run,) = grid(
            argparse.Namespace(**{**vars(options), "seeds": 1, "dtype": "float32"}),
            tasks=[task],
            learning_rates=[default_rate(options)],
            corrections=[True],
        )
        if task_of(task, run.data_source).kind != CLASSIFICATION:
            raise BadInput(
                f"the benchmark's contenders tell classes, and {task} has none: expected other"
                " --tasks"
            )
        if options.steps > (most := train_rows(task, run.data_source) // run.batch_size):
            raise BadInput(
                f"--steps {options.steps}: {task} has examples for {most} steps; expected at most"
                " as many"
            )
        if options.plan:
            print(
                f"benchmark: {task}, {options.rounds} rounds of {options.steps} steps of each"
                " contender; it trains no run"
            )
            continue
        check_device(options)
        rows += compare(run, options)
        if not options.no_growth and task == tasks[0]:
            rows += whole_machine(run, options) + growth(run, options)
    if not options.plan:
        write_csv(options.results / "benchmark.csv", rows)


if __name__ == "__main__":
    run_command(main)

"""Sources of randomness: what decides whether a run fails, its seeds or rounding?

Hypothesis : a seed is no property of a run. Moving the start by 1e-7 of the weights changes the
             fate of as many runs as drawing classifier, order and dropout anew.
Paper      : none; Mosbach et al. 2021 (section 3) vary one seed for all three, Dodge et al. 2020
             the classifier's and the order's apart.
Command    : python -m experiments.sources_of_randomness --seeds 25
Cost       : mini: 8 runs a seed beside bias_correction's, 200 for 25 seeds; a first look takes 1
             minute on 2 slow cores, 3 of bias_correction's runs and none of its own.
Writes     : results/<profile>/sources_of_randomness.csv, one row per run: `moved` says what is
             another than in the run of the same `base_seed` where nothing is moved.
"""

import argparse
import dataclasses

from experiments.finetuning.errors import BadInput
from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, warn_of_no_effect
from experiments.sweeps.flags import number
from experiments.sweeps.grid import grid, one_task
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

OTHER = 1000  # added to a seed, it is another one
ROUNDING = 1e-7  # of every weight, times a standard normal number: about float32's precision
SEEDS = {"head": "head_seed", "order": "order_seed", "dropout": "dropout_seed"}
REPEATS = 4  # starts of a seed that differ by rounding


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--repeats",
        type=number(int, 0, 100, "a number of starts"),
        default=REPEATS,
        metavar="N",
        help=f"starts of each seed that differ by rounding only (default {REPEATS})",
    )


def planned(options: argparse.Namespace) -> list[Run]:
    if (options.seeds or 0) > OTHER:
        raise BadInput(
            f"sources_of_randomness adds {OTHER} to a seed to move it: expected seeds up to {OTHER}"
        )
    if any(getattr(options, field) is not None for field in SEEDS.values()):
        raise BadInput(
            "sources_of_randomness moves each of the three seeds: expected none of them held"
        )
    base = grid(
        options,
        tasks=one_task(options, "sources_of_randomness"),
        learning_rates=[default_rate(options)],
        corrections=[False],
    )
    if options.quick:  # a first look has too few seeds to tell anything
        if options.repeats != REPEATS:
            warn_of_no_effect("--repeats", "a first look: give --seeds")
        return base
    runs = list(base)
    for moved in (tuple(SEEDS), *[(name,) for name in SEEDS]):
        for run in base:
            other = {SEEDS[name]: getattr(run, SEEDS[name]) + OTHER for name in moved}
            runs.append(dataclasses.replace(run, **other))
    for repeat in range(1, options.repeats + 1):
        for run in base:
            runs.append(dataclasses.replace(run, start_noise=ROUNDING, start_noise_seed=repeat))
    return runs


def moved_in(run: Run) -> tuple[str, int]:
    """What is another in a run than in that of its base seed, and that seed."""
    if run.start_noise:
        return "rounding", run.head_seed
    moved = [name for name, field in SEEDS.items() if getattr(run, field) > OTHER]
    if len(moved) == len(SEEDS):
        return "all seeds", run.head_seed - OTHER
    still = [field for name, field in SEEDS.items() if name not in moved]
    return moved[0] if moved else "nothing", getattr(run, still[0])


def write(options: argparse.Namespace, records: Records) -> None:
    rows = []
    for record in records:
        moved, base_seed = moved_in(Run(**record["run"]))
        rows.append({"moved": moved, "base_seed": base_seed, **row(record)})
    write_csv(options.results / "sources_of_randomness.csv", rows)


EXPERIMENT = Experiment("sources_of_randomness", __doc__, planned, write, add_flags)

if __name__ == "__main__":
    main(EXPERIMENT)

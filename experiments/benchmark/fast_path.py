"""Fast path: do its runs fail as often, and score as well, as those of the plain path?

Not a hypothesis of the paper, but a check of this repository. Without dropout both paths compute
the same (tests); with it the fast path draws other masks of the same distribution, so that a seed
gives another run, and only many of them can be compared. bfloat16 autocast is another arithmetic
and is compared as well.

Command : python -m experiments.benchmark.fast_path --profile mini --seeds 25
Cost    : mini, 25 seeds: 75 runs, about 20 minutes on 2 cores, a third of them shared with
          bias_correction.
Writes  : results/<profile>/fast_path.csv, one row per run, with its path.

The default recipe without bias correction at the middle rate: the setting in which some runs fail
and others do not, where a difference in either direction could be seen.
"""

import argparse
from typing import Any

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, warn_of_no_effect
from experiments.sweeps.flags import one_of
from experiments.sweeps.grid import grid
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

PATHS = {
    "plain": {"plain": True, "dtype": "float32"},
    "fast": {"plain": False, "dtype": "float32"},
    "fast, bfloat16": {"plain": False, "dtype": "bfloat16"},
}  # name -> flags


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--paths",
        nargs="+",
        type=one_of(PATHS),
        default=list(PATHS),
        metavar="PATH",
        help=f"of {', '.join(repr(name) for name in PATHS)} (default all)",
    )


def planned(options: argparse.Namespace) -> list[Run]:
    flags = ["--plain"] if options.plain else []
    if options.dtype_given:
        flags.append(f"--dtype {options.dtype}")
    for flag in flags:
        warn_of_no_effect(flag, "fast_path, which compares them: --paths chooses")
    runs = []
    for name in options.paths:
        changed = argparse.Namespace(**{**vars(options), **PATHS[name]})
        runs += grid(
            changed,
            tasks=options.tasks or ["rte"],
            learning_rates=[default_rate(options)],
            corrections=[False],
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    rows = [{"path": path_of(record["run"]), **row(record)} for record in records]
    write_csv(options.results / "fast_path.csv", rows)


def path_of(run: dict[str, Any]) -> str:
    """The name in PATHS of the flags a run was made with."""
    for name, flags in PATHS.items():
        if (not run["packed"], run["dtype"]) == (flags["plain"], flags["dtype"]):
            return name
    raise KeyError(f"no path with packed {run['packed']} and {run['dtype']}")


EXPERIMENT = Experiment("fast_path", __doc__, planned, write, add_flags)

if __name__ == "__main__":
    main(EXPERIMENT)

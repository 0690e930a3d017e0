"""Vanishing gradients: do the lower layers of a failed run stop receiving a gradient?

Hypothesis : in a failed run the gradient norms of the lower layers fall by orders of magnitude
             early on and stay there, those of the pooler and classifier do not; in a successful run
             none stay there.
Paper      : Mosbach et al. 2021 (ICLR), section 5.1, Figs 4 and 10 (BERT), 11 (RoBERTa), 12
             (ALBERT): RTE, one failed and one successful run, L2 norm per weight matrix before
             clipping, every 10 iterations.
Command    : python -m experiments.vanishing_gradients --profile mini
Cost       : mini: a first look takes 2 minutes on 2 slow cores, 7 runs shared with bias_correction.
             paper: its 225 runs (three models, three rates).
Writes     : results/<profile>/vanishing_gradients.csv, one row per step, layer and matrix of the
             chosen runs.

Chosen are the first failed and the first successful run without bias correction at the default
learning rate, by seed; where there is none of a kind, the nearest other rate's. All norms are
recorded in every run: --all-runs writes them all.
"""

import argparse
from itertools import groupby

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, learning_rates
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import first_failed_and_successful, write_csv
from experiments.sweeps.sweep import Experiment, Records, main


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--all-runs",
        action="store_true",
        help="gradient norms of all runs, not of one failed and one successful",
    )


def planned(options: argparse.Namespace) -> list[Run]:
    return grid(
        options,
        models=options.models,
        tasks=options.tasks or ["rte"],
        learning_rates=learning_rates(options),
        corrections=[False],
        epochs=LENGTHS[:1],
    )


def write(options: argparse.Namespace, records: Records) -> None:
    def kind(record: dict) -> tuple[str, str]:
        return record["run"]["model"], record["run"]["task"]

    rows = []
    for _, group in groupby(sorted(records, key=kind), key=kind):
        of_group = list(group)
        failed_or_not = first_failed_and_successful(
            of_group,
            rate_of(options, of_group[0]["run"]["task"]),
            count=len(records) if options.all_runs else 1,
        )
        for record in failed_or_not[True] + failed_or_not[False]:
            rows += norms(record)
    write_csv(options.results / "vanishing_gradients.csv", rows)


def rate_of(options: argparse.Namespace, task: str) -> float:
    """The default rate of the last part of the call that asks for a task."""
    parts = (options, *options.others)
    return [default_rate(part) for part in parts if task in (part.tasks or ["rte"])][-1]


def norms(record: dict) -> list[dict]:
    """One row per recorded step and matrix of a stored run; layer 0 for pooler and classifier,
    which stand above the layers."""
    run, outcome, history = Run(**record["run"]), record["outcome"], record["history"]
    rows = []
    for number, values in enumerate(history["gradient_norms"]):
        for name, norm in zip(history["gradient_norm_of"], values, strict=True):
            _, layer, matrix = name.split() if name.startswith("layer ") else ("", "0", name)
            rows.append(
                {
                    "task": run.task,
                    "model": run.model,
                    "data": run.data,
                    "learning_rate": run.learning_rate,
                    "bias_correction": run.bias_correction,
                    "run": run.id,
                    "seed": run.seed,
                    "failed": outcome["failed"],
                    "score": outcome["score"],
                    "step": number * history["gradient_norm_every"],
                    "matrix": matrix,
                    "layer": int(layer),
                    "norm": norm,
                }
            )
    return rows


EXPERIMENT = Experiment("vanishing_gradients", __doc__, planned, write, add_flags)

if __name__ == "__main__":
    main(EXPERIMENT)

"""A strong baseline: the paper's recipe beside the default one.

Hypothesis : 20 epochs with bias correction give fewer failed runs and a smaller standard deviation
             than 3 epochs without, on every task; Mixout lies between the two.
Paper      : Mosbach et al. 2021 (ICLR), section 6, Fig. 1, Tables 1 and 4: RTE, MRPC, CoLA and, in
             the paper profile, SciTail; 25 seeds.
Command    : python -m experiments.strong_baseline --profile mini
Cost       : mini: a first look (RTE without Mixout, 3 seeds at 3 epochs and 1 at 20) takes 5
             minutes on 2 slow cores, 4 runs. paper: 300 runs.
Writes     : results/<profile>/strong_baseline.csv, one row per run, with the recipe.

The paper's Mixout row equals a row of Lee et al. (2020): p = 0.7 and weight decay of 0.01 towards
the pre-trained weights, no dropout, 3 epochs, Adam without bias correction. Their batch of 32 is 16
here, so that the recipes differ in nothing else.
"""

import argparse
from typing import Any

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

RECIPES: dict[str, dict[str, Any]] = {  # what they change in a run
    "default": {"epochs": LENGTHS[0], "bias_correction": False},
    "paper's recipe": {"epochs": LENGTHS[-1], "bias_correction": True},
    "mixout": {
        "epochs": LENGTHS[0],
        "bias_correction": False,
        "mixout": 0.7,
        "dropout": 0.0,
        "decay_to_pretrained": True,
    },
}


def planned(options: argparse.Namespace) -> list[Run]:
    all_tasks = ["rte", "mrpc", "cola", *(["scitail"] if options.profile == "paper" else [])]
    tasks = options.tasks or (all_tasks[:1] if options.quick else all_tasks)
    runs = []
    for changes in list(RECIPES.values())[: 2 if options.quick else None]:
        fields = {
            name: value
            for name, value in changes.items()
            if name not in ("epochs", "bias_correction")
        }
        runs += grid(
            options,
            tasks=tasks,
            learning_rates=[default_rate(options)],
            corrections=[changes["bias_correction"]],
            epochs=[changes["epochs"]],
            **fields,
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    rows = [{"recipe": recipe_of(record["run"]), **row(record)} for record in records]
    write_csv(options.results / "strong_baseline.csv", rows)


def recipe_of(run: dict[str, Any]) -> str:
    """The last recipe in RECIPES that a run fits: one of Mixout has all that the default one
    has, and more."""
    for name, changes in reversed(RECIPES.items()):
        if all(run[field] == value for field, value in changes.items()):
            return name
    raise KeyError(
        f"no recipe has {run['epochs']} epochs with bias correction {run['bias_correction']}"
    )


EXPERIMENT = Experiment("strong_baseline", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

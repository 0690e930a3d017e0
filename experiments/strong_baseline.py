"""A strong baseline: the paper's recipe beside the default one.

Hypothesis : 20 epochs with bias correction give fewer failed runs and a smaller standard deviation than 3 epochs without, on
             every task.
Paper      : Mosbach et al. 2021 (ICLR), section 6, Fig. 1, Tables 1 and 4: RTE, MRPC, CoLA and, in the paper profile, SciTail;
             25 seeds. The paper's third recipe, Mixout (Lee et al. 2020), is not here yet.
Command    : python -m experiments.strong_baseline --profile mini
Cost       : mini, 3 seeds at 3 epochs and 1 seed at 20: 12 runs, about 6 minutes on 2 cores. paper: 200 runs.
Writes     : results/<profile>/strong_baseline.csv, one row per run, with the recipe.
"""

import argparse

from experiments.finetuning.command import default_rate, grid, row, write_csv
from experiments.finetuning.profiles import LENGTHS
from experiments.finetuning.runs import Run
from experiments.finetuning.sweep import Experiment, Records, main

RECIPES = {"default": (LENGTHS[0], False), "paper's recipe": (LENGTHS[-1], True)}  # epochs, bias correction


def planned(options: argparse.Namespace) -> list[Run]:
    tasks = options.tasks or ["rte", "mrpc", "cola", *(["scitail"] if options.profile == "paper" else [])]
    return [run for epochs, corrected in RECIPES.values()
            for run in grid(options, tasks=tasks, learning_rates=[default_rate(options)], corrections=[corrected], epochs=[epochs])]


def write(options: argparse.Namespace, records: Records) -> None:
    names = {recipe: name for name, recipe in RECIPES.items()}
    write_csv(options.results / "strong_baseline.csv", [
        {"recipe": names[record["run"]["epochs"], record["run"]["bias_correction"]], **row(record)} for record in records])


EXPERIMENT = Experiment("strong_baseline", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

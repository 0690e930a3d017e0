"""Re-initialisation: does drawing the top layers anew before fine-tuning help?

Hypothesis : with pooler and top L layers re-initialised, 3 epochs give higher and more stable
             scores; so does longer training, and with bias correction they answer the same
             instability from three sides: optimiser, initialisation, iterations.
Paper      : Zhang et al. 2021 (ICLR), "Revisiting Few-sample BERT Fine-tuning", sections 5 and 6,
             Table 1: BERT-large, L = 1..6, N(0, 0.02), LayerNorm 1 and 0, bias correction, 20
             seeds; half of dev selects L, the other half reports.
Command    : python -m experiments.reinitialization --profile mini
Cost       : mini: a first look (L of 0 and 5, 3 seeds and 1) takes 5 minutes on 2 slow cores, 8
             runs, most of them shared. paper: 275 runs.
Writes     : results/<profile>/reinitialization.csv, one row per run, with the score on each half of
             dev.

Theirs is batch 32, the best of ten checkpoints and mixed precision; here it is the batch of 16 and
the last checkpoint of all other experiments. They tune the number of iterations; here it is the
paper's 20 epochs. Layers are compared at 3 epochs (--layers); without correction and at 20 epochs
only L = 0 and L = 5 (--long-layers), which they took for most of their RTE analysis.
"""

import argparse

from experiments.finetuning.histories import half_scores
from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate
from experiments.sweeps.flags import number
from experiments.sweeps.grid import grid, one_seed_at_first
from experiments.sweeps.profiles import LENGTHS, REINITIALIZED
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

LAYERS = (0, 1, 2, 3, 4, 5, 6)


def add_flags(p: argparse.ArgumentParser) -> None:
    layers = number(int, 0, 1000, "a number of layers")
    p.add_argument(
        "--layers",
        nargs="+",
        type=layers,
        metavar="L",
        help="numbers of re-initialised top layers to compare (default 0 to 6; quick 0 5)",
    )
    p.add_argument(
        "--long-layers",
        nargs="+",
        type=layers,
        metavar="L",
        help=(
            "the same for long training and for training without bias correction (default 0"
            f" {REINITIALIZED}; quick 0)"
        ),
    )


def planned(options: argparse.Namespace) -> list[Run]:
    short, long = LENGTHS[0], LENGTHS[-1]
    compared = options.layers or ((0, REINITIALIZED) if options.quick else LAYERS)
    settings = [(short, True, layers) for layers in compared]
    for layers in options.long_layers or ((0,) if options.quick else (0, REINITIALIZED)):
        settings += [(short, False, layers), (long, True, layers)]
    runs = []
    for epochs, corrected, layers in dict.fromkeys(settings):
        runs += grid(
            one_seed_at_first(options) if layers else options,
            tasks=options.tasks or ["rte"],
            learning_rates=[default_rate(options)],
            corrections=[corrected],
            epochs=[epochs],
            reinitialized_layers=layers,
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    write_csv(
        options.results / "reinitialization.csv",
        [{**row(record), **half_scores(record)[-1]} for record in records],
    )


EXPERIMENT = Experiment(
    "reinitialization", __doc__, planned, write, add_flags, class_an_example=True
)

if __name__ == "__main__":
    main(EXPERIMENT)

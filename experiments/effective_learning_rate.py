"""Effective learning rate: is a missing bias correction nothing but larger first steps?

Hypothesis : failure depends on the largest effective learning rate, however it came about: without
             bias correction, by a higher rate, or by a shorter warm-up. Effective in units of the
             unbiased moments: with correction the schedule, without it the schedule times
             (1 - b1^t) / sqrt(1 - b2^t), 5.5 times the peak at the end of 30 warm-up steps.
Paper      : Mosbach et al. 2021, section 5.1 says so of the first steps and does not test it by
             itself; Ma and Yarats 2021 on warm-up and b2.
Command    : python -m experiments.effective_learning_rate --seeds 26-50
Cost       : mini: 25 settings, 625 runs for 25 seeds; a first look takes 2 minutes on 2 slow cores,
             the settings that bias_correction has.
Writes     : results/<profile>/effective_learning_rate.csv, one row per run.
"""

import argparse
from typing import Any

from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate
from experiments.sweeps.flags import BIAS_CORRECTION, number
from experiments.sweeps.grid import grid
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

BETA2 = (0.999, 0.98)  # BERT's and RoBERTa's
WARMUPS = (0.1, 0.3, 0.5, 0.9)  # share of the steps
# of the middle rate: without correction below it, with it above. A run without it at the middle
# rate has the largest effective rate of a corrected one at 5.5 times that, its peak by the paper's
# convention at 4.35 and its sum at 3.2 (300 steps)
MULTIPLES = (1 / 6, 0.7 / 3, 1 / 3, 2.0, 3.2, 4.35, 5.5, 8.0, 12.0)


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--multiples",
        nargs="+",
        type=number(float, 1e-3, 1e3, "a multiple"),
        metavar="M",
        default=MULTIPLES,
        help="of the middle rate, below 1 without correction, above 1 with it (default"
        f" {' '.join(f'{multiple:.3g}' for multiple in MULTIPLES)})",
    )
    p.add_argument(
        "--warmups",
        nargs="+",
        type=number(float, 0, 1, "a share of the steps"),
        metavar="SHARE",
        default=WARMUPS,
        help="of the steps, at the middle rate (default 0.1 0.3 0.5 0.9)",
    )
    p.add_argument(
        "--beta2s",
        nargs="+",
        type=number(float, 0, 0.999999, "Adam's b2"),
        metavar="B",
        default=BETA2,
        help="Adam's b2, with each of these warm-ups (default 0.999 0.98)",
    )


def settings(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Arguments of grid for each setting. A first look has the first of each that is not asked
    for."""
    middle = default_rate(options)
    chosen = BIAS_CORRECTION[options.bias_correction]
    wanted: list[dict[str, Any]] = []
    quick = options.quick
    for beta2 in options.beta2s[: 1 if quick and options.beta2s == BETA2 else None]:
        for warmup in options.warmups[: 1 if quick and options.warmups == WARMUPS else None]:
            fields = {"adam_beta2": beta2, "warmup_ratio": warmup}
            wanted.append({"learning_rates": [middle], "corrections": chosen, **fields})
    if quick and options.multiples == MULTIPLES:
        return wanted
    others = [multiple for multiple in options.multiples if multiple != 1]  # it is there already
    for correction in chosen:
        there = [multiple for multiple in others if (multiple > 1) == correction]
        rates = [round(multiple * middle, 10) for multiple in there]
        wanted.append({"learning_rates": rates, "corrections": [correction]})
    return wanted


def planned(options: argparse.Namespace) -> list[Run]:
    runs = []
    for setting in settings(options):
        runs += grid(
            options, tasks=options.tasks or ["rte"], epochs=options.epochs or [3], **setting
        )
    return runs


def write(options: argparse.Namespace, records: Records) -> None:
    write_csv(options.results / "effective_learning_rate.csv", [row(record) for record in records])


EXPERIMENT = Experiment("effective_learning_rate", __doc__, planned, write, add_flags)

if __name__ == "__main__":
    main(EXPERIMENT)

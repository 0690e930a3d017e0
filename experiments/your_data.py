"""Your data: do runs fail on it, and what do n seeds of three recipes tell?

Hypothesis : where runs of the default recipe fail, those with bias correction fail less, on your
             data as on the paper's; n seeds may or may not be able to tell.
Paper      : none; Mosbach et al. 2021 (ICLR), section 6, compare two of the recipes on theirs.
Command    : python -m experiments.your_data --data FILE --text-columns text --label-column label
             --model NAME_OR_DIR --seeds 12
Cost       : three recipes a seed; on a table of 5,000 rows 940, 1,875 and 6,250 steps. Without
             --data a demonstration on mini's entailment: a first look takes 3 minutes on 2 slow
             cores, 5 runs, of which strong_baseline has 4.
Writes     : results/<profile>/your_data.csv, one row per run, with its recipe.

- default: 3 epochs without bias correction, as BERT's first code; rate, batch of 16, warm-up and
  decay as in the paper's Table 3.
- Trainer's defaults: those of Hugging Face's Trainer today. 3 epochs, batch of 8, 5e-5, with bias
  correction, no warm-up, linear decay, epsilon 1e-8, no weight decay. (Theirs adds epsilon after
  bias correction, the paper's before: no difference at 1e-8.)
- paper's recipe: 20 epochs with bias correction.

--learning-rates gives all three the middle rate; --epochs A B the first two A epochs and the third
B, --epochs A all three. In the profile mini a model of one's own has the paper's rate, 2e-5.
"""

import argparse
from typing import Any

from experiments.finetuning.errors import BadInput
from experiments.finetuning.histories import dev_labels
from experiments.finetuning.own import is_own
from experiments.finetuning.run import Run
from experiments.sweeps.command import default_rate, warn_of_no_effect
from experiments.sweeps.grid import grid, one_seed_at_first
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

DEFAULT, TRAINER, PAPER = "default", "Trainer's defaults", "paper's recipe"
TRAINER_RATE, TRAINER_BATCH = 5e-5, 8
TRAINER_FIELDS: dict[str, Any] = {
    "batch_size": TRAINER_BATCH,
    "warmup_ratio": 0.0,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_gradient_norm": 1.0,
}


def planned(options: argparse.Namespace) -> list[Run]:
    if options.bias_correction != "both":
        warn_of_no_effect(
            f"--bias-correction {options.bias_correction}",
            "your_data, whose recipes each say whether Adam corrects its bias",
        )
    epochs = options.epochs or (LENGTHS[0], LENGTHS[-1])
    if len(epochs) > 2:
        raise BadInput(
            f"--epochs {' '.join(map(str, epochs))}: expected A, or A B, in your_data: A for the"
            " first two recipes and B for the third"
        )
    short, *others = epochs
    long, rate = others[-1] if others else short, default_rate(options)
    of_trainer = rate if options.rates_given or not is_own(options.data) else TRAINER_RATE
    return (
        runs_of(options, rate, corrected=False, epochs=short)
        + runs_of(one_seed_at_first(options), of_trainer, True, short, **TRAINER_FIELDS)
        + runs_of(options, rate, corrected=True, epochs=long)
    )


def runs_of(
    options: argparse.Namespace, rate: float, corrected: bool, epochs: int, **fields: Any
) -> list[Run]:
    """A recipe's run of each seed."""
    return grid(
        options,
        tasks=options.tasks or ["rte"],
        learning_rates=[rate],
        corrections=[corrected],
        epochs=[epochs],
        **fields,
    )


def write(options: argparse.Namespace, records: Records) -> None:
    rows = []
    for record in records:
        dev = dev_labels(Run(**record["run"]))
        recipe = {"recipe": recipe_of(record["run"]), "dev_examples": len(dev)}
        rows.append({**recipe, **row(record)})
    write_csv(options.results / "your_data.csv", rows)


def recipe_of(run: dict[str, Any]) -> str:
    """The recipe of one of this experiment's runs."""
    if run["batch_size"] == TRAINER_BATCH:
        return TRAINER
    return PAPER if run["bias_correction"] else DEFAULT


EXPERIMENT = Experiment("your_data", __doc__, planned, write)

if __name__ == "__main__":
    main(EXPERIMENT)

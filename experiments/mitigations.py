"""Mitigations: what do the other remedies do, without and with bias correction?

Hypothesis : each remedy that has been proposed lowers the failure rate of the default recipe, none
             as far as bias correction does; beside bias correction they add little.
Paper      : Mosbach et al. 2021 (ICLR), section 2 and Fig. 1; Zhang et al. 2021, Table 2: Mixout
             (Lee et al. 2020), weight decay to the pre-trained weights, layer-wise learning-rate
             decay, re-initialisation; component-wise gradient clipping (Yang and Ma 2022). What
             people use today: the Trainer's defaults, frozen layers, LP-FT (Kumar et al. 2022),
             LoRA (Hu et al. 2022). All at 3 epochs.
Command    : python -m experiments.mitigations --profile mini
Cost       : mini: a first look (Mixout, the low rate and frozen layers without bias correction, 1
             seed) takes 3 minutes on 2 slow cores, 9 runs. paper: 700.
Writes     : results/<profile>/mitigations.csv, one row per run, with the method and the
             floating-point operations of a step.

Each method changes the default recipe in one thing, so that its effect can be told; Mixout stands
in place of dropout, so "no dropout" is its control. Their strengths were not tuned here: Mixout
with p = 0.7 (Lee et al.; --mixout), layers' learning rates falling by 0.95 a layer, 5
re-initialised layers, weight decay of 0.01 (these strengths as Du and Nguyen 2023, but for their p
of 0.1), each parameter tensor's gradient clipped at 0.1 (in the middle of Yang and Ma's grid;
--component-norm) instead of the whole gradient at 1. In 3 epochs a decay of 0.01 times the learning
rate moves a weight by less than a thousandth of its way, so that weight decay of either kind can do
little.

The low rate is the control that every remedy needs, since many are a lower rate in disguise:
nothing but 0.3 times the recipe's. The Trainer's defaults (transformers 5: rate 5e-5, no warm-up,
linear decay, epsilon 1e-8, no weight decay, batches of 8, bias correction) are a recipe and change
several things at once; 5e-5 is 2.5 times the paper's middle rate of 2e-5, so here it is 2.5 times
the profile's. Epsilon stands where the paper's AdamW has it (optimizers.py).

Frozen: the embeddings and the lower half of the layers. The classifier first: 30 epochs of it alone
on the encoder's answers, then all weights for 3 epochs as always (LP-FT). LoRA: on query and value,
rank 8, alpha 16, at 5, 10 and 20 times the recipe's rate: Hu et al. 2022 have 2e-4 to 4e-4 for
RoBERTa-large, 10 to 20 times the paper's middle rate.

Departures from their code: the last layer has the head's learning rate and the embeddings 0.95^L of
it (theirs 0.95 and 0.95^(L + 1)); the head too is pulled to where it began (theirs to 0); Mixout's
gradient has the factor 1 / (1 - p) of its definition, which Lee et al.'s released code leaves out.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from experiments.finetuning.errors import BadInput
from experiments.finetuning.run import Run
from experiments.finetuning.sources import architecture
from experiments.sweeps.command import default_rate
from experiments.sweeps.flags import BIAS_CORRECTION, number
from experiments.sweeps.grid import grid, one_seed_at_first
from experiments.sweeps.profiles import LENGTHS, MODEL_RECIPES, REINITIALIZED
from experiments.sweeps.rows import row, write_csv
from experiments.sweeps.sweep import Experiment, Records, main

DEFAULT_TASKS = ["rte"]
LOW = 0.3  # of the recipe's rate: what layers' rates of 0.95 leave the lowest of 24
# the Trainer's 5e-5 as a multiple of the paper's middle rate, 2e-5
TRAINER_RATE = 2.5
TRAINER = {
    **{"warmup_ratio": 0.0, "batch_size": 8, "weight_decay": 0.0},
    **{"adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_gradient_norm": 1.0},
}
HEAD_EPOCHS = 30  # on mini its loss falls to 0.42 nats; 100 epochs at 10 times the rate reach 0.38
LORA_RANK, LORA_RATES = 8, (5.0, 10.0, 20.0)  # multiples of the recipe's rate
# fields that the operations of a step depend on
COST_FIELDS = ("model", "data", "task", "batch_size", "frozen_layers", "lora_rank", "packed")
QUICK = ("none", "Mixout", f"{LOW:g} x", "lower half")  # how a first look's methods begin


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--mixout",
        nargs="+",
        type=number(float, 0.01, 0.99, "a probability"),
        default=[0.7],
        metavar="P",
        help=(
            "probabilities of mixing pre-trained weights in, such as 0.1 0.3 0.5 0.7 0.9 (default"
            " 0.7)"
        ),
    )
    p.add_argument(
        "--component-norm",
        nargs="+",
        type=number(float, 1e-6, 1e6, "a norm"),
        default=[0.1],
        metavar="C",
        help="largest L2 norms of one parameter tensor's gradient (default 0.1)",
    )
    p.add_argument(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="only the methods whose names in the CSV begin so, such as none 0.3 Mixout",
    )
    p.add_argument(
        "--reinitialized-layers",
        type=number(int, 1, 1000, "a number of layers"),
        default=REINITIALIZED,
        metavar="L",
        help=f"top layers drawn anew (default {REINITIALIZED})",
    )


def all_methods(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Name -> what it changes in a run of the default recipe, but for those that change nothing in
    the model's own: ALBERT has no dropout and no weight decay anyway."""
    everything: dict[str, dict[str, Any]] = {
        **{f"Mixout {p:g}": {"mixout": p, "dropout": 0.0} for p in options.mixout},
        "no dropout": {"dropout": 0.0},
        "decay to pre-trained": {"decay_to_pretrained": True},
        "layer-wise rates": {"layerwise_decay": 0.95},
        **{
            f"component clipping {c:g}": {"component_clipping": c, "max_gradient_norm": None}
            for c in options.component_norm
        },
        f"re-initialisation of {options.reinitialized_layers}": {
            "reinitialized_layers": options.reinitialized_layers
        },
        f"{LOW:g} x the rate": {"learning_rate": times(LOW, options)},
        "Trainer's defaults": {"learning_rate": times(TRAINER_RATE, options), **TRAINER},
        "lower half frozen": {"frozen_layers": lower_half(options)},
        "classifier first": {"head_epochs": HEAD_EPOCHS},
        **{
            f"LoRA, {factor:g} x the rate": {
                "lora_rank": LORA_RANK,
                "learning_rate": times(factor, options),
            }
            for factor in LORA_RATES
        },
    }
    recipe = MODEL_RECIPES.get(architecture(options.models[0])[0], {})
    changed = {
        name: changes
        for name, changes in everything.items()
        if not changes.items() <= recipe.items()
        and not ("decay_to_pretrained" in changes and recipe.get("weight_decay") == 0)
    }
    return {"none": {}, **changed}


def methods(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Those of all_methods that are asked for."""
    everything = all_methods(options)
    wanted = tuple(options.methods or (QUICK if options.quick else [""]))
    for beginning in wanted:
        if not any(name.startswith(beginning) for name in everything):
            raise BadInput(
                f"no method begins with {beginning!r}: expected one of {', '.join(everything)}"
            )
    return {name: changes for name, changes in everything.items() if name.startswith(wanted)}


def lower_half(options: argparse.Namespace) -> int:
    """Half of the model's layers."""
    _, layers = architecture(options.models[0])
    return max(1, layers // 2)


def times(factor: float, options: argparse.Namespace) -> float:
    """A multiple of the default recipe's rate."""
    return float(f"{factor * default_rate(options):.6g}")


def planned(options: argparse.Namespace) -> list[Run]:
    corrections = BIAS_CORRECTION[options.bias_correction]
    if options.quick and options.bias_correction == "both":
        corrections = (False,)
    runs = []
    for name, changes in methods(options).items():
        try:
            for corrected in corrections if changes else (False, True):
                runs += of_method(changes, corrected, options)
        except BadInput as reason:  # of the model or the task; all else "none" would have met
            if options.methods or not changes:
                raise
            print(f"mitigations: without {name!r}: {reason}", flush=True)
    return runs


def of_method(changes: dict[str, Any], corrected: bool, options: argparse.Namespace) -> list[Run]:
    """The runs of a method with or without correction. BadInput where the model or a task cannot
    have it, as ALBERT frozen layers."""
    fields = {"learning_rate": default_rate(options), **changes}
    rate = fields.pop("learning_rate")
    return grid(
        one_seed_at_first(options) if changes else options,
        tasks=options.tasks or DEFAULT_TASKS,
        learning_rates=[rate],
        corrections=[corrected],
        epochs=LENGTHS[:1],
        **fields,
    )


def write(options: argparse.Namespace, records: Records) -> None:
    from experiments.finetuning.cost import step_operations  # torch: seconds that planning spares

    parts = [
        (part.tasks or DEFAULT_TASKS, all_methods(part), default_rate(part))
        for part in (options, *options.others)
    ]
    rows = []
    costs: dict[tuple, int] = {}
    for record in records:
        asking = [part for part in parts if record["run"]["task"] in part[0]]
        known, rates = [methods for _, methods, _ in asking], {rate for *_, rate in asking}
        method = method_of(record["run"], known, rates)
        kind = tuple(record["run"][name] for name in COST_FIELDS)
        if kind not in costs:
            costs[kind] = step_operations(Run(**record["run"]))
        rows.append({"method": method, **row(record), "step_operations": costs[kind]})
    write_csv(options.results / "mitigations.csv", rows)


def method_of(run: dict[str, Any], known: Sequence[dict[str, dict[str, Any]]], rates: set) -> str:
    """The name of the method whose changes a run has; `known`: all_methods of each part of the
    call that asks for its task, whose default `rates` may differ. A plain run at one of them is
    "none", though it may be at a multiple of another."""

    def has(changes: dict[str, Any]) -> bool:
        return all(run[field] == value for field, value in changes.items())

    for part in known:
        for name, changes in part.items():
            if set(changes) - {"learning_rate"} and has(changes):
                return name
    if run["learning_rate"] not in rates:
        for part in known:
            for name, changes in part.items():
                if set(changes) == {"learning_rate"} and has(changes):
                    return name
    return "none"


EXPERIMENT = Experiment("mitigations", __doc__, planned, write, add_flags)

if __name__ == "__main__":
    main(EXPERIMENT)

"""The three profiles, as data: which model, which data, which learning rates, how many seeds.

    mini   the model organism of experiments/mini: demonstrates the mechanism, downloads nothing, is
           the default
    small  a real 12-layer encoder on the real GLUE data: another model than the paper's
    paper  the published setting

The middle learning rate is the default recipe's: in the paper 2e-5, in mini and small the rate at
which the recipe without bias correction fails for some seeds, found by the searches in LOG.md. What
the recipe fixes for all models stands in run.Run as defaults.
"""

from dataclasses import dataclass

from experiments.finetuning.files import REPOSITORY

LONG_EPOCHS = 10  # from here on a run is so expensive that a profile may give it fewer seeds
# epochs (paper, Table 3); the default recipe's is the first, the paper's own recipe's the last
LENGTHS = (3, 10, 20)

# top layers drawn anew where re-initialisation is compared with something else (Du and Nguyen 2023)
REINITIALIZED = 5


@dataclass(frozen=True)
class Profile:
    # names on the model hub, or folders; most experiments take the first only
    models: tuple[str, ...]
    data: str  # "mini", a data set on the hub in GLUE's format, or a folder in GLUE's TSV layout
    learning_rates: tuple[float, float, float]  # the middle one is the default recipe's
    # on which bias correction is compared: the first at all rates, the others at the middle one
    correction_tasks: tuple[str, ...]
    max_length: int  # tokens, special ones included
    seeds: int  # runs per setting
    long_seeds: int  # of settings of LONG_EPOCHS and more
    # a first look: experiments leave settings out, unless --seeds, --long-seeds or --epochs asks
    # for all
    quick: bool
    # for masked-LM perplexity: "mini", a folder with wiki.test.raw, or WikiText-2 on the hub
    text: str
    dtype: str  # arithmetic of Run.dtype
    segment_ids: bool  # of Run.segment_ids
    seconds_per_step: float  # one batch of 16, one worker: only for the estimate in the plan


PROFILES = {
    "mini": Profile(
        models=(str(REPOSITORY / "experiments/mini/checkpoint"),),
        data="mini",
        learning_rates=(2e-4, 3e-4, 4e-4),
        # a few of the first seeds of entailment fail at the highest rate only, of acceptability
        # at the middle one
        correction_tasks=("rte", "cola"),
        max_length=64,
        seeds=3,
        long_seeds=1,
        quick=True,
        text="mini",
        dtype="float32",
        segment_ids=True,
        seconds_per_step=0.12,
    ),
    "small": Profile(
        models=("thenlper/gte-small",),
        data="nyu-mll/glue",
        learning_rates=(5e-5, 1e-4, 2e-4),
        correction_tasks=("rte",),
        max_length=128,
        seeds=5,
        long_seeds=3,
        quick=True,
        text="Salesforce/wikitext",
        dtype="bfloat16",
        segment_ids=True,
        seconds_per_step=0.5,
    ),
    "paper": Profile(
        models=(
            "google-bert/bert-large-uncased",
            "FacebookAI/roberta-large",
            "albert/albert-large-v2",
        ),
        data="nyu-mll/glue",
        learning_rates=(1e-5, 2e-5, 3e-5),
        correction_tasks=("rte",),
        max_length=128,
        seeds=25,
        long_seeds=25,
        quick=False,
        text="Salesforce/wikitext",
        dtype="float32",
        segment_ids=False,
        seconds_per_step=0.03,
    ),
}

# Architectures that packing.py has written out; all others take --plain.
PACKABLE = ("bert", "roberta", "albert")

# What the paper's Table 3 changes for the other two models, by the model_type of transformers; BERT
# is Run's default.
MODEL_RECIPES: dict[str, dict[str, float | None]] = {
    "roberta": {"adam_beta2": 0.98, "weight_decay": 0.1, "max_gradient_norm": None},
    "albert": {"dropout": 0.0, "weight_decay": 0.0},
}

"""The three profiles, as data: which model, which data, which learning rates, how many seeds.

    mini    the model organism of experiments/mini: demonstrates the mechanism, downloads nothing, is the default
    small   a real 12-layer encoder on the real GLUE data: another model than the paper's
    paper   the published setting

The middle learning rate is the default recipe's: in the paper 2e-5, in mini and small the rate at which the recipe without
bias correction fails for some seeds, found by the searches in LOG.md. What the recipe fixes for all models stands in
runs.Run as defaults.
"""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Profile:
    models: tuple[str, ...]  # names on the model hub, or folders
    data: str  # "mini", a data set on the hub in GLUE's format, or a folder in GLUE's TSV layout
    tasks: tuple[str, ...]  # what an experiment on one task uses comes first
    learning_rates: tuple[float, float, float]  # the middle one is the default recipe's
    max_length: int  # tokens, special ones included
    seeds: int  # runs per setting
    dtype: str  # arithmetic of Run.dtype
    seconds_per_step: float  # one batch of 16, one worker: only for the estimate in the plan


PROFILES = {
    "mini": Profile(
        models=(str(REPOSITORY / "experiments/mini/checkpoint"),), data="mini", tasks=("rte", "cola", "mrpc", "qnli"),
        learning_rates=(2e-4, 3e-4, 4e-4), max_length=64, seeds=5, dtype="float32", seconds_per_step=0.1,
    ),
    "small": Profile(
        models=("thenlper/gte-small",), data="nyu-mll/glue", tasks=("rte", "cola", "mrpc", "qnli"),
        learning_rates=(5e-5, 1e-4, 2e-4), max_length=128, seeds=5, dtype="bfloat16", seconds_per_step=0.6,
    ),
    "paper": Profile(
        models=("google-bert/bert-large-uncased",), data="nyu-mll/glue", tasks=("rte", "cola", "mrpc", "qnli"),
        learning_rates=(1e-5, 2e-5, 3e-5), max_length=128, seeds=25, dtype="float32", seconds_per_step=0.03,
    ),
}

# Architectures that packing.py has written out; all others take --plain.
PACKABLE = ("bert", "roberta", "albert")

# What the paper's Table 3 changes for the other two models, by the model_type of transformers; BERT is Run's default.
RECIPES: dict[str, dict[str, float | None]] = {
    "roberta": {"adam_beta2": 0.98, "weight_decay": 0.1, "max_gradient_norm": None},
    "albert": {"dropout": 0.0, "weight_decay": 0.0},
}

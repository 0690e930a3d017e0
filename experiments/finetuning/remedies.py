"""What a run trains and what it leaves as it is: lower layers that are frozen, LoRA; and what these
and their like cannot do together."""

from collections.abc import Sequence

from torch import nn

from experiments.finetuning.checks import HEADS
from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import CLASSIFICATION
from experiments.finetuning.lora import MARK
from experiments.finetuning.probes import layer_of
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import task_of


def check_remedies(run: Run, kind: str, layers: int) -> None:
    """BadInput for what a run of a model of this type with so many layers cannot do."""
    plain = "is part of the fast path only: expected a call without --plain, or other experiments"
    frozen, anew, rank = run.frozen_layers, run.reinitialized_layers, run.lora_rank
    for wrong, problem in (
        (run.mixout and not run.packed, f"Mixout {plain}"),
        (rank and not run.packed, f"LoRA {plain}"),
        (run.head_epochs and not run.packed, f"training the classifier first {plain}"),
        (
            run.head_epochs and task_of(run.task, run.data_source).kind != CLASSIFICATION,
            "training the classifier first wants a class an example: expected such a task",
        ),
        (
            frozen and kind == "albert",
            "ALBERT shares one layer's weights among all: cannot freeze its lower layers; take"
            " another model",
        ),
        (frozen > layers, f"cannot freeze {frozen} layers: expected 0 to {layers}"),
        (
            frozen and anew and frozen + anew > layers,
            f"cannot draw the top {anew} of {layers} layers anew and freeze the lower {frozen}: a"
            " layer would stay random; expected fewer of either",
        ),
        (
            rank and run.mixout,
            "LoRA leaves the pre-trained weights as they are, so Mixout has nothing to mix:"
            " expected one of the two",
        ),
        (
            rank and anew,
            f"LoRA would leave the {anew} layers random that are drawn anew: expected one of the"
            " two",
        ),
        (rank and frozen, "LoRA freezes all layers: expected it without frozen layers"),
    ):
        if wrong:
            raise BadInput(problem)


def choose_trained(model: nn.Module, run: Run, drawn: Sequence[str]) -> None:
    """Take the gradient from the parameters that a run leaves as they are. `drawn`: those that its
    head seed drew, besides the classifier."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_trained(name, run, drawn))


def is_trained(name: str, run: Run, drawn: Sequence[str]) -> bool:
    """Whether a run trains a parameter."""
    if run.lora_rank:
        return MARK in name or is_head(name, drawn)
    if not run.frozen_layers:
        return True
    layer = layer_of(name)
    return "embedding" not in name if layer is None else layer >= run.frozen_layers


def is_head(name: str, drawn: Sequence[str]) -> bool:
    """Whether a parameter is the classifier's, or another that the head seed drew since the
    checkpoint lacks it."""
    return name in drawn or HEADS.search(name) is not None

"""What a run trains and what it leaves as it is: lower layers that are frozen, LoRA."""

from collections.abc import Sequence

from torch import nn

from experiments.finetuning.checks import HEADS
from experiments.finetuning.lora import MARK
from experiments.finetuning.probes import layer_of
from experiments.finetuning.run import Run


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

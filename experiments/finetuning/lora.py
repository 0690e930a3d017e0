"""LoRA (Hu et al. 2022): query and value compute with W + (alpha / r) B A, and only A and B are
trained, besides the classifier.

A [r, in] begins as U(-1 / sqrt(in), 1 / sqrt(in)), as in their released code, B [out, r] as 0: the
first logits are the pre-trained model's. There is no dropout before A. Both matrices are parameters
of the linear layer they belong to, so that whatever goes over a model's parameters (clipping,
checkpoints, kept weights) finds them; HF's own forward knows nothing of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from experiments.finetuning.errors import BadInput

MARK = "lora_"  # in the names of A and B, and of no other parameter


def add_adapters(model: nn.Module, rank: int, generator: torch.Generator) -> None:
    """Give the query and the value of every attention of a model A and B of a rank. BadInput for a
    rank that no matrix has."""
    for module in model.modules():
        if not isinstance(getattr(module, "query", None), nn.Linear):
            continue
        for matrix in (module.query, module.value):
            smaller = min(matrix.weight.shape)
            if rank > smaller:
                raise BadInput(
                    f"LoRA of rank {rank} on matrices of {smaller}: expected a rank from 1 to"
                    f" {smaller}"
                )
            bound = matrix.in_features**-0.5
            down = torch.empty(rank, matrix.in_features)
            matrix.lora_down = nn.Parameter(down.uniform_(-bound, bound, generator=generator))
            matrix.lora_up = nn.Parameter(torch.zeros(matrix.out_features, rank))


class Adapter(NamedTuple):
    """A and B of an attention's query and value."""

    query: nn.Linear
    value: nn.Linear
    scale: float  # alpha / r

    def added(self, joined: Tensor, x: Tensor) -> Tensor:
        """Query, key and value [tokens, 3 hidden] of x [tokens, hidden], with what A and B add."""
        low = linear(x, torch.cat([self.query.lora_down, self.value.lora_down]))
        in_query, in_value = low.chunk(2, dim=1)
        query, value = linear(in_query, self.query.lora_up), linear(in_value, self.value.lora_up)
        change = torch.cat([query, torch.zeros_like(query), value], dim=1)
        return joined + self.scale * change


def adapter_of(attention: nn.Module, alpha: float) -> Adapter | None:
    """The adapter of an attention that has one."""
    if not hasattr(attention.query, "lora_down"):
        return None
    rank = len(attention.query.lora_down)
    return Adapter(attention.query, attention.value, alpha / rank)

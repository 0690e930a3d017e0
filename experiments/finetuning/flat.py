"""All parameters of a model as one vector: one call to the optimiser, the clipping and zero_grad
serves them all."""

import re

import torch
from torch import Tensor, nn


def decays(name: str) -> bool:
    """Whether a parameter gets weight decay: biases and the weights of LayerNorms do not, by
    whatever name. (The released code knows the name LayerNorm only; ALBERT, which has another one
    too, is trained there without decay.)"""
    return "bias" not in name and not is_norm(name)


def is_norm(name: str) -> bool:
    """Whether a parameter is the weight of a LayerNorm, by whatever name."""
    return re.search(r"(norm\w*|(^|\.)ln)\.weight$", name, re.IGNORECASE) is not None


class FlatParameters:
    """All parameters of a model as views of one vector, and their gradients as views of another;
    those that are trained come first, and of these those that decay."""

    def __init__(self, model: nn.Module) -> None:
        named = sorted(
            model.named_parameters(),
            key=lambda item: (not item[1].requires_grad, not decays(item[0])),
        )
        self.values = torch.cat([p.detach().flatten() for _, p in named])
        self.values.grad = torch.zeros_like(self.values)
        trained = [(name, p) for name, p in named if p.requires_grad]
        count = sum(p.numel() for _, p in trained)
        self.trained = self.values[:count]
        self.trained.grad = self.values.grad[:count]
        self.decayed = self.values[: sum(p.numel() for name, p in trained if decays(name))]
        self._start, start = {}, 0
        for _, p in named:
            self._start[p] = start
            p.data = self.values[start : start + p.numel()].view_as(p)
            p.grad = self.values.grad[start : start + p.numel()].view_as(p)
            start += p.numel()

    def joined(self, *parameters: nn.Parameter) -> Tensor:
        """Parameters that are neighbours in the vector, [n, ...] each, as one leaf [sum of n,
        ...]."""
        start, length = self._start[parameters[0]], sum(p.numel() for p in parameters)
        shape = (-1, *parameters[0].shape[1:])
        leaf = self.values[start : start + length].view(shape)
        leaf.requires_grad_(parameters[0].requires_grad)
        leaf.grad = self.values.grad[start : start + length].view(shape)
        parts = leaf.split([len(p) for p in parameters])
        for part, parameter in zip(parts, parameters, strict=True):
            if not torch.equal(part, parameter):
                raise AssertionError("these parameters are no neighbours")
        return leaf

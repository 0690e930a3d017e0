"""Attention of the fast path, of examples that are padded together."""

import math

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def hidden_from_attention(inside: Tensor, heads: int) -> Tensor:
    """What is added to attention scores, [examples * heads, 1, longest]: 0 where there is a token
    in [examples, longest], else -inf."""
    hidden = torch.where(inside == 0, -math.inf, 0.0)
    return hidden.unsqueeze(1).expand(-1, heads, -1).reshape(len(inside) * heads, 1, -1)


def attend(
    query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, keep: Tensor | None
) -> Tensor:
    """Attention over [examples * heads, longest, size], with a dropout mask of the shares.

    torch's fused attention where it changes nothing but rounding: it draws dropout masks of its
    own, and its gradient is not the same twice on a GPU, so where there is neither. On a CPU it
    would change the bytes of the runs there are.
    """
    if keep is None and query.device.type != "cpu" and not torch.is_grad_enabled():
        return fused(query, key, value, hidden)
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=query.shape[-1] ** -0.5)
    shares = torch.softmax(scores, -1)
    return torch.bmm(shares if keep is None else shares * keep, value)


def fused(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
    """The same by torch's kernels, which want four dimensions."""
    query, key, value, hidden = (part.unsqueeze(0) for part in (query, key, value, hidden))
    mask = hidden.to(query.dtype)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask).squeeze(0)

"""The fast path: the encoder written out for batches without padding. The plain path is Hugging
Face's own forward.

What it does otherwise than the plain path, none of it a change to the recipe:
- The tokens of all examples stand in one row [tokens, hidden], so that linear layers, LayerNorm and
  GELU compute nothing that is thrown away. Only attention needs the examples apart. Who shares a
  batch does not change.
- Query, key and value are one matrix product, and one call to the optimiser, the clipping and
  zero_grad serves all parameters, since they are views of one vector: on a 24 x 64 model calls cost
  more than arithmetic.
- Dropout masks come from 16 random bits an element instead of a float (the probability is right to
  1e-5), drawn by numpy on a CPU: a quarter of torch's time; those of a layer are drawn together. So
  the same dropout seed draws other masks than the plain path: the same distribution, another run.
Gains are measured in LOG.md; tests hold logits and gradients equal to the plain path's for BERT,
RoBERTa and ALBERT.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear
from transformers import PretrainedConfig, PreTrainedModel

from experiments.finetuning.attention import attend, hidden_from_attention
from experiments.finetuning.checks import first_position
from experiments.finetuning.devices import send
from experiments.finetuning.flat import FlatParameters
from experiments.finetuning.glue import UNREAD
from experiments.finetuning.layers import head_of, layers_of


class AttentionGroup(NamedTuple):
    """Examples that are padded together for attention, and for attention only."""

    tokens: int
    # [examples * heads, 1, longest], added to the attention scores: 0 where there is a token, else
    # -inf
    mask: Tensor
    slots: Tensor  # [tokens]: where each token stands in [examples * longest]


@dataclass(frozen=True)
class PackedBatch:
    """A batch without padding: the tokens of its examples one after the other, grouped for
    attention."""

    input_ids: Tensor  # [tokens], example after example
    token_type_ids: Tensor  # [tokens]
    position_ids: Tensor  # [tokens]
    # where answers are read, in the order of the batch: the first token of each example, or with a
    # label a word every labelled one
    starts: Tensor
    labels: Tensor | None  # of these answers, where the batch has them
    groups: list[AttentionGroup]  # in the order of the tokens


def random_bits(device: torch.device, seed: int) -> np.random.Generator | torch.Generator:
    """What dropout draws from: numpy's generator on a CPU, which is faster there."""
    if device.type == "cpu":
        return np.random.Generator(np.random.SFC64(seed))
    return torch.Generator(device).manual_seed(seed)


class PackedClassifier:
    """A BERT, RoBERTa or ALBERT with a classification head, computing on packed batches.

    It takes the model's parameters over (FlatParameters); the model stays usable and sees what
    training does to them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        dropout: float,
        dropout_seed: int,
        mixout: float = 0.0,
        lora_alpha: float = 16.0,
    ) -> None:
        self.config = model.config
        self.dropout = dropout
        self.mixout = mixout
        self.flat = FlatParameters(model)
        self.device = model.device
        self.embeddings = model.base_model.embeddings
        # only Mixout needs them
        self.pretrained = self.flat.values.clone() if mixout else self.flat.values
        self.bits = random_bits(self.device, dropout_seed)
        self.layers = layers_of(model, self.flat, lora_alpha)
        albert = self.config.model_type == "albert"
        self.widen = model.base_model.encoder.embedding_hidden_mapping_in if albert else None
        self.pooler, self.classifier = head_of(model)

    def __call__(self, batch: PackedBatch, training: bool) -> Tensor:
        """Logits [answers, labels], in the order of batch.starts. Dropout only when training."""
        return self.head(self.encode(batch, training), training)

    def head(self, read: Tensor, training: bool) -> Tensor:
        """Logits [answers, labels] from what the encoder makes of each token that is read."""
        drop = self._drop if training and self.dropout else lambda x: x
        mix = self._mix if training and self.mixout else lambda weight, parts=1: weight
        if self.pooler is not None:
            read = torch.tanh(linear(read, mix(self.pooler.weight), self.pooler.bias))
        return linear(drop(read), self.classifier.weight, self.classifier.bias)

    def encode(self, batch: PackedBatch, training: bool) -> Tensor:
        """What the encoder makes of each token that is read [answers, hidden]: the first of an
        example, or of each word."""
        drop = self._drop if training and self.dropout else lambda x: x
        table = self.embeddings
        x = (
            _Lookup.apply(table.word_embeddings.weight, batch.input_ids)
            + _Lookup.apply(table.token_type_embeddings.weight, batch.token_type_ids)
            + _Lookup.apply(table.position_embeddings.weight, batch.position_ids)
        )
        x = drop(_norm(x, table.LayerNorm))
        mix = self._mix if training and self.mixout else lambda weight, parts=1: weight
        if self.widen is not None:
            x = linear(x, mix(self.widen.weight), self.widen.bias)
        shapes = [(len(group.mask), *2 * group.mask.shape[2:]) for group in batch.groups] + 2 * [
            x.shape
        ]
        for layer in self.layers:
            *in_attention, first, second = (
                self._keep_all(shapes) if training and self.dropout else [None] * len(shapes)
            )
            joined = linear(x, mix(layer.weight, parts=3), layer.bias)
            if layer.adapter is not None:
                joined = layer.adapter.added(joined, x)
            attended = self._attend(joined, batch.groups, in_attention)
            x = _norm(
                _add(x, linear(attended, mix(layer.output.weight), layer.output.bias), first),
                layer.norm,
            )
            wide = layer.activation(linear(x, mix(layer.up.weight), layer.up.bias))
            x = _norm(
                _add(x, linear(wide, mix(layer.down.weight), layer.down.bias), second),
                layer.last_norm,
            )
        return x[batch.starts]

    def _mix(self, weight: Tensor, parts: int = 1) -> Tensor:
        """Mixout (Lee et al. 2020): (M w + (1 - M) u - p u) / (1 - p) = u + M (w - u) / (1 - p) for
        pre-trained weights u and a mask M of one draw per input neuron, shared by all outputs of
        each of the `parts` matrices that are joined in [out, in]."""
        start = weight.storage_offset()  # in the flat vector
        anchor = self.pretrained[start : start + weight.numel()].view_as(weight)
        keep = (
            self._keep((parts, 1, weight.shape[1]), self.mixout)
            .expand(parts, len(weight) // parts, -1)
            .reshape(weight.shape)
        )
        return anchor + (weight - anchor) * keep

    def _attend(
        self, packed: Tensor, groups: list[AttentionGroup], keeps: list[Tensor | None]
    ) -> Tensor:
        """Query, key and value [tokens, 3 hidden] to [tokens, hidden]: each example attends to
        itself."""
        heads, size = (
            self.config.num_attention_heads,
            packed.shape[1] // 3 // self.config.num_attention_heads,
        )
        results = []
        for (_, mask, slots), rows, keep in zip(
            groups, packed.split([group.tokens for group in groups]), keeps, strict=True
        ):
            examples, longest = len(mask) // heads, mask.shape[2]
            laid_out = rows.new_zeros(examples * longest, rows.shape[1]).index_copy_(0, slots, rows)
            query, key, value = (
                laid_out.view(examples, longest, 3, heads, size)
                .permute(2, 0, 3, 1, 4)
                .reshape(3, examples * heads, longest, size)
                .unbind()
            )
            attended = attend(query, key, value, mask, keep)
            attended = (
                attended.view(examples, heads, longest, size)
                .transpose(1, 2)
                .reshape(examples * longest, heads * size)
            )
            results.append(attended.index_select(0, slots))
        return torch.cat(results) if len(results) > 1 else results[0]

    def _drop(self, x: Tensor) -> Tensor:
        """Each element 0 with probability `dropout`, else divided by 1 - dropout."""
        return x * self._keep(x.shape, self.dropout)

    def _keep_all(self, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """A dropout mask of each shape, drawn together."""
        sizes = [math.prod(shape) for shape in shapes]
        drawn = self._keep((sum(sizes),), self.dropout).split(sizes)
        return [part.view(*shape) for part, shape in zip(drawn, shapes, strict=True)]

    def _keep(self, shape: torch.Size | tuple[int, ...], probability: float) -> Tensor:
        """A mask of 0 with the given probability, else 1 / (1 - probability)."""
        if isinstance(self.bits, np.random.Generator):
            size = math.prod(shape)
            words = self.bits.integers(0, 2**64, (size + 3) // 4, dtype=np.uint64)
            bits = torch.from_numpy(words.view(np.int16)[:size]).view(shape)
        else:
            bits = torch.empty(shape, dtype=torch.int16, device=self.device).random_(
                -(2**15), 2**15, generator=self.bits
            )
        return (bits >= round(probability * 2**16) - 2**15) * (1 / (1 - probability))


def _add(x: Tensor, y: Tensor, keep: Tensor | None) -> Tensor:
    """x + y, with dropout of y where there is a mask."""
    return x + y if keep is None else torch.addcmul(x, y.to(x.dtype), keep)


class _Lookup(torch.autograd.Function):
    """Rows of a table. The gradient goes straight into table.grad: torch's own backward makes a
    second table."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.table = table
        ctx.save_for_backward(ids)
        return table[ids]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        ctx.table.grad.index_add_(0, ctx.saved_tensors[0], gradient)
        return None, None


def _norm(x: Tensor, module: nn.LayerNorm) -> Tensor:
    return layer_norm(x, x.shape[-1:], module.weight, module.bias, module.eps)


def pack(
    batch: dict[str, np.ndarray], config: PretrainedConfig, device: torch.device
) -> PackedBatch:
    """A padded batch (TokenizedSplit.batch) without its padding.

    The examples are laid in order of length, so that those of like length can be padded together
    for attention, in as many groups as pay for their calls; `starts` finds them again in the
    batch's own order.
    """
    mask = batch["attention_mask"].astype(bool)
    labels = batch.get("labels", np.empty(0))
    lengths = mask.sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    mask = mask[order]
    positions = np.broadcast_to(first_position(config) + np.arange(mask.shape[1]), mask.shape)
    place = np.empty(mask.shape, dtype=np.int64)  # of each token in the row
    place[order] = mask.cumsum().reshape(mask.shape) - 1
    starts = place[:, 0] if labels.ndim < 2 else place[labels != UNREAD]

    # one more group costs about 0.1 ms a layer on a CPU, as much as 4e5 attention scores; a GPU
    # wants few calls
    scores = config.num_attention_heads * mask.size * mask.shape[1]
    count = 1 if device.type != "cpu" else int(np.clip(scores / 4e5, 1, len(order)))
    arrays = {
        "input_ids": batch["input_ids"][order][mask],
        "token_type_ids": batch["token_type_ids"][order][mask],
        "position_ids": positions[mask],
        "starts": starts,
    }
    tokens = []
    for i, chosen in enumerate(np.array_split(np.arange(len(order)), count)):
        inside = mask[chosen, : lengths[order[chosen[-1]]]]
        tokens.append(int(inside.sum()))
        arrays |= {f"inside {i}": inside, f"slots {i}": np.flatnonzero(inside)}
    if "labels" in batch:
        arrays["labels"] = labels if labels.ndim < 2 else labels[labels != UNREAD]
    sent = send(arrays, device)
    groups = []
    for i, count in enumerate(tokens):
        hidden = hidden_from_attention(sent.pop(f"inside {i}"), config.num_attention_heads)
        groups.append(AttentionGroup(count, hidden, sent.pop(f"slots {i}")))
    return PackedBatch(**{"labels": None, **sent}, groups=groups)

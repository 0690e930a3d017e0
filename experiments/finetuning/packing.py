"""Batches without padding: exact, and about twice as fast on RTE, four times on CoLA padded to 128 tokens.

The tokens of all examples form one row [1, tokens], so that linear layers, LayerNorm and GELU compute nothing that is
thrown away. Only attention needs the examples apart: there query, key and value are laid out as [examples, longest] with
the padding masked, and the result is packed again. Who shares a batch does not change. Dropout masks have another shape
than with padding, so the same dropout seed draws others: the same distribution, another run.
"""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "padded_for_attention_only"


def _attention(module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor,
               dropout: float = 0.0, scaling: float | None = None, *, slots: torch.Tensor, **_) -> tuple[torch.Tensor, None]:
    """query, key, value [1, heads, tokens, size]; mask [examples, 1, 1, longest], True for tokens; slots [tokens], the
    place of each token in the flattened [examples, longest]. Returns [1, tokens, heads, size]."""
    examples, longest = mask.shape[0], mask.shape[-1]
    heads, tokens, size = query.shape[1:]

    def laid_out(packed: torch.Tensor) -> torch.Tensor:
        rows = packed.transpose(1, 2).reshape(tokens, heads * size)
        padded = rows.new_zeros(examples * longest, heads * size).index_copy(0, slots, rows)
        return padded.view(examples, longest, heads, size).transpose(1, 2)

    attended = scaled_dot_product_attention(laid_out(query), laid_out(key), laid_out(value), attn_mask=mask,
                                            dropout_p=dropout, scale=scaling)
    rows = attended.transpose(1, 2).reshape(examples * longest, heads * size).index_select(0, slots)
    return rows.view(1, tokens, heads, size), None


AttentionInterface.register(NAME, _attention)


def use_packing(model: PreTrainedModel) -> None:
    """Make the model accept packed batches only. Its heads read the first token of each example and find it where they
    look for it: the encoder's output becomes [examples, 1, hidden]."""
    model.set_attn_implementation(NAME)

    def first_tokens(_module: torch.nn.Module, _args: tuple, inputs: dict[str, Any], output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[0, inputs["starts"]].unsqueeze(1)
        return output

    model.base_model.encoder.register_forward_hook(first_tokens, with_kwargs=True)


def pack(batch: dict[str, np.ndarray], model: PreTrainedModel) -> dict[str, np.ndarray]:
    """A padded batch (TokenizedSplit.batch) as keyword arguments of a model prepared by use_packing."""
    mask = batch["attention_mask"].astype(bool)
    first_position = model.config.pad_token_id + 1 if model.config.model_type == "roberta" else 0
    positions = np.broadcast_to(first_position + np.arange(mask.shape[1]), mask.shape)
    lengths = mask.sum(axis=1)
    return {"input_ids": batch["input_ids"][mask][None], "token_type_ids": batch["token_type_ids"][mask][None],
            "position_ids": positions[mask][None], "attention_mask": mask[:, None, None, :],
            "slots": np.flatnonzero(mask), "starts": np.cumsum(lengths) - lengths}

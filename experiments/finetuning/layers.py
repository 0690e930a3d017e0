"""The parts of BERT, RoBERTa and ALBERT by what they do: the layers from the bottom, pooler,
classifier."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from transformers import PreTrainedModel

from experiments.finetuning.flat import FlatParameters
from experiments.finetuning.lora import Adapter, adapter_of


class Layer(NamedTuple):
    """One layer of the encoder; query, key and value in one matrix."""

    weight: Tensor  # [3 hidden, hidden]
    bias: Tensor  # [3 hidden]
    adapter: Adapter | None  # LoRA's, of query and value
    output: nn.Linear
    norm: nn.LayerNorm
    up: nn.Linear
    activation: Callable[[Tensor], Tensor]
    down: nn.Linear
    last_norm: nn.LayerNorm


def layers_of(model: PreTrainedModel, flat: FlatParameters, alpha: float) -> list[Layer]:
    """The encoder's layers from the bottom; ALBERT has few, each used several times."""
    encoder = model.base_model.encoder
    if model.config.model_type != "albert":
        return [bert_layer(layer, flat, alpha) for layer in encoder.layer]
    groups = []
    for group in encoder.albert_layer_groups:
        groups.append([albert_layer(layer, flat, alpha) for layer in group.albert_layers])
    layers = []
    depth = model.config.num_hidden_layers
    for i in range(depth):
        layers += groups[i * len(groups) // depth]
    return layers


def bert_layer(layer: nn.Module, flat: FlatParameters, alpha: float) -> Layer:
    """A layer of BERT or RoBERTa."""
    return Layer(
        *query_key_value(layer.attention.self, flat),
        adapter_of(layer.attention.self, alpha),
        layer.attention.output.dense,
        layer.attention.output.LayerNorm,
        layer.intermediate.dense,
        layer.intermediate.intermediate_act_fn,
        layer.output.dense,
        layer.output.LayerNorm,
    )


def albert_layer(layer: nn.Module, flat: FlatParameters, alpha: float) -> Layer:
    """A layer of ALBERT."""
    return Layer(
        *query_key_value(layer.attention, flat),
        adapter_of(layer.attention, alpha),
        layer.attention.dense,
        layer.attention.LayerNorm,
        layer.ffn,
        layer.activation,
        layer.ffn_output,
        layer.full_layer_layer_norm,
    )


def query_key_value(attention: nn.Module, flat: FlatParameters) -> tuple[Tensor, Tensor]:
    """Weights [3 hidden, hidden] and biases [3 hidden] of query, key and value, a leaf each."""
    parts = attention.query, attention.key, attention.value
    weights = flat.joined(*[part.weight for part in parts])
    return weights, flat.joined(*[part.bias for part in parts])


def head_of(model: PreTrainedModel) -> tuple[nn.Linear | None, nn.Linear]:
    """Pooler and classifier, by their names in each architecture; no pooler where every token is
    classified."""
    if model.base_model.pooler is None and isinstance(model.classifier, nn.Linear):
        return None, model.classifier
    if model.config.model_type == "roberta":
        return model.classifier.dense, model.classifier.out_proj
    if model.config.model_type == "albert":
        return model.base_model.pooler, model.classifier
    return model.base_model.pooler.dense, model.classifier

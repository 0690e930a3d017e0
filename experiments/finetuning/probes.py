"""What is measured beside the score: gradient norms per weight matrix, masked-LM perplexity, the
loss between models."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from experiments.finetuning.errors import BadInput

# parameter names of BERT, RoBERTa, ALBERT -> the paper's name of the matrix (Figs 4, 10-12)
_ROLES = {
    "attention.self.query.weight": "query",
    "attention.self.key.weight": "key",
    "attention.self.value.weight": "value",
    "attention.output.dense.weight": "output",
    "attention.query.weight": "query",
    "attention.key.weight": "key",
    "attention.value.weight": "value",
    "attention.dense.weight": "output",
}


def probed_matrices(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The weight matrices of the paper's gradient figures that are trained: "layer 1 query" ...
    "layer 24 output", pooler, classifier."""
    matrices = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = re.search(r"\.(?:layer|albert_layers)\.(\d+)\.(.+)$", name)
        if layer and layer[2] in _ROLES:
            matrices[f"layer {int(layer[1]) + 1} {_ROLES[layer[2]]}"] = parameter
        elif name.endswith(("pooler.dense.weight", "pooler.weight", "classifier.dense.weight")):
            matrices["pooler"] = parameter
        elif name.endswith(("classifier.weight", "classifier.out_proj.weight")):
            matrices["classifier"] = parameter
    return matrices


def gradient_norms(matrices: dict[str, torch.nn.Parameter]) -> list[float]:
    """L2 norm of the loss gradient of each matrix, in their order."""
    return torch.stack(
        torch._foreach_norm([parameter.grad for parameter in matrices.values()])
    ).tolist()


# -------------------------------------------------------- forgetting (paper, section 4.1)

# of the tokens are predicted: 80 % masked, 10 % exchanged, 10 % kept (Devlin et al. 2019, 3.1)
MASKED_SHARE = 0.15


def layer_of(name: str) -> int | None:
    """The encoder layer of a parameter, from 0 at the bottom; None for what is none, and where
    layers are shared or named otherwise."""
    found = re.search(r"encoder\.layer\.(\d+)\.", name)
    return int(found[1]) if found else None


def check_layers(names: Iterable[str], source: str) -> None:
    """BadInput unless some of a model's parameters are in layers of their own by the names that
    layer_of knows."""
    if all(layer_of(name) is None for name in names):
        raise BadInput(
            f"{source} has no layers by the names encoder.layer.N (ALBERT shares one among all):"
            " expected them where layers are treated differently, as BERT and RoBERTa have them"
        )


def put_back(
    fine_tuned: dict[str, torch.Tensor],
    pretrained: dict[str, torch.Tensor],
    top: int,
    layers: int,
) -> dict[str, torch.Tensor]:
    """The fine-tuned encoder layers with the `top` uppermost ones back at their pre-trained values,
    by parameter name; what is in no layer is left out."""
    return {
        name: (pretrained if layer >= layers - top else fine_tuned)[name]
        for name in pretrained
        if (layer := layer_of(name)) is not None
    }


def mask_blocks(
    token_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Running text as masked-LM inputs and labels, both [blocks, length]: cut into blocks of length
    - 2 tokens between [CLS] and [SEP], the last incomplete block left out; labels are -100 where
    nothing is predicted. The same seed masks the same."""
    width = length - 2
    if len(token_ids) < width:
        raise BadInput(
            f"the text for perplexity has {len(token_ids)} tokens: expected {width} or more, one"
            " block; see --text"
        )
    blocks = torch.tensor(token_ids[: len(token_ids) // width * width]).view(-1, width)
    edge = torch.ones(len(blocks), 1, dtype=torch.long)
    ids = torch.cat([tokenizer.cls_token_id * edge, blocks, tokenizer.sep_token_id * edge], dim=1)
    generator = torch.Generator().manual_seed(seed)
    draw, kind = torch.rand(2, *ids.shape, generator=generator)
    picked = (draw < MASKED_SHARE) & ~torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    exchanged = torch.randint(len(tokenizer), ids.shape, generator=generator)
    masked = torch.where(
        kind < 0.8, tokenizer.mask_token_id, torch.where(kind < 0.9, exchanged, ids)
    )
    return torch.where(picked, masked, ids), torch.where(picked, ids, -100)


@torch.no_grad()
def masked_lm_perplexity(
    model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor, batch_size: int = 32
) -> float:
    """exp of the mean negative log-likelihood (nats) of the predicted tokens; infinite where
    that overflows. Dropout off."""
    model.eval()
    total, head = 0.0, masked_lm_head(model)
    there = inputs.to(model.device), labels.to(model.device)  # all at once
    for some_inputs, some_labels in zip(*(part.split(batch_size) for part in there), strict=True):
        # one token in seven: logits of all took 2 GB and a third of the time
        predicted = some_labels != -100
        hidden = model.base_model(input_ids=some_inputs).last_hidden_state[predicted]
        total += cross_entropy(head(hidden).float(), some_labels[predicted], reduction="sum").item()
    mean = total / int((labels != -100).sum())
    return math.exp(mean) if mean < 700 else math.inf


def masked_lm_head(model: PreTrainedModel) -> torch.nn.Module:
    """What turns hidden states into logits, by BERT's, RoBERTa's or ALBERT's name for it."""
    return next(
        getattr(model, name) for name in ("cls", "lm_head", "predictions") if hasattr(model, name)
    )


def fit_masked_lm_head(
    model: PreTrainedModel,
    new: Sequence[str],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    epochs: int = 10,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
) -> dict[str, torch.Tensor]:
    """Train the parameters named `new`, all of the head, to predict `labels` [blocks, length]
    (-100: not predicted), everything else frozen, the output matrix tied to the input embeddings;
    AdamW with linear decay to 0. Returns them by name."""
    model.eval()
    inputs, labels = inputs.to(model.device), labels.to(model.device)
    with torch.no_grad():  # the encoder is frozen, so once is enough
        hidden = torch.cat(
            [
                model.base_model(input_ids=some).last_hidden_state[of != -100]
                for some, of in zip(inputs.split(8), labels.split(8), strict=True)
            ]
        )
    targets = labels[labels != -100]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in new)
    head = masked_lm_head(model)
    steps = epochs * math.ceil(len(targets) / batch_size)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=learning_rate
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for batch in torch.randperm(len(targets), generator=generator).split(batch_size):
            optimizer.zero_grad()
            cross_entropy(head(hidden[batch]), targets[batch]).backward()
            optimizer.step()
            schedule.step()
    return {name: p.detach() for name, p in model.named_parameters() if name in new}


# -------------------------------------------------------- loss surfaces (paper, section 7.6)


def corners_of(
    model: torch.nn.Module,
    parameters: Sequence[torch.Tensor],
    states: Iterable[dict[str, torch.Tensor]],
) -> list[list[torch.Tensor]]:
    """The values that a model's `parameters` have with each of `states` loaded."""
    corners = []
    for state in states:
        model.load_state_dict(state, strict=False)
        corners.append([p.detach().clone() for p in parameters])
    return corners


@torch.no_grad()
def move_to(
    parameters: Sequence[torch.Tensor],
    corners: Sequence[Sequence[torch.Tensor]],
    a: float,
    b: float,
) -> None:
    """Set parameters to p + a (f - p) + b (s - p) for corners (p, f, s), each like `parameters`."""
    for parameter, p, f, s in zip(parameters, *corners, strict=True):
        parameter.copy_((1 - a - b) * p + a * f + b * s)


def loss_and_gradient(
    loss_of: Callable[[dict[str, np.ndarray]], torch.Tensor],
    batches: Iterable[dict[str, np.ndarray]],
    parameters: Sequence[torch.Tensor],
) -> tuple[float, float]:
    """Mean loss (nats) over the examples of all batches, and the L2 norm of its gradient over
    all parameters."""
    for parameter in parameters:
        parameter.grad = None if parameter.grad is None else parameter.grad.zero_()
    batches = list(batches)
    examples = sum(len(batch["labels"]) for batch in batches)
    total = 0.0
    for batch in batches:
        loss = loss_of(batch) * len(batch["labels"]) / examples
        loss.backward()
        total += loss.item()
    return (
        total,
        torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm().item(),
    )

"""What is measured beside the score: gradient norms per weight matrix."""

import re

import torch

_ROLES = {  # parameter names of BERT, RoBERTa, ALBERT -> the paper's name of the matrix (Figs 4, 10-12)
    "attention.self.query.weight": "query", "attention.self.key.weight": "key", "attention.self.value.weight": "value",
    "attention.output.dense.weight": "output", "attention.query.weight": "query", "attention.key.weight": "key",
    "attention.value.weight": "value", "attention.dense.weight": "output",
}


def probed_matrices(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The weight matrices of the paper's gradient figures: "layer 1 query" ... "layer 24 output", pooler, classifier."""
    matrices = {}
    for name, parameter in model.named_parameters():
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
    return torch.stack(torch._foreach_norm([parameter.grad for parameter in matrices.values()])).tolist()

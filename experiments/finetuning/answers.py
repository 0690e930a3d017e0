"""What logits [examples, outputs] answer, and what it costs: for class ids (int64) a column a class
and cross-entropy, for a regression's numbers (float32) one column and the squared error, as in
Hugging Face's heads.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from experiments.finetuning.histories import Answers, selection_half
from experiments.finetuning.metrics import all_metrics


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the examples: cross-entropy in nats, or the squared error in the labels' unit."""
    if labels.is_floating_point():
        return mse_loss(logits[:, 0], labels)
    return cross_entropy(logits, labels)


def answers_of(logits: Tensor, labels: np.ndarray) -> Answers:
    """What logits answer; `labels` [examples] are the right ones."""
    values = logits.numpy()
    if values.shape[1] == 1:
        return Answers(values[:, 0], values[:, 0])
    if values.shape[1] == 2:
        margins = values[:, 1] - values[:, 0]
        return Answers((margins > 0).astype(np.int64), margins)
    right = np.arange(values.shape[1]) == labels[:, None]
    others = np.where(right, -np.inf, values).max(axis=1)
    return Answers(values.argmax(axis=1), values[right] - others)


def scores_of(logits: Tensor, labels: np.ndarray) -> dict[str, float]:
    """Every metric of the task's kind, and dev_loss, the mean loss."""
    scores = all_metrics(answers_of(logits, labels).predictions, labels, logits.shape[1])
    return {**scores, "dev_loss": mean_loss(logits, torch.from_numpy(labels)).item()}


def scores_of_halves(logits: Tensor, labels: np.ndarray, metric: str) -> dict[str, float]:
    """Score and loss on the selection half and on the reporting half of dev, from its logits
    [examples, outputs]; NaN where a logit is not finite, and for a half without examples."""
    chosen = selection_half(labels)
    row: dict[str, float] = {}
    for name, half in (("selection", chosen), ("reporting", ~chosen)):
        scores = dict.fromkeys((metric, "dev_loss"), np.nan)
        if half.any() and logits[half].isfinite().all():
            scores = scores_of(logits[half], labels[half])
        row |= {f"{name}_score": scores[metric], f"{name}_loss": scores["dev_loss"]}
    return row

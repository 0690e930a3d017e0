"""The classifier first, then all (LP-FT, Kumar et al. 2022): the first of the two.

The encoder's answers are computed once, without dropout, and the classifier is trained on them,
with what else the head seed drew; so an epoch costs next to nothing. The optimiser, its rate and
its schedule are those of the run, over the steps of this phase alone.
"""

import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from experiments.finetuning.flat import decays
from experiments.finetuning.optimizers import PaperAdamW, ParameterGroup
from experiments.finetuning.packing import PackedClassifier, pack
from experiments.finetuning.remedies import is_head
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import TokenizedSplit

FEATURE_BATCH = 100  # examples


def train_head(
    model: torch.nn.Module,
    network: PackedClassifier,
    train_set: TokenizedSplit,
    run: Run,
    drawn: list[str],
) -> None:
    """Train the classifier of a model, and nothing else, for run.head_epochs; `drawn`: what else
    the head seed drew."""
    features = encoded(network, train_set, run)
    labels = torch.from_numpy(train_set.labels).to(run.device)
    named = [(name, p) for name, p in model.named_parameters() if is_head(name, drawn)]
    decayed = [p.data for name, p in named if decays(name)]
    steps_per_epoch = math.ceil(len(labels) / run.batch_size)
    total_steps = run.head_epochs * steps_per_epoch
    optimizer = PaperAdamW([ParameterGroup([p for _, p in named], decayed)], run, total_steps)
    # not the order of the epochs to come
    order = np.random.default_rng([run.order_seed, run.head_epochs])
    for _ in range(run.head_epochs):
        permutation = torch.from_numpy(order.permutation(len(labels))).to(run.device)
        for rows in permutation.split(run.batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(network.head(features[rows], training=False), labels[rows])
            loss.backward()
            optimizer.step()


@torch.no_grad()
def encoded(network: PackedClassifier, split: TokenizedSplit, run: Run) -> torch.Tensor:
    """What the encoder makes of the first token of each example [examples, hidden], in float32,
    without dropout."""
    arithmetic = torch.autocast(
        run.device.split(":")[0], dtype=torch.bfloat16, enabled=run.dtype == "bfloat16"
    )
    by_length = np.argsort([len(ids) for ids in split.input_ids], kind="stable")
    parts = []
    for batch in split.batches(by_length, FEATURE_BATCH):
        with arithmetic:
            packed = pack(batch, network.config, network.device)
            parts.append(network.encode(packed, training=False).float())
    return torch.cat(parts)[torch.from_numpy(np.argsort(by_length)).to(run.device)]

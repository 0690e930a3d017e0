"""What a step of a run costs, apart from any machine."""

import dataclasses

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from experiments.finetuning.loading import load, prepare
from experiments.finetuning.run import Run
from experiments.finetuning.training import batch_loss


def step_operations(run: Run) -> int:
    """Floating-point operations of the matrix products in one step of a run, forward and backward,
    on the first batch of its training set in the order of the file. On a small model the time of a
    step falls by less than they do."""
    run = dataclasses.replace(run, device="cpu")
    model, drawn, _, train_set, _ = load(run)
    network, _ = prepare(model, run, drawn)
    batch = train_set.batch(np.arange(min(run.batch_size, len(train_set.labels))))
    with FlopCounterMode(display=False) as counter:
        batch_loss(network, batch, run).backward()
    return counter.get_total_flops()

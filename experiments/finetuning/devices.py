"""What a GPU needs to be told, and how a batch gets there."""

import os

import numpy as np
import torch
from torch import Tensor

from experiments.finetuning.errors import BadInput
from experiments.finetuning.run import Run

TF32_SINCE = (8, 0)  # compute capability: Ampere, 2020


def set_float32(run: Run) -> None:
    """Whether float32 matrix products on a GPU may be rounded to TF32: only where run.dtype says
    so. torch's own default can be turned by a variable of the environment, as some containers do.
    BadInput for a GPU that has no TF32, which would compute in float32 without a word."""
    wanted = run.dtype == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = wanted  # sets fp32_precision too; only that does not
    if not wanted:
        return
    os.environ.pop("NVIDIA_TF32_OVERRIDE", None)  # 0: cuBLAS does without, whoever asks for it
    if torch.cuda.get_device_capability() < TF32_SINCE:
        raise BadInput(
            f"{torch.cuda.get_device_name()} has no TF32: expected a GPU of compute capability"
            f" {TF32_SINCE[0]}.{TF32_SINCE[1]} or later, or --dtype float32"
        )


def send(arrays: dict[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """Arrays on a device. On a CPU they are the arrays themselves; elsewhere parts of one vector:
    one copy, and to a GPU from pinned memory, so that nothing waits for its end."""
    if device.type == "cpu":
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    vector = joined(arrays)
    if device.type == "cuda":
        vector = vector.pin_memory()
    return parted(vector.to(device, non_blocking=True), arrays)


def joined(arrays: dict[str, np.ndarray]) -> Tensor:
    """All elements in one vector of int64: whole numbers and truth values as they are, fractions
    (a regression's labels) by the bits of their float64."""
    rows = []
    for array in arrays.values():
        wide = array.astype(np.float64 if array.dtype.kind == "f" else np.int64).ravel()
        rows.append(wide.view(np.int64))
    return torch.from_numpy(np.concatenate(rows))


def parted(vector: Tensor, arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The parts of a joined vector by name, in the shapes of the arrays; fractions in their own
    precision."""
    rows = vector.split([array.size for array in arrays.values()])
    parts = {}
    for (name, array), row in zip(arrays.items(), rows, strict=True):
        if array.dtype.kind == "f":
            row = row.view(torch.float64).to(torch.from_numpy(array[:0]).dtype)
        parts[name] = row.view(array.shape)
    return parts

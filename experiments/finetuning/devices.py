"""What a GPU needs to be told, and how a batch gets there."""

import os

import torch

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

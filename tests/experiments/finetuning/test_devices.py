"""What a GPU is told before a run, and that no tensor is made on another device than the model."""

import pytest
import torch

from experiments.finetuning.errors import BadInput
from experiments.finetuning.training import make_repeatable


@pytest.fixture
def as_before():
    """torch's switches, put back afterwards."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    rounded = torch.backends.cuda.matmul.allow_tf32
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = filled
    torch.backends.cuda.matmul.allow_tf32 = rounded


def test_float32_is_said_explicitly(tiny_run, as_before, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    matmul = torch.backends.cuda.matmul
    for dtype, precision in (("tf32", "tf32"), ("bfloat16", "ieee"), ("float32", "ieee")):
        matmul.allow_tf32 = dtype != "tf32"  # as another run, or the environment, has left it
        run = tiny_run(dtype=dtype, device="cuda")
        make_repeatable(run)
        assert matmul.fp32_precision == precision and matmul.allow_tf32 == (dtype == "tf32")
    assert len({tiny_run(dtype=dtype).id for dtype in ("tf32", "bfloat16", "float32")}) == 3


def test_a_gpu_without_tf32_is_refused(tiny_run, as_before, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    make_repeatable(tiny_run(device="cuda"))
    with pytest.raises(BadInput, match="^Tesla T4 has no TF32: expected a GPU of compute cap"):
        make_repeatable(tiny_run(device="cuda", dtype="tf32"))

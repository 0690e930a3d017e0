"""What a GPU is told before a run, and that no tensor is made on another device than the model."""

import contextlib
from functools import partial

import numpy as np
import pytest
import torch
from conftest import a_batch, small_model
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from transformers import AutoConfig, AutoModelForMaskedLM

from experiments.finetuning import attention, packing
from experiments.finetuning.attention import attend, fused, hidden_from_attention
from experiments.finetuning.devices import joined, parted
from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import UNREAD
from experiments.finetuning.loading import prepare
from experiments.finetuning.optimizers import PaperAdamW, all_tensors
from experiments.finetuning.packing import pack
from experiments.finetuning.probes import masked_lm_perplexity, probed_matrices
from experiments.finetuning.training import batch_loss, forward, make_repeatable, training_step


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


class OneDevice(TorchDispatchMode):
    """Refuses every operation on tensors of two devices, in backward and in the optimiser too:
    torch's meta device by itself lets matrix products and indices of another pass. Copies from one
    to the other are counted. Meta tensors have no values: one that is read is 0.5, and those that
    are compared are equal."""

    def __init__(self):
        super().__init__()
        self.sent = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = []
        tree_map_only(torch.Tensor, tensors.append, (args, kwargs or {}))
        devices = {tensor.device.type for tensor in tensors}
        if func is aten._to_copy.default or func is aten.copy_.default:
            if "meta" in devices and (kwargs or {}).get("device") == torch.device("cpu"):
                return torch.full(tensors[0].shape, 0.5, dtype=tensors[0].dtype)
            self.sent += devices == {"cpu"} and (kwargs or {}).get("device") == META
        else:
            assert len(devices) < 2, f"{func} on {devices}"
        if func is aten._local_scalar_dense.default and devices == {"meta"}:
            return 0.5
        if func is aten.equal.default:
            return True
        if func is aten.index.Tensor and args[1][0].dtype == torch.bool:  # which ones has no answer
            return args[0].flatten(0, args[1][0].dim() - 1)[:3]
        return func(*args, **(kwargs or {}))


META = torch.device("meta")
aten = torch.ops.aten


@pytest.fixture
def on_meta(monkeypatch):
    """What stands in the way of the meta device and not of a GPU: it has no generator, no fused
    optimiser and no autocast."""
    monkeypatch.setattr(packing, "random_bits", lambda device, seed: None)
    real = torch.optim.AdamW
    monkeypatch.setattr(
        torch.optim, "AdamW", lambda *given, fused, **more: real(*given, foreach=True, **more)
    )
    monkeypatch.setattr(torch, "autocast", lambda *given, **more: contextlib.nullcontext())


WAYS = {
    "default": {},
    "plain": {"packed": False},
    "without dropout": {"dropout": 0.0},
    "Mixout": {"mixout": 0.5, "dropout": 0.0, "decay_to_pretrained": True},
    "each clipped": {"component_clipping": 1.0},
    "layer-wise": {"layerwise_decay": 0.9},
    "SGD": {"optimizer": "sgd"},
}


@pytest.mark.parametrize(
    ("architecture", "way"),
    [
        *(("bert", way) for way in WAYS),
        *((name, way) for name in ("roberta", "albert") for way in ("default", "plain")),
    ],
)
def test_no_tensor_of_a_step_is_made_on_another_device(tiny_run, on_meta, architecture, way):
    run = tiny_run(device="meta", max_gradient_norm=1.0, **WAYS[way])
    model = small_model(architecture)
    batch = {**a_batch(model, 9), "labels": np.array([0, 1, 1, 0, 1, 0])}
    with OneDevice() as mode:
        network, groups = prepare(model.to(META), run)
        optimizer, matrices = PaperAdamW(groups, run, 10), probed_matrices(model)
        for step in range(2):
            mode.sent = 0
            probed = matrices if step else {}
            loss, norms = training_step(model, network, optimizer, batch, run, probed)
            assert mode.sent == 1  # copy to the device a batch, its labels included
            assert loss == 0.5 and len(norms) == len(probed)
        assert {p.device for p in model.parameters()} == {META}
        assert {p.grad.device for p in all_tensors(groups) if p.grad is not None} == {META}


def test_what_is_sent_in_one_copy_arrives_as_it_was():
    """By the way of a GPU, on a CPU: whole numbers, truth values, fractions, several shapes."""
    sent = {
        "input_ids": np.array([[3, 2**40], [-100, 0]]),
        "inside": np.array([True, False, True]),
        "labels": np.array([0.1, -2.5, 1e-30, 5.0], dtype=np.float32),
        "weights": np.array([0.1]),
        "none": np.empty(0, dtype=np.int64),
    }
    vector = joined(sent)
    assert vector.dtype == torch.int64 and vector.shape == (12,)
    arrived = parted(vector, sent)
    assert arrived.keys() == sent.keys()
    for name, array in sent.items():
        assert np.array_equal(arrived[name].numpy(), array), name
    assert arrived["labels"].dtype == torch.float32 and arrived["weights"].dtype == torch.float64


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("labels", ["fractions", "words"])
def test_other_labels_are_sent_with_their_batch(tiny_run, on_meta, labels, packed):
    """A regression's, and one a word."""
    run, model = tiny_run(device="meta", packed=packed), small_model("bert")
    batch = a_batch(model, 9)
    batch["labels"] = np.arange(6, dtype=np.float32) / 3
    if labels == "words":
        if not packed:
            pytest.skip("which logits are read has no answer on the meta device")
        batch["labels"] = np.where(batch["attention_mask"], 1, UNREAD)
    with OneDevice() as mode, torch.no_grad():
        network, _ = prepare(model.to(META), run)
        mode.sent = 0
        assert batch_loss(network, batch, run).device == META
        assert mode.sent == 1


@pytest.mark.parametrize("packed", [True, False])
def test_no_tensor_of_an_evaluation_is_made_on_another_device(tiny_run, on_meta, packed):
    run, model = tiny_run(device="meta", packed=packed), small_model("bert")
    batch = a_batch(model, 9)
    with OneDevice() as mode, torch.no_grad():
        network, _ = prepare(model.to(META), run)
        mode.sent = 0
        logits = forward(network, batch, run, training=False)
        assert mode.sent == 1 and logits.device == META and logits.shape == (6, 2)


def test_packing_and_attention_on_a_gpu_that_is_not_there(monkeypatch):
    """torch's fake tensors have a GPU's device and its rules, without a gradient."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)  # not made for them
    model, cuda = small_model("bert"), torch.device("cuda:0")
    batch = {**a_batch(model, 9), "labels": np.array([0, 1, 1, 0, 1, 0])}
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        inputs = pack(batch, model.config, cuda)
        (group,) = inputs.groups
        parts = [inputs.input_ids, inputs.starts, inputs.labels, group.mask, group.slots]
        assert {part.device for part in parts} == {cuda}
        query = torch.zeros(12, 9, 8, device=cuda)
        assert attend(query, query, query, group.mask, None).device == cuda
        with pytest.raises(FakeTensorDeviceMismatchError):
            attend(query, query, query, torch.zeros(12, 1, 9), None)


def test_perplexity_makes_no_tensor_on_another_device(tiny_model):
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(tiny_model)).to(META)
    inputs = torch.ones(5, 8, dtype=torch.long)
    with OneDevice() as mode:
        assert masked_lm_perplexity(model, inputs, inputs, batch_size=2) > 1
    assert mode.sent == 2  # all inputs, all labels


def test_fused_attention_is_the_same_but_for_rounding():
    """On a CPU, where it is not used; rows of different length, one of a single token."""
    random = torch.Generator().manual_seed(1)
    query, key, value = torch.randn(3, 6 * 2, 7, 5, generator=random)
    lengths = torch.tensor([7, 1, 3, 7, 2, 5])
    hidden = hidden_from_attention(torch.arange(7) < lengths[:, None], heads=2)
    expected = torch.stack(
        [
            torch.softmax(q @ k[:n].T / 5**0.5, -1) @ v[:n]
            for q, k, v, n in zip(query, key, value, lengths.repeat_interleave(2), strict=True)
        ]
    )
    for computed in (fused, partial(attend, keep=None)):
        found = computed(query, key, value, hidden)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_fused_attention_serves_evaluations_on_a_gpu_only(monkeypatch):
    called = []
    monkeypatch.setattr(attention, "fused", lambda query, *_: called.append(1) or query)
    for device, grad, keep, expected in (
        ("meta", False, False, 1),
        ("meta", True, False, 0),  # its gradient is not the same twice
        ("meta", False, True, 0),  # it would draw other masks
        ("cpu", False, False, 0),  # the bytes of the runs there are
    ):
        called.clear()
        parts = [torch.ones(2, 3, 4, device=device) for _ in range(3)]
        mask = torch.ones(2, 3, 3, device=device) if keep else None
        with torch.set_grad_enabled(grad):
            attend(*parts, torch.zeros(2, 1, 3, device=device), mask)
        assert len(called) == expected


def test_a_tensor_on_another_device_would_be_seen():
    with OneDevice(), pytest.raises(AssertionError, match="mm"):
        torch.ones(2, 2, device="meta") @ torch.ones(2, 2)

"""The fast path gives what Hugging Face's own forward gives: logits and gradients, for the three
architectures."""

import copy

import numpy as np
import pytest
import torch
from conftest import a_batch, small_model

from experiments.finetuning.flat import FlatParameters
from experiments.finetuning.packing import PackedClassifier, pack
from experiments.finetuning.training import train


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
@pytest.mark.parametrize("longest", [9, 350])  # 350 tokens: enough for attention in several groups
def test_fast_equals_plain(architecture, longest):
    plain = small_model(architecture).train()
    copied = copy.deepcopy(plain)
    fast = PackedClassifier(copied, dropout=0.0, dropout_seed=1)
    batch, labels = a_batch(plain, longest), torch.tensor([0, 1, 1, 0, 1, 0])
    inputs = pack(batch, fast.config, fast.device)
    assert len(inputs.input_ids) == batch["attention_mask"].sum()
    assert (len(inputs.groups) > 1) == (longest == 350)

    plain_logits = plain(**{name: torch.from_numpy(x) for name, x in batch.items()}).logits
    torch.nn.functional.cross_entropy(plain_logits, labels).backward()
    # a second time, to see that gradients are taken back to zero and not piled up
    for _ in range(2):
        fast.flat.values.grad.zero_()
        fast_logits = fast(inputs, training=True)
        torch.nn.functional.cross_entropy(fast_logits, labels).backward()
    assert plain_logits.std() > 0
    torch.testing.assert_close(fast_logits, plain_logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(fast(inputs, training=False), plain_logits, rtol=0, atol=1e-5)
    seen = 0
    for (name, ours), theirs in zip(copied.named_parameters(), plain.parameters(), strict=True):
        # HF's RoBERTa and ALBERT hold parameters a classifier does not use
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=name)
            seen += 1
    assert seen > 30


def test_the_flat_vector_is_the_model_and_decays_what_the_paper_decays():
    model = small_model("bert")
    names = {name: p.detach().clone() for name, p in model.named_parameters()}
    flat = FlatParameters(model)
    flat.decayed.mul_(0.5)
    for name, p in model.named_parameters():
        kept = name.endswith("bias") or "LayerNorm" in name
        assert torch.equal(p, names[name] if kept else 0.5 * names[name]), name


def test_a_fast_run_equals_a_plain_one_without_dropout(tiny_run):
    fast, plain = (train(tiny_run(dropout=0.0, packed=packed)) for packed in (True, False))
    np.testing.assert_allclose(
        fast["history"]["train_loss"], plain["history"]["train_loss"], atol=1e-5
    )
    np.testing.assert_allclose(
        [e["dev_loss"] for e in fast["history"]["evaluations"]],
        [e["dev_loss"] for e in plain["history"]["evaluations"]],
        atol=1e-5,
    )
    assert fast["history"]["gradient_norm_of"] == plain["history"]["gradient_norm_of"]
    np.testing.assert_allclose(
        fast["history"]["gradient_norms"], plain["history"]["gradient_norms"], rtol=1e-2, atol=1e-6
    )


def test_dropout_keeps_the_mean_and_drops_its_share():
    fast = PackedClassifier(small_model("bert"), dropout=0.1, dropout_seed=1)
    dropped = fast._drop(torch.ones(1000, 1001))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.9])
    zeros = (dropped == 0).float().mean().item()
    assert abs(zeros - 0.1) < 5 * (0.1 * 0.9 / 1_001_000) ** 0.5
    # independent
    assert (
        abs((dropped[:-1] == 0).float().mul((dropped[1:] == 0).float()).mean().item() - 0.01) < 5e-4
    )


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
def test_dropout_stands_where_hugging_face_has_it(architecture):
    """Mean and spread of the loss over many draws of the masks, against the plain path's own
    draws."""
    plain = small_model(architecture)
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    batch = a_batch(plain, 9)
    if architecture != "albert":
        for layer in plain.base_model.encoder.layer:
            layer.attention.self.dropout.p = 0.1
    fast = PackedClassifier(copy.deepcopy(plain), dropout=0.1, dropout_seed=1)
    inputs = pack(batch, fast.config, fast.device)
    plain.train()
    tensors = {name: torch.from_numpy(x) for name, x in batch.items()}
    with torch.no_grad():
        theirs = torch.stack([plain(**tensors).logits for _ in range(1500)])
        ours = torch.stack([fast(inputs, training=True) for _ in range(1500)])
    error = theirs.std(0) * (2 / 1500) ** 0.5
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.15, atol=0)

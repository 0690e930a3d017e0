"""Batches without padding give what padded ones give: logits and gradients, for the three architectures."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from experiments.finetuning.packing import pack, use_packing
from experiments.finetuning.training import train

SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50, "num_hidden_layers": 3,
         "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
@pytest.mark.parametrize("longest", [9, 500])  # 500 tokens: enough for attention in several groups
def test_packed_equals_padded(architecture, longest):
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **SMALL, max_position_embeddings=600, classifier_dropout_prob=0.0)
    padded_model = AutoModelForSequenceClassification.from_config(config).train()
    packed_model = copy.deepcopy(padded_model)
    use_packing(packed_model)

    rng = np.random.default_rng(0)
    lengths = rng.integers(2, longest + 1, 6)
    lengths[3] = longest
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    types = rng.integers(0, 2, mask.shape) if architecture != "roberta" else np.zeros_like(mask)
    batch = {"input_ids": np.where(mask, rng.integers(5, 50, mask.shape), config.pad_token_id), "attention_mask": mask,
             "token_type_ids": types * mask}
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    inputs = pack(batch, packed_model)
    assert inputs["input_ids"].shape == (1, lengths.sum())
    assert (len(inputs["groups"]) > 1) == (longest == 500)

    results = []
    for model, arguments in ((padded_model, {name: torch.from_numpy(x) for name, x in batch.items()}), (packed_model, inputs)):
        logits = model(**arguments).logits
        torch.nn.functional.cross_entropy(logits, labels).backward()
        results.append((logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (padded_logits, padded_gradients), (packed_logits, packed_gradients) = results
    assert padded_logits.std() > 0
    torch.testing.assert_close(packed_logits, padded_logits, rtol=0, atol=1e-5)
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in padded_gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_packed_run_equals_a_plain_one_without_dropout(tiny_run):
    packed, plain = (train(tiny_run(dropout=0.0, packed=packed)) for packed in (True, False))
    np.testing.assert_allclose(packed["history"]["train_loss"], plain["history"]["train_loss"], atol=1e-5)
    np.testing.assert_allclose([e["dev_loss"] for e in packed["history"]["evaluations"]],
                               [e["dev_loss"] for e in plain["history"]["evaluations"]], atol=1e-5)


def test_dropout_in_packed_attention_has_the_right_mean():
    """With dropout, the mean over many draws of an attention output approaches the output without."""
    from experiments.finetuning.packing import _attention
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 8, 4, generator=generator) for _ in range(3))
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    groups = [(8, mask[:, None, None, :], torch.from_numpy(np.flatnonzero(mask.numpy())))]
    torch.manual_seed(0)
    exact = _attention(None, query, key, value, None, groups=groups)[0]
    draws = torch.stack([_attention(None, query, key, value, None, dropout=0.1, groups=groups)[0] for _ in range(4000)])
    assert (draws[0] - exact).abs().max() > 0.01
    assert (draws.mean(0) - exact).abs().max() < 5 * draws.std(0).max() / 4000**0.5

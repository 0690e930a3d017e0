"""Segment ids, starts moved by rounding, flipped labels: what they change, and that nothing else
does."""

import numpy as np
import pytest
import torch

from experiments.finetuning.encoders import load_classifier, load_tokenizer
from experiments.finetuning.loading import prepare, tokenized_splits
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import load_splits
from experiments.finetuning.training import forward, train


def test_ids_of_runs_without_them_are_as_before(tiny_run):
    """By hand: the id hashes only what is not at its default. The literal one is that of a run that
    was stored before these fields."""
    stored = Run(
        model="checkpoint@6ba7558e",
        data="mini@e4bf4982",
        task="rte",
        learning_rate=3e-4,
        bias_correction=False,
        max_length=64,
    )
    assert stored.id == "cd5da85eba578fe0"
    run = tiny_run()
    assert run.id == tiny_run(segment_ids=True, start_noise=0.0, start_noise_seed=0).id
    ids = {
        run.id,
        tiny_run(segment_ids=False).id,
        tiny_run(start_noise=1e-7).id,
        tiny_run(start_noise=1e-7, start_noise_seed=1).id,
    }
    assert len(ids) == 4


@pytest.mark.parametrize("packed", [True, False])
def test_without_segment_ids_the_model_sees_zeros(tiny_run, packed):
    """Logits against Hugging Face's own forward, given zeros as token types."""
    run = tiny_run(segment_ids=False, packed=packed)
    tokenizer = load_tokenizer(run.model_source)
    _, dev = tokenized_splits(run, tokenizer)
    batch = dev.batch(np.arange(8))
    assert not batch["token_type_ids"].any()
    model, _ = load_classifier(run, 2)
    first, second = zip(*load_splits("rte", "mini")["dev"].texts[:8], strict=True)
    inputs = tokenizer(list(first), list(second), padding=True, return_tensors="pt")
    assert inputs["token_type_ids"].any()
    with torch.no_grad():
        expected = model.eval()(
            **{**inputs, "token_type_ids": torch.zeros_like(inputs["input_ids"])}
        ).logits
        network, _ = prepare(model, run)
        assert torch.allclose(forward(network, batch, run, training=False), expected, atol=1e-5)


def test_a_start_moved_by_rounding(tiny_run):
    """Every weight by its own share of about 1e-3; the same seed moves alike, another otherwise."""

    def weights(**fields):
        model, _ = load_classifier(tiny_run(**fields), 2)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    still, moved = weights(), weights(start_noise=1e-3, start_noise_seed=1)
    share = (moved - still)[still != 0] / still[still != 0]
    assert abs(share.std().item() - 1e-3) < 5e-5 and abs(share.mean().item()) < 1e-4
    assert torch.equal(moved, weights(start_noise=1e-3, start_noise_seed=1))
    assert not torch.equal(moved, weights(start_noise=1e-3, start_noise_seed=2))


@pytest.mark.parametrize("task", ["rte", "mrpc", "cola", "qnli"])
def test_one_training_label_in_ten_is_flipped_and_none_of_dev(task):
    clean, noisy = load_splits(task, "mini"), load_splits(task, "mini-noisy")
    assert (clean["train"].labels != noisy["train"].labels).sum() == 160
    assert clean["train"].texts == noisy["train"].texts
    assert clean["dev"].texts == noisy["dev"].texts
    assert (clean["dev"].labels == noisy["dev"].labels).all()


def test_runs_of_each_kind_end_with_a_score(tiny_run):
    from experiments.finetuning.tasks import identify_data

    noisy = {"data": identify_data("rte", "mini-noisy"), "data_source": "mini-noisy"}
    for fields in ({"segment_ids": False}, {"start_noise": 1e-7, "start_noise_seed": 1}, noisy):
        outcome = train(tiny_run(**fields))["outcome"]
        assert 0 <= outcome["score"] <= 1
        assert outcome["steps"] == 100

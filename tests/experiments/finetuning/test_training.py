"""The training loop, against the paper's loop written plainly; seeds; determinism; divergence;
real data."""

import base64
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from conftest import TIMING_COLUMNS
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from experiments.finetuning.encoders import load_classifier, load_tokenizer
from experiments.finetuning.glue import get_task
from experiments.finetuning.loading import prepare, tokenized_splits
from experiments.finetuning.tasks import load_splits, tokenize
from experiments.finetuning.training import batch_loss, train
from experiments.sweeps import engine, store
from experiments.sweeps.rows import row


@pytest.mark.parametrize("bias_correction", [False, True])
def test_loss_curve_equals_the_papers_loop(tiny_run, tiny_model, bias_correction):
    """40 steps of the released code's loop from its description: padding to the maximal length,
    HF's own loss, a Python loop over the parameters for AdamW, clipping by hand. Same head, same
    order, dropout off."""
    run = tiny_run(
        dropout=0.0, bias_correction=bias_correction, learning_rate=2e-3, max_gradient_norm=0.2
    )
    history = train(run)["history"]
    ours = history["train_loss"]

    splits = load_splits("rte", "mini")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model, _ = load_classifier(dataclasses.replace(run, packed=False), 2)
    model.train()
    order = np.random.default_rng(run.order_seed).permutation(len(splits["train"].labels))
    state, theirs, norms, total = {}, [], [], len(ours)
    warmup = int(0.1 * total)
    for t in range(1, 41):
        chosen = order[16 * (t - 1) : 16 * t]
        texts = [splits["train"].texts[i] for i in chosen]
        inputs = tokenizer(
            [a for a, _ in texts],
            [b for _, b in texts],
            padding="max_length",
            max_length=64,
            truncation=True,
            return_tensors="pt",
        )
        loss = model(**inputs, labels=torch.from_numpy(splits["train"].labels[chosen])).loss
        theirs.append(loss.item())
        model.zero_grad()
        loss.backward()
        norm = math.sqrt(sum((p.grad.double() ** 2).sum().item() for p in model.parameters()))
        rate = run.learning_rate * (
            (t - 1) / warmup if t - 1 < warmup else (total - (t - 1)) / (total - warmup)
        )
        with torch.no_grad():
            norms.append(norm)
            step_size = rate * (math.sqrt(1 - 0.999**t) / (1 - 0.9**t) if bias_correction else 1.0)
            for name, p in model.named_parameters():
                # what is recorded is the norm before clipping
                if t == 1 and name == "classifier.weight":
                    recorded = dict(
                        zip(history["gradient_norm_of"], history["gradient_norms"][0], strict=True)
                    )
                    assert recorded["classifier"] == pytest.approx(p.grad.norm().item(), rel=1e-4)
                g = p.grad * min(1.0, 0.2 / (norm + 1e-6))
                m, v = state.setdefault(name, (torch.zeros_like(p), torch.zeros_like(p)))
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p.sub_(step_size * m / (v.sqrt() + 1e-6))
                if "bias" not in name and "LayerNorm.weight" not in name:
                    p.sub_(rate * 0.01 * p)
    # something was learnt or unlearnt: the comparison says something
    assert abs(theirs[0] - theirs[-1]) > 1e-3
    assert max(norms) > 0.2 > min(norms)  # some steps are clipped and some are not
    np.testing.assert_allclose(ours[:40], theirs, rtol=1e-4)


def head(run):
    return load_classifier(run, 2)[0].classifier.weight.detach().numpy()


def test_three_seeds_are_separate(tiny_run):
    base = tiny_run()
    other_head, other_order, other_dropout = (
        tiny_run(**{name: 2}) for name in ("head_seed", "order_seed", "dropout_seed")
    )
    assert np.array_equal(head(base), head(tiny_run()))
    assert not np.array_equal(head(base), head(other_head))
    assert np.array_equal(head(base), head(other_order))
    assert abs(head(base).std() - 0.02) < 0.01

    first = {
        name: train(run)["history"]["train_loss"][:2]
        for name, run in (
            ("base", base),
            ("again", tiny_run()),
            ("order", other_order),
            ("dropout", other_dropout),
        )
    }
    assert first["base"] == first["again"]
    assert first["base"] != first["order"] and first["base"] != first["dropout"]

    # dropout off: only head and order matter
    still = train(tiny_run(dropout=0.0))["history"]["train_loss"]
    assert still == train(tiny_run(dropout=0.0, dropout_seed=2))["history"]["train_loss"]
    assert still[0] != train(tiny_run(dropout=0.0, order_seed=2))["history"]["train_loss"][0]


def test_pretrained_pooler_is_kept_and_a_missing_one_is_drawn_and_reported(
    tiny_run, tiny_model, tmp_path
):
    stored = AutoModelForSequenceClassification.from_pretrained(tiny_model).bert.pooler.dense.weight
    model, drawn = load_classifier(tiny_run(), 2)
    assert drawn == ["classifier.bias", "classifier.weight"]
    assert torch.equal(model.bert.pooler.dense.weight, stored)

    from transformers import AutoModel, BertModel

    AutoModel.from_pretrained(tiny_model).save_pretrained(tmp_path)
    BertModel.from_pretrained(tmp_path, add_pooling_layer=False).save_pretrained(tmp_path)
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    bare, drawn = load_classifier(tiny_run(model_source=str(tmp_path)), 2)
    assert drawn == [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "classifier.bias",
        "classifier.weight",
    ]
    again, _ = load_classifier(tiny_run(model_source=str(tmp_path)), 2)
    assert torch.equal(bare.bert.pooler.dense.weight, again.bert.pooler.dense.weight)
    assert abs(bare.bert.pooler.dense.weight.std() - 0.02) < 0.005


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
def test_gradient_norms_equal_autograd(architecture):
    from transformers import AutoConfig

    small = {
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 50,
        "num_hidden_layers": 3,
    }
    from experiments.finetuning.probes import gradient_norms, probed_matrices

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(architecture, **small)
    ).eval()
    matrices = probed_matrices(model)
    layers = 1 if architecture == "albert" else 3  # ALBERT has one shared layer
    assert list(matrices)[:4] == ["layer 1 query", "layer 1 key", "layer 1 value", "layer 1 output"]
    assert len(matrices) == 4 * layers + 2
    ids = torch.randint(5, 50, (4, 9), generator=torch.Generator().manual_seed(0))
    loss = model(input_ids=ids, labels=torch.tensor([0, 1, 0, 1])).loss
    expected = [
        g.pow(2).sum().sqrt().item()
        for g in torch.autograd.grad(loss, list(matrices.values()), retain_graph=True)
    ]
    loss.backward()
    np.testing.assert_allclose(gradient_norms(matrices), expected, rtol=1e-5)


def test_outcome_of_a_run(tiny_run):
    result = train(tiny_run(epochs=2))
    outcome, history = result["outcome"], result["history"]
    assert outcome["steps"] == 2 * 100 == len(history["train_loss"])
    assert [e["step"] for e in history["evaluations"]] == [0, 33, 67, 100, 133, 167, 200]
    assert len(history["gradient_norms"]) == 20 and len(history["gradient_norms"][0]) == len(
        history["gradient_norm_of"]
    )
    assert outcome["score"] == outcome["accuracy"] == history["evaluations"][-1]["accuracy"]
    assert outcome["majority_level"] == pytest.approx(159 / 300)
    assert outcome["label_entropy"] == pytest.approx(
        -(0.53 * math.log(0.53) + 0.47 * math.log(0.47))
    )
    assert outcome["failed"] == (outcome["score"] <= outcome["majority_level"])
    labels = load_splits("rte", "mini")["dev"].labels
    for evaluation, margin in zip(history["evaluations"], history["dev_margins"], strict=True):
        margin = np.frombuffer(base64.b64decode(margin), dtype="<f2").astype(float)
        assert np.mean((margin > 0) == labels) == pytest.approx(evaluation["accuracy"])
        assert np.mean(np.log1p(np.exp(np.where(labels, -margin, margin)))) == pytest.approx(
            evaluation["dev_loss"], abs=1e-3
        )


def test_a_sample_is_evaluated_after_as_many_steps_as_the_whole(tiny_run):
    """Every third of an epoch on all 1,600 examples is every 33 steps, however short the
    sample's epochs are."""
    evaluations = train(tiny_run(train_examples=32, epochs=50))["history"]["evaluations"]
    assert [e["step"] for e in evaluations] == [0, 33, 67, 100]
    assert [e["step"] for e in train(tiny_run(train_examples=2))["history"]["evaluations"]] == [
        0,
        1,
    ]


def test_divergence_is_a_failed_run_and_not_a_crash(tiny_run, tmp_path):
    run = tiny_run(learning_rate=1e30, max_gradient_norm=None)
    result = train(run)
    assert result["outcome"]["diverged"] and result["outcome"]["failed"]
    assert result["outcome"]["steps"] < 100
    store.save(tmp_path, run, result)
    assert math.isnan(store.load(tmp_path, run)["history"]["train_loss"][-1])


def without_timing(row_: dict) -> str:
    return json.dumps({name: value for name, value in row_.items() if name not in TIMING_COLUMNS})


@pytest.mark.slow
def test_same_run_same_bytes_and_serial_equals_ray(tiny_run, tmp_path):
    """Four runs, trained twice in this process and once by Ray's workers."""
    planned = [
        tiny_run(head_seed=s, order_seed=s, dropout_seed=s, bias_correction=b)
        for s in (1, 2)
        for b in (False, True)
    ]
    rows = []
    for i, name in enumerate(["serial", "serial", "ray"]):
        for run, result in engine.map(train, planned, name):
            store.save(tmp_path / str(i), run, result)
        rows.append([without_timing(row(store.load(tmp_path / str(i), run))) for run in planned])
    assert rows[0] == rows[1] == rows[2]
    assert len(set(rows[0])) == 4


def test_a_real_rte_batch(glue, gte_small, tiny_run):
    """The first training pairs of the real RTE, as the real encoder sees them."""
    run = tiny_run(model_source=str(gte_small), data_source=str(glue), max_length=128)
    train_set, dev_set = tokenized_splits(run, load_tokenizer(str(gte_small)))
    assert (len(train_set.labels), len(dev_set.labels)) == (2490, 277)
    batch = train_set.batch(np.arange(16))
    assert (
        batch["input_ids"].shape == batch["attention_mask"].shape == batch["token_type_ids"].shape
    )
    assert batch["input_ids"].shape[1] == max(len(train_set.input_ids[i]) for i in range(16)) <= 128
    theirs = AutoTokenizer.from_pretrained(gte_small)(
        *map(list, zip(*load_splits("rte", str(glue))["train"].texts[:16], strict=True)),
        padding="longest",
        truncation=True,
        max_length=128,
        return_tensors="np",
    )
    for name in theirs:
        np.testing.assert_array_equal(batch[name], theirs[name])
    packed, padded = (
        batch_loss(
            prepare(load_classifier(kind, 2)[0], kind)[0], batch, kind, training=False
        ).item()
        for kind in (run, dataclasses.replace(run, packed=False))
    )
    assert packed == pytest.approx(math.log(2), abs=0.1)
    assert packed == pytest.approx(padded, abs=1e-6)


@pytest.mark.slow
def test_a_real_short_fine_tuning(glue, gte_small, tiny_run, monkeypatch):
    """Real CoLA sentences, the real encoder: 40 steps lower the training loss below where it
    began."""
    from experiments.finetuning import loading

    whole = load_splits("cola", str(glue))
    first = np.arange(640)
    parts = {
        "train": type(whole["train"])(
            [whole["train"].texts[i] for i in first], whole["train"].labels[first]
        ),
        "dev": type(whole["dev"])(whole["dev"].texts[:100], whole["dev"].labels[:100]),
    }
    monkeypatch.setattr(loading, "load_splits", lambda task, source: parts)
    result = train(
        tiny_run(
            task="cola",
            model_source=str(gte_small),
            data_source=str(glue),
            learning_rate=1e-4,
            max_length=128,
        )
    )
    losses = result["history"]["train_loss"]
    assert len(losses) == 40
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.02
    assert "bert.pooler.dense.weight" in result["outcome"]["drawn_from_head_seed"]


def test_batches_keep_the_last_partial_one_and_never_sort(tiny_model):
    split = load_splits("rte", "mini")["dev"]
    tokens = tokenize(split, load_tokenizer(str(tiny_model)), 64)
    order = np.random.default_rng(0).permutation(300)
    batches = list(tokens.batches(order, 16))
    assert [len(b["labels"]) for b in batches] == [16] * 18 + [12]
    np.testing.assert_array_equal(
        np.concatenate([b["labels"] for b in batches]), split.labels[order]
    )
    assert get_task("rte").metric == "accuracy"

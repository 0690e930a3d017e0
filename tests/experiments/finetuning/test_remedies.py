"""Frozen layers, LoRA, and the classifier first: what each trains and leaves as it is, against
autograd and loops written out; what they cannot do together."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import a_batch, small_model
from torch.nn.functional import cross_entropy

from experiments.finetuning import training
from experiments.finetuning.checkpoints import Checkpoint
from experiments.finetuning.cost import step_operations
from experiments.finetuning.encoders import load_classifier
from experiments.finetuning.errors import BadInput
from experiments.finetuning.head_phase import encoded, train_head
from experiments.finetuning.loading import load, prepare
from experiments.finetuning.lora import add_adapters
from experiments.finetuning.packing import PackedClassifier, pack
from experiments.finetuning.possible import check_remedies
from experiments.finetuning.remedies import choose_trained
from experiments.finetuning.run import Run
from experiments.finetuning.training import train


def parameters(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def moved(before, after):
    """The names of the parameters that are not byte for byte as before."""
    return {name for name in before if not torch.equal(before[name], after[name])}


def trained(run):
    """The parameters of a run's model before and after a training of one epoch."""
    result = train(dataclasses.replace(run, keep_weights=True))
    before = parameters(load_classifier(run, 2)[0])
    return before, safetensors.torch.load(result["weights"]), result["outcome"]


def with_adapters(architecture, run):
    """A small model with LoRA whose B is no longer 0, before and after packing."""
    plain = small_model(architecture)
    add_adapters(plain, run.lora_rank, torch.Generator().manual_seed(1))
    for name, p in plain.named_parameters():
        if name.endswith("lora_up"):
            p.data.normal_(0.0, 0.3)
    copied = copy.deepcopy(plain)
    choose_trained(copied, run, [])
    return plain, PackedClassifier(copied, 0.0, 1, lora_alpha=run.lora_alpha), copied


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
def test_loras_logits_and_gradients_equal_those_of_the_merged_weight(tiny_run, architecture):
    """dL/dB = s dL/dW A^T and dL/dA = s B^T dL/dW for the merged W + s B A, s = alpha / r, with
    dL/dW from autograd through HF's own forward."""
    run = tiny_run(lora_rank=3, lora_alpha=12.0)
    plain, fast, model = with_adapters(architecture, run)
    matrices = [name for name, _ in plain.named_parameters() if name.endswith("lora_up")]
    assert matrices
    for name in matrices:
        linear = plain.get_submodule(name.rsplit(".", 1)[0])
        linear.weight.data += 4.0 * linear.lora_up.data @ linear.lora_down.data
    batch = a_batch(plain, 9)
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    theirs = plain.eval()(**{name: torch.from_numpy(x) for name, x in batch.items()}).logits
    ours = fast(pack(batch, fast.config, fast.device), training=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    cross_entropy(theirs, labels).backward()
    cross_entropy(ours, labels).backward()
    for name in matrices:
        merged = plain.get_submodule(name.rsplit(".", 1)[0])
        adapter = model.get_submodule(name.rsplit(".", 1)[0])
        slope, up, down = merged.weight.grad, merged.lora_up.data, merged.lora_down.data
        close = {"rtol": 1e-3, "atol": 1e-6}
        torch.testing.assert_close(adapter.lora_up.grad, 4.0 * slope @ down.T, **close)
        torch.testing.assert_close(adapter.lora_down.grad, 4.0 * up.T @ slope, **close)


def test_lora_begins_at_the_pretrained_logits_and_trains_only_itself_and_the_classifier(tiny_run):
    run = tiny_run(lora_rank=2, learning_rate=1e-2)
    plain, _ = load_classifier(tiny_run(), 2)
    model, drawn = load_classifier(run, 2)
    assert torch.equal(plain.classifier.weight, model.classifier.weight)  # of the same seed
    networks = [prepare(plain, tiny_run())[0], prepare(model, run, drawn)[0]]
    rng = np.random.default_rng(0)
    batch = {
        "input_ids": rng.integers(5, 50, (6, 9)),
        "attention_mask": np.ones((6, 9), dtype=np.int64),
        "token_type_ids": np.zeros((6, 9), dtype=np.int64),
    }
    first, second = (fast(pack(batch, fast.config, fast.device), False) for fast in networks)
    assert torch.equal(first, second)

    before, after, outcome = trained(run)
    changed = moved(before, after)
    assert changed == {name for name in before if "lora_" in name or "classifier" in name}
    # 2 layers x query and value x A and B of 2 x 16, and a classifier of 2 x 16 + 2
    assert outcome["trained_parameters"] == 2 * 2 * 2 * 2 * 16 + 34
    assert np.isnan(outcome["first_layer_gradient"]) and outcome["classifier_gradient"] > 0


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("decay", [{}, {"layerwise_decay": 0.9, "decay_to_pretrained": True}])
def test_frozen_layers_stay_byte_for_byte(tiny_run, packed, decay):
    """Without weight decay either, and all that is above them moves."""
    run = tiny_run(frozen_layers=1, packed=packed, weight_decay=0.1, **decay)
    before, after, outcome = trained(run)
    frozen = {name for name in before if "embeddings" in name or ".layer.0." in name}
    assert len(frozen) > 10 and moved(before, after) == set(before) - frozen
    count = sum(p.numel() for name, p in before.items() if name not in frozen)
    assert outcome["trained_parameters"] == count
    assert np.isnan(outcome["first_layer_gradient"])


def test_the_operations_of_a_step(tiny_run):
    """Products of the forward pass, and twice as many backward, less those whose gradient nobody
    asks for; by hand from the model's sizes."""
    hidden, wide, layers = 16, 32, 2

    def layer(batch):
        """Forward operations of one layer."""
        tokens = int(batch["attention_mask"].sum())
        longest = batch["attention_mask"].shape[1]
        weights = tokens * (4 * hidden * hidden + 2 * hidden * wide)
        return 2 * (weights + 2 * 16 * longest**2 * hidden)

    run = tiny_run()
    _, _, _, train_set, _ = load(run)
    each = layer(train_set.batch(np.arange(16)))
    head = 2 * 16 * (hidden * hidden + hidden * 2)
    assert step_operations(run) == 3 * (layers * each + head)
    # the lower layer forward only; the upper one without the gradient of its input for
    # query, key and value
    tokens = int(train_set.batch(np.arange(16))["attention_mask"].sum())
    spared = 2 * tokens * 3 * hidden * hidden
    frozen = dataclasses.replace(run, frozen_layers=1)
    assert step_operations(frozen) == each + 3 * (each + head) - spared
    assert step_operations(dataclasses.replace(run, batch_size=8)) < 0.6 * step_operations(run)


def test_all_layers_frozen_leave_pooler_and_classifier(tiny_run):
    before, after, _ = trained(tiny_run(frozen_layers=2))
    assert moved(before, after) == {n for n in before if "pooler" in n or "classifier" in n}


def test_frozen_layers_change_no_gradient_above_them(tiny_run):
    """Step one of a run with frozen layers is that of one without, as far as it is trained."""
    gradients = []
    for run in (tiny_run(dropout=0.0), tiny_run(dropout=0.0, frozen_layers=1)):
        model, _, _, train_set, _ = load(run)
        network, _ = prepare(model, run)
        training.batch_loss(network, next(train_set.batches(np.arange(16), 16)), run).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if ".layer.1." in n})
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_the_head_phase_moves_the_classifier_alone_and_on_the_right_features(tiny_run):
    """Against a loop that computes the encoder anew in each step, with torch's own Adam, whose
    epsilon stands elsewhere."""
    run = tiny_run(head_epochs=2, learning_rate=1e-2, adam_epsilon=1e-12, weight_decay=0.0)
    model, drawn, _, train_set, _ = load(run)
    network, _ = prepare(model, run, drawn)
    before = parameters(model)
    train_head(model, network, train_set, run, drawn)
    after = parameters(model)
    assert moved(before, after) == {"classifier.weight", "classifier.bias"}

    again, _, _, _, _ = load(run)
    fast, _ = prepare(again, run)
    features = encoded(fast, train_set, run)
    head = [again.classifier.weight, again.classifier.bias]
    adam = torch.optim.Adam(head, eps=1e-12)
    steps = 2 * len(list(train_set.batches(np.arange(len(train_set.labels)), 16)))
    order, step = np.random.default_rng([run.order_seed, 2]), 0
    for _ in range(2):
        rows = order.permutation(len(train_set.labels))
        for batch in train_set.batches(rows, 16):
            adam.param_groups[0]["lr"] = 1e-2 * training_share(step, steps)
            logits = fast(pack(batch, fast.config, fast.device), training=False)
            if step == 3:
                chosen = fast.head(features[rows[48:64]], training=False)
                torch.testing.assert_close(logits, chosen, rtol=0, atol=1e-5)
            adam.zero_grad()
            cross_entropy(logits, torch.from_numpy(batch["labels"])).backward()
            adam.step()
            step += 1
    torch.testing.assert_close(after["classifier.weight"], head[0].data, rtol=1e-3, atol=1e-4)


def training_share(step, steps):
    """The schedule by hand: a tenth of warm-up from 0, then down to 0."""
    warm = steps // 10
    return step / warm if step < warm else (steps - step) / (steps - warm)


def test_after_the_head_phase_everything_is_trained_in_the_usual_order(tiny_run):
    run = tiny_run(head_epochs=1, order_seed=5)
    before, after, outcome = trained(run)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert all("embeddings" in name for name in still)  # rows that no example has
    assert outcome["steps"] == 100
    batches = [
        next(training.batches_in_order(load(kind)[3], kind, done=0))["labels"].tolist()
        for kind in (run, tiny_run(order_seed=5))
    ]
    assert batches[0] == batches[1]


@pytest.mark.parametrize(
    "method",
    [{"lora_rank": 2}, {"frozen_layers": 1}, {"head_epochs": 2}],
    ids=lambda method: next(iter(method)),
)
def test_interrupted_and_resumed_they_end_bit_for_bit(tiny_run, tmp_path, monkeypatch, method):
    plain = tiny_run(train_examples=400, keep_weights=True, **method)
    run = dataclasses.replace(plain, checkpoint_minutes=1.0, checkpoint_folder=str(tmp_path))
    expected = train(plain)
    monkeypatch.setattr(Checkpoint, "due", lambda self: self.optimizer.steps_done == 7)
    real, calls = training.batch_loss, []

    def stop(*arguments, **others):
        calls.append(1)
        if len(calls) == 12:
            raise InterruptedError
        return real(*arguments, **others)

    monkeypatch.setattr(training, "batch_loss", stop)
    with pytest.raises(InterruptedError):
        train(run)
    found = train(run)
    assert len(calls) == 12 + 25 - 7
    assert found["weights"] == expected["weights"]
    assert json.dumps(found["history"]) == json.dumps(expected["history"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"frozen_layers": 3}, "cannot freeze 3 layers: expected 0 to 2"),
        ({"frozen_layers": 1, "reinitialized_layers": 2}, "a layer would stay random"),
        ({"lora_rank": 2, "mixout": 0.5}, "Mixout has nothing to mix"),
        ({"lora_rank": 2, "reinitialized_layers": 1}, "LoRA would leave the 1 layers random"),
        ({"lora_rank": 2, "frozen_layers": 1}, "LoRA freezes all layers"),
        ({"lora_rank": 2, "packed": False}, "LoRA is part of the fast path only"),
        ({"head_epochs": 2, "packed": False}, "the classifier first is part of the fast path only"),
        ({"lora_rank": 17}, "LoRA of rank 17 on matrices of 16: expected a rank from 1 to 16"),
    ],
    ids=str,
)
def test_what_they_cannot_do_is_said_in_one_line(tiny_run, fields, words):
    with pytest.raises(BadInput, match=words) as caught:
        train(tiny_run(**fields))
    assert "\n" not in str(caught.value)


def test_albert_has_no_lower_layers():
    run = Run("m", "d", "rte", 1e-3, True, frozen_layers=1)
    with pytest.raises(BadInput, match="ALBERT shares one layer's weights"):
        check_remedies(run, "albert", 24)


def test_old_ids_stay():
    """As the code before these fields had it, and each field has others."""
    run, new = Run("m", "d", "rte", 1e-3, True), ("frozen_layers", "lora_rank", "head_epochs")
    assert run.id == "e07fc3ae6810e4c2"
    assert len({run.id, *(dataclasses.replace(run, **{name: 1}).id for name in new)}) == 4

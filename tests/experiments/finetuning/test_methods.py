"""The methods the recipe is compared with: re-initialisation, Mixout, decay to the pre-trained
weights, layer-wise learning rates, clipping by component, plain gradient descent."""

import copy
import math

import numpy as np
import pytest
import torch
from conftest import a_batch, small_model

from experiments.finetuning.encoders import layers_above, load_classifier
from experiments.finetuning.errors import BadInput
from experiments.finetuning.flat import is_norm
from experiments.finetuning.loading import prepare
from experiments.finetuning.optimizers import PaperAdamW, learning_rate_factor
from experiments.finetuning.packing import PackedClassifier, pack
from experiments.finetuning.training import clip_each, train


def moved(model):
    """A packed model with Mixout whose weights have moved away from the pre-trained ones."""
    fast = PackedClassifier(model, dropout=0.0, dropout_seed=1, mixout=0.7)
    with torch.no_grad():
        fast.flat.values += 0.1 * torch.randn_like(fast.flat.values)
    return fast


@pytest.mark.parametrize("architecture", ["bert", "albert"])
def test_mixed_weights_have_the_right_mean_and_one_draw_per_input_neuron(architecture):
    fast = moved(small_model(architecture))
    layer = fast.layers[1]
    for weight, parts in ((layer.weight, 3), (layer.down.weight, 1)):
        start = weight.storage_offset()
        u = fast.pretrained[start : start + weight.numel()].view_as(weight)
        draws = torch.stack([fast._mix(weight, parts).detach() for _ in range(4000)])
        assert (draws.mean(0) - weight).abs().max() < 6 * draws.std(0).max() / 4000**0.5
        # a column is kept, or is pre-trained, for all outputs of a matrix
        kept = (draws[0] - u).abs() > 1e-7
        for matrix in kept.view(parts, -1, weight.shape[1]):
            assert (matrix == matrix[0]).all()
        columns = (draws - u).view(4000, parts, -1, weight.shape[1])[:, :, 0]
        assert abs((columns.abs() > 1e-7).float().mean().item() - 0.3) < 0.02


def test_mixout_and_its_gradient_equal_the_written_formula():
    fast = moved(small_model("bert"))
    weight = fast.layers[0].up.weight
    start, p = weight.storage_offset(), 0.7
    u = fast.pretrained[start : start + weight.numel()].view_as(weight).detach()
    state = copy.deepcopy(fast.bits)
    mixed = fast._mix(weight)
    mask = torch.as_tensor(
        state.integers(0, 2**64, (weight.shape[1] + 3) // 4, dtype=np.uint64).view(np.int16)[
            : weight.shape[1]
        ]
    )
    m = (mask >= round(p * 2**16) - 2**15).float()
    own = weight.detach().clone().requires_grad_()
    written = (m * own + (1 - m) * u - p * u) / (1 - p)  # Lee et al. 2020, eq. for w_mix
    torch.testing.assert_close(mixed, written)
    goal = torch.randn_like(written)
    (written * goal).sum().backward()
    torch.testing.assert_close(torch.autograd.grad((mixed * goal).sum(), weight)[0], own.grad)


def test_no_mixing_at_evaluation_nor_with_p_0():
    plain = small_model("bert")
    fast = PackedClassifier(copy.deepcopy(plain), dropout=0.0, dropout_seed=1, mixout=0.9)
    nothing = PackedClassifier(copy.deepcopy(plain), dropout=0.0, dropout_seed=1, mixout=0.0)
    batch = a_batch(plain, 9)
    inputs = pack(batch, fast.config, fast.device)
    theirs = plain.eval()(**{name: torch.from_numpy(x) for name, x in batch.items()}).logits
    torch.testing.assert_close(fast(inputs, training=False), theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(nothing(inputs, training=True), theirs, rtol=0, atol=1e-5)
    # w = u: nothing to mix yet
    torch.testing.assert_close(fast(inputs, training=True), theirs, rtol=0, atol=1e-5)
    with torch.no_grad():
        fast.flat.values += 0.1 * torch.randn_like(fast.flat.values)
    assert (fast(inputs, training=True) - fast(inputs, training=False)).abs().max() > 1e-3


def test_mixout_trains_and_needs_the_fast_path(tiny_run):
    first, second = (
        train(tiny_run(dropout=0.0, mixout=mixout))["history"]["train_loss"]
        for mixout in (0.0, 0.7)
    )
    assert first[0] == second[0] and first[20] != second[20] and all(map(math.isfinite, second))
    with pytest.raises(BadInput, match="Mixout"):
        train(tiny_run(mixout=0.5, packed=False))


@pytest.mark.parametrize("top", [1, 2])
def test_the_top_layers_and_the_pooler_are_new_and_the_rest_is_not(tiny_run, top):
    old, _ = load_classifier(tiny_run(), 2)
    new, _ = load_classifier(tiny_run(reinitialized_layers=top), 2)
    again, _ = load_classifier(tiny_run(reinitialized_layers=top), 2)
    for name, p in new.named_parameters():
        q = old.get_parameter(name)
        assert torch.equal(p, again.get_parameter(name))
        if "embeddings" in name or ".layer.0." in name and top == 1:
            assert torch.equal(p, q), name
        elif "classifier" in name:
            assert torch.equal(p, q), name  # drawn first, from the same seed
        elif "LayerNorm.weight" in name:
            assert (p == 1).all()
        elif name.endswith("bias"):
            assert (p == 0).all()
        else:
            assert not torch.equal(p, q) and abs(p.std() - 0.02) < 0.005, name
    with pytest.raises(BadInput, match="expected 1 to 2"):
        load_classifier(tiny_run(reinitialized_layers=3), 2)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "method", [{"decay_to_pretrained": True}, {"layerwise_decay": 0.8}, {"optimizer": "sgd"}]
)
def test_one_step_by_hand(tiny_run, packed, method):
    """With known gradients: Adam's first two steps, or gradient descent's, and decay, for every
    parameter."""
    run = tiny_run(
        packed=packed, dropout=0.0, weight_decay=0.1, learning_rate=1e-2, warmup_ratio=0.0, **method
    )
    model, _ = load_classifier(run, 2)
    start = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    _, groups = prepare(model, run)
    optimizer = PaperAdamW(groups, run, 100)
    generator = torch.Generator().manual_seed(0)
    expected, m, v = dict(start), dict.fromkeys(start, 0.0), dict.fromkeys(start, 0.0)
    for t in (1, 2):
        for name, p in model.named_parameters():
            g = torch.randn(p.shape, generator=generator)
            p.grad = g if p.grad is None else p.grad.copy_(g)
            g = g.double()
            rate = (
                run.learning_rate
                * learning_rate_factor(t - 1, 100, 0.0)
                * run.layerwise_decay ** layers_above(name, model.config)
            )
            m[name], v[name] = 0.9 * m[name] + 0.1 * g, 0.999 * v[name] + 0.001 * g * g
            step = (
                g
                if run.optimizer == "sgd"
                else m[name] / (v[name].sqrt() + 1e-6) * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            )
            new = expected[name] - rate * step
            if "bias" not in name and "LayerNorm.weight" not in name:
                new = new - rate * 0.1 * (new - start[name] if run.decay_to_pretrained else new)
            expected[name] = new
        optimizer.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.double(), expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_what_all_layers_share_is_not_of_the_top_one():
    """DeBERTa's LayerNorm of relative positions, MPNet's bias of them; Megatron's norms by name."""
    config = small_model("bert").config
    shared = ("deberta.encoder.LayerNorm.weight", "mpnet.encoder.relative_attention_bias.weight")
    assert {layers_above(name, config) for name in shared} == {config.num_hidden_layers}
    assert is_norm("bert.encoder.layer.1.attention.ln.weight") and is_norm("bert.encoder.ln.weight")
    assert not is_norm("bert.encoder.layer.1.attention.kiln.weight")


def test_layer_shares():
    model = small_model("bert")
    above = {name: layers_above(name, model.config) for name, _ in model.named_parameters()}
    assert {
        name: above[name]
        for name in (
            "classifier.weight",
            "bert.pooler.dense.bias",
            "bert.encoder.layer.3.output.dense.weight",
            "bert.encoder.layer.0.output.dense.weight",
            "bert.embeddings.word_embeddings.weight",
        )
    } == {
        "classifier.weight": 0,
        "bert.pooler.dense.bias": 0,
        "bert.encoder.layer.3.output.dense.weight": 0,
        "bert.encoder.layer.0.output.dense.weight": 3,
        "bert.embeddings.word_embeddings.weight": 4,
    }


def test_each_tensor_is_clipped_to_its_own_norm():
    model = torch.nn.Linear(4, 3)
    model.weight.grad, model.bias.grad = torch.full((3, 4), 2.0), torch.tensor([0.01, 0.02, 0.02])
    clip_each(model, 0.5)
    assert model.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(model.bias.grad, torch.tensor([0.01, 0.02, 0.02]))

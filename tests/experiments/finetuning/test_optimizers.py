"""The optimiser against the paper's update, written as a plain loop in double precision."""

import math

import pytest
import torch

from experiments.finetuning.optimizers import PaperAdamW, ParameterGroup, learning_rate_factor
from experiments.finetuning.run import Run

STEPS = 50


def small_model(dtype: torch.dtype) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.ModuleDict(
        {"dense": torch.nn.Linear(7, 5), "LayerNorm": torch.nn.LayerNorm(5)}
    )
    return model.to(dtype)


def reference_step(p, g, m, v, t, learning_rate, run, decayed):
    """One step of the paper's AdamW for one parameter, as optimizers.py's first paragraph writes
    it."""
    m.mul_(run.adam_beta1).add_((1 - run.adam_beta1) * g)
    v.mul_(run.adam_beta2).add_((1 - run.adam_beta2) * g * g)
    step_size = learning_rate
    if run.bias_correction:
        step_size = step_size * math.sqrt(1 - run.adam_beta2**t) / (1 - run.adam_beta1**t)
    p.sub_(step_size * m / (v.sqrt() + run.adam_epsilon))
    if decayed:
        p.sub_(learning_rate * run.weight_decay * p)


@pytest.mark.parametrize("bias_correction", [False, True])
# 1e-6 is the size of eps: where it is added decides
@pytest.mark.parametrize("gradient_size", [1.0, 1e-6])
@pytest.mark.parametrize("adam_beta2", [0.999, 0.98])
def test_equals_the_papers_update(bias_correction, gradient_size, adam_beta2):
    run = Run(
        "m",
        "d",
        "rte",
        learning_rate=1e-2,
        bias_correction=bias_correction,
        weight_decay=0.1,
        adam_beta2=adam_beta2,
    )
    model = small_model(torch.float64)
    optimizer = PaperAdamW(
        [ParameterGroup(list(model.parameters()), [model["dense"].weight])], run, STEPS
    )
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in expected.items()}
    generator = torch.Generator().manual_seed(1)
    start = {name: p.clone() for name, p in expected.items()}
    for t in range(1, STEPS + 1):
        warmup = int(0.1 * STEPS)
        factor = (t - 1) / warmup if t - 1 < warmup else (STEPS - (t - 1)) / (STEPS - warmup)
        for name, p in model.named_parameters():
            p.grad = gradient_size * torch.randn(p.shape, generator=generator, dtype=p.dtype)
            reference_step(
                expected[name],
                p.grad,
                *moments[name],
                t,
                run.learning_rate * factor,
                run,
                decayed=name == "dense.weight",
            )
        optimizer.step()
    for name, p in model.named_parameters():
        moved = (expected[name] - start[name]).abs().max()
        assert moved > 0
        assert (p - expected[name]).abs().max() < 1e-9 * moved, name


def test_torchs_own_adamw_is_not_the_papers():
    """The reason for optimizers.py: at gradients of eps's size the two differ visibly."""
    run = Run("m", "d", "rte", learning_rate=1e-2, bias_correction=True, weight_decay=0.0)
    ours, theirs = small_model(torch.float64), small_model(torch.float64)
    paper = PaperAdamW([ParameterGroup(list(ours.parameters()), [])], run, STEPS)
    adam = torch.optim.AdamW(theirs.parameters(), betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)
    start = small_model(torch.float64)["dense"].weight
    for t in range(STEPS):
        adam.param_groups[0]["lr"] = 1e-2 * learning_rate_factor(t, STEPS, 0.1)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.full_like(a, 1e-6)
            b.grad = a.grad.clone()
        paper.step()
        adam.step()
    moved = (theirs["dense"].weight - start).abs().max()
    assert (ours["dense"].weight - theirs["dense"].weight).abs().max() > 0.01 * moved


def test_schedule_by_hand():
    """20 steps, 10 % warm-up: 0, 1/2, then from 1 down to 1/18 in the last step."""
    factors = [learning_rate_factor(step, 20, 0.1) for step in range(20)]
    assert factors[:3] == [0.0, 0.5, 1.0]
    assert factors[-1] == pytest.approx(1 / 18)
    assert all(a > b for a, b in zip(factors[2:], factors[3:], strict=False))


@pytest.mark.parametrize("warmup_ratio", [0.0, 0.1])
def test_a_constant_rate_is_torchs_adam_without_a_scheduler(warmup_ratio):
    """The loop that people write (torch.optim.Adam, no scheduler), and one with a warm-up by hand;
    without weight decay, with eps so small that where it is added does not show."""
    run = Run(
        "m",
        "d",
        "rte",
        learning_rate=1e-2,
        bias_correction=True,
        weight_decay=0.0,
        warmup_ratio=warmup_ratio,
        adam_epsilon=1e-15,
        schedule="constant",
    )
    ours, theirs = small_model(torch.float64), small_model(torch.float64)
    optimizer = PaperAdamW([ParameterGroup(list(ours.parameters()), [])], run, STEPS)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-15)
    generator = torch.Generator().manual_seed(1)
    for t in range(STEPS):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=generator, dtype=a.dtype)
            b.grad = a.grad.clone()
        if warmup_ratio:
            adam.param_groups[0]["lr"] = 1e-2 * min(1.0, t / 5)
        optimizer.step()
        adam.step()
    start = small_model(torch.float64)["dense"].weight
    moved = (theirs["dense"].weight - start).abs().max()
    assert moved > 0.1
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-9 * moved


def test_step_size_without_correction_spikes_as_published():
    """Paper, Fig. 6: the factor sqrt(1 - b2^t) / (1 - b1^t) is 0.316 at t = 1 and about 0.80 at
    t = 999."""

    def first_move(bias_correction, t):
        run = Run(
            "m",
            "d",
            "rte",
            learning_rate=1.0,
            bias_correction=bias_correction,
            weight_decay=0.0,
            warmup_ratio=0.0,
        )
        model = torch.nn.Linear(1, 1, bias=False)
        optimizer = PaperAdamW([ParameterGroup(list(model.parameters()), [])], run, 10**9)
        for _ in range(t):
            before = model.weight.item()
            model.weight.grad = torch.ones(1, 1)
            optimizer.step()
        return model.weight.item() - before

    assert first_move(True, 1) / first_move(False, 1) == pytest.approx(
        math.sqrt(0.001) / 0.1, rel=1e-3
    )
    assert first_move(True, 999) / first_move(False, 999) == pytest.approx(0.80, abs=0.01)

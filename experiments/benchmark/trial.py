"""A trial: a few real steps of a run, what they cost, and what is wrong with them."""

import contextlib
import gc
import math
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from transformers import PreTrainedModel

from experiments.finetuning.encoders import load_masked_lm
from experiments.finetuning.files import write_atomically
from experiments.finetuning.head_phase import train_head
from experiments.finetuning.loading import Network, prepare
from experiments.finetuning.lora import MARK
from experiments.finetuning.optimizers import PaperAdamW, all_tensors
from experiments.finetuning.packing import PackedClassifier
from experiments.finetuning.probes import (
    corners_of,
    gradient_norms,
    loss_and_gradient,
    masked_lm_perplexity,
    move_to,
    probed_matrices,
    put_back,
)
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import TokenizedSplit, task_of
from experiments.finetuning.tokens import TaggedSplit
from experiments.finetuning.training import (
    batch_loss,
    batches_in_order,
    evaluate,
    forward,
    make_repeatable,
    training_step,
    weights,
)
from experiments.sweeps.sweep import steps

STEPS = 3
EVALUATED = 32  # dev examples
COMPARED = 2  # examples on which the fast path is held against the plain one
ON_SURFACE = 16  # examples of a point; the study has 128
# Loss before the first update, nats: within this factor of ln (classes). A new classifier of 1,024
# inputs, N(0, 0.02), gives differences of logits with a standard deviation of 0.9 at most; 2.7,
# three of them, give 1.4 on even labels of two classes.
NEAR = 2.0
DEAD = 1e-9  # of the largest gradient norm of any matrix
# largest difference between fast and plain path, by dtype: of logits, of gradient norms (relative).
# Not measured of tf32, which rounds to 10 bits where bfloat16 has 7
LOGITS_DIFFER = {"float32": 1e-4, "tf32": 0.05, "bfloat16": 0.1}
NORMS_DIFFER = {"float32": 0.01, "tf32": 0.1, "bfloat16": 0.25}

Inputs = Callable[[Run], tuple[PreTrainedModel, TokenizedSplit, TokenizedSplit]]
Result = tuple[dict[str, Any], list[str]]  # what it cost, and what is wrong
Tick = Callable[[str], None]  # called after each part, with its name


def seconds(device: str) -> float:
    """A clock. On a CPU it counts the time of this process alone: others beside it count only as
    far as they slow it down."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def start_peak(device: str) -> None:
    """Count the most memory from here on, where the system can."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: str) -> float:
    """The most memory since start_peak, in GB: on a GPU what tensors took there, on a CPU that of
    the whole process."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e9
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def take_steps(
    run: Run, inputs: Inputs, tick: Tick, evaluating: bool = True, keep: Path | None = None
) -> Result:
    """STEPS steps of a run and, if asked for, an evaluation. `keep`: where the weights go then."""
    make_repeatable(run)
    start_peak(run.device)
    started = seconds(run.device)
    model, train_set, dev_set = inputs(run)
    network, groups = prepare(model.to(run.device), run)
    loaded = seconds(run.device) - started
    tick("loaded")
    if run.head_epochs:
        assert isinstance(network, PackedClassifier)  # what else is refused
        train_head(model, network, first_of(train_set, EVALUATED), run, [])
    wrong = differing_paths(model, network, train_set.batch(np.arange(COMPARED)), run)
    optimizer, matrices = PaperAdamW(groups, run, steps(run)), probed_matrices(model)
    classifier = matrices["classifier"].detach().clone()
    torch.manual_seed(run.dropout_seed)
    losses: list[float] = []
    times, tokens, dead = [], 0, []
    for batch in islice(batches_in_order(train_set, run, done=0), STEPS):
        started = seconds(run.device)
        probed = {} if losses else matrices
        losses.append(training_step(model, network, optimizer, batch, run, probed)[0])
        times.append(seconds(run.device) - started)
        if len(losses) == 1:  # before any weight has moved
            dead = dead_parts(with_gradient(model))
        tokens += int(batch["attention_mask"].sum())
        tick(f"step {len(losses)}")
    wrong += wrong_losses(losses, task_of(run.task, run.data_source).outputs) + dead
    if torch.equal(classifier, matrices["classifier"]):
        wrong.append(f"the classifier's weights are the same after {STEPS} steps")
    memory = peak(run.device)  # before the weights are copied
    if keep:
        write_atomically(keep, weights(model))
    cost: dict[str, Any] = {
        "seconds_per_step": float(np.mean(times[1:] or times)),
        "first_step_seconds": times[0],
        "load_seconds": loaded,
        "memory_gb": memory,
        "tokens_per_step": tokens / len(losses),
        "first_loss": losses[0],
        "parameters": sum(p.numel() for p in model.parameters()),
        "matrices": len(matrices),
    }
    if evaluating:
        cost["evaluation_seconds_per_example"] = evaluation_seconds(network, dev_set, run)
        tick("evaluated")
    return cost, wrong


def evaluation_seconds(network: Network, split: TokenizedSplit, run: Run) -> float:
    """Seconds of one example in an evaluation."""
    started, some = seconds(run.device), first_of(split, EVALUATED)
    evaluate(network, some, run)
    return (seconds(run.device) - started) / len(some.labels)


def first_of(split: TokenizedSplit, count: int) -> TokenizedSplit:
    """The first examples of a split."""
    cut = {name: getattr(split, name)[:count] for name in ("input_ids", "token_type_ids", "labels")}
    if isinstance(split, TaggedSplit):
        cut |= {name: getattr(split, name)[:count] for name in ("words", "read")}
    return replace(split, **cut)


def differing_paths(
    model: PreTrainedModel, network: Network, batch: dict[str, np.ndarray], run: Run
) -> list[str]:
    """Where the fast path's logits or gradients are not the plain one's, dropout off."""
    if not isinstance(network, PackedClassifier):
        return []
    matrices = probed_matrices(model)
    logits, norms = [], []
    for path in (network, model):
        for p in model.parameters():
            if p.grad is not None:  # some are not trained
                p.grad.zero_()
        with torch.no_grad():
            logits.append(forward(path, batch, run, training=False))
        batch_loss(path, batch, run, training=False).backward()
        norms.append(torch.tensor(gradient_norms(matrices)))
    wrong = []
    apart = float((logits[0] - logits[1]).abs().max())
    if not apart <= LOGITS_DIFFER[run.dtype]:  # also where it is not a number
        wrong.append(f"fast and plain path differ by {apart:.2g} in logits")
    # a norm far below the others is rounding
    scale = norms[1].clamp(min=1e-3 * float(norms[1].max()) + 1e-30)
    apart = float(((norms[0] - norms[1]).abs() / scale).max())
    if not apart <= NORMS_DIFFER[run.dtype]:
        wrong.append(f"fast and plain path differ by {apart:.0%} in gradient norms")
    return wrong


def wrong_losses(losses: list[float], outputs: int) -> list[str]:
    """What is wrong with the losses of the first steps, in nats; with one output, of a regression,
    nothing is expected of them but that they are finite."""
    if not all(map(math.isfinite, losses)):
        return ["the loss is not finite"]
    expected = math.log(outputs)
    if outputs > 1 and not expected / NEAR <= losses[0] <= expected * NEAR:
        return [f"the loss starts at {losses[0]:.2g}, expected about ln {outputs} = {expected:.2g}"]
    return []


def with_gradient(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """The parameters that the first step gives a gradient: all that are trained but LoRA's A,
    whose is 0 while B is."""
    return [
        (name, p)
        for name, p in model.named_parameters()
        if p.requires_grad and not name.endswith(f"{MARK}down")
    ]


def dead_parts(named: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Weight matrices whose gradient is not finite, or next to nothing."""
    norms = {}
    for name, p in named:
        if p.dim() > 1:
            norms[name] = 0.0 if p.grad is None else p.grad.norm().item()
    largest = max((norm for norm in norms.values() if math.isfinite(norm)), default=0.0)
    infinite = [name for name, norm in norms.items() if not math.isfinite(norm)]
    dead = [name for name, norm in norms.items() if norm <= DEAD * largest]
    wrong = []
    for names, what in ((infinite, "is not finite"), (dead, "vanishes")):
        if names:
            wrong.append(f"the gradient of {names[0]} {what} (of {len(names)} matrices)")
    return wrong


def put_layers_back(
    run: Run, blocks: tuple[torch.Tensor, torch.Tensor], trained: Path, tick: Tick
) -> Result:
    """Perplexity of the pre-trained model and of a trained one with none, half and all of its
    layers put back; `blocks`: masked-LM inputs and labels."""
    start_peak(run.device)
    fine_tuned = safetensors.torch.load(trained.read_bytes())
    model = load_masked_lm(run.model_source).to(run.device)
    pretrained = {name: p.detach().clone() for name, p in model.named_parameters()}
    layers, found = model.config.num_hidden_layers, {}
    before = masked_lm_perplexity(model, *blocks)
    tick("pre-trained")
    started = seconds(run.device)
    for top in (0, layers // 2, layers):
        model.load_state_dict(put_back(fine_tuned, pretrained, top, layers), strict=False)
        found[top] = masked_lm_perplexity(model, *blocks)
        tick(f"{top} layers put back")
    cost = {
        "seconds_per_block": (seconds(run.device) - started) / len(found) / len(blocks[0]),
        "memory_gb": peak(run.device),
        "pretrained_perplexity": before,
        "perplexity": found[0],
    }
    wrong = []
    if not all(map(math.isfinite, found.values())):
        wrong.append("a perplexity is not finite")
    if not math.isclose(found[layers], before, rel_tol=1e-4):
        wrong.append(f"all layers put back give {found[layers]:.6g}, pre-trained {before:.6g}")
    return cost, wrong


def points_of_surface(run: Run, inputs: Inputs, trained: tuple[Path, Path], tick: Tick) -> Result:
    """Loss and gradient at the three corners of the plane through the pre-trained and two trained
    models."""
    start_peak(run.device)
    started = seconds(run.device)
    model, train_set, _ = inputs(run)
    files = [path.read_bytes() for path in trained]
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    network, groups = prepare(model.to(run.device), run)
    parameters = all_tensors(groups)
    corners = corners_of(model, parameters, [start, *map(safetensors.torch.load, files)])
    loaded = seconds(run.device) - started
    tick("loaded")
    examples = np.arange(min(ON_SURFACE, len(train_set.labels)))
    batch = train_set.batch(examples)

    def loss_of(batch: dict[str, np.ndarray]) -> torch.Tensor:
        return batch_loss(network, batch, run, training=False)

    started, found = seconds(run.device), []
    for a, b in ((0, 0), (1, 0), (0, 1)):
        move_to(parameters, corners, a, b)
        found.append(loss_and_gradient(loss_of, [batch], parameters))
        tick(f"point {a}, {b}")
    cost = {
        "seconds_per_example": (seconds(run.device) - started) / len(found) / len(examples),
        "load_seconds": loaded,
        "memory_gb": peak(run.device),
        "first_loss": found[0][0],
    }
    values = np.array(found)
    if not np.isfinite(values).all():
        return cost, ["a loss or gradient of the surface is not finite"]
    wrong = wrong_losses([found[0][0]], task_of(run.task, run.data_source).outputs)
    if (values[:, 1] <= 0).any():
        wrong.append("a gradient of the surface is 0")
    return cost, wrong

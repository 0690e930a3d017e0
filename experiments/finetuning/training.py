"""One fine-tuning run, from start to score."""

import inspect
import math
import os
import platform
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors.torch
import torch
import transformers

from experiments.finetuning.answers import answers_of, mean_loss, scores_of, scores_of_halves
from experiments.finetuning.checkpoints import Checkpoint
from experiments.finetuning.checks import unknown_share
from experiments.finetuning.devices import send, set_float32
from experiments.finetuning.errors import INTERRUPTS
from experiments.finetuning.glue import TOKENS, UNREAD
from experiments.finetuning.head_phase import train_head
from experiments.finetuning.histories import RECORDED, Answers, Recording
from experiments.finetuning.loading import Network, load, prepare
from experiments.finetuning.metrics import constant_loss, majority_level
from experiments.finetuning.optimizers import PaperAdamW, all_tensors
from experiments.finetuning.packing import PackedBatch, PackedClassifier, pack
from experiments.finetuning.probes import gradient_norms, probed_matrices
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import TokenizedSplit, task_of, train_rows
from experiments.finetuning.tokens import TaggedSplit, constant_level, flat

LOG_EVERY = 10  # steps between two records of the gradient norms (paper, section 5.1)
# evenly spaced (paper, Fig. 8: every 52 of RTE's 156 steps); on a sample after as many steps
EVALUATIONS_PER_EPOCH = 3
EVALUATION_BATCH = 100


def train(run: Run) -> dict[str, Any]:
    """Fine-tune, evaluate on dev after the last step, and return {"outcome": {...}, "history":
    {...}}.

    outcome, one value each: `score` and `metric`, its name; every metric on dev and `dev_loss`
    (nats, of a regression the squared error) after the last step; `majority_level`, `failed` (score
    at or below it, or `diverged`), `constant_prediction`; `train_loss` (mean of the last epoch) and
    `label_entropy` (constant_loss of the training labels), of dev_loss's kind;
    `first_layer_gradient`, `classifier_gradient` (L2 norms, medians over the last tenth); `steps`;
    what the checkpoint lacked (`drawn_from_head_seed`); `trained_parameters`, how many;
    `unknown_tokens`, share of the training tokens; with a label a word `unread_words`, share of
    dev's words beyond the longest input; `device`, `seconds`, versions, commit. history:
    `train_loss` [steps], nats, without the head's own phase; `evaluations` [evaluations], each with
    step, metrics and dev_loss; `dev_margins` [evaluations], text of histories.py; `gradient_norms`
    [steps / `gradient_norm_every`][matrices], L2, before clipping, of `gradient_norm_of`. With
    run.keep_weights also "weights": the parameters, as the bytes of a safetensors file. A loss that
    is not finite ends the run: it has diverged, which is a failed run and a result like any other.
    """
    started = time.monotonic()
    make_repeatable(run)
    model, drawn, tokenizer, train_set, dev_set = load(run)
    network, groups = prepare(model.to(run.device), run, drawn)
    steps_per_epoch = math.ceil(len(train_set.labels) / run.batch_size)
    total_steps = run.epochs * steps_per_epoch
    optimizer = PaperAdamW(groups, run, total_steps)
    matrices = probed_matrices(model)
    evaluate_at = evaluation_steps(run, total_steps)
    unread = {}
    if isinstance(dev_set, TaggedSplit):
        unread = {"unread_words": round(dev_set.unread_share, 6)}

    torch.manual_seed(run.dropout_seed)
    checkpoint = Checkpoint(run, network, all_tensors(groups), optimizer)
    recorded = Recording()
    if stopped := checkpoint.restore():
        started -= stopped["seconds"]
        recorded = Recording(*[stopped[name] for name in RECORDED])
    else:
        recorded.evaluated(*evaluate(network, dev_set, run))
        if run.head_epochs:
            train_head(model, network, train_set, run, drawn)
    for batch in batches_in_order(train_set, run, done=recorded.steps):
        INTERRUPTS.check()
        probed = matrices if recorded.steps % LOG_EVERY == 0 else {}
        loss, norms = training_step(model, network, optimizer, batch, run, probed)
        recorded.stepped(loss, norms)
        if not math.isfinite(loss):
            break
        if recorded.steps in evaluate_at:
            recorded.evaluated(*evaluate(network, dev_set, run))
        if checkpoint.due():
            checkpoint.save({**vars(recorded), "seconds": time.monotonic() - started})

    scores, answers, halves = evaluate(network, dev_set, run)
    recorded.evaluated(scores, answers, halves)
    outcome = {
        **how_it_ended(run, scores, answers, dev_set.labels, recorded),
        **how_it_trained(recorded, train_set.labels, steps_per_epoch, list(matrices)),
        "steps": recorded.steps,
        "drawn_from_head_seed": " ".join(drawn),
        "trained_parameters": sum(tensor.numel() for tensor in all_tensors(groups)),
        "unknown_tokens": round(unknown_share(train_set.input_ids, tokenizer), 6),
        **unread,
        "device": device_name(run.device),
        "seconds": round(time.monotonic() - started, 2),
        **versions(),
        "git_commit": run.git_commit,
    }
    history = recorded.history(
        LOG_EVERY, list(matrices), answers, task_of(run.task, run.data_source)
    )
    kept = {"weights": weights(model)} if run.keep_weights else {}
    return {"outcome": outcome, "history": history, **kept}


def make_repeatable(run: Run) -> None:
    """One thread, and on a GPU the algorithms that give the same again; those that have none warn,
    as attention's backward does. On an H200 runs of a small BERT repeat byte for byte."""
    torch.set_num_threads(run.threads)
    if run.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        set_float32(run)


def evaluation_steps(run: Run, total_steps: int) -> set[int]:
    """After which steps dev is evaluated, besides before the first and after the last: evenly, as
    often in so many steps as on the whole training set, or as often an epoch as the run says."""
    if run.evaluations_per_epoch is not None:
        due = run.epochs * run.evaluations_per_epoch
        return {round(total_steps * part / due) for part in range(1, due)}
    steps_on_all = math.ceil(train_rows(run.task, run.data_source) / run.batch_size)
    due = max(1, round(EVALUATIONS_PER_EPOCH * total_steps / steps_on_all))
    return {round(total_steps * part / due) for part in range(1, due)}


def batches_in_order(
    train_set: TokenizedSplit, run: Run, done: int
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of all epochs, the examples of each in a new order from the order seed, without
    the first `done`."""
    order = np.random.default_rng(run.order_seed)
    steps_per_epoch = math.ceil(len(train_set.labels) / run.batch_size)
    for _ in range(run.epochs):
        permutation = order.permutation(len(train_set.labels))
        skipped = min(done, steps_per_epoch)
        done -= skipped
        yield from train_set.batches(permutation[skipped * run.batch_size :], run.batch_size)


def how_it_ended(
    run: Run,
    scores: dict[str, float],
    answers: Answers,
    labels: np.ndarray,
    recorded: Recording,
) -> dict[str, Any]:
    """The part of the outcome that the dev set tells; `labels` are its own."""
    task = task_of(run.task, run.data_source)
    metric = task.metric
    diverged = not (math.isfinite(recorded.losses[-1]) and math.isfinite(scores["dev_loss"]))
    if task.kind == TOKENS:
        level = constant_level(flat(labels), task.labels, metric)
    else:
        level = majority_level(metric, labels, task.outputs)
    return {
        "metric": metric,
        "score": scores[metric],
        **scores,
        "majority_level": level,
        "failed": bool(diverged or scores[metric] <= level),
        "diverged": diverged,
        "constant_prediction": len(np.unique(answers.predictions)) == 1,
    }


def how_it_trained(
    recorded: Recording, labels: np.ndarray, steps_per_epoch: int, matrices: list[str]
) -> dict[str, float]:
    """The part of the outcome that training tells; `labels` are those of the training set."""
    last_tenth = recorded.norms[-max(1, len(recorded.norms) // 10) :]

    def at_the_end(name: str) -> float:
        """Median over the last tenth of one matrix's gradient norm; NaN without such a matrix."""
        if name not in matrices:
            return math.nan
        return float(np.median([norms[matrices.index(name)] for norms in last_tenth]))

    return {
        # mean over the last epoch, dropout on, nats
        "train_loss": float(np.mean(recorded.losses[-steps_per_epoch:])),
        "label_entropy": constant_loss(flat(labels)),  # nats
        "first_layer_gradient": at_the_end("layer 1 output"),
        "classifier_gradient": at_the_end("classifier"),
    }


def weights(model: torch.nn.Module) -> bytes:
    """A model's parameters as a safetensors file."""
    return safetensors.torch.save(
        {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
    )


def device_name(device: str) -> str:
    """cpu, or the name of the GPU."""
    return device if device == "cpu" else torch.cuda.get_device_name(torch.device(device))


def training_step(
    model: torch.nn.Module,
    network: Network,
    optimizer: PaperAdamW,
    batch: dict[str, np.ndarray],
    run: Run,
    matrices: dict[str, torch.nn.Parameter],
) -> tuple[float, list[float]]:
    """One update of a model whose logits `network` computes. The loss before it (nats), without an
    update where that is not finite, and the gradient norms of `matrices` (L2, before clipping)."""
    optimizer.zero_grad()
    loss = batch_loss(network, batch, run)
    value, norms = loss.item(), []
    if math.isfinite(value):
        loss.backward()
        norms = gradient_norms(matrices) if matrices else []
        if run.component_clipping is not None:
            clip_each(model, run.component_clipping)
        if run.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(all_tensors(optimizer.groups), run.max_gradient_norm)
        optimizer.step()
    return value, norms


def clip_each(model: torch.nn.Module, largest: float) -> None:
    """Clip the gradient of every parameter tensor to an L2 norm of its own (Yang and Ma 2022)."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    torch._foreach_mul_(gradients, list((largest / (norms + 1e-6)).clamp(max=1.0)))


def forward(
    network: Network, batch: dict[str, np.ndarray], run: Run, training: bool
) -> torch.Tensor:
    """Logits [answers, labels] in float32, an answer an example or a labelled token, with the
    arithmetic of run.dtype. Dropout only when training."""
    return logits_of(network, on_device(network, batch, run), run, training)


def on_device(
    network: Network, batch: dict[str, np.ndarray], run: Run
) -> PackedBatch | dict[str, torch.Tensor]:
    """What `network` reads of a batch, and its labels, where it computes."""
    if isinstance(network, PackedClassifier):
        return pack(batch, network.config, network.device)
    read = {*inspect.signature(network.forward).parameters, "labels"}
    wanted = {name: array for name, array in batch.items() if name in read}
    return send(wanted, torch.device(run.device))


def logits_of(
    network: Network, inputs: PackedBatch | dict[str, torch.Tensor], run: Run, training: bool
) -> torch.Tensor:
    """As forward, of a batch that is on the device."""
    with torch.autocast(
        run.device.split(":")[0], dtype=torch.bfloat16, enabled=run.dtype == "bfloat16"
    ):
        if isinstance(inputs, PackedBatch):
            return network(inputs, training).float()
        assert not isinstance(network, PackedClassifier)
        without_labels = {name: part for name, part in inputs.items() if name != "labels"}
        logits = network.train(training)(**without_labels).logits.float()
    labels = inputs.get("labels")
    return logits if labels is None or labels.ndim == 1 else logits[labels != UNREAD]


def batch_loss(
    network: Network, batch: dict[str, np.ndarray], run: Run, training: bool = True
) -> torch.Tensor:
    """Mean loss over the answers of the batch: cross-entropy in nats, or a regression's squared
    error; 0 where no word of it is read, as of a lone sentence of which the tokenizer makes
    nothing."""
    inputs = on_device(network, batch, run)
    labels = inputs.labels if isinstance(inputs, PackedBatch) else inputs["labels"]
    assert labels is not None
    read = labels if labels.ndim == 1 else labels[labels != UNREAD]
    logits = logits_of(network, inputs, run, training)
    return mean_loss(logits, read) if len(read) else logits.sum()


@torch.no_grad()
def evaluate(
    network: Network, split: TokenizedSplit, run: Run
) -> tuple[dict[str, float], Answers, dict[str, float]]:
    """Every metric and the mean loss on a split, dropout off; its answers; and, where these are
    not all kept, scores of its halves."""
    # without dropout, who shares a batch changes nothing, so here padding may be saved: half the
    # time
    by_length = np.argsort([len(ids) for ids in split.input_ids], kind="stable")
    parts = []
    for batch in split.batches(by_length, EVALUATION_BATCH):
        parts.append(forward(network, batch, run, training=False))
    logits = torch.cat(parts).cpu()
    if isinstance(split, TaggedSplit):
        scores, *answers = split.scored(logits.argmax(dim=1).numpy(), by_length)
        dev_loss = mean_loss(logits, torch.from_numpy(flat(split.labels[by_length]))).item()
        return {**scores, "dev_loss": dev_loss}, Answers(*answers), {}
    logits = logits[torch.from_numpy(np.argsort(by_length))]  # back in the order of the split
    task = task_of(run.task, run.data_source)
    halves = scores_of_halves(logits, split.labels, task.metric) if task.compact else {}
    return scores_of(logits, split.labels), answers_of(logits, split.labels), halves


def versions() -> dict[str, str]:
    """What ran the run."""
    return {
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
    }

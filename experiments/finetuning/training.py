"""One fine-tuning run, from start to score."""

import inspect
import math
import os
import platform
import time
from typing import Any, TypeAlias

import numpy as np
import safetensors.torch
import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from experiments.finetuning.checkpoints import Checkpoint
from experiments.finetuning.checks import check_tokens, check_vocabulary, unknown_share
from experiments.finetuning.encoders import layers_above, load_classifier, load_tokenizer
from experiments.finetuning.errors import INTERRUPTS, BadInput
from experiments.finetuning.histories import margins_as_text
from experiments.finetuning.metrics import all_metrics, majority_level
from experiments.finetuning.optimizers import PaperAdamW, ParameterGroup
from experiments.finetuning.packing import PackedClassifier, decays, pack
from experiments.finetuning.probes import gradient_norms, probed_matrices
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import (
    TokenizedSplit,
    get_task,
    load_splits,
    sample,
    tokenize,
    train_rows,
)

LOG_EVERY = 10  # steps between two records of the gradient norms (paper, section 5.1)
# evenly spaced (paper, Fig. 8: every 52 of RTE's 156 steps); on a sample after as many steps
EVALUATIONS_PER_EPOCH = 3
EVALUATION_BATCH = 100
Network: TypeAlias = PackedClassifier | torch.nn.Module  # the fast path, or the model itself


def train(run: Run) -> dict[str, Any]:
    """Fine-tune, evaluate on dev after the last step, and return {"outcome": {...}, "history":
    {...}}.

    outcome, one value each: `score` and `metric`, its name; every metric on dev and `dev_loss`
    (nats) after the last step; `majority_level`, `failed` (score at or below it, or `diverged`),
    `constant_prediction`; `train_loss` (nats, mean of the last epoch) and `label_entropy` (nats);
    `first_layer_gradient`, `classifier_gradient` (L2 norms, medians over the last tenth); `steps`;
    what the checkpoint lacked (`drawn_from_head_seed`); `unknown_tokens`, share of the training
    tokens; `device`, `seconds`, versions, commit. history: `train_loss` [steps], nats;
    `evaluations` [evaluations], each with step, metrics and dev_loss; `dev_margins` [evaluations],
    text of histories.py; `gradient_norms` [steps / `gradient_norm_every`][matrices], L2, before
    clipping, of `gradient_norm_of`. With run.keep_weights also "weights": the parameters, as the
    bytes of a safetensors file. A loss that is not finite ends the run: it has diverged, which is a
    failed run and a result like any other.
    """
    started = time.monotonic()
    torch.set_num_threads(run.threads)
    # so that a run repeats; what cannot, warns. Not tried: no GPU was at hand
    if run.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
    task, device = get_task(run.task), torch.device(run.device)
    model, drawn, tokenizer, train_set, dev_set = load(run)
    network, groups = prepare(model.to(device), run)
    parameters = [tensor for group in groups for tensor in group.tensors]
    steps_per_epoch = math.ceil(len(train_set.labels) / run.batch_size)
    total_steps = run.epochs * steps_per_epoch
    optimizer = PaperAdamW(groups, run, total_steps)
    matrices = probed_matrices(model)
    steps_on_all = math.ceil(train_rows(run.task, run.data_source) / run.batch_size)
    evaluations_due = max(1, round(EVALUATIONS_PER_EPOCH * total_steps / steps_on_all))
    evaluate_at = {
        round(total_steps * part / evaluations_due) for part in range(1, evaluations_due)
    }
    losses: list[float] = []
    norms: list[list[float]] = []
    evaluations: list[dict[str, float]] = []
    margins: list[str] = []

    def evaluate_after(step: int) -> np.ndarray:
        scores, margin = evaluate(network, dev_set, run)
        evaluations.append({"step": step, **scores})
        margins.append(margins_as_text(margin))
        return margin > 0

    torch.manual_seed(run.dropout_seed)
    checkpoint = Checkpoint(run, network, parameters, optimizer)
    if stopped := checkpoint.restore():
        losses, norms, evaluations, margins = (
            stopped[name] for name in ("losses", "norms", "evaluations", "margins")
        )
        started -= stopped["seconds"]
    else:
        evaluate_after(0)
    order = np.random.default_rng(run.order_seed)
    for epoch in range(run.epochs):
        permutation = order.permutation(len(train_set.labels))
        # all of an epoch that lies before the checkpoint
        done = min(len(losses) - epoch * steps_per_epoch, steps_per_epoch)
        for batch in train_set.batches(permutation[done * run.batch_size :], run.batch_size):
            INTERRUPTS.check()
            loss, norms_of_step = training_step(
                model,
                network,
                optimizer,
                batch,
                run,
                matrices if len(losses) % LOG_EVERY == 0 else {},
            )
            losses.append(loss)
            norms += [norms_of_step] if norms_of_step else []
            if not math.isfinite(loss):
                break
            if len(losses) in evaluate_at:
                evaluate_after(len(losses))
            if checkpoint.due():
                checkpoint.save(
                    {
                        "losses": losses,
                        "norms": norms,
                        "evaluations": evaluations,
                        "margins": margins,
                        "seconds": time.monotonic() - started,
                    }
                )
        if not math.isfinite(losses[-1]):
            break

    predictions = evaluate_after(len(losses))
    scores = {name: value for name, value in evaluations[-1].items() if name != "step"}
    diverged = not (math.isfinite(losses[-1]) and math.isfinite(scores["dev_loss"]))
    level = majority_level(task.metric, dev_set.labels)
    shares = np.bincount(train_set.labels) / len(train_set.labels)
    last_tenth = norms[-max(1, len(norms) // 10) :]
    outcome = {
        "metric": task.metric,
        "score": scores[task.metric],
        **scores,
        "majority_level": level,
        "failed": bool(diverged or scores[task.metric] <= level),
        "diverged": diverged,
        "constant_prediction": bool(len(set(predictions.tolist())) == 1),
        # mean over the last epoch, dropout on, nats
        "train_loss": float(np.mean(losses[-steps_per_epoch:])),
        # of the training labels, nats
        "label_entropy": float(0.0 - (shares[shares > 0] * np.log(shares[shares > 0])).sum()),
        "first_layer_gradient": _median_of(last_tenth, matrices, "layer 1 output"),
        "classifier_gradient": _median_of(last_tenth, matrices, "classifier"),
        "steps": len(losses),
        "drawn_from_head_seed": " ".join(drawn),
        "unknown_tokens": round(unknown_share(train_set.input_ids, tokenizer), 6),
        "device": run.device if run.device == "cpu" else torch.cuda.get_device_name(device),
        "seconds": round(time.monotonic() - started, 2),
        **versions(),
        "git_commit": run.git_commit,
    }
    history = {
        "train_loss": losses,
        "evaluations": evaluations,
        "dev_margins": margins,
        "gradient_norm_every": LOG_EVERY,
        "gradient_norm_of": list(matrices),
        "gradient_norms": norms,
    }
    kept = (
        {
            "weights": safetensors.torch.save(
                {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
            )
        }
        if run.keep_weights
        else {}
    )
    return {"outcome": outcome, "history": history, **kept}


def load(run: Run) -> tuple[PreTrainedModel, list[str], Any, TokenizedSplit, TokenizedSplit]:
    """A run's model, the names of its parameters that the head seed drew, its tokenizer, its
    training and its dev set. BadInput where these do not belong together."""
    tokenizer = load_tokenizer(run.model_source)
    train_set, dev_set = tokenized_splits(run, tokenizer)
    model, drawn = load_classifier(run, len(get_task(run.task).labels))
    for split in (train_set, dev_set):
        check_tokens(
            split.input_ids, split.token_type_ids, model.config, tokenizer, run.model_source
        )
    return model, drawn, tokenizer, train_set, dev_set


def inspect_inputs(run: Run) -> list[str]:
    """What is odd about a run's model and data, a sentence each; BadInput for what cannot be
    trained. It trains nothing."""
    *_, tokenizer, train_set, _ = load(run)
    return check_vocabulary(
        unknown_share(train_set.input_ids, tokenizer), tokenizer, run.model_source, run.task
    )


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
            torch.nn.utils.clip_grad_norm_(
                [tensor for group in optimizer.groups for tensor in group.tensors],
                run.max_gradient_norm,
            )
        optimizer.step()
    return value, norms


def tokenized_splits(run: Run, tokenizer: Any) -> tuple[TokenizedSplit, TokenizedSplit]:
    """The training and the dev set of a run, as tokens."""
    splits = load_splits(run.task, run.data_source)
    train_split = (
        splits["train"]
        if run.train_examples is None
        else sample(splits["train"], run.train_examples, run.sampling_seed)
    )
    train_set, dev_set = (
        tokenize(split, tokenizer, run.max_length, run.segment_ids)
        for split in (train_split, splits["dev"])
    )
    return train_set, dev_set


def prepare(model: torch.nn.Module, run: Run) -> tuple[Network, list[ParameterGroup]]:
    """What computes logits (the fast path, or the model itself), and the tensors to train."""
    if run.packed:
        network = PackedClassifier(model, run.dropout, run.dropout_seed, run.mixout)
    elif run.mixout:
        raise BadInput("Mixout is part of the fast path only: expected a run without --plain")
    else:
        network = model
    if run.packed and run.layerwise_decay == 1:
        return network, [
            ParameterGroup(
                [network.flat.values], [network.flat.decayed], _anchors([network.flat.decayed], run)
            )
        ]
    by_share: dict[float, list[tuple[str, torch.Tensor]]] = {}
    for name, p in model.named_parameters():
        by_share.setdefault(run.layerwise_decay ** layers_above(name, model.config), []).append(
            (name, p)
        )
    decayed = {
        share: [p.data for name, p in named if decays(name)] for share, named in by_share.items()
    }
    return network, [
        ParameterGroup([p for _, p in named], decayed[share], _anchors(decayed[share], run), share)
        for share, named in by_share.items()
    ]


def _anchors(decayed: list[torch.Tensor], run: Run) -> list[torch.Tensor] | None:
    return [p.clone() for p in decayed] if run.decay_to_pretrained else None


def clip_each(model: torch.nn.Module, largest: float) -> None:
    """Clip the gradient of every parameter tensor to an L2 norm of its own (Yang and Ma 2022)."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    torch._foreach_mul_(gradients, list((largest / (norms + 1e-6)).clamp(max=1.0)))


def forward(
    network: Network, batch: dict[str, np.ndarray], run: Run, training: bool
) -> torch.Tensor:
    """Logits [examples, labels] in float32, with the arithmetic of run.dtype. Dropout only when
    training."""
    with torch.autocast(
        run.device.split(":")[0], dtype=torch.bfloat16, enabled=run.dtype == "bfloat16"
    ):
        if isinstance(network, PackedClassifier):
            return network(pack(batch, network.config, network.device), training).float()
        inputs = {
            name: torch.from_numpy(array).to(run.device)
            for name, array in batch.items()
            if name in inspect.signature(network.forward).parameters and name != "labels"
        }
        return network.train(training)(**inputs).logits.float()


def batch_loss(
    network: Network, batch: dict[str, np.ndarray], run: Run, training: bool = True
) -> torch.Tensor:
    """Mean cross-entropy over the batch, in nats."""
    return cross_entropy(
        forward(network, batch, run, training), torch.from_numpy(batch["labels"]).to(run.device)
    )


@torch.no_grad()
def evaluate(
    network: Network, split: TokenizedSplit, run: Run
) -> tuple[dict[str, float], np.ndarray]:
    """Every metric and the mean loss (nats) on a split, dropout off, and the logit of label 1
    minus that of label 0 [examples]."""
    # without dropout, who shares a batch
    by_length = np.argsort([len(ids) for ids in split.input_ids], kind="stable")
    # changes nothing, so here padding may be saved: half the time
    logits = torch.cat(
        [
            forward(network, batch, run, training=False)
            for batch in split.batches(by_length, EVALUATION_BATCH)
        ]
    ).cpu()
    logits = logits[torch.from_numpy(np.argsort(by_length))]  # back in the order of the split
    margin = (logits[:, 1] - logits[:, 0]).numpy()
    dev_loss = cross_entropy(logits, torch.from_numpy(split.labels)).item()
    return {
        **all_metrics((margin > 0).astype(np.int64), split.labels),
        "dev_loss": dev_loss,
    }, margin


def _median_of(norms: list[list[float]], matrices: dict[str, Any], name: str) -> float:
    """Median over the given records of one matrix's gradient norm; NaN where the model has no
    such matrix."""
    return (
        float(np.median([row[list(matrices).index(name)] for row in norms]))
        if name in matrices
        else math.nan
    )


def versions() -> dict[str, str]:
    """What ran the run."""
    return {
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
    }

"""The contenders of the benchmark, each a function that trains on given batches and says its
seconds per step; and the limit."""

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from experiments.finetuning.encoders import load_classifier, load_tokenizer
from experiments.finetuning.flat import decays
from experiments.finetuning.loading import prepare, tokenized_splits
from experiments.finetuning.optimizers import PaperAdamW, learning_rate_factor
from experiments.finetuning.probes import probed_matrices
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import TokenizedSplit, task_of
from experiments.finetuning.training import LOG_EVERY, training_step, versions
from experiments.sweeps import engine

Step = Callable[[np.ndarray], None]  # one optimiser step on the examples of these indices
# trains on batches [steps, examples] of indices; seconds per step
Contender = Callable[[np.ndarray], float]
MANY_STEPS = 10_000  # of the schedule, so that no contender comes to its end
ADAM_BYTES = 28  # a parameter: read gradient; read and write weight and both moments, 4 bytes each
PEAK_SIZE = 1024  # rows and columns of the matrix product that stands for the machine's rate


def compare(run: Run, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds per step of every contender in every counted round, and of the limit measured in
    that round."""
    torch.set_num_threads(run.threads)
    torch.manual_seed(1)
    train_set = examples_of(run)
    made = {(name, dtype): make(name, dtype, run, train_set) for name, dtype in contenders(options)}
    rows, names = [], list(made)
    for round_number, batches in enumerate(rounds(run, train_set, options.rounds, options.steps)):
        tokens = sum(len(train_set.input_ids[i]) for i in batches.flatten()) / options.steps
        common = {
            "part": "contenders",
            "task": run.task,
            "model": run.model,
            "data": run.data,
            "round": round_number,
            "tokens_per_step": tokens,
            "padded_tokens_per_step": run.batch_size * run.max_length,
        }
        for name, dtype in names[round_number % len(names) :] + names[: round_number % len(names)]:
            seconds = made[name, dtype](batches)
            if round_number:
                rows.append(row(common, name, dtype, seconds, run))
        if round_number:
            for dtype in options.dtypes:
                seconds = limit(
                    run, [train_set.input_ids[i] for i in batches.flatten()], options.steps, dtype
                )
                rows.append(row(common, "limit", dtype, seconds, run))
        print(f"benchmark {run.task}: round {round_number} of {options.rounds}", flush=True)
    return rows


def contenders(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Who takes part, with which arithmetic."""
    found = [
        ("official", "float32"),
        ("plain", "float32"),
        *(("ours", dtype) for dtype in options.dtypes),
    ]
    if importlib.util.find_spec("accelerate"):
        return found + [("trainer", dtype) for dtype in options.dtypes]
    print(
        "the Trainer is left out: it needs the package accelerate (pip install accelerate)",
        flush=True,
    )
    return found


def make(name: str, dtype: str, run: Run, train_set: TokenizedSplit) -> Contender:
    """A contender with the run's model, the same for each."""
    makers = {"official": official, "plain": ours, "ours": ours, "trainer": trainer}
    return makers[name](loaded(run), replace(run, dtype=dtype, packed=name != "plain"), train_set)


def examples_of(run: Run) -> TokenizedSplit:
    """The run's training set, as tokens."""
    return tokenized_splits(run, load_tokenizer(run.model_source))[0]


def rounds(run: Run, train_set: TokenizedSplit, count: int, steps: int) -> Iterator[np.ndarray]:
    """Batches [steps, examples] of indices, an array a round; one round more than `count`, the
    first, for warming up."""
    order = np.random.default_rng(1)
    for _ in range(count + 1):
        yield order.permutation(len(train_set.labels))[: steps * run.batch_size].reshape(
            steps, run.batch_size
        )


def row(common: dict[str, Any], name: str, dtype: str, seconds: float, run: Run) -> dict[str, Any]:
    """A row of the CSV: what was measured, in seconds, and on what."""
    return {
        **common,
        "name": name,
        "dtype": dtype,
        "seconds": seconds,
        "threads": run.threads,
        "device": run.device,
        "load": os.getloadavg()[0],
        "cores": engine.cores(),
        **versions(),
        "git_commit": run.git_commit,
    }


def timed(step: Step, device: str) -> Contender:
    """Seconds per step over batches [steps, examples] of indices."""

    def measure(batches: np.ndarray) -> float:
        started = clock(device)
        for indices in batches:
            step(indices)
        return (clock(device) - started) / len(batches)

    return measure


def clock(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def loaded(run: Run) -> PreTrainedModel:
    """The model of the run, the same for every contender."""
    return load_classifier(run, task_of(run.task, run.data_source).outputs)[0].to(run.device)


def ours(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """The step of training.train, with gradient norms every LOG_EVERY steps."""
    network, groups = prepare(model, run)
    optimizer, matrices, done = PaperAdamW(groups, run, MANY_STEPS), probed_matrices(model), 0

    def step(indices: np.ndarray) -> None:
        nonlocal done
        training_step(
            model,
            network,
            optimizer,
            train_set.batch(indices),
            run,
            matrices if done % LOG_EVERY == 0 else {},
        )
        done += 1

    return timed(step, run.device)


def official(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """The costs of the released code: every input padded to run.max_length, eager attention, the
    norm of each parameter's gradient read by itself, AdamW as a loop over the parameters with
    operations of their own."""
    model.set_attn_implementation("eager")
    model.train()
    named = list(model.named_parameters())
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for _, p in named]
    done = 0

    def step(indices: np.ndarray) -> None:
        nonlocal done
        batch = padded(train_set, indices, run.max_length)
        inputs = {
            name: torch.from_numpy(array).to(run.device)
            for name, array in batch.items()
            if name != "labels"
        }
        cross_entropy(
            model(**inputs).logits, torch.from_numpy(batch["labels"]).to(run.device)
        ).backward()
        for _, p in named:
            p.grad.norm().item()
        if run.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_([p for _, p in named], run.max_gradient_norm)
        rate = run.learning_rate * learning_rate_factor(done, MANY_STEPS, run.warmup_ratio)
        done += 1
        with torch.no_grad():
            for (name, p), (first, second) in zip(named, moments, strict=True):
                first.mul_(run.adam_beta1).add_(p.grad, alpha=1 - run.adam_beta1)
                second.mul_(run.adam_beta2).addcmul_(p.grad, p.grad, value=1 - run.adam_beta2)
                corrected = rate * (1 - run.adam_beta2**done) ** 0.5 / (1 - run.adam_beta1**done)
                p.addcdiv_(first, second.sqrt().add_(run.adam_epsilon), value=-corrected)
                if decays(name):
                    p.add_(p, alpha=-rate * run.weight_decay)
                p.grad = None

    return timed(step, run.device)


def padded(train_set: TokenizedSplit, indices: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """A batch padded to a fixed length."""
    batch = train_set.batch(indices)
    more = ((0, 0), (0, length - batch["input_ids"].shape[1]))
    return {
        "input_ids": np.pad(batch["input_ids"], more, constant_values=train_set.pad_id),
        "labels": batch["labels"],
        **{name: np.pad(batch[name], more) for name in ("attention_mask", "token_type_ids")},
    }


def trainer(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """Hugging Face's Trainer on the same batches, from the beginning of its training to the end,
    without its construction."""
    from transformers import (
        DataCollatorWithPadding,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Clock(TrainerCallback):
        started = ended = 0.0

        def on_train_begin(self, *_: object, **__: object) -> None:
            self.started = clock(run.device)

        def on_train_end(self, *_: object, **__: object) -> None:
            self.ended = clock(run.device)

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: object, **__: object) -> torch.utils.data.Sampler:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    tokenizer, folder = load_tokenizer(run.model_source), tempfile.mkdtemp()

    def measure(batches: np.ndarray) -> float:
        examples = [
            {
                "input_ids": train_set.input_ids[i].tolist(),
                "token_type_ids": train_set.token_type_ids[i].tolist(),
                "label": int(train_set.labels[i]),
            }
            for i in batches.flatten()
        ]
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=batches.shape[1],
            max_steps=len(batches),
            learning_rate=run.learning_rate,
            weight_decay=run.weight_decay,
            adam_epsilon=run.adam_epsilon,
            warmup_steps=1,
            use_cpu=run.device == "cpu",
            bf16=run.dtype == "bfloat16",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        watch = Clock()
        one = InOrder(
            model, arguments, DataCollatorWithPadding(tokenizer), examples, callbacks=[watch]
        )
        one.remove_callback(PrinterCallback)
        one.train()
        return (watch.ended - watch.started) / len(batches)

    return measure


def limit(run: Run, examples: list[np.ndarray], steps: int, dtype: str) -> float:
    """Seconds a step that the arithmetic of these examples takes at the measured rates: forward
    and twice that backward, and AdamW."""
    model = loaded(run)
    config = model.config
    hidden, lengths = config.hidden_size, np.array([len(ids) for ids in examples], dtype=float)
    products = config.num_hidden_layers * (
        lengths.sum() * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
        + 2 * (lengths**2).sum() * hidden
    )
    parameters = sum(p.numel() for p in model.parameters())
    rate = matmul_rate(run.device, torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    return 3 * 2 * products / steps / rate + ADAM_BYTES * parameters / copy_rate(
        ADAM_BYTES * parameters // 2, run.device
    )


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large matrix product, the best of five."""
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device).to(dtype) for _ in range(2))
    return 2 * PEAK_SIZE**3 / best_of(lambda: torch.mm(a, b), device)


def copy_rate(size: int, device: str) -> float:
    """Bytes read and written a second by one copy of `size` bytes, the best of five."""
    source, target = torch.zeros(2, size // 4, device=device)
    return 2 * size / best_of(lambda: target.copy_(source), device)


def best_of(function: Callable[[], Any], device: str) -> float:
    """Seconds of the fastest of five calls, after one to warm up."""
    times = []
    for _ in range(6):
        started = clock(device)
        function()
        times.append(clock(device) - started)
    return min(times[1:])

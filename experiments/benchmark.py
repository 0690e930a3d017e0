"""Benchmark: how fast is a step, beside what others do and beside what the machine could do?

Not a hypothesis of the paper. On the same examples in the same batches, one after the other in every round, one thread:

    official      what the released code does: inputs padded to the full length, AdamW as a Python loop over the parameters, the norm
                  of every parameter's gradient read one by one
    trainer       Hugging Face's Trainer at its documented best: dynamic padding, SDPA attention, fused AdamW
    plain         this repository's --plain path
    ours          its fast path; and with bfloat16 autocast where --dtypes names it
    limit         the matrix products alone, at the rate the same machine has just reached on large ones, and the bytes that AdamW
                  has to move at the rate of a copy of that size: what this arithmetic takes without anything around it

and how cost grows: with runs, workers, examples and layers, measured by whole runs of this repository.

Command : python -m experiments.benchmark --profile mini
Cost    : mini, about 6 minutes on 2 idle cores; the numbers mean something only while nothing else runs.
Writes  : results/<profile>/benchmark.csv, one row per measurement.

The official loop and the limit are written here from their descriptions. The Trainer needs the package accelerate (tests/requirements
.txt) and is left out, with a line that says so, where that is missing. --device cuda has not been run: no GPU was at hand.
"""

import argparse
import importlib.util
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from experiments.finetuning import engine
from experiments.finetuning.command import default_rate, grid, number, parse, parser, run_command, write_csv
from experiments.finetuning.encoders import load_classifier, load_config, load_tokenizer
from experiments.finetuning.errors import RunsCrashed
from experiments.finetuning.optimizers import PaperAdamW, learning_rate_factor
from experiments.finetuning.packing import NOT_DECAYED
from experiments.finetuning.probes import gradient_norms, probed_matrices
from experiments.finetuning.runs import Run
from experiments.finetuning.tasks import TokenizedSplit, get_task, train_rows
from experiments.finetuning.training import LOG_EVERY, batch_loss, prepare, tokenized_splits, train, versions

Step = Callable[[np.ndarray], None]  # one optimiser step on the examples of these indices
Contender = Callable[[np.ndarray], float]  # trains on batches [steps, examples] of indices; seconds per step
MANY_STEPS = 10_000  # of the schedule, so that no contender comes to its end
ADAM_BYTES = 28  # a parameter: read gradient; read and write weight and both moments, 4 bytes each
PEAK_SIZE = 1024  # rows and columns of the matrix product that stands for the machine's rate


def main() -> None:
    p = parser(__doc__)
    count = number(int, 1, 1000, "a whole number")
    p.add_argument("--steps", type=count, default=20, metavar="N", help="optimiser steps of each contender in a round (default 20)")
    p.add_argument("--rounds", type=count, default=7, metavar="N", help="rounds; the first is not counted (default 7)")
    p.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16"], metavar="TYPE",
                   help="arithmetic of the fast path and of the Trainer (default float32)")
    p.add_argument("--no-growth", action="store_true", help="only the contenders, not how cost grows")
    options = parse(p)
    rows = []
    for task in options.tasks or ["rte", "cola"]:
        run, = grid(argparse.Namespace(**{**vars(options), "seeds": 1, "dtype": "float32"}), tasks=[task],
                    learning_rates=[default_rate(options)], corrections=[True])
        rows += contenders(run, options)
        if not options.no_growth and task == (options.tasks or ["rte"])[0]:
            rows += growth(run, options)
    write_csv(options.results / "benchmark.csv", rows)


# ---------------------------------------------------------------- contenders

def contenders(run: Run, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds per step of every contender in every counted round, and of the limit measured in that round."""
    torch.set_num_threads(run.threads)
    torch.manual_seed(1)
    train_set, _ = tokenized_splits(run, load_tokenizer(run.model_source))
    makers = [(official, "float32", {}), (plain, "float32", {"packed": False}), *((ours, dtype, {}) for dtype in options.dtypes)]
    if importlib.util.find_spec("accelerate"):
        makers += [(trainer, dtype, {}) for dtype in options.dtypes]
    else:
        print("the Trainer is left out: it needs the package accelerate (pip install accelerate)", flush=True)
    made = {(make.__name__, dtype): make(loaded(run), replace(run, dtype=dtype, **changes), train_set)
            for make, dtype, changes in makers}
    order, rows = np.random.default_rng(1), []
    for round_number in range(options.rounds + 1):
        indices = order.permutation(len(train_set.labels))[:options.steps * run.batch_size]
        batches = indices.reshape(options.steps, run.batch_size)
        tokens = sum(len(train_set.input_ids[i]) for i in indices) / options.steps
        common = {"part": "contenders", "task": run.task, "model": run.model, "data": run.data, "round": round_number,
                  "tokens_per_step": tokens, "padded_tokens_per_step": run.batch_size * run.max_length}
        names = list(made)
        for name, dtype in names[round_number % len(names):] + names[:round_number % len(names)]:
            seconds = made[name, dtype](batches)
            if round_number:
                rows.append(row(common, name, dtype, seconds, run))
        if round_number:
            for dtype in options.dtypes:
                seconds = limit(run, [train_set.input_ids[i] for i in indices], options.steps, dtype)
                rows.append(row(common, "limit", dtype, seconds, run))
        print(f"benchmark {run.task}: round {round_number} of {options.rounds}", flush=True)
    return rows


def row(common: dict[str, Any], name: str, dtype: str, seconds: float, run: Run) -> dict[str, Any]:
    return {**common, "name": name, "dtype": dtype, "seconds": seconds, "threads": run.threads, "device": run.device,
            "load": os.getloadavg()[0], "cores": engine.cores(), **versions(), "git_commit": run.git_commit}


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
    return load_classifier(run, len(get_task(run.task).labels))[0].to(run.device)


def plain(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """`ours` of a run that is not packed."""
    return ours(model, run, train_set)


def ours(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """The step of training.train: loss, gradient norms every LOG_EVERY steps, clipping, the paper's AdamW."""
    network, groups = prepare(model, run)
    parameters = [tensor for group in groups for tensor in group.tensors]
    optimizer, matrices, done = PaperAdamW(groups, run, MANY_STEPS), probed_matrices(model), 0

    def step(indices: np.ndarray) -> None:
        nonlocal done
        optimizer.zero_grad()
        loss = batch_loss(network, train_set.batch(indices), run)
        loss.item()
        loss.backward()
        if done % LOG_EVERY == 0:
            gradient_norms(matrices)
        if run.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, run.max_gradient_norm)
        optimizer.step()
        done += 1
    return timed(step, run.device)


def official(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """The costs of the released code: every input padded to run.max_length, eager attention, the norm of each parameter's gradient
    read by itself, AdamW as a loop over the parameters with operations of their own."""
    model.set_attn_implementation("eager")
    model.train()
    named = list(model.named_parameters())
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for _, p in named]
    done = 0

    def step(indices: np.ndarray) -> None:
        nonlocal done
        batch = padded(train_set, indices, run.max_length)
        inputs = {name: torch.from_numpy(array).to(run.device) for name, array in batch.items() if name != "labels"}
        cross_entropy(model(**inputs).logits, torch.from_numpy(batch["labels"]).to(run.device)).backward()
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
                if not any(part in name for part in NOT_DECAYED):
                    p.add_(p, alpha=-rate * run.weight_decay)
                p.grad = None
    return timed(step, run.device)


def padded(train_set: TokenizedSplit, indices: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """A batch padded to a fixed length."""
    batch = train_set.batch(indices)
    more = ((0, 0), (0, length - batch["input_ids"].shape[1]))
    return {"input_ids": np.pad(batch["input_ids"], more, constant_values=train_set.pad_id), "labels": batch["labels"],
            **{name: np.pad(batch[name], more) for name in ("attention_mask", "token_type_ids")}}


def trainer(model: PreTrainedModel, run: Run, train_set: TokenizedSplit) -> Contender:
    """Hugging Face's Trainer on the same batches, from the beginning of its training to the end, without its construction."""
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        started = ended = 0.0

        def on_train_begin(self, *_, **__) -> None:
            self.started = clock(run.device)

        def on_train_end(self, *_, **__) -> None:
            self.ended = clock(run.device)

    class InOrder(Trainer):
        def _get_train_sampler(self, *_, **__) -> torch.utils.data.Sampler:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    tokenizer, folder = load_tokenizer(run.model_source), tempfile.mkdtemp()

    def measure(batches: np.ndarray) -> float:
        examples = [{"input_ids": train_set.input_ids[i].tolist(), "token_type_ids": train_set.token_type_ids[i].tolist(),
                     "label": int(train_set.labels[i])} for i in batches.flatten()]
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=batches.shape[1], max_steps=len(batches), learning_rate=run.learning_rate,
            weight_decay=run.weight_decay, adam_epsilon=run.adam_epsilon, warmup_steps=1, use_cpu=run.device == "cpu",
            bf16=run.dtype == "bfloat16", report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
            dataloader_pin_memory=False)
        watch = Clock()
        one = InOrder(model, arguments, DataCollatorWithPadding(tokenizer), examples, callbacks=[watch])
        one.remove_callback(PrinterCallback)
        one.train()
        return (watch.ended - watch.started) / len(batches)
    return measure


def limit(run: Run, examples: list[np.ndarray], steps: int, dtype: str) -> float:
    """Seconds a step that the arithmetic of these examples takes at the measured rates: forward and twice that backward, and AdamW."""
    model = loaded(run)
    config = model.config
    hidden, lengths = config.hidden_size, np.array([len(ids) for ids in examples], dtype=float)
    products = config.num_hidden_layers * (lengths.sum() * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
                                           + 2 * (lengths**2).sum() * hidden)
    parameters = sum(p.numel() for p in model.parameters())
    rate = matmul_rate(run.device, torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    return 3 * 2 * products / steps / rate + ADAM_BYTES * parameters / copy_rate(ADAM_BYTES * parameters // 2, run.device)


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large matrix product, the best of five."""
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device).to(dtype) for _ in range(2))
    return 2 * PEAK_SIZE**3 / best_of(lambda: torch.mm(a, b), device)


def copy_rate(size: int, device: str) -> float:
    """Bytes read and written a second by one copy of `size` bytes, the best of five."""
    source, target = torch.zeros(2, size // 4, device=device)
    return 2 * size / best_of(lambda: target.copy_(source), device)


def best_of(function: Callable[[], Any], device: str) -> float:
    times = []
    for _ in range(6):
        started = clock(device)
        function()
        times.append(clock(device) - started)
    return min(times[1:])


# ---------------------------------------------------------------- growth

def growth(run: Run, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs of one epoch: seconds per run of sweeps by the number of runs and workers; of single runs, each in a process of its own, by
    examples and, with random models, by layers."""
    whole = train_rows(run.task, run.data_source)
    short = replace(run, epochs=1, train_examples=whole // 4)
    rows = [sweep_row(short, workers, count) for workers, count in (
        (1, 2), (1, 8), *(((engine.cores(), 2), (engine.cores(), 8), (engine.cores(), 24)) if options.engine == "ray" else ()))]
    rows += [single_row("examples", replace(short, train_examples=whole // part)) for part in (8, 4, 2, 1)]
    with tempfile.TemporaryDirectory() as folder:
        for layers in (6, 12, 24):
            rows.append(single_row("layers", replace(short, model_source=random_model(run, layers, Path(folder)))))
    return rows


def sweep_row(run: Run, workers: int, count: int) -> dict[str, Any]:
    """A sweep of `count` runs that differ in the order of the data: seconds of the whole, divided by its runs."""
    engine_name = "ray" if workers > 1 else "serial"
    seeds = [replace(run, order_seed=seed) for seed in range(count)]
    results_of(engine_name, [replace(run, train_examples=16)] * workers)  # start and import, which a long sweep does not notice
    started = time.perf_counter()
    inside = [seconds for seconds, _ in results_of(engine_name, seeds)]
    whole = time.perf_counter() - started
    print(f"benchmark runs: {count} runs on {workers} worker(s), {whole / count:.2f} s a run", flush=True)
    return growth_row("runs", run, whole / count, inside, runs=count, workers=workers)


def results_of(engine_name: str, runs: list[Run]) -> list[tuple[float, float]]:
    results = [result for _, result in engine.map(measured, runs, engine_name, runs[0].device)]
    for result in results:
        if isinstance(result, engine.Crash):
            raise RunsCrashed({"benchmark": result.error}, "so there is no benchmark")
    return results


def single_row(part: str, run: Run) -> dict[str, Any]:
    """One run in a process of its own: its seconds, and the most memory of that process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        seconds, megabytes = pool.submit(measured, run).result()
    print(f"benchmark {part}: {run.train_examples} examples, {seconds:.2f} s, {megabytes:.0f} MB", flush=True)
    return growth_row(part, run, seconds, [seconds], runs=1, workers=1, megabytes=megabytes)


def growth_row(part: str, run: Run, seconds: float, inside: list[float], **more: Any) -> dict[str, Any]:
    return row({"part": part, "task": run.task, "model": run.model, "data": run.data, "examples": run.train_examples,
                "layers": load_config(run.model_source).num_hidden_layers, "seconds_inside": float(np.median(inside)), **more},
               "ours", run.dtype, seconds, run)


def measured(run: Run) -> tuple[float, float]:
    """Seconds of a run, and the most memory that its process has had so far, in megabytes."""
    seconds = train(run)["outcome"]["seconds"]
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_model(run: Run, layers: int, folder: Path) -> str:
    """The run's architecture with another depth and random weights, as a folder."""
    torch.manual_seed(1)
    AutoModelForSequenceClassification.from_config(load_config(run.model_source, num_hidden_layers=layers)).save_pretrained(
        folder / str(layers))
    load_tokenizer(run.model_source).save_pretrained(folder / str(layers))
    return str(folder / str(layers))


if __name__ == "__main__":
    run_command(main)

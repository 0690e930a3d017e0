"""How the cost of a run grows: with runs, workers, examples, layers, and of a step with its
examples."""

import argparse
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from experiments.benchmark.contenders import examples_of, make, rounds, row
from experiments.finetuning.encoders import load_config, load_tokenizer
from experiments.finetuning.errors import RunsCrashed
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import train_rows
from experiments.finetuning.training import train
from experiments.sweeps import engine

STACKED = (1, 2, 5, 12, 25)  # times as many examples in a step


def growth(run: Run, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs of one epoch: seconds per run of sweeps by the number of runs and workers; of single
    runs, each in a process of its own, by examples and, with random models, by layers. And a step
    by its examples."""
    whole = train_rows(run.task, run.data_source)
    short = replace(run, epochs=1, train_examples=whole // 4)
    rows = [
        sweep_row(short, workers, count)
        for workers, count in (
            (1, 2),
            (1, 8),
            *(
                ((engine.cores(), 2), (engine.cores(), 8), (engine.cores(), 24))
                if options.engine == "ray"
                else ()
            ),
        )
    ]
    rows += [
        single_row("examples", replace(short, train_examples=whole // part))
        for part in (8, 4, 2, 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for layers in (6, 12, 24):
            rows.append(
                single_row(
                    "layers", replace(short, model_source=random_model(run, layers, Path(folder)))
                )
            )
    return rows + stacked_rows(run, options)


def stacked_rows(run: Run, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds per 16 examples of steps with K times as many, which bounds from below what a step
    would cost for each of K seeds whose models were stacked in one: the calls are shared, and one
    weight serves all examples, which K seeds' own weights would not."""
    train_set, rows = examples_of(run), []
    for k in STACKED:
        larger = replace(run, batch_size=k * run.batch_size)
        steps = min(options.steps, len(train_set.labels) // larger.batch_size)
        if not steps:
            break
        contender = make("ours", "float32", larger, train_set)
        seconds = (
            float(
                np.median(
                    [
                        contender(batches)
                        for batches in rounds(larger, train_set, options.rounds, steps)
                    ][1:]
                )
            )
            / k
        )
        print(
            f"benchmark stacked: {k} x {run.batch_size} examples, {1000 * seconds:.1f} ms for each"
            f" {run.batch_size}",
            flush=True,
        )
        rows.append(growth_row("stacked", run, seconds, [seconds], runs=k, workers=1))
    return rows


def sweep_row(run: Run, workers: int, count: int) -> dict[str, Any]:
    """A sweep of `count` runs that differ in the order of the data: seconds of the whole,
    divided by its runs."""
    engine_name = "ray" if workers > 1 else "serial"
    seeds = [replace(run, order_seed=seed) for seed in range(count)]
    # start and import, which a long sweep does not notice
    results_of(engine_name, [replace(run, train_examples=16)] * workers)
    started = time.perf_counter()
    inside = [seconds for seconds, _ in results_of(engine_name, seeds)]
    whole = time.perf_counter() - started
    print(
        f"benchmark runs: {count} runs on {workers} worker(s), {whole / count:.2f} s a run",
        flush=True,
    )
    return growth_row("runs", run, whole / count, inside, runs=count, workers=workers)


def results_of(engine_name: str, runs: list[Run]) -> list[tuple[float, float]]:
    """(seconds, megabytes) of each run, in the order in which they finish."""
    results = []
    for _, result in engine.map(measured, runs, engine_name, runs[0].device):
        if isinstance(result, engine.Crash):
            raise RunsCrashed({"benchmark": result.error}, "so there is no benchmark")
        results.append(result)
    return results


def single_row(part: str, run: Run) -> dict[str, Any]:
    """One run in a process of its own: its seconds, and the most memory of that process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        seconds, megabytes = pool.submit(measured, run).result()
    print(
        f"benchmark {part}: {run.train_examples} examples, {seconds:.2f} s, {megabytes:.0f} MB",
        flush=True,
    )
    return growth_row(part, run, seconds, [seconds], runs=1, workers=1, megabytes=megabytes)


def growth_row(
    part: str, run: Run, seconds: float, inside: list[float], **more: Any
) -> dict[str, Any]:
    return row(
        {
            "part": part,
            "task": run.task,
            "model": run.model,
            "data": run.data,
            "examples": run.train_examples,
            "layers": load_config(run.model_source).num_hidden_layers,
            "seconds_inside": float(np.median(inside)),
            **more,
        },
        "ours",
        run.dtype,
        seconds,
        run,
    )


def measured(run: Run) -> tuple[float, float]:
    """Seconds of a run, and the most memory that its process has had so far, in megabytes."""
    seconds, status = train(run)["outcome"]["seconds"], Path("/proc/self/status")
    # what getrusage says there holds the most of the process that started this one
    if status.is_file():
        return seconds, int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_model(run: Run, layers: int, folder: Path) -> str:
    """The run's architecture with another depth and random weights, as a folder."""
    torch.manual_seed(1)
    AutoModelForSequenceClassification.from_config(
        load_config(run.model_source, num_hidden_layers=layers)
    ).save_pretrained(folder / str(layers))
    load_tokenizer(run.model_source).save_pretrained(folder / str(layers))
    return str(folder / str(layers))

"""The contenders on the whole machine: one process with a thread a core, and one process a core
with one thread each."""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import torch

from experiments.benchmark.contenders import contenders, examples_of, make, rounds, row
from experiments.finetuning.run import Run
from experiments.sweeps import engine

WAIT = 600  # seconds, after which the other processes must have failed
# of the processes that are measured at the same time; a process gets it when it starts
_together: Barrier


def whole_machine(run: Run, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds per step of the machine: the median over rounds and processes, divided by the
    processes."""
    ways = (
        dict.fromkeys([(1, engine.cores()), (engine.cores(), 1)])
        if run.device == "cpu"
        else [(1, 1)]
    )
    rows = []
    for processes, threads in ways:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            processes, context, _remember, (context.Barrier(processes),)
        ) as pool:
            for name, dtype in contenders(options):
                waiting = [
                    pool.submit(_measure, name, dtype, replace(run, threads=threads), options)
                    for _ in range(processes)
                ]
                seconds = float(np.median([one.result() for one in waiting])) / processes
                print(
                    f"benchmark machine: {name}, {dtype}, {processes} process(es) of {threads}"
                    f" thread(s), {1000 * seconds:.0f} ms a step",
                    flush=True,
                )
                rows.append(
                    row(
                        {
                            "part": "machine",
                            "task": run.task,
                            "model": run.model,
                            "data": run.data,
                            "processes": processes,
                        },
                        name,
                        dtype,
                        seconds,
                        replace(run, threads=threads),
                    )
                )
    return rows


def _remember(barrier: Barrier) -> None:
    global _together
    _together = barrier


def _measure(name: str, dtype: str, run: Run, options: argparse.Namespace) -> list[float]:
    """Seconds per step of each counted round, begun together with the other processes."""
    torch.set_num_threads(run.threads)
    torch.manual_seed(1)
    train_set = examples_of(run)
    contender, times = make(name, dtype, run, train_set), []
    for batches in rounds(run, train_set, options.rounds, options.steps):
        _together.wait(WAIT)
        times.append(contender(batches))
    return times[1:]

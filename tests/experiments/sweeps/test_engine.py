"""The engines: all items, in any order; crashes are results; bad input ends everything."""

import argparse
import os
import signal
import subprocess
import sys
import time
import weakref
from functools import partial
from threading import Timer

import pytest

from experiments.finetuning.errors import BadInput
from experiments.sweeps import engine
from experiments.sweeps.engine import Crash


def square(x):
    if x == 3:
        raise ValueError("three\nis not squared")
    if x == 4:
        raise BadInput("four: expected another")
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


@pytest.mark.parametrize("name", ["serial", pytest.param("ray", marks=pytest.mark.slow)])
def test_results_and_crashes(name):
    results = dict(engine.map(square, iter([1, None, 2, 3, None, 6]), name))
    crash = results.pop(3)
    assert results == {1: 1, 2: 4, 6: 36}
    assert (
        isinstance(crash, Crash)
        and crash.error == "ValueError: three"
        and "square" in crash.details
    )
    with pytest.raises(BadInput, match="four"):
        list(engine.map(square, [1, 4], name))
    assert list(engine.map(square, [], name)) == []


class OneCore:
    """A Ray of one core, in this process."""

    def remote(self, **_):
        return lambda work: argparse.Namespace(remote=lambda *given: partial(work, *given))

    def put(self, function):
        return function

    def cluster_resources(self):
        return {"CPU": 1}

    def wait(self, references, timeout):
        return references[:1], references[1:]

    def get(self, reference):
        return reference()


@pytest.mark.parametrize("name", ["serial", "ray"])
def test_items_are_taken_only_when_there_is_room(name, monkeypatch):
    """An item that is taken is locked: no other machine can have it while it waits here."""
    monkeypatch.setattr(engine, "start", OneCore)
    monkeypatch.setattr(engine, "PATIENCE", 0)
    taken, finished = [], []

    def items():
        for x in (1, None, 2, 6, None):
            taken.append(x)
            yield x

    for x, squared in engine.map(square, items(), name):
        finished.append((x, squared))
        assert taken[-1] == x
    assert finished == [(1, 1), (2, 4), (6, 36)] and len(taken) == 5


@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again_does_not_stop_the_rest():
    results = dict(engine.map(square, [1, 5, 2], "ray"))
    assert results[1] == 1 and results[2] == 4
    assert f"died {engine.RETRIES + 1} times" in results[5].error


def test_how_many_runs_are_counted_on_at_a_time(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(engine, "cores", lambda: 16)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    counted = {
        name: engine.workers(*arguments)
        for name, arguments in {
            "serial": ("serial", 9, "cpu"),
            "few": ("ray", 9, "cpu"),
            "many": ("ray", 99, "cpu"),
            "gpu": ("ray", 9, "cuda"),
        }.items()
    }
    assert counted == {"serial": 1, "few": 9, "many": 16, "gpu": 1}
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    assert engine.workers("ray", 9, "cuda") == 1


@pytest.mark.slow
def test_a_cluster_without_gpus_says_that_runs_wait():
    code = "from experiments.sweeps import engine; print(list(engine.map(abs, [1], 'ray', 'cuda')))"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=hidden, text=True, stderr=subprocess.PIPE
    ) as driver:
        last_resort = Timer(120, driver.terminate)  # ends the lines
        last_resort.start()
        try:
            assert any("no machine of the Ray cluster has a GPU" in line for line in driver.stderr)
            with pytest.raises(subprocess.TimeoutExpired):
                driver.wait(3)  # it goes on waiting
        finally:
            last_resort.cancel()
            driver.terminate()


def beside_others(item, folder, others):
    """Process, GPU, and how many items are at work on that GPU when this one begins; it ends only
    after so many of all items have begun."""
    gpu, mine = os.environ.get("CUDA_VISIBLE_DEVICES"), folder / f"begun-{item}"
    at_work = folder / f"gpu{gpu}-{item}"
    at_work.touch()
    count = len(list(folder.glob(f"gpu{gpu}-*")))
    mine.touch()
    last_resort = time.monotonic() + 120
    while len(list(folder.glob("begun-*"))) < others:
        assert time.monotonic() < last_resort, "the others never began"
        time.sleep(0.05)
    at_work.unlink()
    return os.getpid(), gpu, count


@pytest.mark.slow
def test_runs_that_share_a_gpu_are_at_work_at_the_same_time_and_no_more_of_them(tmp_path):
    """With GPUs that Ray is told of: it schedules by their number and hides the others."""
    ray = pytest.importorskip("ray")
    ray.shutdown()
    ray.init(num_gpus=2, num_cpus=8, include_dashboard=False, object_store_memory=100_000_000)
    try:
        work = partial(beside_others, folder=tmp_path, others=4)
        results = dict(engine.map(work, range(6), "ray", "cuda", per_gpu=2))
    finally:
        ray.shutdown()
    processes, gpus, counts = zip(*results.values(), strict=True)
    assert set(gpus) == {"0", "1"} and max(counts) == 2
    # one each: what a run leaves on the GPU goes with its process
    assert len(set(processes)) == 6


def test_so_many_shares_of_a_gpu_fit_in_it():
    """Ray counts in ten-thousandths, rounded: of 1 / 6, which is 1667, only 5 would fit."""
    for per_gpu in range(1, 101):
        share = engine.GRAIN // per_gpu / engine.GRAIN
        assert engine.GRAIN // round(share * engine.GRAIN) == per_gpu


def test_room_for_runs():
    machine = {"CPU": 16.0, "GPU": 2.0}
    assert engine._room(machine, "cpu", 1) == 16
    assert [engine._room(machine, "cuda", n) for n in (1, 4, 9)] == [2, 8, 16]  # a core each
    assert engine._room({"CPU": 4.0}, "cuda", 4) == 1  # waits for a GPU to join


def runs_out_of_memory(x):
    import torch

    if x == 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nGPU 0 has ...")
    return x


def test_a_run_out_of_gpu_memory_is_a_crash_of_its_own():
    results = dict(engine.map(runs_out_of_memory, [1, 2, 3], "serial"))
    assert results[1] == 1 and results[3] == 3
    told = results[2].error
    assert told.startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB.")
    assert told.endswith("; try fewer --runs-per-gpu, or a larger GPU")


def test_a_crash_lets_go_of_its_memory():
    """A model is full of circles, which only the collector frees."""
    import torch

    alive = []

    def holds_much(_):
        module = torch.nn.Linear(2, 2)
        module.itself = [module]
        alive.append(weakref.ref(module))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    for _, crash in engine.map(holds_much, [1], "serial"):
        assert isinstance(crash, Crash)
        assert alive[0]() is None

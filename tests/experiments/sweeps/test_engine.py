"""The engines: all items, in any order; crashes are results; bad input ends everything."""

import os
import signal
import subprocess
import sys
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


def test_items_are_taken_only_when_there_is_room():
    taken = []

    def items():
        for x in (1, 2, 6):
            taken.append(x)
            yield x

    for x, _ in engine.map(square, items(), "serial"):
        assert taken[-1] == x


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

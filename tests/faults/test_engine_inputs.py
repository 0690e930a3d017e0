"""Clusters, machines and folders that an engine cannot work with: one line, within seconds."""

import math
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPOSITORY

from experiments.finetuning import checkpoints
from experiments.finetuning.errors import BadInput
from experiments.sweeps.engine import check_address, check_this_machine, cores, cpu_quota, start


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nobody listens at 127.0.0.1:1"),
        ("no-such-host.invalid:6379", "nobody listens at no-such-host.invalid:6379"),
        ("ray://127.0.0.1:1", "nobody listens at ray://127.0.0.1:1"),
        ("garbage", "is no address of a Ray cluster"),
        ("127.0.0.1:99999", "is no address"),
        ("127.0.0.1:", "is no address"),
    ],
)
def test_h1_an_address_where_nobody_is(address, said):
    started = time.monotonic()
    with pytest.raises(BadInput, match=said):
        check_address(address)
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_h4_no_loopback_interface():
    if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"]).returncode:
        pytest.skip("no namespaces of networks here")
    code = "from experiments.sweeps.engine import check_this_machine; check_this_machine()"
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", code],
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert "no connection from this machine to itself" in done.stderr


def test_u7_a_long_folder_for_temporary_files(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    with pytest.raises(BadInput, match="too many for Ray's sockets.*TMPDIR"):
        check_this_machine()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Exception("The current node timed out during startup.\nMore."), "node timed out"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_t5_whatever_keeps_ray_from_starting(error, said, monkeypatch, tmp_path):
    """A raylet that cannot start ends in a bare Exception of several lines."""
    import ray

    def refuses(**_):
        raise error

    monkeypatch.setattr(ray, "init", refuses)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_task_oom_retries", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=f"cannot start Ray .*{said}.*--engine serial") as refusal:
        start()
    assert "\n" not in str(refusal.value)
    # H2: a run that Ray's memory monitor kills is tried three times, not without end
    assert os.environ["RAY_task_oom_retries"] == "2"  # noqa: SIM112


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({}, math.inf),
    ],
)
def test_u17_a_containers_quota(files, quota, tmp_path, monkeypatch):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert cpu_quota(tmp_path) == quota
    monkeypatch.setattr("experiments.sweeps.engine.cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert cores() == (4 if quota == math.inf else max(1, int(quota)))


def test_u6_metrics_need_no_home():
    code = (
        "import numpy as np; from experiments.finetuning.metrics import all_metrics;"
        " print(all_metrics(np.array([0, 1]), np.array([0, 1]))['accuracy'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        env={**os.environ, "HOME": "/proc/nowhere", "HF_HOME": ""},
    )
    assert done.stdout.strip() == "1.0", done.stderr


def test_l2_no_room_for_a_checkpoint_costs_the_checkpoint_only(
    tiny_run, tmp_path, monkeypatch, capsys
):
    from experiments.finetuning.training import train

    run = tiny_run(train_examples=64, checkpoint_minutes=1e-6, checkpoint_folder=str(tmp_path))
    expected = train(tiny_run(train_examples=64))["history"]["train_loss"]

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_atomically", full)
    assert np.array_equal(train(run)["history"]["train_loss"], expected)
    said = capsys.readouterr().err
    assert said.count("No space left on device") == 1
    assert "it goes on without" in said


def test_a_slow_start_of_ray_is_tried_once_more(monkeypatch, tmp_path):
    """On a machine that others keep busy its raylet is not there within Ray's own 30 seconds."""
    import ray

    tried = []

    def slow(**_):
        tried.append(1)
        if len(tried) == 1:
            raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr(ray, "init", slow)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert start() is ray
    assert len(tried) == 2

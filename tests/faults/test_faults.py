"""A sweep of 12 short runs under faults ends as the undisturbed one: every run once, every CSV
equal but for timing columns.

A few faults of each kind by default; FAULTS=20 pytest tests/faults injects that many kills and
prints the counts.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY, TIMING_COLUMNS

pytestmark = pytest.mark.slow
FAULTS = int(os.environ.get("FAULTS", "3"))
RUNS = 12


def start(model, results, engine, *more):
    command = [
        sys.executable,
        "-m",
        "experiments.bias_correction",
        "--model",
        model,
        "--tasks",
        "rte",
        "--seeds",
        "6",
        "--learning-rates",
        "1e-3",
        "--epochs",
        "1",
        "--engine",
        engine,
        "--results",
        results,
        *more,
    ]
    return subprocess.Popen(
        [*map(str, command)],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell's "&" ignores it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )


def finish(driver):
    output, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    return output


def finished(results):
    return sorted(path.stem for path in (Path(results) / "runs").glob("*.json"))


def contents(results):
    """The CSV and all stored records, histories among them, without what measures time."""
    records = [
        json.loads(path.read_text()) for path in sorted((Path(results) / "runs").glob("*.json"))
    ]
    for record in records:
        record["outcome"] = {
            name: value for name, value in record["outcome"].items() if name not in TIMING_COLUMNS
        }
        del record["run"]["checkpoint_folder"]
    return (
        pd.read_csv(Path(results) / "bias_correction.csv")
        .drop(columns=list(TIMING_COLUMNS))
        .to_csv(),
        records,
    )


def trained(output):
    """How many runs a driver trained itself, by its last progress line."""
    done, elsewhere = re.findall(r"(\d+)/\d+ runs, \d+ failed(?:, (\d+) elsewhere)?", output)[-1]
    return int(done) - int(elsewhere or 0)


@pytest.fixture(scope="module")
def undisturbed(tiny_model, tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    assert trained(finish(start(tiny_model, results, "serial"))) == RUNS
    return results


def expect_the_same(results, undisturbed):
    assert finished(results) == finished(undisturbed) and len(finished(results)) == RUNS
    assert contents(results) == contents(undisturbed)
    assert not [path for path in (results / "locks").glob("[!.]*")]
    assert not list(results.rglob(".*.json.*"))[FAULTS:]  # at most one temporary file a kill


@pytest.mark.parametrize("engine", ["serial", "ray"])
def test_the_driver_killed_at_random_moments(tiny_model, undisturbed, tmp_path, engine, capsys):
    chance, kills = random.Random(f"{engine} {FAULTS}"), 0
    while kills < FAULTS:
        driver = start(tiny_model, tmp_path, engine)
        try:
            driver.wait(timeout=chance.uniform(1, 14 if engine == "ray" else 9))
        except subprocess.TimeoutExpired:
            driver.kill()
            kills += 1
            driver.communicate()
        else:  # finished before its time: begin again, with nothing
            shutil.rmtree(tmp_path / "runs")
    finish(start(tiny_model, tmp_path, engine))
    expect_the_same(tmp_path, undisturbed)
    with capsys.disabled():
        print(f"\n{engine}: the driver killed {kills} times, the CSV as undisturbed")


def workers_of(driver):
    """Processes of this driver's Ray that are training."""
    found = subprocess.run(
        ["ps", "-ewwo", "pid,ppid,args"], capture_output=True, text=True
    ).stdout.splitlines()[1:]
    parents = {int(line.split(None, 2)[0]): int(line.split(None, 2)[1]) for line in found}

    def descends(process):
        while process in parents:
            process = parents[process]
            if process == driver.pid:
                return True
        return False

    return [
        int(line.split(None, 2)[0])
        for line in found
        if "ray::_guarded" in line and descends(int(line.split(None, 2)[0]))
    ]


def test_workers_killed(tiny_model, undisturbed, tmp_path, capsys):
    driver, kills = start(tiny_model, tmp_path, "ray"), 0
    while driver.poll() is None and kills < FAULTS:
        time.sleep(0.3)
        for worker in workers_of(driver)[:1]:
            os.kill(worker, signal.SIGKILL)
            kills += 1
            time.sleep(1.5)  # each run survives two kills of its worker
    output, errors = driver.communicate(timeout=300)
    assert kills, errors
    # a run that was hit three times is recorded as crashed, the rest is finished; asking again
    # mends it
    if driver.returncode:
        assert driver.returncode == 1 and "crashed" in errors
        finish(start(tiny_model, tmp_path, "ray"))
    expect_the_same(tmp_path, undisturbed)
    with capsys.disabled():
        print(f"\nworkers killed {kills} times, the CSV as undisturbed")


def test_two_drivers_at_once(tiny_model, undisturbed, tmp_path):
    drivers = [start(tiny_model, tmp_path, "serial") for _ in range(2)]
    counts = [trained(finish(driver)) for driver in drivers]
    assert sum(counts) == RUNS and min(counts) > 0, counts
    expect_the_same(tmp_path, undisturbed)


def test_interrupted_once(tiny_model, undisturbed, tmp_path):
    driver = start(tiny_model, tmp_path, "serial")
    while len(finished(tmp_path)) < 2:
        time.sleep(0.1)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130 and "repeat the call to go on" in errors
    assert 2 <= len(finished(tmp_path)) < RUNS and not list((tmp_path / "locks").glob("[!.]*"))
    finish(start(tiny_model, tmp_path, "serial"))
    expect_the_same(tmp_path, undisturbed)


def test_damaged_files_of_every_kind(tiny_model, undisturbed, tmp_path):
    shutil.copytree(undisturbed / "runs", tmp_path / "runs")
    paths = [tmp_path / "runs" / f"{name}.json" for name in finished(undisturbed)]
    whole = paths[0].read_bytes()
    damages = [
        b"",
        whole[:100],
        b"\x00\xff" * 50,
        b"[]",
        b"{}",
        whole.replace(b'"schema": ', b'"schema": -'),
        paths[1].read_bytes(),
    ]
    for path, damage in zip(paths, damages, strict=False):
        path.write_bytes(damage)
    driver = start(tiny_model, tmp_path, "serial")
    output, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0 and errors.count("set aside") == len(damages), errors
    assert trained(output) == len(damages)
    expect_the_same(tmp_path, undisturbed)
    assert len(list((tmp_path / "runs").glob("*.set-aside"))) == len(damages)


def test_a_read_only_folder(tiny_model, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        shutil.copytree(undisturbed / "runs", disk / "runs")
        lost = disk / "runs" / f"{finished(undisturbed)[0]}.json"
        lost.unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        driver = start(tiny_model, disk, "serial")
        _, errors = driver.communicate(timeout=60)
        assert driver.returncode == 2 and "Read-only" in errors and len(errors.splitlines()) == 1
        assert len(finished(disk)) == RUNS - 1
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert trained(finish(start(tiny_model, disk, "serial"))) == 1
        expect_the_same(disk, undisturbed)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def three_nodes():
    """Ray nodes of one core each on this machine, as three machines would be; a function that
    lists their raylets."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets want short paths
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    ray = str(Path(sys.executable).parent / "ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def processes(part=""):
        found = subprocess.run(
            ["pgrep", "-f", f"{folder}.*{part}"], capture_output=True, text=True
        ).stdout.split()
        return [int(process) for process in found]

    def raylets():
        lines = subprocess.run(
            ["ps", "-ewwo", "pid,comm,args"], capture_output=True, text=True
        ).stdout.splitlines()
        return [
            int(line.split()[0]) for line in lines if folder in line and line.split()[1] == "raylet"
        ]

    try:
        subprocess.run([ray, "get-auth-token", "--generate"], env=environment, capture_output=True)
        common = ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
        for where in (
            [
                "--head",
                f"--port={address.split(':')[1]}",
                "--include-dashboard=false",
                f"--temp-dir={folder}",
            ],
            [f"--address={address}"],
            [f"--address={address}"],
        ):
            subprocess.run(
                [ray, "start", *where, *common], env=environment, check=True, capture_output=True
            )
        yield address, raylets
    finally:
        for process in processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(
    " " in sys.executable,
    reason="Ray starts no workers of a cluster from a Python whose path has a space",
)
def test_a_node_of_a_cluster_killed(tiny_model, undisturbed, tmp_path, three_nodes, monkeypatch):
    """Three nodes, one of them killed while all work: its run is trained again elsewhere.
    Results come back to the driver's store."""
    address, raylets = three_nodes
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert len(raylets()) == 3
    driver = start(tiny_model, tmp_path, "ray", "--address", address)
    while len(finished(tmp_path)) < 2 and driver.poll() is None:
        time.sleep(0.1)
    os.kill(raylets()[-1], signal.SIGKILL)
    assert trained(finish(driver)) == RUNS
    expect_the_same(tmp_path, undisturbed)
    assert len(raylets()) == 2

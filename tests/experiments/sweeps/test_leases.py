"""Of two sweeps on one store only one trains a run, whatever dies and whatever the clock does."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from conftest import REPOSITORY

from experiments.sweeps import leases
from experiments.sweeps.leases import Leases


def somebody_elses(folder, **holder):
    (folder / "leases").mkdir(exist_ok=True)
    path = folder / "leases" / "run"
    path.write_text(json.dumps({**leases.me(), **holder}))
    return path


def test_held_until_released(tmp_path):
    with Leases(tmp_path) as one, Leases(tmp_path) as other:
        assert one.claim("run") and not other.claim("run") and other.claim("another")
        one.release("run")
        assert other.claim("run")
    # leaving the context releases
    assert [path.name for path in (tmp_path / "leases").iterdir()] == [".lock"]


def test_a_dead_process_holds_nothing(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with Leases(tmp_path) as one:
        somebody_elses(tmp_path, process=child.pid)
        assert one.claim("run")


def test_silence_makes_stale_and_touching_does_not(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    with Leases(tmp_path) as one:
        path = somebody_elses(tmp_path, host="another machine")
        assert not one.claim("run")  # seen for the first time
        for _ in range(10):  # it is touched: alive for as long as that takes
            now[0] += leases.STALE - 1
            os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)
            assert not one.claim("run")
        now[0] += leases.STALE - 1
        assert not one.claim("run")
        now[0] += 2
        assert one.claim("run")


def test_a_clock_that_jumps_makes_nothing_stale(tmp_path, monkeypatch):
    with Leases(tmp_path) as one:
        path = somebody_elses(tmp_path, host="another machine")
        for years in (-30, 30):
            os.utime(path, (time.time() + years * 3e7,) * 2)
            monkeypatch.setattr(leases.time, "time", lambda years=years: years * 3e7)
            assert not one.claim("run")


def test_a_half_written_lease_is_judged_by_its_silence(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    with Leases(tmp_path) as one:
        somebody_elses(tmp_path).write_text('{"host": "x')
        assert not one.claim("run")
        now[0] += leases.STALE + 1
        assert one.claim("run")


def test_what_another_took_over_meanwhile_stays_its_own(tmp_path, monkeypatch):
    """Of a sweep that was stopped for a minute and goes on."""
    with Leases(tmp_path) as one:
        one.claim("run")
        path = somebody_elses(tmp_path, host="another")
        before = path.stat().st_mtime_ns
        monkeypatch.setattr(leases, "BEAT", 0.05)
        with Leases(tmp_path) as again:
            again.held.add("run")
            time.sleep(0.3)
        assert path.stat().st_mtime_ns == before
        one.release("run")
        assert path.exists()


def test_it_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.05)
    with Leases(tmp_path) as one:
        one.claim("run")
        before = (tmp_path / "leases" / "run").stat().st_mtime_ns
        time.sleep(0.5)
        assert (tmp_path / "leases" / "run").stat().st_mtime_ns > before


def test_one_of_many_processes_takes_over_a_stale_lease(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    somebody_elses(tmp_path, process=child.pid)
    program = (
        "import sys, time; from pathlib import Path; from experiments.sweeps.leases import Leases\n"
        # alive while the others try
        "one = Leases(Path(sys.argv[1])); print(one.claim('run'), flush=True); time.sleep(3)"
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: subprocess.run(
                    [sys.executable, "-c", program, str(tmp_path)],
                    cwd=REPOSITORY,
                    text=True,
                    capture_output=True,
                ).stdout.strip(),
                range(8),
            )
        )
    assert sorted(answers) == ["False"] * 7 + ["True"]

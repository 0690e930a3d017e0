"""Of two sweeps on one store only one trains a run, whatever dies and wherever it runs."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import REPOSITORY

from experiments.sweeps.locks import Locks

CLAIM = (
    "import sys, time; from pathlib import Path; from experiments.sweeps.locks import Locks\n"
    "one = Locks(Path(sys.argv[1])).__enter__(); print(one.claim('run'), flush=True)\n"
    "time.sleep(float(sys.argv[2]))"
)


def claiming(results, seconds, *before):
    """A process that tries to claim the run and then waits for so long."""
    command = [*before, sys.executable, "-c", CLAIM, str(results), str(seconds)]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE)


def test_held_until_released(tmp_path):
    with Locks(tmp_path) as one, Locks(tmp_path) as other:
        assert one.claim("run")
        assert not other.claim("run")
        assert other.claim("another")
        one.release("run")
        assert other.claim("run")
    assert [path.name for path in (tmp_path / "locks").iterdir()] == [".guard"]


def test_a_killed_process_holds_nothing(tmp_path):
    child = claiming(tmp_path, 60)
    assert child.stdout.readline() == "True\n"
    with Locks(tmp_path) as one:
        assert one.held_elsewhere()["run"].startswith(f"process {child.pid} on ")
        assert not one.claim("run")
        child.kill()
        child.wait()
        assert one.claim("run")
        one.release("run")
        assert one.held_elsewhere() == {}


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    child = claiming(tmp_path, 60)
    child.stdout.readline()
    child.kill()
    child.wait()
    assert (tmp_path / "locks" / "run").exists()
    assert Locks(tmp_path).held_elsewhere() == {}
    assert not (tmp_path / "locks" / "run").exists()


@pytest.mark.slow
def test_two_containers_on_one_disk(tmp_path):
    """Each with process numbers of its own, as in containers: the second waits."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"]).returncode:
        pytest.skip("no namespaces of processes here")
    first = claiming(tmp_path, 60, *apart)
    assert first.stdout.readline() == "True\n"
    second = claiming(tmp_path, 0, *apart)
    assert second.communicate()[0] == "False\n"
    first.kill()
    first.wait()


def test_one_of_many_processes_gets_it(tmp_path):
    """Eight at once, twenty times over: the file is removed and made again in between."""

    def claim_often(_):
        won = 0
        with Locks(tmp_path) as locks:
            for _ in range(20):
                if locks.claim("run"):
                    won += 1
                    marker = tmp_path / "in use"
                    marker.touch(exist_ok=False)  # FileExistsError: somebody else has it too
                    time.sleep(0.001)
                    marker.unlink()
                    locks.release("run")
        return won

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim_often, range(8))) > 0
    children = [claiming(tmp_path, 2) for _ in range(4)]
    assert sorted(child.communicate()[0] for child in children) == ["False\n"] * 3 + ["True\n"]

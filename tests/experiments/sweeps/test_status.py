"""What the store is said to hold is what was put there."""

import json
import os
import subprocess
import sys

from experiments.sweeps import leases, store
from experiments.sweeps.status import status


def test_every_kind(tiny_run, tmp_path):
    for seed, failed in ((1, True), (2, False)):
        store.save(
            tmp_path,
            tiny_run(order_seed=seed),
            {"outcome": {"score": 0.5, "failed": failed, "diverged": failed}, "history": {}},
        )
    store.save_crash(tmp_path, tiny_run(order_seed=3), "ValueError: no", "Traceback ...")
    (tmp_path / "runs" / "0123.set-aside").write_text("{")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "4567.safetensors").write_bytes(b"")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "leases").mkdir()
    for name, holder in (
        ("mine", {}),
        ("dead", {"process": dead.pid}),
        ("far", {"host": "elsewhere"}),
    ):
        (tmp_path / "leases" / name).write_text(json.dumps({**leases.me(), **holder}))

    (tmp_path / "runs" / "89ab.json").write_text("{")

    found = status(tmp_path)
    assert found["unused"] == ["1 files, damaged or of another version of this code"]
    assert found["finished"] == ["2 runs, 1 failed, of them 1 diverged"]
    assert [line.split(",")[0] for line in found["running"]] == [
        "far",
        "mine",
    ] and f"process {os.getpid()} " in found["running"][1]
    assert [line.split(",")[0] for line in found["stale"]] == ["dead"]
    assert found["crashed"] == [f"{tiny_run(order_seed=3).id} (rte, seed 3): ValueError: no"]
    assert found["set aside"] == ["0123.set-aside"] and found["checkpoints"] == ["4567"]
    assert [line.split(",")[0] for line in status(tmp_path, watch=0.1)["stale"]] == ["dead", "far"]
    assert status(tmp_path / "nothing here")["finished"] == ["0 runs, 0 failed, of them 0 diverged"]

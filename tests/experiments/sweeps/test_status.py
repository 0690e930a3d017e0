"""What the store is said to hold is what was put there."""

import os

from builders import a_result

from experiments.sweeps import store
from experiments.sweeps.locks import Locks
from experiments.sweeps.status import status


def test_every_kind(tiny_run, tmp_path):
    for seed, failed in ((1, True), (2, False)):
        store.save(tmp_path, tiny_run(order_seed=seed), a_result(failed=failed, diverged=failed))
    store.save_crash(tmp_path, tiny_run(order_seed=3), "ValueError: no", "Traceback ...")
    (tmp_path / "crashed" / "half.json").write_text("{")
    (tmp_path / "runs" / "0123.set-aside").write_text("{")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "4567.safetensors").write_bytes(b"")
    (tmp_path / "runs" / "89ab.json").write_text("{")
    with Locks(tmp_path) as locks:
        assert locks.claim("mine")
        (tmp_path / "locks" / "of a killed sweep").write_text("{")
        found = status(tmp_path)
    assert found["unused"] == ["1 files, damaged or of another version of this code"]
    assert found["finished"] == ["2 runs, 1 failed, of them 1 diverged"]
    assert [line.split(" on ")[0] for line in found["running"]] == [f"mine, process {os.getpid()}"]
    assert found["crashed"] == [
        f"{tiny_run(order_seed=3).id} (rte, seed 3): ValueError: no",
        "half: its file cannot be read",
    ]
    assert found["set aside"] == ["0123.set-aside"]
    assert found["checkpoints"] == ["4567"]
    assert status(tmp_path)["running"] == []
    assert status(tmp_path / "nothing here")["finished"] == ["0 runs, 0 failed, of them 0 diverged"]

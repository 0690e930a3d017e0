"""What the store is said to hold is what was put there."""

import os

import pytest
from builders import a_result
from conftest import options

from experiments import bias_correction
from experiments.finetuning.errors import BadInput
from experiments.sweeps import store, sweep
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


def test_a_run_that_crashed_and_was_finished_elsewhere_is_finished(tiny_run, tmp_path):
    """Its file came from another machine."""
    store.save(tmp_path, tiny_run(), a_result())
    store.save_crash(tmp_path, tiny_run(), "OutOfMemoryError", "Traceback ...")
    assert status(tmp_path)["crashed"] == []


def test_a_store_that_may_only_be_read_is_shown(tiny_run, tmp_path, monkeypatch):
    """Root may write all the same, so the lock's refusal is made up."""
    store.save(tmp_path, tiny_run(), a_result())

    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Locks, "held_elsewhere", refused)
    found = status(tmp_path)
    assert found["finished"] == ["1 runs, 0 failed, of them 0 diverged"]
    assert found["running"] == [f"not known: Permission denied ({tmp_path / 'locks'})"]


def plan_of(results):
    sweep.sweep([bias_correction.EXPERIMENT], ["--plan", "--results", str(results)])


def test_files_that_are_not_read_are_named(tmp_path, capsys):
    """As `cp -r other/runs store/runs`, gzip and a mailer leave them."""
    (tmp_path / "runs" / "runs").mkdir(parents=True)
    assert status(tmp_path)["not read"] == []
    plan_of(tmp_path)
    assert capsys.readouterr().err == ""
    for name in ("0123.json", "4567.json"):
        (tmp_path / "runs" / "runs" / name).write_text("{}")
    (tmp_path / "runs" / "0.set-aside").write_text("{}")
    (tmp_path / "runs" / ".0.json.x").write_text("{}")
    deeper = (
        "2 files a folder deeper, such as runs/runs/0123.json: to use them, move them to"
        f" {tmp_path / 'runs'}"
    )
    assert status(tmp_path)["not read"] == [deeper]
    (tmp_path / "runs" / "89ab.json.gz").write_bytes(b"")
    packed = "1 files that are no records, such as 89ab.json.gz: unpack them, to use them"
    assert status(tmp_path)["not read"] == [deeper, packed]
    plan_of(tmp_path)
    said = [f"warning: {tmp_path / 'runs'} has {line}" for line in (deeper, packed)]
    assert capsys.readouterr().err.splitlines() == said


def test_a_plan_renames_nothing(tmp_path, capsys):
    runs = bias_correction.EXPERIMENT.planned(options(bias_correction.EXPERIMENT))
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / f"{runs[0].id}.json"
    path.write_text("{")
    plan_of(tmp_path)
    said = capsys.readouterr()
    assert said.err.startswith(f"warning: {path} does not count, because it cannot be read")
    assert f"0 finished, {len(runs)} to train" in said.out
    assert [file.name for file in (tmp_path / "runs").iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_folder_of_runs_that_is_none(tmp_path, kind, capsys):
    results = tmp_path / "store"
    results.mkdir()
    if kind == "link":
        (results / "runs").symlink_to(tmp_path / "nowhere")
    else:
        (results / "runs").write_text("")
    said = (
        "is no folder" if kind == "file" else f"is a link to {tmp_path / 'nowhere'}, which is not"
    )
    for ask in (status, plan_of):
        with pytest.raises(BadInput, match=said):
            ask(results)
    assert capsys.readouterr().out == ""

"""A run that is interrupted and resumed, again and again, ends bit for bit as one that is not."""

import dataclasses
import json
import shutil

import pytest
import safetensors.torch

from experiments.finetuning import training
from experiments.finetuning.checkpoints import Checkpoint
from experiments.finetuning.training import train
from experiments.sweeps import store


class Interrupted(Exception):
    pass


def without_time(result):
    outcome = {name: value for name, value in result["outcome"].items() if name != "seconds"}
    return json.dumps([outcome, result["history"]]), result["weights"]


@pytest.mark.parametrize("packed", [True, False])
def test_bit_for_bit(tiny_run, tmp_path, monkeypatch, packed):
    plain = tiny_run(epochs=2, packed=packed, keep_weights=True)
    expected = without_time(train(plain))
    run = dataclasses.replace(plain, checkpoint_minutes=1.0, checkpoint_folder=str(tmp_path))
    assert run.id == plain.id

    stops = [3, 40, 99, 100, 101, 160]  # in the first epoch, around its end, in the second
    real, seen = training.batch_loss, []
    monkeypatch.setattr(Checkpoint, "due", lambda self: self.optimizer.steps_done in stops)

    def stop_after_checkpoint(*arguments, **others):
        if (tmp_path / f"{run.id}.safetensors").exists() and len(seen) < len(stops):
            state = (tmp_path / f"{run.id}.safetensors").stat().st_mtime_ns
            if state not in seen:
                seen.append(state)
                raise Interrupted
        return real(*arguments, **others)

    monkeypatch.setattr(training, "batch_loss", stop_after_checkpoint)
    for _ in stops:
        with pytest.raises(Interrupted):
            train(run)
    assert without_time(train(run)) == expected
    assert len(seen) == len(stops)


def test_a_damaged_checkpoint_is_not_trusted_and_a_finished_run_leaves_none(
    tiny_run, tmp_path, capsys
):
    run = tiny_run(checkpoint_minutes=1e-9, checkpoint_folder=str(tmp_path / "checkpoints"))
    path = tmp_path / "checkpoints" / f"{run.id}.safetensors"
    result = train(run)
    whole = shutil.copyfile(path, tmp_path / "whole.safetensors")
    for content in (b"", b"x" * 100, path.read_bytes()[:-10]):
        path.write_bytes(content)
        assert train(run)["history"] == result["history"]
        assert "cannot be used" in capsys.readouterr().err
    # as an older version of the code might have stored it
    with safetensors.safe_open(whole, "pt") as file:
        facts, tensors = (
            json.loads(file.metadata()["facts"]),
            {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118
        )
    facts.pop("margins")
    safetensors.torch.save_file(tensors, path, metadata={"facts": json.dumps(facts)})
    assert train(run)["history"] == result["history"]
    assert "it lacks margins" in capsys.readouterr().err
    store.save(tmp_path, run, result)
    assert not path.exists()

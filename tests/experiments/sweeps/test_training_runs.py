"""Training again for the weights: the same run, and by one sweep only."""

import argparse
import dataclasses

import pytest
from builders import a_result

from experiments.finetuning import files
from experiments.finetuning.errors import BadInput
from experiments.sweeps import store, training_runs


def test_a_run_that_ends_otherwise_when_trained_again_is_refused_each_time(
    tiny_run, tmp_path, monkeypatch
):
    """Its weights would be another run's than the row's. The stored result stays; the same one
    again gives the weights."""
    run = tiny_run()
    result = a_result(score=0.8, diverged=True)
    store.save(tmp_path, run, result)
    record = {**store.load(tmp_path, run), "run": dataclasses.asdict(run)}
    opts = argparse.Namespace(results=tmp_path, engine="serial", device="cpu", runs_per_gpu=1)

    def train_again(**changed):
        monkeypatch.setattr(
            "experiments.finetuning.training.train",
            lambda run: {**result, "outcome": {**result["outcome"], **changed}, "weights": b"w"},
        )
        training_runs.train_for_weights([record], opts, "loss_surfaces")

    for changed in ({"score": 0.5}, {"score": 0.5}, {"dev_loss": 0.6}):
        with pytest.raises(
            BadInput,
            match=(
                rf"end otherwise than before: {run.id} \(score {changed.get('score', 0.8)}, was"
                r" 0.8\)"
            ),
        ):
            train_again(**changed)
        assert (
            store.load(tmp_path, run)["outcome"]["score"] == 0.8
            and not store.weights_path(tmp_path, run).exists()
        )
    train_again()
    assert training_runs.weights_of(record, opts) == b"w"


@pytest.mark.parametrize("when", ["before the lock", "with the lock"])
def test_weights_that_another_sweep_has_made_since_are_not_made_again(
    when, tiny_run, tmp_path, monkeypatch
):
    run = tiny_run()
    store.save(tmp_path, run, a_result())
    record = {**store.load(tmp_path, run), "run": dataclasses.asdict(run)}
    opts = argparse.Namespace(results=tmp_path, engine="serial", device="cpu", runs_per_gpu=1)

    def appear(*_):
        files.write_atomically(store.weights_path(tmp_path, run), b"w")
        return True

    if when == "before the lock":
        monkeypatch.setattr(training_runs, "inspect_first", appear)
    else:
        claim = training_runs.Locks.claim
        monkeypatch.setattr(
            training_runs.Locks, "claim", lambda locks, name: claim(locks, name) and appear()
        )
    monkeypatch.setattr("experiments.finetuning.training.train", lambda run: 1 / 0)
    training_runs.train_for_weights([record], opts, "loss_surfaces")
    assert training_runs.weights_of(record, opts) == b"w"
    assert not list((tmp_path / "locks").glob("[!.]*"))

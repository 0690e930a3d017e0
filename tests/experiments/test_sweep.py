"""A sweep: the order of its runs, and what goes on when something crashes."""

import argparse
import json

import pandas as pd
import pytest

from experiments import bias_correction, reinitialization
from experiments.finetuning import runs, sweep
from experiments.finetuning.command import run_command
from experiments.finetuning.errors import BadInput, RunsCrashed


def test_the_longest_runs_are_trained_first_and_settings_side_by_side(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(sweep, "train_all", lambda missing, *_: order.extend(missing) or {})
    sweep.sweep([reinitialization.EXPERIMENT], ["--seeds", "2", "--layers", "0", "5", "--long-layers", "0", "--results", str(tmp_path)])
    assert [(run.epochs, run.order_seed) for run in order] == [(20, 1), (20, 2), *[(3, 1)] * 3, *[(3, 2)] * 3]
    assert len({(run.bias_correction, run.reinitialized_layers) for run in order[2:5]}) == 3


def test_an_experiment_that_cannot_write_does_not_keep_the_others_from_it(tmp_path):
    def refuse(options, records):
        raise BadInput("no text")

    done = []
    experiments = [sweep.Experiment("first", "", lambda options: [], refuse),
                   sweep.Experiment("second", "", lambda options: [], lambda options, records: done.append("second"))]
    with pytest.raises(RunsCrashed) as error:  # status 1, so that what the second shows is drawn
        sweep.sweep(experiments, ["--results", str(tmp_path)])
    assert done == ["second"] and error.value.crashed == {"first": "no text"}
    with pytest.raises(BadInput, match="first: no text"):
        sweep.sweep(experiments[:1], ["--results", str(tmp_path)])


def test_a_measurement_that_crashes_does_not_keep_the_others_from_writing(tmp_path):
    def crash(options, records):
        list(sweep.measure_all(lambda item: 1 / 0, [1], options, "perplexities"))

    done = []
    experiments = [sweep.Experiment("first", "", lambda options: [], crash),
                   sweep.Experiment("second", "", lambda options: [], lambda options, records: done.append("second"))]
    with pytest.raises(RunsCrashed) as error:
        sweep.sweep(experiments, ["--results", str(tmp_path), "--engine", "serial"])
    assert done == ["second"] and "division by zero" in error.value.crashed["perplexities 1"]
    assert "1 / 0" in (tmp_path / "crashed" / "perplexities 1.txt").read_text()
    list(sweep.measure_all(abs, [1], argparse.Namespace(results=tmp_path, engine="serial", device="cpu"), "perplexities"))
    assert not list((tmp_path / "crashed").iterdir())


def test_a_run_that_is_planned_twice_counts_once(tmp_path, capsys):
    sweep.sweep([bias_correction.EXPERIMENT], ["--tasks", "rte", "rte", "--seeds", "2", "--plan", "--results", str(tmp_path)])
    assert "bias_correction (mini): 12 runs" in capsys.readouterr().out


@pytest.mark.parametrize("again", [False, True])
def test_a_crashed_run_is_named_left_out_and_tried_again(tiny_model, tmp_path, monkeypatch, capsys, again):
    from experiments.finetuning import training

    real = training.train
    monkeypatch.setattr(training, "train", lambda run: real(run) if run.order_seed == 1 else 1 / 0)
    arguments = ["--model", str(tiny_model), "--seeds", "2", "--learning-rates", "1e-3", "--bias-correction", "on", "--epochs", "1",
                 "--results", str(tmp_path), "--engine", "serial"]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: sweep.sweep([bias_correction.EXPERIMENT], arguments))
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert "seed 2): ZeroDivisionError: division by zero" in lines[-2] and "1 could not be done" in lines[-1]
    assert len(pd.read_csv(tmp_path / "bias_correction.csv")) == 1
    (crash,) = (tmp_path / "crashed").iterdir()
    assert "1 / 0" in json.loads(crash.read_text())["details"]
    if again:
        monkeypatch.setattr(training, "train", real)
        sweep.sweep([bias_correction.EXPERIMENT], arguments)
        assert len(pd.read_csv(tmp_path / "bias_correction.csv")) == 2 and not crash.exists()
    assert not [path for path in (tmp_path / "leases").iterdir() if path.name != ".lock"]


def test_a_run_that_scores_otherwise_when_trained_again_is_refused(tiny_run, tmp_path, monkeypatch):
    """Its weights would be another run's than the row's."""
    run = tiny_run()

    def store(score):
        runs.save(tmp_path, run, {"outcome": {"score": score}, "history": {}})
        return {}

    store(0.8)
    record = runs.load(tmp_path, run)
    monkeypatch.setattr(sweep, "train_all", lambda *_, **__: store(0.5))
    with pytest.raises(BadInput, match="scores 0.5 and not 0.8 as before"):
        sweep.trained_weights([record], argparse.Namespace(results=tmp_path), "loss_surfaces")

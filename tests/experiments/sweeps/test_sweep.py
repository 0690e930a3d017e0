"""A sweep: the order of its runs, and what goes on when something crashes."""

import argparse
import json

import pandas as pd
import pytest
from builders import a_result

from experiments import (
    bias_correction,
    checkpoint_selection,
    convergence_pitfalls,
    mitigations,
    reinitialization,
    training_length,
)
from experiments.finetuning.errors import BadInput, RunsCrashed
from experiments.sweeps import sweep, training_runs
from experiments.sweeps.command import run_command


def test_the_longest_runs_are_trained_first_and_settings_side_by_side(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(training_runs, "train_all", lambda missing, *_: order.extend(missing) or {})
    sweep.sweep(
        [reinitialization.EXPERIMENT],
        ["--seeds", "2", "--layers", "0", "5", "--long-layers", "0", "--results", str(tmp_path)],
    )
    assert [(run.epochs, run.order_seed) for run in order] == [
        (20, 1),
        (20, 2),
        *[(3, 1)] * 3,
        *[(3, 2)] * 3,
    ]
    assert len({(run.bias_correction, run.reinitialized_layers) for run in order[2:5]}) == 3


def test_an_experiment_that_cannot_write_does_not_keep_the_others_from_it(tmp_path):
    def refuse(options, records):
        raise BadInput("no text")

    done = []
    experiments = [
        sweep.Experiment("first", "", lambda options: [], refuse),
        sweep.Experiment(
            "second", "", lambda options: [], lambda options, records: done.append("second")
        ),
    ]
    with pytest.raises(RunsCrashed) as error:  # status 1, so that what the second shows is drawn
        sweep.sweep(experiments, ["--results", str(tmp_path)])
    assert done == ["second"] and error.value.crashed == {"first": "no text"}
    with pytest.raises(BadInput, match="first: no text"):
        sweep.sweep(experiments[:1], ["--results", str(tmp_path)])


def test_a_measurement_that_crashes_does_not_keep_the_others_from_writing(tmp_path):
    def crash(options, records):
        list(sweep.measure_all(lambda item: 1 / 0, [1], options, "perplexities", 1))

    done = []
    experiments = [
        sweep.Experiment("first", "", lambda options: [], crash),
        sweep.Experiment(
            "second", "", lambda options: [], lambda options, records: done.append("second")
        ),
    ]
    with pytest.raises(RunsCrashed) as error:
        sweep.sweep(experiments, ["--results", str(tmp_path), "--engine", "serial"])
    assert done == ["second"] and "division by zero" in error.value.crashed["perplexities 1"]
    assert "1 / 0" in (tmp_path / "crashed" / "perplexities 1.txt").read_text()
    list(
        sweep.measure_all(
            abs,
            [1],
            argparse.Namespace(results=tmp_path, engine="serial", device="cpu", runs_per_gpu=1),
            "perplexities",
            1,
        )
    )
    assert not list((tmp_path / "crashed").iterdir())


def test_a_run_that_is_planned_twice_counts_once(tmp_path, capsys):
    sweep.sweep(
        [bias_correction.EXPERIMENT],
        ["--tasks", "rte", "rte", "--seeds", "2", "--plan", "--results", str(tmp_path)],
    )
    assert "bias_correction (mini): 12 runs" in capsys.readouterr().out


def test_parts_of_a_call_share_its_flags_and_its_table(tmp_path, monkeypatch):
    """Seeds 1 and 2 of two settings, 3 of one of them, and of another task one: 6 runs, in one CSV
    that is the same whatever the order of the parts."""
    trained = []

    def remember(run):
        trained.append(run)
        return a_result(score=0.6 + 0.01 * run.head_seed)

    monkeypatch.setattr("experiments.finetuning.training.train", remember)
    monkeypatch.setattr(training_runs, "inspect_first", lambda missing: None)
    parts = (
        ["--seeds", "2"],
        ["--seeds", "3", "--bias-correction", "off"],
        ["--tasks", "cola", "--seeds", "1", "--bias-correction", "on"],
    )
    tables = []
    for name, order in (("one", (0, 1, 2)), ("other", (2, 0, 1))):
        results = ["--results", str(tmp_path / name), "--engine", "serial"]
        arguments = ["--tasks", "rte", "--learning-rates", "3e-4", *results]
        for i in order:
            arguments += [*["--and", "--tasks", "rte", "--bias-correction", "both"], *parts[i]]
        arguments.remove("--and")  # the first
        sweep.sweep([bias_correction.EXPERIMENT], arguments)
        tables.append((tmp_path / name / "bias_correction.csv").read_bytes())
    planned = [(run.task, run.bias_correction, run.head_seed) for run in trained[:6]]
    assert len(trained) == 12 and set(planned) == {
        *[("rte", False, seed) for seed in (1, 2, 3)],
        *[("rte", True, seed) for seed in (1, 2)],
        ("cola", True, 1),
    }
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "2", "--and"], "nothing behind --and: expected flags"),
        (["--and", "--and", "--seeds", "2"], "nothing behind --and: expected flags"),
        (
            ["--and", "--results", "elsewhere"],
            "--results behind --and: expected it before, for the whole",
        ),
        (["--seeds", "1", "--and", "--seeds", "2", "--plan"], "--plan behind --and"),
        (["--and", "--profile=small"], "--profile behind --and"),
        (["--and", "--seed", "2"], "--seed behind --and: .* a part has --tasks, --learning-rates"),
        (["--and", "seeds"], "'seeds' behind --and: expected a flag first, such as --tasks"),
        (["--tasks", "rte", "--and", "cola"], "'cola' behind --and: expected a flag first"),
        (["--seeds", "1", "--and", "--device", "cuda"], "runs of --device cuda are not finished"),
    ],
)
def test_parts_that_do_not_fit(arguments, said, tmp_path):
    common = ["--results", str(tmp_path), "--engine", "serial"]
    with pytest.raises(BadInput, match=said):
        sweep.sweep([bias_correction.EXPERIMENT], [*common, *arguments])
    assert not list(tmp_path.rglob("*.json"))


def test_a_method_keeps_its_name_at_a_rate_of_another_part(tmp_path, monkeypatch):
    """LoRA's rates and the low rate are multiples of each part's default rate."""
    monkeypatch.setattr(training_runs, "inspect_first", lambda missing: None)
    monkeypatch.setattr("experiments.finetuning.training.train", lambda run: a_result(score=0.8))
    arguments = ["--methods", "none", "0.3", "LoRA, 5 x", "--seeds", "1", "--bias-correction", "on"]
    arguments += ["--learning-rates", "3e-4", "--and", "--learning-rates", "1e-3"]
    common = ["--results", str(tmp_path), "--engine", "serial"]
    sweep.sweep([mitigations.EXPERIMENT], [*common, *arguments])
    table = pd.read_csv(tmp_path / "mitigations.csv")
    rates = {(row.method, row.learning_rate) for row in table.itertuples()}
    low, lora = "0.3 x the rate", "LoRA, 5 x the rate"
    # 3e-4 is the first part's own rate and 0.3 times the second's
    assert rates == {("none", 3e-4), ("none", 1e-3), (low, 9e-5), (lora, 1.5e-3), (lora, 5e-3)}
    with pytest.raises(BadInput, match="convergence_pitfalls cannot be asked for in parts"):
        sweep.sweep([convergence_pitfalls.EXPERIMENT], [*common, "--and", "--seeds", "2"])


@pytest.mark.parametrize("again", [False, True])
def test_a_crashed_run_is_named_left_out_and_tried_again(
    tiny_model, tmp_path, monkeypatch, capsys, again
):
    from experiments.finetuning import training

    real = training.train
    monkeypatch.setattr(training, "train", lambda run: real(run) if run.order_seed == 1 else 1 / 0)
    arguments = [
        "--model",
        str(tiny_model),
        "--tasks",
        "rte",
        "--seeds",
        "2",
        "--learning-rates",
        "1e-3",
        "--bias-correction",
        "on",
        "--epochs",
        "1",
        "--results",
        str(tmp_path),
        "--engine",
        "serial",
    ]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: sweep.sweep([bias_correction.EXPERIMENT], arguments))
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert (
        "seed 2): ZeroDivisionError: division by zero" in lines[-2]
        and "1 could not be done" in lines[-1]
    )
    assert len(pd.read_csv(tmp_path / "bias_correction.csv")) == 1
    (crash,) = (tmp_path / "crashed").iterdir()
    assert "1 / 0" in json.loads(crash.read_text())["details"]
    if again:
        monkeypatch.setattr(training, "train", real)
        sweep.sweep([bias_correction.EXPERIMENT], arguments)
        assert len(pd.read_csv(tmp_path / "bias_correction.csv")) == 2 and not crash.exists()
    assert not [path for path in (tmp_path / "locks").glob("[!.]*")]


def test_one_seed_held_at_the_others_value(tiny_model, tmp_path):
    """Then a row's seed is a number in one run and head/order/dropout in the others; the CSVs
    sort all the same."""
    sweep.sweep(
        [checkpoint_selection.EXPERIMENT],
        [
            "--model",
            str(tiny_model),
            "--head-seed",
            "1",
            "--seeds",
            "2",
            "--long-seeds",
            "0",
            "--learning-rates",
            "1e-3",
            "--epochs",
            "1",
            "--results",
            str(tmp_path),
            "--engine",
            "serial",
        ],
    )
    assert set(pd.read_csv(tmp_path / "checkpoint_selection.csv")["seed"]) == {"1", "1/2/2"}


def test_tasks_whose_answers_an_experiment_cannot_read(tmp_path):
    """One class an example where there is a label a word; what looks at scores only goes on."""
    arguments = ["--tasks", "tagging", "--plan", "--results", str(tmp_path)]
    for module in (checkpoint_selection, reinitialization):
        name = module.EXPERIMENT.name
        with pytest.raises(BadInput, match=f"{name} reads one class.*tagging"):
            sweep.sweep([module.EXPERIMENT], arguments)
    sweep.sweep([bias_correction.EXPERIMENT], arguments)


def test_the_plan_takes_as_long_as_the_longest_run(tmp_path, capsys, monkeypatch):
    """One run of 20 epochs is 2,000 steps of 0.12 s, 4 minutes, whatever the number of workers."""
    monkeypatch.setattr("experiments.sweeps.engine.workers", lambda *_: 2)
    flags = ["--plan", "--results", str(tmp_path), "--seeds", "1", "--learning-rates", "3e-4"]
    flags += ["--bias-correction", "on"]
    sweep.sweep([training_length.EXPERIMENT], [*flags, "--epochs", "20"])
    assert "1 to train, about 4 min on 2 worker(s)" in capsys.readouterr().out
    sweep.sweep([training_length.EXPERIMENT], [*flags, "--epochs", "3", "--seeds", "20"])
    assert "20 to train, about 6 min on 2 worker(s)" in capsys.readouterr().out

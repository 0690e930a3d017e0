"""your_data: its three recipes, the Trainer's against transformers' own defaults, from a file to
the CSV."""

import dataclasses

import pandas as pd
import pytest
from conftest import options
from transformers import TrainingArguments

from experiments import strong_baseline
from experiments.finetuning.errors import BadInput
from experiments.finetuning.run import Run
from experiments.sweeps.sweep import sweep
from experiments.your_data import DEFAULT, EXPERIMENT, PAPER, TRAINER, recipe_of


@pytest.fixture
def flags(tmp_path, tiny_model):
    rows = [{"body": ("the dog", "a cat")[i % 2], "kind": ("x", "y")[i % 2]} for i in range(40)]
    pd.DataFrame(rows).to_csv(tmp_path / "mine.csv", index=False)
    path = str(tmp_path / "mine.csv")
    columns = ["--text-columns", "body", "--label-column", "kind"]
    return ["--data", path, *columns, "--model", str(tiny_model), "--seeds", "2"]


def by_recipe(runs):
    found = {}
    for run in runs:
        found.setdefault(recipe_of(dataclasses.asdict(run)), []).append(run)
    return found


def test_the_recipes(flags):
    """The published ones are Run's own defaults; all three see the same data."""
    plan = by_recipe(EXPERIMENT.planned(options(EXPERIMENT, *flags)))
    assert [len(runs) for runs in plan.values()] == [2, 2, 2]
    assert list(plan) == [DEFAULT, TRAINER, PAPER]
    varied = ("epochs", "bias_correction", "learning_rate")
    said = {
        name: [tuple(getattr(run, field) for field in varied) for run in runs]
        for name, runs in plan.items()
    }
    assert said == {
        DEFAULT: [(3, False, 2e-5)] * 2,
        TRAINER: [(3, True, 5e-5)] * 2,
        PAPER: [(20, True, 2e-5)] * 2,
    }
    own = {"model", "data", "task", "learning_rate", "bias_correction", "epochs", "seed"}
    for run in (plan[DEFAULT][0], plan[PAPER][0]):
        fields = {f.name: f.default for f in dataclasses.fields(Run)}
        for name, value in run.hashed_fields().items():
            assert name in own or name.endswith("_seed") or value == fields[name], name


def test_a_recipe_says_itself_whether_adam_corrects(flags, capsys):
    plan = EXPERIMENT.planned(options(EXPERIMENT, *flags, "--bias-correction", "on"))
    assert "--bias-correction on does nothing in your_data" in capsys.readouterr().err
    assert plan == EXPERIMENT.planned(options(EXPERIMENT, *flags))


def test_the_trainers_defaults_are_transformers_own(flags):
    plan = by_recipe(EXPERIMENT.planned(options(EXPERIMENT, *flags)))
    run = plan[TRAINER][0]
    theirs = {f.name: f.default for f in dataclasses.fields(TrainingArguments)}
    assert run.batch_size == theirs["per_device_train_batch_size"]
    assert run.learning_rate == theirs["learning_rate"]
    assert run.epochs == theirs["num_train_epochs"]
    assert run.weight_decay == theirs["weight_decay"]
    assert run.adam_epsilon == theirs["adam_epsilon"]
    assert (run.adam_beta1, run.adam_beta2) == (theirs["adam_beta1"], theirs["adam_beta2"])
    assert run.max_gradient_norm == theirs["max_grad_norm"]
    assert run.warmup_ratio == 0 and not theirs["warmup_steps"]
    assert theirs["lr_scheduler_type"] == "linear" and run.bias_correction


def test_rates_and_lengths_by_flag(flags):
    more = ["--learning-rates", "1e-4", "--epochs", "1", "4", "--max-length", "32"]
    plan = by_recipe(EXPERIMENT.planned(options(EXPERIMENT, *flags, *more)))
    assert {run.learning_rate for runs in plan.values() for run in runs} == {1e-4}
    assert [runs[0].epochs for runs in plan.values()] == [1, 1, 4]
    assert {run.max_length for runs in plan.values() for run in runs} == {32}
    one = by_recipe(EXPERIMENT.planned(options(EXPERIMENT, *flags, "--epochs", "2")))
    assert [runs[0].epochs for runs in one.values()] == [2, 2, 2]


def test_a_third_length_is_refused(flags):
    with pytest.raises(BadInput, match="--epochs 3 2 1: expected A, or A B"):
        EXPERIMENT.planned(options(EXPERIMENT, *flags, "--epochs", "3", "2", "1"))


def test_without_data_it_demonstrates_on_mini():
    """Runs of strong_baseline, and one more."""
    runs = EXPERIMENT.planned(options(EXPERIMENT))
    others = strong_baseline.EXPERIMENT.planned(options(strong_baseline.EXPERIMENT))
    further = {run.id for run in runs} - {run.id for run in others}
    assert len(runs) == 5 and len(further) == 1 and {run.task for run in runs} == {"rte"}


def test_from_a_file_to_the_csv(flags, tmp_path):
    more = ["--epochs", "1", "2", "--max-length", "16", "--engine", "serial"]
    sweep([EXPERIMENT], [*flags, *more, "--results", str(tmp_path)])
    table = pd.read_csv(tmp_path / "your_data.csv")
    assert table["recipe"].value_counts().to_dict() == {DEFAULT: 2, TRAINER: 2, PAPER: 2}
    assert table.groupby("recipe")["steps"].first().to_dict() == {DEFAULT: 2, TRAINER: 4, PAPER: 4}
    assert set(table["metric"]) == {"accuracy"} and set(table["majority_level"]) == {0.5}

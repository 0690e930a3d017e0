"""The committed reference results hold what the README says of them, and the committed tables are made from them."""

import importlib

import pandas as pd
import pytest
from conftest import REPOSITORY

from experiments.finetuning.sources import identify_model
from experiments.finetuning.tasks import identify_data

REFERENCE = REPOSITORY / "results" / "reference"
TASKS = ["cola", "mrpc", "qnli", "rte"]


@pytest.fixture(scope="module")
def runs():
    return pd.read_csv(REFERENCE / "mini-25-seeds" / "bias_correction.csv")


def test_they_were_made_with_this_model_and_this_data(runs):
    assert set(runs["model"]) == {identify_model(str(REPOSITORY / "experiments/mini/checkpoint"))}
    assert dict(zip(runs["task"], runs["data"], strict=True)) == {task: identify_data(task, "mini") for task in TASKS}
    assert (runs.groupby(["task", "bias_correction"])["head_seed"].nunique() == 25).all() and len(runs) == 200


def test_each_task_is_learnt_with_bias_correction_and_almost_never_fails(runs):
    corrected = runs[runs["bias_correction"]].groupby("task")
    assert (corrected["failed"].mean() <= 0.1).all()
    assert (corrected["score"].mean() >= corrected["majority_level"].first() + 0.1).all()


def test_without_it_two_tasks_or_more_are_at_the_edge(runs):
    rates = runs[~runs["bias_correction"]].groupby("task")["failed"].mean()
    assert rates.between(0.3, 0.9).sum() >= 2


def test_failed_runs_end_at_the_label_entropy_with_vanished_gradients(runs):
    failed = runs[runs["failed"] & ~runs["bias_correction"]].groupby("task")
    successful = runs[~runs["failed"] & runs["bias_correction"]].groupby("task")
    for task, group in failed:
        assert (group["train_loss"] - group["label_entropy"]).abs().median() < 0.01, task
        ratio = successful["first_layer_gradient"].median()[task] / group["first_layer_gradient"].median()
        assert ratio >= 100, task


def test_pre_training_matters(runs):
    random = pd.read_csv(REFERENCE / "mini-random-weights" / "bias_correction.csv")
    assert not random["pretrained"].any() and set(random["task"]) == set(TASKS)
    best_random = random.groupby("task")["score"].max()
    assert (best_random < runs[runs["bias_correction"]].groupby("task")["score"].min()).all()


ANALYSES = {path.stem for path in (REPOSITORY / "analysis").glob("*.py")}


@pytest.mark.parametrize(("folder", "name"), sorted(
    (path.parent.name, path.stem) for path in REFERENCE.glob("*/*.csv") if path.stem in ANALYSES))
def test_the_committed_tables_are_made_from_them(folder, name, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["", "--results", str(REFERENCE / folder), "--figures", str(tmp_path)])
    importlib.import_module(f"analysis.{name}").main()
    tables = [path for path in tmp_path.iterdir() if path.suffix in (".md", ".csv")]
    assert tables
    for path in tables:
        assert (REPOSITORY / "figures" / "reference" / folder / path.name).read_bytes() == path.read_bytes(), path.name

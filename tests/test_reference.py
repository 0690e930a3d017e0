"""The committed reference results hold what the README says of them, and the committed figures
are made from them."""

import re
import subprocess
import sys

import pandas as pd
import pytest
from conftest import REPOSITORY

from experiments.finetuning.sources import identify_model
from experiments.finetuning.tasks import identify_data

REFERENCE, FIGURES = (REPOSITORY / folder / "reference" for folder in ("results", "figures"))
TASKS = ["cola", "mrpc", "qnli", "rte"]


@pytest.fixture(scope="module")
def runs():
    """mini's 3-epoch runs at the default recipe's rate: four tasks, without and with bias
    correction."""
    runs = pd.read_csv(REFERENCE / "mini" / "bias_correction.csv")
    return runs[runs["learning_rate"] == 3e-4]


def test_they_were_made_with_this_model_and_this_data(runs):
    assert set(runs["model"]) == {identify_model(str(REPOSITORY / "experiments/mini/checkpoint"))}
    assert dict(zip(runs["task"], runs["data"], strict=True)) == {
        task: identify_data(task, "mini") for task in TASKS
    }
    assert (runs.groupby(["task", "bias_correction"])["head_seed"].nunique() == 25).all() and len(
        runs
    ) == 200


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
        ratio = (
            successful["first_layer_gradient"].median()[task]
            / group["first_layer_gradient"].median()
        )
        assert ratio >= 100, task


def test_pre_training_matters(runs):
    random = pd.read_csv(REFERENCE / "mini-random-weights" / "bias_correction.csv")
    assert not random["pretrained"].any() and set(random["task"]) == set(TASKS)
    best_random = random.groupby("task")["score"].max()
    assert (best_random < runs[runs["bias_correction"]].groupby("task")["score"].min()).all()


@pytest.mark.slow
def test_every_committed_figure_is_redrawn_byte_for_byte(tmp_path):
    committed = {
        path.relative_to(FIGURES): path.read_bytes()
        for path in FIGURES.rglob("*")
        if path.is_file()
    }
    subprocess.run(
        [sys.executable, "-m", "analysis", "--results", REFERENCE, "--figures", tmp_path],
        cwd=REPOSITORY,
        check=True,
    )
    drawn = {
        path.relative_to(tmp_path): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert committed and set(committed) == set(drawn)
    assert [str(name) for name in committed if committed[name] != drawn[name]] == []


def test_the_readmes_carry_over_table_says_what_the_scorecard_says():
    """Cell by cell, by the claim's id."""

    def rows(path):
        found = [
            re.fullmatch(r"\| .*`(\w+)` \| (.*) \|", line)
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        return {row[1]: row[2] for row in found if row and "**" in row[2]}

    judged = rows(FIGURES / "scorecard_summary.md")
    shown = {
        claim: cells for claim, cells in rows(REPOSITORY / "README.md").items() if claim in judged
    }
    assert len(shown) > 20 and shown == {claim: judged[claim] for claim in shown}


def test_the_readmes_counts_of_claims_are_the_scorecards():
    readme = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    scorecard = pd.read_csv(FIGURES / "scorecard.csv")
    assert (
        f"each of {len(scorecard)} claims" in readme
        and f"all {len(scorecard)} with p values" in readme
    )
    for source, pattern in {
        "published": r"Published: (\d+) hold, (\d+) do not, (\d+) are open, (\d+) have no points\.",
        "mini": r"mini \([^)]*\): (\d+) hold, (\d+) does not, (\d+) are open, (\d+) have no data\.",
        "small": r"small \([^)]*\): (\d+) holds?, (\d+) are open, (\d+) have no data\.",
    }.items():
        counts = scorecard[f"{source}_verdict"].value_counts()
        verdicts = (
            ("holds", "does not hold", "open", "no data")
            if source != "small"
            else ("holds", "open", "no data")
        )
        assert [int(number) for number in re.search(pattern, readme).groups()] == [
            counts[verdict] for verdict in verdicts
        ]
        assert counts.sum() == sum(counts[verdict] for verdict in verdicts)

"""The committed reference results hold what the README says of them, and the committed figures
are made from them."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict

import pandas as pd
import pytest
from conftest import REPOSITORY

from experiments.finetuning.sources import identify_model
from experiments.finetuning.tasks import identify_data
from experiments.sweeps import training_runs
from experiments.sweeps.command import parse_parts
from experiments.sweeps.flags import parser

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


# made by simulations of their own, shared/interval_coverage.py and published/verdict_search.py
SIMULATED = ("interval_coverage", "verdict_search")


@pytest.mark.slow
def test_every_committed_figure_is_redrawn_byte_for_byte(tmp_path):
    committed = contents_of(FIGURES)
    subprocess.run(
        [sys.executable, "-m", "analysis", "--results", REFERENCE, "--figures", tmp_path],
        cwd=REPOSITORY,
        check=True,
    )
    drawn = contents_of(tmp_path)
    assert committed
    assert {name for name in committed if name.stem not in SIMULATED} == set(drawn)
    assert [str(name) for name in drawn if committed[name] != drawn[name]] == []


def contents_of(folder):
    """The files of a folder of folders, by their paths in it."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def claims_in(path, sources):
    """The cells of a table's claims, by the claim's id: those of the first so many sources."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| .*`(\w+)` \| (.*) \|", line)
        if row and "**" in row[2]:
            found[row[1]] = row[2].split(" | ")[:sources]
    return found


@pytest.mark.parametrize(("page", "at_least"), [("README.md", 8), ("analysis/README.md", 25)])
def test_the_tables_of_claims_say_what_the_scorecard_says(page, at_least):
    """Cell by cell, by the claim's id."""
    judged = claims_in(FIGURES / "scorecard_summary.md", sources=3)
    rows = claims_in(REPOSITORY / page, sources=3)
    shown = {claim: cells for claim, cells in rows.items() if claim in judged}
    assert len(shown) >= at_least
    assert shown == {claim: judged[claim] for claim in shown}


def test_the_counts_of_claims_are_the_scorecards():
    page = " ".join((REPOSITORY / "analysis" / "README.md").read_text(encoding="utf-8").split())
    readme = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    scorecard = pd.read_csv(FIGURES / "scorecard.csv")
    assert f"each of {len(scorecard)} claims" in page
    assert f"all {len(scorecard)} with p values" in page
    counts = {}
    for source, pattern in {
        "published": r"Published: (\d+) hold, (\d+) do not, (\d+) are open, (\d+) have no points\.",
        "mini": r"mini \([^)]*\): (\d+) hold, (\d+) does not, (\d+) are open, (\d+) have no data\.",
        "small": r"small \([^)]*\): (\d+) hold, (\d+) are open, (\d+) have no data\.",
    }.items():
        counts[source] = scorecard[f"{source}_verdict"].value_counts()
        verdicts = ["holds", "does not hold", "open", "no data"]
        if source == "small":
            verdicts.remove("does not hold")
        said = [int(number) for number in re.search(pattern, page).groups()]
        assert said == [counts[source].get(verdict, 0) for verdict in verdicts]
        assert counts[source].sum() == sum(said)
    found = re.search(
        r"Of (\d+) claims (\d+) hold on .* and (\d+) do not; on mini (\d+) hold, (\d+) does not",
        readme,
    )
    published, mini = counts["published"], counts["mini"]
    assert [int(number) for number in found.groups()] == [
        len(scorecard),
        published["holds"],
        published["does not hold"],
        mini["holds"],
        mini["does not hold"],
    ]


LACKING = {
    ("small", "small_datasets"): 10,  # on all of CoLA: those of another device are there
}
# experiments whose tables have a few of the planned runs, the first failed and successful ones
PICKED = ("catastrophic_forgetting", "vanishing_gradients")


def test_every_row_is_of_a_run_that_make_sh_asks_for(tmp_path, gte_small, glue):
    """And each run it asks for has a row, but for those of LACKING, as make.sh says. A call that
    reads another device's runs comes after those that train them."""
    reference = tmp_path / "results" / "reference"
    reference.mkdir(parents=True)
    shutil.copy(REFERENCE / "make.sh", reference)
    stand_in = tmp_path / ".venv" / "bin" / "python"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"with open({str(tmp_path / 'calls')!r}, 'a') as file:\n"
        "    print(json.dumps(sys.argv[1:]), file=file)\n"
    )
    stand_in.chmod(0o755)
    inputs = [tmp_path / "out", gte_small, glue, glue.parent / "wikitext-2-raw"]
    subprocess.run(["bash", reference / "make.sh", *inputs], check=True)

    planned: dict[tuple[str, str], set[str]] = {}
    of_folder = defaultdict(set)
    for line in (tmp_path / "calls").read_text().splitlines():
        names, flags = split_call(json.loads(line))
        experiments = [importlib.import_module(f"experiments.{name}").EXPERIMENT for name in names]
        p = parser("")
        for experiment in experiments:
            experiment.add_flags(p)
        options = parse_parts(p, flags)
        folder = options.results.name
        for experiment in experiments:
            runs = []
            for part in (options, *options.others):
                runs += experiment.planned(part)
            missing = [run for run in runs if run.id not in of_folder[folder]]
            training_runs.check_one_device(missing, options)
            planned[folder, experiment.name] = {run.id for run in runs}  # the last call's stays
            of_folder[folder] |= planned[folder, experiment.name]

    for (folder, name), asked_for in planned.items():
        table = pd.read_csv(REFERENCE / folder / f"{name}.csv")
        if "run" not in table:
            continue  # a row a pair of runs
        assert set(table["run"]) <= of_folder[folder], (folder, name)
        if name not in PICKED:
            lacking = asked_for - set(table["run"])
            assert len(lacking) == LACKING.get((folder, name), 0), (folder, name)


def split_call(arguments):
    """Names of experiments and flags of python -P -m experiments NAMES FLAGS."""
    assert arguments[:3] == ["-P", "-m", "experiments"]
    first_flag = next(i for i, argument in enumerate(arguments[3:], 3) if argument[0] == "-")
    return arguments[3:first_flag], arguments[first_flag:]

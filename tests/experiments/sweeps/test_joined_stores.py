"""Stores of two machines, compared and then joined by copying their files; seeds from A to B."""

import dataclasses
import importlib
import shutil

import pandas as pd
import pytest
from builders import a_result
from conftest import REPOSITORY, TIMING_COLUMNS, options

from experiments import bias_correction
from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import get_task
from experiments.sweeps import status as command
from experiments.sweeps import store
from experiments.sweeps.rows import alike
from experiments.sweeps.several_stores import compared, number_of, seed_ranges
from experiments.sweeps.status import status
from experiments.sweeps.sweep import sweep

EXPERIMENTS = sorted(
    path.stem for path in (REPOSITORY / "experiments").glob("*.py") if path.stem[0] != "_"
)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_runs_of_seeds_1_to_2_and_3_to_5_are_those_of_1_to_5(name):
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT

    def planned(seeds):
        return {run.id for run in experiment.planned(options(experiment, "--seeds", seeds))}

    low, high = planned("1-2"), planned("3-5")
    assert low and high and not low & high
    assert low | high == planned("5")


@pytest.fixture
def two_stores(tiny_run, tmp_path):
    """Seeds 1-3 and 3-5 of one setting: of 3 both have the same; 5 of another setting only in the
    second; 7 and 8 in both, of which 8 ends otherwise."""
    a, b = tmp_path / "a", tmp_path / "b"

    def run(seed, **fields):
        return tiny_run(head_seed=seed, order_seed=seed, dropout_seed=seed, **fields)

    for folder, seeds in ((a, (1, 2, 3, 7, 8)), (b, (3, 4, 5, 7, 8))):
        for seed in seeds:
            result = a_result(score=0.75 + (seed == 8) * (folder == b) / 8)
            result["outcome"] |= {"device": f"card {folder.name}", "torch_version": "2"}
            store.save(folder, run(seed), result)
    store.save(b, run(5, bias_correction=False), a_result())
    store.save(b, tiny_run(head_seed=9), a_result())
    return a, b, run


def test_what_is_where_and_what_is_nowhere(two_stores):
    a, b, run = two_stores
    found = compared([a, b], range(1, 7))
    plain = "rte, 0.001, {} bias correction, 1 epochs"
    assert found["seeds"] == [
        f"{plain.format('without')}: {b} 5",
        f"{plain.format('with')}: {a} 1-3, 7-8; {b} 3-5, 7-8, 1 whose three seeds differ",
    ]
    assert found["missing"] == [
        f"{plain.format('without')}: 1-4, 6",
        f"{plain.format('with')}: 6",
    ]
    assert found["in several"] == ["2 runs that end the same in each"]
    assert found["otherwise"] == [
        f"{run(8).id} (rte, 0.001, 1 epochs, seed 8): score 0.75 in {a} (card a, torch 2),"
        f" 0.875 in {b} (card b, torch 2)"
    ]


def test_a_setting_is_named_by_what_tells_it_from_the_others(two_stores):
    a, b, run = two_stores
    store.save(a, run(1, mixout=0.5), a_result())
    names = [line.split(":")[0] for line in compared([a, b], range(1, 2))["seeds"]]
    assert [name.split("epochs")[1] for name in names] == ["", "", ", mixout 0.5"]


def test_with_one_of_the_three_held_the_others_number_the_run():
    assert [number_of(seed) for seed in (3, "1/2/2", "2/1/2", "1/2/3")] == [3, 2, 2, "1/2/3"]


def test_seeds_as_ranges():
    assert seed_ranges([8, 3, 1, 2, "9/1/1", 5]) == "1-3, 5, 8, 1 whose three seeds differ"
    assert seed_ranges([]) == ""


def test_joined_by_copying_a_run_that_both_have_is_one(two_stores, capsys, monkeypatch):
    a, b, run = two_stores
    for path in (b / "runs").iterdir():  # cp -n
        if not (a / "runs" / path.name).exists():
            shutil.copy(path, a / "runs")
    joined = store.stored(a)
    assert len(joined) == 9  # 5 and 7 files: 3, 7 and 8 in both, and a folder has a name once
    assert all(store.load(a, run(seed)) for seed in (1, 2, 3, 4, 5, 7, 8))
    # whole files under other names, as file managers leave them: told, and never a second run
    for seed in (3, 8):
        name = run(seed).id
        shutil.copy(b / "runs" / f"{name}.json", a / "runs" / f"{name} (1).json")
    shutil.copy(b / "runs" / f"{run(4).id}.json", a / "runs" / "renamed.json")
    (a / "runs" / f"{run(4).id}.json").unlink()
    found = status(a)
    assert found["finished"] == ["8 runs, 0 failed, of them 0 diverged"]
    assert found["unused"] == []
    assert sorted(found["copies"]) == sorted(
        [
            f"{run(3).id} (1): another file of run {run(3).id}, the same",
            f"{run(8).id} (1): another file of run {run(8).id}, which ends otherwise: score 0.875,"
            " used is 0.75",
            f"renamed: another file of run {run(4).id}, which has none by its own name: rename it"
            f" to {run(4).id}.json",
        ]
    )
    monkeypatch.setattr("sys.argv", ["status", "--results", str(a), str(b), "--seeds", "4-8"])
    command.main()
    printed = capsys.readouterr().out
    assert "--- all together, seeds 4-8" in printed
    first = f"{a} 1-3, 5, 7-8, 1 whose three seeds differ; {b} 3-5, 7-8, 1 whose"
    assert f"with bias correction, 1 epochs: {first}" in printed
    assert "missing      rte, 0.001, without bias correction, 1 epochs: 4, 6-8" in printed


def test_a_row_of_a_copied_run_tells_the_data_of_this_machine(tiny_run, tmp_path):
    """Its record names a folder of the machine that trained it; that the training set is a part
    only is read from the folder here."""
    run = tiny_run()
    record = {"run": dataclasses.asdict(dataclasses.replace(run, data_source="/of/another"))}
    asked_for = {"run": dataclasses.asdict(run)}
    (found,) = alike([record], [asked_for], ("order_seed",))
    assert found == asked_for and record["run"]["data_source"] == "/of/another"
    assert alike([record], [], ("order_seed",)) == []


def test_no_gpu_is_needed_to_write_what_is_finished(tmp_path, monkeypatch, capsys):
    """As after joining the stores of machines that have one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags = ["--device", "cuda", "--results", str(tmp_path)]
    flags += ["--seeds", "1", "--learning-rates", "1e-3"]
    experiment = bias_correction.EXPERIMENT
    for run in experiment.planned(options(experiment, *flags)):
        result = a_result(metric=get_task(run.task).metric)
        result["outcome"] |= {"label_entropy": 0.7, "device": "a card"}
        store.save(tmp_path, run, result)
    sweep([experiment], flags)
    assert "a card" in (tmp_path / "bias_correction.csv").read_text()
    assert "no CUDA" not in capsys.readouterr().err
    flags[flags.index("--seeds") + 1] = "2"
    with pytest.raises(BadInput, match="no CUDA device here"):
        sweep([experiment], flags)


@pytest.mark.slow
def test_two_machines_joined_write_what_one_writes(tiny_model, tmp_path, capsys):
    flags = ["--model", str(tiny_model), "--learning-rates", "1e-3", "--epochs", "1"]
    flags += ["--engine", "serial", "--bias-correction", "on", "--tasks", "rte"]

    def swept(folder, seeds):
        there = [*flags, "--seeds", seeds, "--results", str(tmp_path / folder)]
        sweep([bias_correction.EXPERIMENT], there)
        return capsys.readouterr().out

    for folder, seeds in (("alone", "2"), ("a", "1"), ("b", "2-2")):
        swept(folder, seeds)
    found = compared([tmp_path / "a", tmp_path / "b"], range(1, 3))
    assert found["missing"] == found["otherwise"] == []
    for path in (tmp_path / "b" / "runs").iterdir():
        shutil.copy(path, tmp_path / "a" / "runs")
    assert "2 runs, 2 finished, 0 to train" in swept("a", "2")
    tables = [pd.read_csv(tmp_path / name / "bias_correction.csv") for name in ("a", "alone")]
    joined, alone = (table.drop(columns=list(TIMING_COLUMNS)) for table in tables)
    assert list(joined["order_seed"]) == [1, 2]
    pd.testing.assert_frame_equal(joined, alone, check_exact=True)

"""The benchmark: the official loop and ours do the same work, the same steps lead to the same
weights; its rows."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.benchmark.__main__ import main
from experiments.benchmark.contenders import compare, loaded, official, ours, padded
from experiments.benchmark.growth import single_row, stacked_rows
from experiments.benchmark.machine import whole_machine
from experiments.finetuning.encoders import load_tokenizer
from experiments.finetuning.errors import BadInput
from experiments.finetuning.loading import tokenized_splits


def test_the_official_loop_and_ours_train_alike(tiny_run):
    run = tiny_run(dropout=0.0)
    train_set, _ = tokenized_splits(run, load_tokenizer(run.model_source))
    batches = np.arange(48).reshape(3, 16)
    before, trained = loaded(run).state_dict(), []
    for make in (official, ours):
        model = loaded(run)
        seconds = make(model, run, train_set)(batches)
        assert seconds > 0
        trained.append(model.state_dict())
    moved = max((trained[0][name] - before[name]).abs().max().item() for name in before)
    for name in before:
        torch.testing.assert_close(
            trained[0][name], trained[1][name], rtol=0, atol=moved / 50, msg=name
        )
    assert moved > 1e-7


def test_padding_to_a_length_changes_no_logit(tiny_run):
    run = tiny_run(dropout=0.0)
    train_set, _ = tokenized_splits(run, load_tokenizer(run.model_source))
    model, indices = loaded(run).eval(), np.arange(4)
    short, long = (
        {name: torch.from_numpy(x) for name, x in batch.items() if name != "labels"}
        for batch in (train_set.batch(indices), padded(train_set, indices, 64))
    )
    assert long["input_ids"].shape == (4, 64) > tuple(short["input_ids"].shape)
    with torch.no_grad():
        torch.testing.assert_close(model(**short).logits, model(**long).logits, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_rows(tiny_run, tiny_model, tmp_path, monkeypatch):
    options = Namespace(steps=2, rounds=2, dtypes=["float32"])
    rows = compare(tiny_run(), options)
    names = {"official", "plain", "ours", "limit"}
    assert names <= {row["name"] for row in rows} <= names | {"trainer"} and {
        row["round"] for row in rows
    } == {1, 2}
    assert all(row["seconds"] > 0 for row in rows)
    stacked = stacked_rows(tiny_run(), options)
    assert [row["runs"] for row in stacked] == [1, 2, 5, 12, 25] and stacked[-1][
        "seconds"
    ] < stacked[0]["seconds"]

    monkeypatch.setattr(
        "sys.argv",
        [
            "",
            "--model",
            str(tiny_model),
            "--tasks",
            "rte",
            "--steps",
            "1",
            "--rounds",
            "1",
            "--engine",
            "serial",
            "--results",
            str(tmp_path),
        ],
    )
    monkeypatch.setattr(
        "experiments.benchmark.__main__.growth",
        lambda run, options: [single_row("examples", replace(run, epochs=1, train_examples=32))],
    )
    monkeypatch.setattr("experiments.benchmark.__main__.whole_machine", lambda run, options: [])
    main()
    monkeypatch.setattr(
        "sys.argv",
        [
            "",
            "--model",
            str(tiny_model),
            "--tasks",
            "rte",
            "--steps",
            "101",
            "--results",
            str(tmp_path),
        ],
    )
    with pytest.raises(BadInput, match="rte has examples for 100 steps"):
        main()
    table = pd.read_csv(tmp_path / "benchmark.csv")
    assert table["part"].value_counts().to_dict() == {
        "contenders": len({row["name"] for row in rows}),
        "examples": 1,
    }
    assert (table["seconds"] > 0).all() and table.loc[table["part"] == "examples", "megabytes"].gt(
        50
    ).all()


@pytest.mark.slow
def test_whole_machine(tiny_run, monkeypatch):
    monkeypatch.setattr(
        "experiments.benchmark.machine.contenders", lambda options: [("ours", "float32")]
    )
    monkeypatch.setattr("experiments.sweeps.engine.cores", lambda: 1)  # one process and one way
    (row,) = whole_machine(tiny_run(), Namespace(steps=2, rounds=2, dtypes=["float32"]))
    assert (row["processes"], row["threads"], row["name"]) == (1, 1, "ours") and row["seconds"] > 0


def test_a_regression_is_refused(monkeypatch, glue, gte_small, tmp_path):
    where = ["--model", str(gte_small), "--data", str(glue), "--results", str(tmp_path)]
    asked = ["", "--profile", "small", *where, "--tasks", "stsb", "--steps", "1", "--plan"]
    monkeypatch.setattr("sys.argv", asked)
    with pytest.raises(BadInput, match="tell classes, and stsb has none"):
        main()


def test_the_dtype_of_one_run_is_said_to_do_nothing(monkeypatch, capsys, tmp_path):
    plan = ["", "--plan", "--steps", "2", "--results", str(tmp_path)]
    said = "warning: --dtype bfloat16 does nothing in the benchmark: --dtypes chooses\n"
    for flags, lines in ([], ""), (["--dtype", "bfloat16"], said):
        monkeypatch.setattr("sys.argv", [*plan, *flags])
        main()
        assert capsys.readouterr().err == lines

"""The callback's bound on stored runs, against runs written by hand."""

import json

import pytest

from analysis.diagnosis import callback_bound
from analysis.diagnosis.callback_bound import counted, flagged
from experiments.finetuning import callback


def a_record(first=1e-5, loss=0.69, failed=True, **run):
    """100 steps, a gradient norm every 10: of the layer's matrix at `first` in the window, of the
    classifier at 1."""
    norms = [[first if 20 <= step < 30 else 1.0, 1.0] for step in range(0, 100, 10)]
    losses = [loss if 20 <= step < 30 else 0.1 for step in range(100)]
    return {
        "run": {"task": "rte", "model": "a-model@1", "data": "glue@1", **run},
        "outcome": {"steps": 100, "label_entropy": 0.693, "failed": failed, "diverged": False},
        "history": {
            "gradient_norms": norms,
            "gradient_norm_of": ["layer 1 output", "classifier"],
            "gradient_norm_every": 10,
            "train_loss": losses,
        },
    }


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (a_record(), True),
        (a_record(first=1.1e-3), False),
        (a_record(loss=0.66), False),  # it has left chance
        (a_record(lora_rank=8), None),
        (a_record(frozen_layers=12), None),
    ],
)
def test_flagged(record, expected):
    assert flagged(record) is expected


def test_a_run_without_the_first_layer_or_a_number_is_left_out():
    record = a_record()
    record["history"]["gradient_norm_of"] = ["layer 2 output", "classifier"]
    assert flagged(record) is None
    record = a_record()
    record["outcome"]["diverged"] = True
    assert flagged(record) is None


def test_counts_by_store_and_task(tmp_path):
    (tmp_path / "runs").mkdir()
    records = [a_record(), a_record(first=1.0), a_record(failed=False), a_record(lora_rank=8)]
    for number, record in enumerate(records):
        (tmp_path / "runs" / f"{number}.json").write_text(json.dumps(record))
    (row,) = counted([tmp_path]).to_dict("records")
    assert (row["model"], row["task"]) == ("a-model", "RTE")
    assert (row["failed"], row["caught"], row["others"], row["flagged"]) == (2, 1, 1, 1)


def test_the_bound_is_the_callbacks():
    """A whole layer's norm is three times the matrix's, or more."""
    assert callback_bound.WINDOW == callback.WINDOW and callback_bound.NEAR == callback.NEAR
    assert pytest.approx(3 * callback_bound.VANISHED) == callback.VANISHED

"""The committed confusion table, and how it is made."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from scipy.stats import binomtest

from analysis.diagnosis import accuracy, advice, finished
from analysis.diagnosis.logs import from_json
from analysis.diagnosis.verdict import COLLAPSED, LEARNT, LIES, MEMORISED, NEVER, NO_NUMBER


def a_curve(losses, scores, dev, failed=False, diverged=False, width=1.0, seed=2):
    steps = int(len(losses) * width)
    ends = np.linspace(steps / len(scores), steps, len(scores))
    return finished.Curve(
        "made up", "mini", seed, "accuracy", width, np.array(losses, dtype=float),
        pd.DataFrame({"step": ends.astype(int), "dev_loss": dev, "score": scores}),
        steps, 0.69, 0.53, failed, diverged, dev[-1],
    )  # fmt: skip


FLAT = [0.69] * 300
NINE = [0.7] * 9
TRUTHS = {
    "at chance": (a_curve(FLAT, [0.53] * 10, [0.69] * 10, failed=True), NEVER),
    "learnt between": (a_curve(FLAT, [0.8] + [0.53] * 9, [0.5] + NINE, failed=True), COLLAPSED),
    "a score without its loss": (a_curve(FLAT, [0.8] + [0.53] * 9, [0.69] + NINE, True), NEVER),
    "learnt": (a_curve([0.3] * 300, [0.9] * 10, [0.3] * 10), LEARNT),
    "by heart": (a_curve([0.01] * 300, [0.54] * 10, [2.0] * 10), MEMORISED),
    "diverged": (a_curve(FLAT, [0.53] * 10, [0.69] * 10, True, diverged=True), NO_NUMBER),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_what_became_of_a_run(name):
    curve, shape = TRUTHS[name]
    assert finished.truth(curve) == shape


@pytest.mark.parametrize(
    "logging, records", [("10", 30), ("50", 6), ("500", 0), ("evaluations only", 0)]
)
def test_a_run_as_the_trainer_would_have_logged_it(logging, records):
    """Means of the losses since the last record, three evaluations, the closing mean."""
    losses = np.random.default_rng(1).uniform(0, 1, 300)
    state = finished.written_out(
        a_curve(losses, np.linspace(0.5, 0.9, 9), [0.6] * 9), logging, "scores"
    )
    log = from_json(state, "a log", None)
    assert len(log.training) == records
    if records:
        means = losses.reshape(records, -1).mean(axis=1)
        assert np.abs(log.training.loss - means).max() <= 0.5e-4  # the Trainer rounds to 4 digits
        assert log.training.step[0] == int(logging)
    assert log.evaluations.step.tolist() == [100, 200, 300]
    assert log.mean_loss == pytest.approx(losses.mean())
    assert not log.notes


def test_a_curve_of_coarse_means_is_not_written_finer():
    curve = a_curve([0.5] * 30, [0.9] * 3, [0.3] * 3, width=10.0)
    assert finished.written_out(curve, "10", "scores")["log_history"][0]["step"] == 10
    coarse = a_curve([0.5] * 9, [0.9] * 3, [0.3] * 3, width=33.0)
    assert finished.written_out(coarse, "10", "scores") is None
    assert finished.written_out(coarse, "500", "scores")


def test_runs_that_learnt_are_counted_again_with_a_broken_metric():
    cases = finished.cases_of([TRUTHS["learnt"][0], TRUTHS["at chance"][0]])
    assert [true for _, true in cases] == [LEARNT, LIES, NEVER]
    assert set(cases[1][0].evaluations["score"]) == {0.53}


def test_a_store_gives_its_runs(tmp_path):
    (tmp_path / "runs").mkdir()
    evaluations = [
        {"step": 0, "accuracy": 0.5, "dev_loss": 1},
        {"step": 2, "accuracy": 0.9, "dev_loss": 0.2},
    ]
    history = {"train_loss": [0.7, 0.6], "evaluations": evaluations}
    outcome = {"metric": "accuracy", "steps": 2, "label_entropy": 0.69, "majority_level": 0.5,
               "failed": False, "diverged": False, "dev_loss": 0.2}  # fmt: skip
    run = {"task": "rte", "model": "checkpoint@1234abcd", "data": "mini", "head_seed": 4}
    record = {"run": run, "outcome": outcome, "history": history}
    (tmp_path / "runs" / "a.json").write_text(json.dumps(record))
    (curve,) = finished.stored_curves(tmp_path)
    assert (curve.model, curve.seed) == ("mini", 4)
    assert curve.losses.tolist() == [0.7, 0.6]
    assert curve.evaluations["step"].tolist() == [2]


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(advice.ACCURACY, dtype={"logging": str})


def test_the_committed_tables_intervals(table):
    keys = [*accuracy.KEYS, "verdict"]
    assert (table.groupby(keys)["runs"].sum() == table.groupby(keys)["of_verdict"].first()).all()
    for row in table.itertuples():
        interval = binomtest(row.runs, row.of_verdict).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high), rel=1e-4)


def test_the_committed_tables_sizes(table):
    """As many runs as runs.csv has with even seeds."""
    runs = pd.read_csv(accuracy.HERE / "runs.csv")
    written = table[(table["log"] == "written out") & (table["logging"] == "evaluations only")]
    scored = written[(written["seen"] == "scores") & (written["labels"] == "given")]
    assert scored["runs"].sum() == runs["held_out"].sum()
    by_truth = scored.groupby("truth")["runs"].sum()
    assert by_truth.to_dict() == runs.groupby("truth")["held_out"].sum().to_dict()


def test_the_part_of_the_table_that_the_repository_alone_gives(table):
    """The committed curves come out as they are counted: no count of them exceeds the table's."""
    curves = finished.committed_curves()
    runs = pd.read_csv(accuracy.HERE / "runs.csv")
    ours = accuracy.provenance(finished.cases_of(curves))
    assert ours.merge(runs).equals(ours)
    even = [case for case in finished.cases_of(curves) if case[0].seed % 2 == 0]
    few = even[:: max(1, len(even) // 20)]
    counts = accuracy.counted(accuracy.confusion(few))
    both = counts.merge(table, on=[*accuracy.KEYS, "verdict", "truth"], how="left")
    assert (both["runs_x"] <= both["runs_y"]).all()


def test_the_trainers_own_logs_come_out_as_committed(table):
    folder = REPOSITORY / "tests" / "analysis" / "trainer_logs"
    counts = accuracy.counted(accuracy.trainer_rows(folder)).reset_index(drop=True)
    committed = table[table["log"] == "the Trainer's"].reset_index(drop=True)
    names = [*accuracy.KEYS, "verdict", "truth", "runs", "of_verdict"]
    assert counts[names].equals(committed[names])

"""Runs of each kind and what the rule says of them, counts and medians by hand, losses that a
log axis cannot show."""

import sys

import numpy as np
import pandas as pd
import pytest

from analysis.convergence_pitfalls import (
    DIAGNOSES,
    diagnose,
    draw,
    main,
    medians,
    table,
    with_diagnoses,
)
from analysis.shared.reading import BadInput, run_command

MOVED = {
    "first_loss": 0.69,
    "highest_loss": 0.72,
    "first_dev_loss": 0.7,
    "margin_change": 3.0,
    "margin_spread": 2.0,
    "first_layer_gradient_at_start": 0.2,
    "classifier_gradient_at_start": 2.0,
    "first_layer_gradient_at_end": 0.2,
    "classifier_gradient_at_end": 2.0,
    "constant_prediction": False,
    "label_entropy": 0.69,
}
LEARNT = {
    **MOVED,
    "condition": "with bias correction",
    "score": 0.9,
    "last_loss": 0.1,
    "last_dev_loss": 0.3,
    "lowest_dev_loss": 0.3,
}
LOST = {
    **MOVED,
    "score": 0.5,
    "last_loss": 0.7,
    "last_dev_loss": 0.7,
    "lowest_dev_loss": 0.69,
    "constant_prediction": True,
    "margin_spread": 0.0,
}
RUNS = {
    "loss rose": {
        **LOST,
        "condition": "rate too high",
        "highest_loss": 40.0,
        "first_layer_gradient_at_end": 1e-9,
    },
    "collapsed": {**LOST, "condition": "rate rising to the end", "lowest_dev_loss": 0.4},
    "never moved": {**LOST, "condition": "SGD", "margin_change": 0.1},
    "memorised": {
        **LOST,
        "condition": "8 examples",
        "last_loss": 0.01,
        "last_dev_loss": 2.5,
        "constant_prediction": False,
    },
    "vanished": {
        **LOST,
        "condition": "without bias correction",
        "margin_change": 0.1,
        "first_layer_gradient_at_end": 1e-4,
    },
    "learnt": LEARNT,
    "unclear": {**LOST, "condition": "without bias correction", "constant_prediction": False},
}


@pytest.fixture
def make(a_run):
    """A function that makes the row of a run of RUNS, with further columns."""

    def row(kind, **columns):
        columns = {**RUNS[kind], **columns}
        return a_run(columns.pop("score"), **columns)

    return row


@pytest.fixture
def runs(make):
    """One run of each kind, two vanished ones, and one of 2 equal labels that says something
    else than its condition."""
    rows = [
        *map(make, RUNS),
        make("vanished"),
        make("learnt", condition="2 examples", label_entropy=-0.0),
    ]
    return pd.DataFrame([{**row, "run": f"{i}"} for i, row in enumerate(rows)])


@pytest.fixture
def curves(runs):
    """Three records a run; the one that diverged stops after two, without a loss and with an
    infinite gradient."""
    rows = [
        {
            **run,
            "step": step,
            "train_loss": loss,
            "score": score,
            "first_layer_gradient": 0.1,
            "classifier_gradient": 1.0,
        }
        for run in runs.to_dict("records")
        for step, loss, score in ((0, 0.7, 0.5), (10, 0.6, np.nan), (20, 0.0, run["score"]))
    ]
    curves = pd.DataFrame(rows)
    stopped = curves["condition"] == "rate too high"
    curves.loc[
        stopped & (curves["step"] == 10),
        ["train_loss", "first_layer_gradient", "classifier_gradient"],
    ] = np.nan, np.inf, 0.0
    return curves[~(stopped & (curves["step"] == 20))]


@pytest.mark.parametrize("kind", DIAGNOSES)
def test_each_kind(make, kind):
    assert diagnose(pd.Series(make(kind))) == kind


@pytest.mark.parametrize(
    "kind, columns, says",
    [
        ("loss rose", {"highest_loss": np.nan, "last_loss": np.nan, "diverged": True}, "loss rose"),
        # a high rate that only went a little above the label entropy
        ("loss rose", {"highest_loss": 1.1}, "vanished"),
        # once 0.05 nats below the label entropy is no learning
        ("collapsed", {"lowest_dev_loss": 0.64}, "unclear"),
        ("collapsed", {"lowest_dev_loss": np.nan}, "unclear"),  # older CSVs
        # whatever the gradient and the margins look like at the end
        ("collapsed", {"margin_change": 0.1, "first_layer_gradient_at_end": 1e-4}, "collapsed"),
        # the random classifier happened to be above the majority level
        ("never moved", {"score": 0.51}, "never moved"),
        ("memorised", {"score": 0.7}, "memorised"),  # by its dev loss
        # by its score, 8 % of the way from 0.5 to 1
        ("memorised", {"last_dev_loss": 0.8, "score": 0.54}, "memorised"),
        ("memorised", {"last_dev_loss": 0.8, "score": 0.56}, "learnt"),  # 12 %
        (
            "vanished",
            {
                "first_layer_gradient_at_end": 0.003,
                "classifier_gradient_at_end": 0.003,
                # small against its start, not against the classifier's
                "first_layer_gradient_at_start": 0.4,
            },
            "vanished",
        ),
        ("vanished", {"first_layer_gradient_at_end": np.nan, "margin_change": 1.0}, "unclear"),
        ("vanished", {"last_loss": 0.5}, "unclear"),
    ],
)
def test_between_kinds(make, kind, columns, says):
    assert diagnose(pd.Series(make(kind, **columns))) == says


def test_only_the_curves_are_seen(make):
    """What was done changes nothing in what the rule says."""
    for kind in RUNS:
        hidden = {
            "condition": "SGD",
            "learning_rate": 9.0,
            "bias_correction": True,
            "epochs": 99,
            "train_examples": 2,
        }
        assert diagnose(pd.Series(make(kind, **hidden))) == kind
        assert diagnose(pd.Series(make(kind)).drop(list(hidden))) == kind


def test_six_classes_begin_at_a_higher_loss(make):
    """1.79 nats before training is no loss that rose; of a sample of one class neither, since the
    task's own entropy counts."""
    six = {"label_entropy": 1.7, "highest_loss": 1.85, "first_loss": 1.8}
    rows = [
        make("learnt", **six),
        make("memorised", **{**six, "label_entropy": 0.0, "last_dev_loss": 2.5}),
        make("learnt", **{**six, "highest_loss": 2.3}),
    ]
    found = with_diagnoses(pd.DataFrame(rows))["diagnosis"]
    assert found.sort_index().tolist() == ["learnt", "memorised", "loss rose"]


def test_a_regression_is_not_judged(runs, curves, tmp_path, capsys, monkeypatch):
    runs.to_csv(tmp_path / "convergence_pitfalls.csv", index=False)
    of_numbers = curves.assign(metric="pearson", run=[f"{i}" for i in range(len(curves))])
    of_numbers.to_csv(tmp_path / "convergence_pitfalls_curves.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["x", "--results", str(tmp_path)])
    with pytest.raises(BadInput, match="which a regression has not"):
        main()


def test_counts_and_shares(runs):
    rows = table(with_diagnoses(runs)).set_index("condition")
    assert list(rows.index) == [
        "with bias correction",
        "without bias correction, failed",
        "rate too high",
        "rate rising to the end",
        "SGD",
        "2 examples",
        "8 examples",
    ]
    failed = rows.loc["without bias correction, failed"]
    assert list(failed[["n", "failed", "vanished", "unclear", "expected"]]) == [
        3,
        3,
        2,
        1,
        "vanished",
    ]
    z, share = 1.959964, 2 / 3  # the Wilson interval of 2 of 3
    half = z * (share * (1 - share) / 3 + z**2 / 36) ** 0.5 / (1 + z**2 / 3)
    assert failed["as_expected"] == pytest.approx(share)
    assert failed["as_expected_high"] - failed["as_expected_low"] == pytest.approx(2 * half)
    assert list(rows["as_expected"]) == pytest.approx([1, 2 / 3, 1, 1, 1, 0, 1])
    assert (rows[DIAGNOSES].sum(axis=1) == rows["n"]).all()


def test_medians(runs):
    rows = medians(
        with_diagnoses(runs.assign(highest_loss=[np.inf, *runs["highest_loss"][1:]]))
    ).set_index("condition")
    failed = rows.loc["without bias correction, failed"]
    assert list(failed[["n", "failed", "margin_change", "first_layer_gradient_at_end"]]) == [
        3,
        3,
        "0.1",
        "0.0001",
    ]
    assert rows.loc["rate too high", "highest_loss"] == "-"


def test_panels(curves):
    figure = draw(
        pd.concat(
            [
                curves,
                curves[curves["condition"] == "with bias correction"].assign(epochs=20, run="9"),
            ]
        )
    )
    axes = figure.subfigs[0].axes
    assert [panel.get_title() for panel in axes[:3]] == [
        "training loss (nats)",
        "dev accuracy (%)",
        "gradient norm (L2)",
    ]
    losses, gradients = axes[::3], axes[2::3]
    assert [panel.get_ylabel() for panel in losses] == [
        "with bias correction\n3e-4, 3 epochs\n0 of 1 failed",
        "with bias correction\n3e-4, 20 epochs\n0 of 1 failed",
        "without bias correction\n3e-4, 3 epochs\n3 of 3 failed",
        "rate too high\n3e-4, 3 epochs\n1 of 1 failed",
        "rate rising to the end\n3e-4, 3 epochs\n1 of 1 failed",
        "SGD\n3e-4, 3 epochs\n1 of 1 failed",
        "2 examples\n3e-4, 3 epochs\n0 of 1 failed",
        "8 examples\n3e-4, 3 epochs\n1 of 1 failed",
    ]
    seed, median, *_ = losses[3].lines
    # what is not a number is left out
    assert list(seed.get_xdata()) == [0] and list(median.get_ydata()) == [0.7]
    assert list(losses[0].lines[0].get_ydata()) == [0.7, 0.6, 1e-8]
    # nor what is infinite
    assert [list(line.get_ydata()) for line in gradients[3].lines[::2]] == [[0.1], [1.0, 1e-8]]
    # no line for the label entropy of equal labels, 0
    assert [len(panel.lines) for panel in (losses[0], losses[6])] == [3, 2]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", ["learnt", "loss rose"])
def test_one_run(runs, curves, kind):
    one = runs[runs["condition"] == RUNS[kind]["condition"]]
    draw(curves[curves["run"].isin(one["run"])])
    draw(
        curves[curves["run"].isin(one["run"])].assign(
            train_loss=np.nan, score=np.nan, first_layer_gradient=np.nan
        )
    )
    diagnosed = with_diagnoses(one)
    assert list(table(diagnosed)[kind]) == [1] and len(medians(diagnosed)) == 1


def test_command(runs, curves, run_twice, tmp_path, monkeypatch, capsys):
    runs.to_csv(tmp_path / "convergence_pitfalls.csv", index=False)
    curves.to_csv(tmp_path / "convergence_pitfalls_curves.csv", index=False)
    assert run_twice("convergence_pitfalls", tmp_path) == {
        f"convergence_pitfalls.{kind}" for kind in ("png", "pdf", "md", "csv")
    } | {"convergence_pitfalls_runs.md", "convergence_pitfalls_runs.csv"}
    text = (tmp_path / "first" / "convergence_pitfalls.md").read_text()
    assert (
        "| condition | n | failed | loss rose | collapsed | never moved | memorised | vanished |"
        " learnt | unclear | expected |" in text
    )
    assert (
        "| without bias correction, failed | 3 | 3 | 0 | 0 | 0 | 0 | 2 | 0 | 1 | vanished | 67%"
        " (21% to 94%) |" in text
    )

    monkeypatch.setattr(
        sys, "argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    curves.assign(condition="warm-up forgotten").to_csv(
        tmp_path / "convergence_pitfalls_curves.csv", index=False
    )
    with pytest.raises(BadInput, match="'warm-up forgotten', which is none"):
        main()
    runs.drop(columns="margin_change").to_csv(tmp_path / "convergence_pitfalls.csv", index=False)
    with pytest.raises(SystemExit, match="2"):
        run_command(main)
    line = (
        "convergence_pitfalls.csv lacks the column margin_change; run"
        " experiments/convergence_pitfalls.py again\n"
    )
    assert capsys.readouterr().err == f"error: {tmp_path}/{line}"

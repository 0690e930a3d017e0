"""Every measure of three runs and four examples by hand, runs without outputs, and byte-equal
output without torch."""

import base64
import sys
from math import exp, log

import numpy as np
import pandas as pd
import pytest

from analysis.instability_measures import (
    divergence,
    draw,
    main,
    measures,
    settings,
    table,
    times_right,
)
from analysis.shared.reading import BadInput, run_command

LABELS = np.array([1, 0, 1, 0])
MARGINS = np.array(
    [
        [1.0, -1.0, 2.0, 3.0],  # answers 1 0 1 1
        [1.0, -2.0, -1.0, -1.0],  # answers 1 0 0 0
        [2.0, 1.0, 1.0, -3.0],
    ]
)  # answers 1 1 1 0
# runs 1 and 2: examples 3, 4; 1 and 3: 2, 4; 2 and 3: 2, 3
DISAGREEMENT = (2 / 4 + 2 / 4 + 2 / 4) / 3


def text(margins) -> str:
    return base64.b64encode(np.asarray(margins, dtype="<f2").tobytes()).decode()


@pytest.fixture
def make(a_run):
    """A function that makes the runs of a condition, with scores 0.75, 0.75, 1.0, ... as given
    and these margins."""

    def rows(margins=MARGINS, condition="default", scores=(0.5, 0.75, 1.0)):
        return pd.DataFrame(
            [
                a_run(score, run=f"{condition}{i}", condition=condition, dev_margins=text(row))
                for i, (score, row) in enumerate(zip(scores, margins, strict=True))
            ]
        )

    return rows


def values(runs, margins) -> dict:
    return {
        name: value
        for name, (value, *_) in measures(runs, np.asarray(margins, dtype=float)).items()
    }


def test_measures_by_hand(make):
    found = values(make(), MARGINS)
    assert found["sd"] == pytest.approx((2 * 25**2 / 3) ** 0.5)  # 50, 75, 100
    assert found["sd_not_failed"] == pytest.approx(12.5)  # 75, 100
    assert found["pwd"] == pytest.approx(DISAGREEMENT)
    # Fleiss 1971: answers 1 to the examples 3, 1, 2, 1 of 3; agreement (n1^2 + n0^2 - 3) / 6
    agreement, ones = (
        np.mean([(9 + 0 - 3) / 6, (1 + 4 - 3) / 6, (4 + 1 - 3) / 6, (1 + 4 - 3) / 6]),
        7 / 12,
    )
    chance = ones**2 + (1 - ones) ** 2
    assert found["kappa"] == pytest.approx(1 - (agreement - chance) / (1 - chance))
    right = np.array([3, 2, 2, 2]) / 3  # as the labels say 1 0 1 0
    assert list(times_right(MARGINS, LABELS)) == [3, 2, 2, 2]
    assert found["per_point"] == pytest.approx(np.mean(right * (1 - right)))
    assert found["jsd"] == pytest.approx(
        np.mean([divergence(MARGINS[i], MARGINS[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    )


def test_kappa_of_a_textbook_table():
    """Five raters, four subjects, 5 0, 2 3, 1 4, 0 5 answers of two categories: agreement 1, 8/20,
    12/20, 1, so 0.75; shares 8/20 and 12/20, so chance 0.52 and kappa 0.23 / 0.48."""
    margins = np.array(
        [[1, 1, 1, -1], [1, 1, -1, -1], [1, -1, -1, -1], [1, -1, -1, -1], [1, -1, -1, -1]]
    )
    runs = pd.DataFrame({"score": [0.5] * 5, "failed": [True] * 5})
    assert values(runs, margins)["kappa"] == pytest.approx(1 - 0.23 / 0.48)


@pytest.mark.filterwarnings("error")
def test_divergence_by_hand():
    """Probabilities of label 1 1/2 and 3/4, mean 5/8: in nats, half the sum of both divergences
    from the mean; certain and opposite answers are ln 2 apart, and 0 log 0 is 0."""
    p, q, m = 0.5, 0.75, 0.625
    by_hand = sum(x * log(x / m) + (1 - x) * log((1 - x) / (1 - m)) for x in (p, q)) / 2
    assert divergence(np.array([0.0]), np.array([log(3)])) == pytest.approx(by_hand)
    assert divergence(np.array([0.0, 5.0]), np.array([log(3), 5.0])) == pytest.approx(by_hand / 2)
    assert divergence(np.array([np.inf, 6e4]), np.array([-np.inf, -6e4])) == pytest.approx(log(2))
    assert divergence(MARGINS[0], MARGINS[0]) == 0
    p = 1 / (1 + exp(1))
    by_hand = p * log(2 * p) + (1 - p) * log(2 * (1 - p))  # both from their mean, 1/2
    assert divergence(np.array([1.0]), np.array([-1.0])) == pytest.approx(by_hand)


def test_intervals_leave_out_pairs_of_a_run_with_itself(make):
    """Every two runs differ in 2 of 4 answers, so every draw with a pair gives one half; with
    such pairs it would be less."""
    found = measures(make(), MARGINS)
    assert found["pwd"] == pytest.approx((0.5, 0.5, 0.5))
    assert found["per_point"] == pytest.approx((1 / 6, 1 / 6, 1 / 6))
    # of 50, 50, 100: the furthest apart
    assert found["sd"][1] == 0 and found["sd"][2] == pytest.approx(50 / 3 * 2**0.5)
    assert found["jsd"][1] < found["jsd"][0] < found["jsd"][2]
    assert np.isnan(found["sd_not_failed"][1])  # only two such runs


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_runs_without_outputs(make):
    """Margins that are not a number are the answer 0, and make no probabilities."""
    margins = np.vstack([MARGINS[:2], np.full(4, np.nan)])
    found = values(make(margins), margins)
    assert found["pwd"] == pytest.approx((2 / 4 + 3 / 4 + 1 / 4) / 3)
    assert found["jsd"] == pytest.approx(divergence(MARGINS[0], MARGINS[1]))
    assert list(times_right(margins, LABELS)) == [2, 3, 1, 2]
    row = table(settings(make(margins), {("rte", "mini@1"): LABELS})).iloc[0]
    assert row["left_out_of_jsd"] == 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_equal_answers(make):
    found = measures(make([[1.0] * 4] * 3), np.ones((3, 4)))
    assert (
        found["pwd"] == (0, 0, 0) and found["jsd"] == (0, 0, 0) and np.isnan(found["kappa"]).all()
    )


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("count", [1, 2])
def test_few_runs(make, count):
    few = settings(make()[:count], {("rte", "mini@1"): LABELS})
    draw(few)
    row = table(few).iloc[0]
    assert row["n"] == count and np.isnan(row["sd_low"]) and np.isnan(row["pwd_high"])
    assert np.isnan(row["pwd"]) == (count == 1) and np.isnan(row["sd_not_failed"])


def test_panels(make):
    few = settings(
        pd.concat([make(), make(condition="paper's recipe")[:2]]), {("rte", "mini@1"): LABELS}
    )
    axes = draw(few).subfigs[0].axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [
        "default\nn = 3, 1 failed",
        "paper's recipe\nn = 2, 1 failed",
    ]
    assert [text.get_text() for text in axes[1].texts] == ["n = 2", "n = 1"]  # not failed
    # right by 3, 2, 2, 2 of 3 runs
    assert [bar.get_height() for bar in axes[6].patches] == [0, 0, 75, 25]
    # right by 2, 2, 1, 1 of the first 2
    assert [bar.get_height() for bar in axes[7].patches] == [0, 50, 50]
    assert len(axes) == 8  # six measures and two histograms fill two lines


def test_command(make, run_twice, tmp_path, monkeypatch, capsys):
    runs = pd.concat(
        [make(condition=name) for name in ("paper's recipe", "default", "with bias correction")]
    )
    runs.to_csv(tmp_path / "instability_measures.csv", index=False)
    labels = pd.DataFrame([{"task": "rte", "data": "mini@1", "labels": "1010"}])
    labels.to_csv(tmp_path / "instability_measures_labels.csv", index=False)
    assert run_twice("instability_measures", tmp_path) == {
        f"instability_measures.{kind}" for kind in ("png", "pdf", "md", "csv")
    }
    rows = pd.read_csv(tmp_path / "first" / "instability_measures.csv")
    assert (
        list(rows["condition"]) == ["default", "with bias correction", "paper's recipe"]
        and list(rows["pwd"]) == [0.5] * 3
    )
    assert (
        "| default | 3 | 1 | 0 | 75.00 | 20.41 (0.00 to 23.57) | 12.50 | 0.500 (0.500 to 0.500) |"
        in (tmp_path / "first" / "instability_measures.md").read_text()
    )

    monkeypatch.setattr(
        sys, "argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    for wrong, message in (
        (labels.assign(labels="10100"), "do not fit the 5 dev labels"),
        (labels.assign(task="cola"), "lacks the task rte"),
    ):
        wrong.to_csv(tmp_path / "instability_measures_labels.csv", index=False)
        with pytest.raises(BadInput, match=message):
            main()
    runs.assign(condition="other").to_csv(tmp_path / "instability_measures.csv", index=False)
    with pytest.raises(BadInput, match="has the condition 'other'"):
        main()
    runs.drop(columns="dev_margins").to_csv(tmp_path / "instability_measures.csv", index=False)
    with pytest.raises(SystemExit, match="2"):
        run_command(main)
    line = (
        "instability_measures.csv lacks the column dev_margins; run"
        " experiments/instability_measures.py again\n"
    )
    assert capsys.readouterr().err == f"error: {tmp_path}/{line}"

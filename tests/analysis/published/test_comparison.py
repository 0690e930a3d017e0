"""The comparison with the published runs, on the published runs themselves and on what must not
be judged."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom

from analysis.published.comparison import compare, main, readable, tolerance
from analysis.published.evidence import all_runs, published_points, published_runs, results
from analysis.shared.reading import BadInput


def test_a_csv_of_before_mixout_keeps_its_runs(a_run, tmp_path):
    """Both ways of reading a folder: for the comparison, and for the scorecard."""
    pd.DataFrame([a_run(0.8, run="a"), a_run(0.9, run="b")]).to_csv(
        tmp_path / "bias_correction.csv", index=False
    )
    pd.DataFrame(
        [
            a_run(0.9, run="b", mixout=0.0),
            a_run(0.9, run="c", mixout=0.0),
            a_run(0.9, run="d", mixout=0.7),
        ]
    ).to_csv(tmp_path / "strong_baseline.csv", index=False)
    assert (
        list(all_runs(tmp_path)["run"])
        == list(results(tmp_path)("all runs")["run"])
        == ["a", "b", "c"]
    )


@pytest.fixture
def fig_9():
    """Fig. 9's runs at 2e-5, 3 epochs, without correction, as if they were ours: 23 of 25
    failed."""
    runs = published_runs()
    runs = runs[
        (runs["locator"] == "Fig. 9") & (runs["learning_rate"] == 2e-5) & ~runs["bias_correction"]
    ]
    return runs.assign(
        model="google-bert/bert-large-uncased", data="glue@1", run=runs.index.astype(str)
    ).drop(columns="locator")


def test_the_published_runs_agree_with_themselves(fig_9):
    table = compare(fig_9)
    rows = table.set_index(["published_in", "statistic"])
    # the same runs are drawn in Figs 1 and 9
    assert list(table["published_in"].unique()) == ["Fig. 1, Fig. 9", "Fig. 5"]
    assert rows["published"].round(1).to_dict() == {
        ("Fig. 1, Fig. 9", "mean"): 50.9,
        ("Fig. 1, Fig. 9", "std"): 4.5,
        ("Fig. 1, Fig. 9", "failed"): 23,
        ("Fig. 5", "mean"): 52.3,
        ("Fig. 5", "std"): 7.2,
        ("Fig. 5", "failed"): 20,
    }
    assert (
        (rows["verdict"] == "inside").all()
        and (rows["n"] == 25).all()
        and (rows["published_n"] == 25).all()
    )
    assert rows["fisher_p"]["Fig. 1, Fig. 9", "failed"] == 1
    # 23 and 20 of 25, two-sided by hand: all tables with 43 failures of 50 that are no likelier
    # than this one
    chances = [hypergeom(50, 43, 25).pmf(k) for k in range(18, 26)]
    expected = sum(p for p in chances if p <= chances[23 - 18] * (1 + 1e-9))
    assert rows["fisher_p"]["Fig. 5", "failed"] == pytest.approx(expected)
    cells = readable(table).iloc[1]
    assert cells["failed"] == "23; 20 (p 0.42): inside" and cells["mean"].startswith("50.9; 52.3 (")
    assert cells["published in"] == "Fig. 5"


def test_runs_that_all_learn_lie_outside(fig_9):
    verdicts = compare(fig_9.assign(failed=False, score=0.7)).set_index(
        ["published_in", "statistic"]
    )["verdict"]
    assert (verdicts == "outside").all()


def test_other_published_settings_are_compared_too():
    points = published_points()
    points = points[(points["locator"] == "Fig. 3") & (points["task"] == "mrpc")].assign(
        data="glue@1"
    )
    table = compare(points)
    assert (
        (table["verdict"] == "inside").all()
        and len(table) == 9
        and set(table["published_in"]) == {"Fig. 3", "Fig. 1, Fig. 3"}
    )
    assert set(table.loc[table["statistic"] == "failed", "published"]) == {20, 14, 16}


def test_few_runs_are_not_judged(fig_9):
    assert (compare(fig_9.head(9))["verdict"] == "too few runs").all()


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        *(
            ({name: value}, "not judged: no such published runs")
            for name, value in (
                ("task", "scitail"),
                ("learning_rate", 5e-5),
                ("epochs", 5),
                ("pretrained", False),
                ("dtype", "bfloat16"),
                ("train_examples", 100),
                ("max_length", 64),
                ("schedule", "constant"),
            )
        ),
        ({"model": "checkpoint@1"}, "not judged: another model"),
        ({"data": "mini@1"}, "not judged: another model"),
    ],
)
def test_other_settings_are_shown_and_not_judged(fig_9, change, verdict):
    table = compare(fig_9.assign(**change))
    assert list(table["verdict"]) == [verdict] * 3 and list(table["ours"].round(1)) == [
        50.9,
        4.5,
        23,
    ]
    assert readable(table).iloc[0][["mean", "std", "failed", "published in"]].tolist() == [
        "50.9",
        "4.5",
        "23",
        verdict,
    ]


def test_runs_that_differ_in_more_than_seeds_are_not_judged(fig_9):
    """12 with segment ids and 13 without are no 25 runs of one setting."""
    mixed = fig_9.assign(segment_ids=[True] * 12 + [False] * 13, head_seed=range(25))
    table = compare(mixed)
    assert list(table["verdict"]) == ["not judged: runs that differ in segment_ids"] * 3
    assert (compare(mixed.assign(segment_ids=False))["verdict"] == "inside").all()


def test_the_tolerance_holds_the_chance_of_both_sets():
    """Of a mean: s sqrt(1/N + 1/n) on either side; so more runs of ours narrow it, but not to
    nothing."""
    points = pd.Series(np.linspace(0, 1, 50))
    for n in (10, 50, 1000):
        low, high = tolerance(points, n)["mean"]
        half = 1.96 * points.std(ddof=0) * (1 / 50 + 1 / n) ** 0.5
        assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.15 * half)


def test_the_command(fig_9, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["check", "--results", str(tmp_path), "--figures", str(tmp_path / "figures")]
    )
    with pytest.raises(BadInput, match=r"no bias_correction\.csv"):
        main()
    for name in ("bias_correction", "training_length"):  # the same runs in both
        fig_9.to_csv(tmp_path / f"{name}.csv", index=False)
    assert len(all_runs(tmp_path)) == 25
    main()
    assert "6 statistics were judged, 0 of them lie outside" in (
        tmp_path / "figures" / "comparison.md"
    ).read_text(encoding="utf-8")
    assert "23; 20 (p 0.42): inside" in capsys.readouterr().out

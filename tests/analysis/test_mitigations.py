"""Mitigations: their table, and the tests of each against none, against hand computations."""

import pandas as pd
import pytest
from scipy.stats import f, t

from analysis.mitigations import compare, draw, in_order, main, table
from analysis.shared.reading import run_command


def method(a_run, name, corrected, scores, **columns):
    return [a_run(score, method=name, bias_correction=corrected, **columns) for score in scores]


@pytest.fixture
def runs(a_run):
    return pd.DataFrame(
        [
            *method(a_run, "Mixout 0.7", False, [0.5, 0.8, 0.85, 0.9]),
            *method(a_run, "Mixout 0.7", True, [0.9] * 4),
            *method(a_run, "none", False, [0.5, 0.5, 0.5, 0.9]),
            *method(a_run, "none", True, [0.9] * 4),
            *method(
                a_run,
                "re-initialisation of 5",
                False,
                [0.8],
                task="cola",
                metric="matthews_correlation",
            ),
        ]
    )


def against_none(runs):
    rows = compare(runs)
    return rows[rows["against"] == "none"].set_index(["task", "bias_correction", "method"])


def test_methods_without_correction_stand_against_bias_correction_too(runs):
    rows = compare(runs)
    row = rows[rows["against"] == "bias correction alone"]
    assert row[
        ["task", "bias_correction", "method", "method: failed", "other: failed", "other: n"]
    ].to_numpy().tolist() == [["rte", False, "Mixout 0.7", 1, 0, 4]]


def test_mixout_stands_against_its_control_too(runs, a_run):
    runs = pd.concat([runs, pd.DataFrame(method(a_run, "no dropout", False, [0.5, 0.6, 0.7, 0.8]))])
    rows = compare(runs).query("task == 'rte'").set_index(["method", "bias_correction", "against"])
    assert list(rows.index) == [
        ("Mixout 0.7", False, "none"),
        ("Mixout 0.7", False, "no dropout"),
        ("Mixout 0.7", False, "bias correction alone"),
        ("no dropout", False, "none"),
        ("no dropout", False, "bias correction alone"),
        ("Mixout 0.7", True, "none"),
    ]
    control = rows.loc[("Mixout 0.7", False, "no dropout")]
    assert control["other: failed"] == 1 and control["difference of means"] == pytest.approx(
        76.25 - 65
    )


def test_each_method_stands_against_the_low_rate_too(runs, a_run):
    """Of another rate, in the same panel; the low rate itself does not."""
    low = [
        *method(a_run, "0.3 x the rate", False, [0.5, 0.8, 0.9, 0.9], learning_rate=9e-5),
        *method(a_run, "0.3 x the rate", True, [0.9] * 4, learning_rate=9e-5),
    ]
    runs = pd.concat([runs, pd.DataFrame(low)])
    rows = compare(runs).query("task == 'rte'").set_index(["method", "bias_correction", "against"])
    assert list(rows.index) == [
        ("0.3 x the rate", False, "none"),
        ("0.3 x the rate", False, "bias correction alone"),
        ("Mixout 0.7", False, "none"),
        ("Mixout 0.7", False, "0.3 x the rate"),
        ("Mixout 0.7", False, "bias correction alone"),
        ("0.3 x the rate", True, "none"),
        ("Mixout 0.7", True, "none"),
        ("Mixout 0.7", True, "0.3 x the rate"),
    ]
    mixout = rows.loc[("Mixout 0.7", False, "0.3 x the rate")]
    assert mixout[["method: failed", "other: failed", "Fisher p"]].tolist() == [1, 1, "1"]
    assert rows.loc[("0.3 x the rate", False, "none"), "learning_rate"] == "9e-5"
    assert rows.loc[("Mixout 0.7", False, "none"), "learning_rate"] == "3e-4"
    _, panel = draw(runs).axes
    assert "3e-4" in panel.get_title()
    names = [label.get_text().strip().split("\n") for label in panel.get_xticklabels()]
    assert names == [["none"], ["0.3 x the", "rate", "9e-5"], ["Mixout 0.7"]]
    assert table(runs)["learning_rate"].tolist() == ["3e-4"] * 3 + ["9e-5"] * 2 + ["3e-4"] * 2


def test_scores_of_each_method_with_none_first(runs):
    rows = table(runs)
    assert list(rows["task"] + " " + rows["method"]) == [
        "cola re-initialisation of 5",
        "rte none",
        "rte none",
        "rte Mixout 0.7",
        "rte Mixout 0.7",
    ]
    none = rows.iloc[1]
    assert (none["n"], none["failed"], none["bias_correction"], none["learning_rate"]) == (
        4,
        3,
        False,
        "3e-4",
    )
    assert (
        none["mean"] == pytest.approx(60)
        and none["median"] == pytest.approx(50)
        and none["max"] == pytest.approx(90)
    )
    assert none["std"] == pytest.approx((3 * 10**2 / 4 + 30**2 / 4) ** 0.5)


def test_what_is_trained_and_what_a_step_costs(a_run):
    """As a share of the default recipe's operations; an older row, of none, lacks the columns and
    trains all, as the low rate does; nothing is known of batches of 4."""
    new = {"frozen_layers": 0, "lora_rank": 0, "batch_size": 16}
    all_of_it = {"trained_parameters": 1000, "step_operations": 3e9}
    half = {"trained_parameters": 600, "step_operations": 2e9}
    runs = pd.DataFrame(
        [
            *method(a_run, "none", False, [0.5, 0.8], batch_size=16),
            *method(a_run, "0.3 x the rate", False, [0.8], learning_rate=9e-5, **new, **all_of_it),
            *method(a_run, "lower half frozen", False, [0.8], **new | {"frozen_layers": 2}, **half),
            *method(a_run, "small batches", False, [0.8], batch_size=4),
        ]
    )
    rows = table(runs).set_index("method")[["trained_parameters", "cost_of_a_step"]]
    assert rows.T.to_dict("list") == {
        "none": ["1000", "1.00"],
        "0.3 x the rate": ["1000", "1.00"],
        "lower half frozen": ["600", "0.67"],
        "small batches": ["-", "-"],
    }
    assert "trained_parameters" not in table(runs.drop(columns="step_operations"))


def test_the_methods_in_order():
    names = ["LoRA, 10 x the rate", "LoRA, 5 x the rate", "Mixout 0.7", "0.3 x the rate", "none"]
    ordered = in_order(pd.DataFrame({"method": names}))
    assert ordered == ["none", "0.3 x the rate", names[1], names[0], "Mixout 0.7"]


def test_a_pair_of_boxes_for_each_method_with_its_failures(runs):
    cola, rte = draw(runs).axes
    assert [label.get_text() for label in rte.get_xticklabels()] == ["\nnone", "\nMixout 0.7"]
    assert [text.get_text() for text in rte.texts] == ["3/4", "0/4", "1/4", "0/4"]
    assert [label.get_text() for label in cola.get_xticklabels()] == ["\nre-initialisation\nof 5"]


def test_each_method_against_none_with_the_same_optimiser(runs):
    rows = against_none(runs)
    mixout = rows.loc[("rte", False, "Mixout 0.7")]
    assert mixout[["method: n", "method: failed", "other: n", "other: failed"]].tolist() == [
        4,
        1,
        4,
        3,
    ]
    # 1 and 3 of 4 or further apart: 16 + 16 + 1 + 1 of C(8, 4) ways
    assert mixout["Fisher p"] == f"{34 / 70:.2g}"
    # distances from the medians 50 and 82.5: 0, 0, 0, 40 and 32.5, 2.5, 2.5, 7.5, of means 10 and
    # 11.25
    within = 3 * 10**2 + 30**2 + 21.25**2 + 2 * 8.75**2 + 3.75**2
    assert mixout["Levene p"] == f"{f.sf(8 * 0.625**2 / (within / 6), 1, 6):.2g}"
    assert mixout["method: std"] == pytest.approx((968.75 / 4) ** 0.5)


def test_difference_of_means_with_welchs_interval(runs, monkeypatch):
    # few runs, for the hand
    monkeypatch.setattr("analysis.shared.estimates.interval_allowed", lambda *groups: True)
    mixout = against_none(runs).loc[("rte", False, "Mixout 0.7")]
    errors = 1200 / 3 / 4, 968.75 / 3 / 4  # squared: sums of squares around the means 60 and 76.25
    half = (
        t.ppf(0.975, sum(errors) ** 2 / sum(error**2 / 3 for error in errors)) * sum(errors) ** 0.5
    )
    assert mixout["difference of means"] == pytest.approx(16.25)
    assert (mixout["95 % from"], mixout["95 % to"]) == pytest.approx((16.25 - half, 16.25 + half))


def test_p_values_are_adjusted_over_the_table(a_run):
    """6 of 6 failures against none: Fisher 2 of C(12, 6). Distances from the medians 0 against 2.5,
    1.5, 0.5 twice: F = 6.75 / 0.4 with 1 and 10 degrees of freedom. Holm: the smaller times 2, the
    larger at least that."""
    runs = pd.DataFrame(
        [
            *method(a_run, "none", False, [0.5] * 6),
            *method(a_run, "layer-wise rates", False, [0.8, 0.81, 0.82, 0.83, 0.84, 0.85]),
        ]
    )
    row, p = compare(runs).iloc[0], (2 / 924, f.sf(6.75 / 0.4, 1, 10))
    assert (row["Fisher p"], row["Levene p"]) == tuple(f"{raw:.2g}" for raw in p)
    assert row["Fisher p, Holm"] == row["Levene p, Holm"] == f"{2 * min(p):.2g}"


def test_what_cannot_be_tested_is_not(runs):
    rows = against_none(runs)
    equal, alone = (
        rows.loc[("rte", True, "Mixout 0.7")],
        rows.loc[("cola", False, "re-initialisation of 5")],
    )
    assert (equal["Fisher p"], equal["Levene p"], equal["Levene p, Holm"]) == ("1", "-", "-")
    assert equal["difference of means"] == 0 and equal[["95 % from", "95 % to"]].isna().all()
    assert (
        alone[["Fisher p", "Fisher p, Holm", "Levene p", "Levene p, Holm"]].tolist() == ["-"] * 4
        and alone["other: n"] == 0
    )
    assert alone[["other: std", "difference of means", "95 % from"]].isna().all()


def test_command(runs, run_twice, tmp_path, monkeypatch, capsys):
    runs.to_csv(tmp_path / "mitigations.csv", index=False)
    assert run_twice("mitigations", tmp_path) == {
        f"mitigations.{kind}" for kind in ("png", "pdf", "md", "csv")
    } | {"mitigations_tests.md", "mitigations_tests.csv"}
    assert "| none | without | 4 | 60.00 |" in (tmp_path / "first" / "mitigations.md").read_text()
    tests = (tmp_path / "first" / "mitigations_tests.md").read_text()
    assert (
        "all 5 p values" in tests.replace("\n", " ") and "| 1 | 1 | - | - | 0.00 | - | - |" in tests
    )

    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    for wrong, message in (
        (runs.drop(columns="method"), "lacks the column method"),
        (runs[runs["method"] == "none"], "no method but 'none'"),
    ):
        wrong.to_csv(tmp_path / "mitigations.csv", index=False)
        with pytest.raises(SystemExit, match="2"):
            run_command(main)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1

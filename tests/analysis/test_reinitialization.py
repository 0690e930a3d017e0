"""Re-initialisation: the aspects that are drawn, and the choice of L, against hand computations."""

import pandas as pd
import pytest
from scipy.stats import t

from analysis.reinitialization import choose, draw, main, table
from analysis.shared.reading import run_command


def setting(a_run, layers, selection, reporting, **columns):
    """Runs with seeds 1, 2, ...; each score on all of dev is the mean of the halves'."""
    return [
        a_run(
            (first + second) / 2,
            **{
                "reinitialized_layers": layers,
                "bias_correction": True,
                "selection_score": first,
                "reporting_score": second,
                "head_seed": seed,
                "order_seed": seed,
                "dropout_seed": seed,
                **columns,
            },
        )
        for seed, (first, second) in enumerate(zip(selection, reporting, strict=True), 1)
    ]


@pytest.fixture
def runs(a_run):
    """RTE: the selection half chooses 1 layer, the reporting half would have chosen 2. CoLA: it
    chooses none."""
    cola = {"task": "cola", "data": "mini@2", "metric": "matthews_correlation"}
    return pd.DataFrame(
        [
            *setting(a_run, 0, [0.5, 0.7, 0.8], [0.5, 0.7, 0.9]),
            *setting(a_run, 1, [0.7, 0.8, 0.9], [0.7, 0.8, 0.9])[::-1],
            *setting(a_run, 2, [0.6, 0.6, 0.9], [0.8, 0.9, 0.9]),
            *setting(a_run, 0, [0.4] * 3, [0.4] * 3, bias_correction=False),
            *setting(a_run, 2, [0.6] * 3, [0.6] * 3, bias_correction=False),
            *setting(a_run, 0, [0.9], [0.9], epochs=20),
            *setting(a_run, 2, [0.9], [0.9], epochs=20),
            *setting(a_run, 0, [0.8, 0.8], [0.8, 0.7], **cola),
            *setting(a_run, 1, [0.8, 0.8], [0.8, 0.9], **cola),
        ]
    )


def test_scores_of_each_setting(runs):
    rows = table(runs).set_index(["task", "epochs", "bias_correction", "reinitialized_layers"])
    assert len(rows) == 9
    row = rows.loc[("rte", 3, True, 0)]
    assert (row["n"], row["failed"], row["learning_rate"]) == (3, 1, "3e-4")
    assert (
        row["mean"] == pytest.approx(205 / 3)
        and row["median"] == pytest.approx(70)
        and row["max"] == pytest.approx(85)
    )
    assert row["std"] == pytest.approx(
        ((55 / 3) ** 2 / 3 + (5 / 3) ** 2 / 3 + (50 / 3) ** 2 / 3) ** 0.5
    )
    z = 1.959963985  # Wilson's interval of 0 of 3, by hand
    assert rows.loc[("rte", 3, True, 1), "failure_rate_high"] == pytest.approx(z**2 / (3 + z**2))


def test_panels_show_the_layers_and_the_aspects(runs):
    panels = [[label.get_text() for label in axes.get_xticklabels()] for axes in draw(runs).axes]
    assert panels == [
        ["0/2\n0", "0/2\n1"],
        ["0/2\noptimiser"],
        ["1/3\n0", "0/3\n1", "0/3\n2"],
        [
            "3/3\nnone",
            "1/3\noptimiser",
            "0/3\ninitialisation\nL = 2",
            "0/3\noptimiser,\ninitialisation\nL = 2",
            "0/1\noptimiser,\niterations",
            "0/1\nall three\nL = 2",
        ],
    ]


def test_one_half_chooses_and_the_other_reports(runs):
    rows = choose(runs).set_index(["task", "choice"])
    rte = rows.loc[("rte", "all L")]
    assert (rte["chosen L"], rte["best L"], rte["pairs"]) == (1, 2, 3) and rte[
        "chosen: selection mean"
    ] == pytest.approx(80)
    assert (rte["chosen: mean"], rte["L = 0: mean"], rte["best: mean"]) == pytest.approx(
        (80, 70, 260 / 3)
    )
    assert rte["chosen: std"] == pytest.approx((200 / 3) ** 0.5) and rte[
        "L = 0: std"
    ] == pytest.approx((800 / 3) ** 0.5)
    assert (rte["chosen: failed/n"], rte["L = 0: failed/n"], rte["best: failed/n"]) == (
        "0/3",
        "1/3",
        "0/3",
    )
    assert rows.loc[("rte", "L > 0")].equals(rte)


def test_chosen_layers_against_none_by_seed(runs, monkeypatch):
    """Differences 20, 10 and 0 points: mean 10, standard error 10 / sqrt(3), so t = sqrt(3), whose
    two-sided p with 2 degrees of freedom is 1 - t / sqrt(t^2 + 2)."""
    # few runs, for the hand
    monkeypatch.setattr("analysis.shared.estimates.interval_allowed", lambda *groups: True)
    rte = choose(runs).set_index(["task", "choice"]).loc[("rte", "all L")]
    # failures: 0 and 1 of 3
    assert rte["paired p"] == f"{1 - (3 / 5) ** 0.5:.2g}" and rte["Fisher p"] == "1"
    half = t.ppf(0.975, 2) * 10 / 3**0.5
    assert (rte["difference"], rte["95 % from"], rte["95 % to"]) == pytest.approx(
        (10, 10 - half, 10 + half)
    )


def test_the_smallest_of_equals_is_chosen_and_not_tested_against_itself(runs):
    rows = choose(runs).set_index(["task", "choice"])
    none, more = rows.loc[("cola", "all L")], rows.loc[("cola", "L > 0")]
    assert (none["chosen L"], none["best L"], none["pairs"]) == (0, 1, 0)
    assert (
        none[["paired p", "Fisher p"]].tolist() == ["-", "-"]
        and none[["difference", "95 % from", "95 % to"]].isna().all()
    )
    assert (more["chosen L"], more["pairs"], more["difference"], more["Fisher p"]) == (
        1,
        2,
        pytest.approx(10),
        "1",
    )


def test_a_diverged_run_counts_with_its_score_on_all_of_dev(a_run):
    unstable = setting(a_run, 1, [0.9, 0.5], [0.9, 0.5])
    unstable[1] |= {
        "diverged": True,
        "failed": True,
        "selection_score": float("nan"),
        "reporting_score": float("nan"),
    }
    row = choose(pd.DataFrame([*setting(a_run, 0, [0.8, 0.8], [0.8, 0.8]), *unstable])).iloc[0]
    assert row["chosen L"] == 0
    row = choose(pd.DataFrame([*setting(a_run, 0, [0.6, 0.6], [0.6, 0.6]), *unstable])).iloc[0]
    assert (row["chosen L"], row["chosen: mean"], row["chosen: failed/n"], row["pairs"]) == (
        1,
        pytest.approx(70),
        "1/2",
        2,
    )


def test_one_run(a_run):
    for layers, expected in ((0, [["0/1\n0"], ["0/1\noptimiser"]]), (3, [["0/1\n3"], []])):
        alone = pd.DataFrame(setting(a_run, layers, [0.8], [0.8]))
        assert [
            [label.get_text() for label in axes.get_xticklabels()] for axes in draw(alone).axes
        ] == expected
        assert len(table(alone)) == 1 and set(choose(alone)["paired p"]) == {"-"}


def test_command(runs, run_twice, tmp_path, monkeypatch, capsys):
    runs.to_csv(tmp_path / "reinitialization.csv", index=False)
    assert run_twice("reinitialization", tmp_path) == {
        f"reinitialization.{kind}" for kind in ("png", "pdf", "md", "csv")
    } | {"reinitialization_selection.md", "reinitialization_selection.csv"}
    assert (
        "| 3e-4 | 3 | with | 1 | 3 | 80.00 |"
        in (tmp_path / "first" / "reinitialization.md").read_text()
    )
    chosen = (tmp_path / "first" / "reinitialization_selection.md").read_text()
    assert "| 3 | 10.00 | - | - | 0.5 | 1 |" in chosen and "| 0 | - | - | - | - | - |" in chosen

    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    for wrong, message in (
        (runs.drop(columns="selection_score"), "lacks the column selection_score"),
        (runs[~runs["bias_correction"]], "no run of 3 epochs with bias correction"),
    ):
        wrong.to_csv(tmp_path / "reinitialization.csv", index=False)
        with pytest.raises(SystemExit, match="2"):
            run_command(main)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1

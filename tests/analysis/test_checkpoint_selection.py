"""Which checkpoint is kept and what it reports, the best of n restarts: all by hand."""

from math import nan

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from analysis.checkpoint_selection import (
    BEST,
    BEST_HALF,
    LAST,
    LAST_HALF,
    LOSS_HALF,
    PROTOCOLS,
    apply_protocols,
    candidates,
    compare,
    differences,
    draw,
    restarts,
    table,
)
from analysis.shared.statistics import expected_of_best

# of each evaluation: score on dev, score and loss on the selection half, score on the reporting
# half
BEFORE = (0.9, 0.9, 0.1, 0.9)
LEARNS = [BEFORE, (0.6, 0.8, 0.5, 0.55), (0.8, 0.6, 0.3, 0.75), (0.7, 0.7, 0.4, 0.65)]
TIES_THEN_FAILS = [BEFORE, (0.6, 0.7, 0.6, 0.52), (0.6, 0.7, 0.6, 0.62), (0.5, 0.5, 0.7, 0.5)]
DIVERGES = [BEFORE, (0.5, nan, nan, nan), (0.5, nan, nan, nan), (0.48, nan, nan, nan)]
DIVERGES_LATE = [BEFORE, (0.6, 0.7, 0.6, 0.52), (0.5, nan, nan, nan), (0.5, nan, nan, nan)]


def evaluations_of(a_run, values, seed=1, **columns):
    score = values[-1][0]
    return [
        {
            **a_run(score, run=f"{seed}", **columns),
            "seed": seed,
            "final_score": score,
            "total_steps": 30,
            "step": 10 * i,
            "dev_loss": nan if selection != selection else 0.7,
            "train_loss": nan if i == 0 else 0.7,
            "score": dev,
            "selection_score": selection,
            "selection_loss": loss,
            "reporting_score": reporting,
            "reporting_loss": 0.7,
        }
        for i, (dev, selection, loss, reporting) in enumerate(values)
    ]


def kept_of(a_run, values):
    kept = apply_protocols(candidates(pd.DataFrame(evaluations_of(a_run, values))))
    return kept.assign(protocol=kept["protocol"].map(dict(enumerate(PROTOCOLS)))).set_index(
        "protocol"
    )


@pytest.fixture
def evaluations(a_run):
    rows = [
        evaluations_of(a_run, values, seed)
        for seed, values in enumerate((LEARNS, TIES_THEN_FAILS, DIVERGES), 1)
    ]
    rows.append(
        evaluations_of(
            a_run,
            LEARNS,
            4,
            epochs=20,
            bias_correction=True,
            task="cola",
            metric="matthews_correlation",
        )
    )
    return pd.DataFrame(sum(rows, []))


@pytest.fixture(autouse=True)
def no_open_figures():
    plt.close("all")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (LEARNS, {LAST: 0.7, BEST: 0.8, LAST_HALF: 0.65, BEST_HALF: 0.55, LOSS_HALF: 0.75}),
        (TIES_THEN_FAILS, {LAST: 0.5, BEST: 0.6, LAST_HALF: 0.5, BEST_HALF: 0.52, LOSS_HALF: 0.52}),
        (DIVERGES, {LAST: 0.48, BEST: 0.5, LAST_HALF: 0.48, BEST_HALF: 0.48, LOSS_HALF: 0.48}),
        (DIVERGES_LATE, {LAST: 0.5, BEST: 0.6, LAST_HALF: 0.5, BEST_HALF: 0.52, LOSS_HALF: 0.52}),
    ],
)
def test_what_each_protocol_keeps_and_reports(a_run, values, expected):
    assert kept_of(a_run, values)["score"].to_dict() == expected


def test_a_kept_model_has_failed_by_its_score_on_all_of_dev(a_run):
    failed = kept_of(a_run, TIES_THEN_FAILS)["failed"]
    assert failed.to_dict() == {
        LAST: True,
        BEST: False,
        LAST_HALF: True,
        BEST_HALF: False,
        LOSS_HALF: False,
    }
    diverged = kept_of(a_run, DIVERGES)
    assert (
        diverged["failed"].all()
        and diverged["diverged"].all()
        and not kept_of(a_run, LEARNS)["diverged"].any()
    )
    # its loss is no number, so it has failed, whatever its score
    above = [*DIVERGES[:3], (0.6, nan, nan, nan)]
    rows = pd.DataFrame(evaluations_of(a_run, above)).assign(failed=True)
    assert apply_protocols(candidates(rows))["failed"].all()


def test_table_and_differences(evaluations, monkeypatch):
    # few runs, for the hand
    monkeypatch.setattr("analysis.shared.estimates.interval_allowed", lambda *groups: True)
    kept = apply_protocols(candidates(evaluations))
    rows = table(kept).set_index(["task", "protocol"])
    assert list(rows.loc["rte"].index) == list(PROTOCOLS)
    assert rows.loc[("rte", BEST), "mean"] == pytest.approx(100 * (0.8 + 0.6 + 0.5) / 3)
    assert (
        rows.loc["rte"]["failed"].to_list() == [2, 1, 2, 1, 1]
        and rows.loc[("rte", LAST), "diverged"] == 1
    )
    by_run = differences(kept).set_index("run")
    assert by_run.loc["1"].iloc[-5:].to_list() == pytest.approx([10, -10, 10, 25, 20])
    first, second = compare(kept).sort_values("task").to_dict("records")
    # gains of best on dev 10, 10, 2: mean 7.33, standard error 2.67, t(2) 4.303
    assert (
        second["gain, best on dev"] == "7.33 (-4.14 to 18.81)"
        and second["published gain, best on dev"] == "-"
    )
    # 64.6 less 62.1
    assert (
        first["gain, best on dev"] == "10.00 (-)" and first["published gain, best on dev"] == "2.5"
    )


def test_published_gain_only_for_the_same_metric_and_recipe(evaluations):
    paper = apply_protocols(candidates(evaluations.assign(epochs=20, bias_correction=True)))
    assert list(compare(paper)["published gain, best on dev"]) == ["2.5", "2.8"]
    # v1 gives the mean of accuracy and F1
    mrpc = compare(paper[paper["task"] == "rte"].assign(task="mrpc", metric="f1"))
    assert list(mrpc["published gain, best on dev"]) == ["-"]


def test_expected_score_of_the_best_of_n():
    assert expected_of_best([0.6, 0.7, 0.8], [0.6, 0.7, 0.8]) == pytest.approx(
        [0.7, (0.6 + 3 * 0.7 + 5 * 0.8) / 9, (0.6 + 7 * 0.7 + 19 * 0.8) / 27]
    )
    assert expected_of_best([3, 1, 2], [7, 9, 5])[1:] == pytest.approx(
        [(9 + 3 * 5 + 5 * 7) / 9, (9 + 7 * 5 + 19 * 7) / 27]
    )
    # equal ones: their mean
    assert expected_of_best([1, 2, 2], [9, 5, 7])[1] == pytest.approx((9 + 8 * 6) / 9)
    assert expected_of_best([1], [5]) == pytest.approx([5])


def test_restarts_as_selected_and_as_reported(evaluations):
    rows = restarts(candidates(evaluations)).set_index(["task", "restarts"])
    assert list(rows.loc["rte"].index) == [1, 2, 3] and list(rows.loc["cola"].index) == [1]
    # best on the selection half: 0.8, 0.7 and, where none is finite, the final 0.48; on the other
    # half 0.55, 0.52 and 0.48
    assert rows.loc[("rte", 2), "as selected"] == pytest.approx(
        100 * (0.48 + 3 * 0.7 + 5 * 0.8) / 9
    )
    assert rows.loc[("rte", 2), "on the reporting half"] == pytest.approx(
        100 * (0.48 + 3 * 0.52 + 5 * 0.55) / 9
    )


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "values", [LEARNS, TIES_THEN_FAILS, DIVERGES], ids=["successful", "failed", "diverged"]
)
@pytest.mark.parametrize("seeds", [1, 2, 12])
def test_few_seeds_of_one_kind(a_run, values, seeds):
    rows = candidates(
        pd.DataFrame(sum((evaluations_of(a_run, values, seed) for seed in range(seeds)), []))
    )
    kept, best = apply_protocols(rows), restarts(rows)
    draw(kept, best)
    assert len(best) == seeds and (table(kept)["n"] == seeds).all() and len(compare(kept)) == 1


def test_command(evaluations, run_twice, tmp_path):
    evaluations.to_csv(tmp_path / "checkpoint_selection.csv", index=False)
    names = {
        "": ("png", "pdf", "md", "csv"),
        "_differences": ("md", "csv"),
        "_restarts": ("md", "csv"),
    }
    assert run_twice("checkpoint_selection", tmp_path) == {
        f"checkpoint_selection{part}.{kind}" for part, kinds in names.items() for kind in kinds
    }
    text = (tmp_path / "first" / "checkpoint_selection.md").read_text()
    assert "| without | 3 | 3e-4 | best on dev | 3 | 63.33 |" in text

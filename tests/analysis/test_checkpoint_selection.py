"""Which checkpoint is kept and what it reports, the best of n restarts, early signs of failure: all by hand."""

import subprocess
import sys
from math import nan

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis import early_signs
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
from analysis.shared.statistics import area_under_roc, expected_of_best

# of each evaluation: score on dev, score and loss on the selection half, score on the reporting half
BEFORE = (0.9, 0.9, 0.1, 0.9)
LEARNS = [BEFORE, (0.6, 0.8, 0.5, 0.55), (0.8, 0.6, 0.3, 0.75), (0.7, 0.7, 0.4, 0.65)]
TIES_THEN_FAILS = [BEFORE, (0.6, 0.7, 0.6, 0.52), (0.6, 0.7, 0.6, 0.62), (0.5, 0.5, 0.7, 0.5)]
DIVERGES = [BEFORE, (0.5, nan, nan, nan), (0.5, nan, nan, nan), (0.48, nan, nan, nan)]
DIVERGES_LATE = [BEFORE, (0.6, 0.7, 0.6, 0.52), (0.5, nan, nan, nan), (0.5, nan, nan, nan)]


def evaluations_of(a_run, values, seed=1, **columns):
    score = values[-1][0]
    return [{**a_run(score, run=f"{seed}", **columns), "seed": seed, "final_score": score, "total_steps": 30, "step": 10 * i,
             "dev_loss": nan if selection != selection else 0.7, "train_loss": nan if i == 0 else 0.7, "score": dev,
             "selection_score": selection, "selection_loss": loss, "reporting_score": reporting, "reporting_loss": 0.7}
            for i, (dev, selection, loss, reporting) in enumerate(values)]


def kept_of(a_run, values):
    kept = apply_protocols(candidates(pd.DataFrame(evaluations_of(a_run, values))))
    return kept.assign(protocol=kept["protocol"].map(dict(enumerate(PROTOCOLS)))).set_index("protocol")


@pytest.fixture
def evaluations(a_run):
    rows = [evaluations_of(a_run, values, seed) for seed, values in enumerate((LEARNS, TIES_THEN_FAILS, DIVERGES), 1)]
    rows.append(evaluations_of(a_run, LEARNS, 4, epochs=20, bias_correction=True, task="cola", metric="matthews_correlation"))
    return pd.DataFrame(sum(rows, []))


@pytest.fixture
def early(a_run):
    runs = [(1e-4, True, 1e-4), (1e-3, True, 2e-4), (1e-2, False, 2e-4), (1e-3, False, 1e-4)]  # gradient, failed, learning rate
    return pd.DataFrame([
        a_run(0.5 if failed else 0.8, run=f"{i}", seed=i, share=share, steps=100, first_layer_gradient=gradient,
              train_loss=0.7 if failed else 0.6, label_entropy=0.69, learning_rate=rate)
        for share in (0.1, 0.2) for i, (gradient, failed, rate) in enumerate(runs)])


@pytest.fixture(autouse=True)
def no_open_figures():
    plt.close("all")


@pytest.mark.parametrize(("values", "expected"), [
    (LEARNS, {LAST: 0.7, BEST: 0.8, LAST_HALF: 0.65, BEST_HALF: 0.55, LOSS_HALF: 0.75}),
    (TIES_THEN_FAILS, {LAST: 0.5, BEST: 0.6, LAST_HALF: 0.5, BEST_HALF: 0.52, LOSS_HALF: 0.52}),
    (DIVERGES, {LAST: 0.48, BEST: 0.5, LAST_HALF: 0.48, BEST_HALF: 0.48, LOSS_HALF: 0.48}),
    (DIVERGES_LATE, {LAST: 0.5, BEST: 0.6, LAST_HALF: 0.5, BEST_HALF: 0.52, LOSS_HALF: 0.52})])
def test_what_each_protocol_keeps_and_reports(a_run, values, expected):
    assert kept_of(a_run, values)["score"].to_dict() == expected


def test_a_kept_model_has_failed_by_its_score_on_all_of_dev(a_run):
    failed = kept_of(a_run, TIES_THEN_FAILS)["failed"]
    assert failed.to_dict() == {LAST: True, BEST: False, LAST_HALF: True, BEST_HALF: False, LOSS_HALF: False}
    diverged = kept_of(a_run, DIVERGES)
    assert diverged["failed"].all() and diverged["diverged"].all() and not kept_of(a_run, LEARNS)["diverged"].any()
    above = [*DIVERGES[:3], (0.6, nan, nan, nan)]  # its loss is no number, so it has failed, whatever its score
    rows = pd.DataFrame(evaluations_of(a_run, above)).assign(failed=True)
    assert apply_protocols(candidates(rows))["failed"].all()


def test_table_and_differences(evaluations):
    kept = apply_protocols(candidates(evaluations))
    rows = table(kept).set_index(["task", "protocol"])
    assert list(rows.loc["rte"].index) == list(PROTOCOLS)
    assert rows.loc[("rte", BEST), "mean"] == pytest.approx(100 * (0.8 + 0.6 + 0.5) / 3)
    assert rows.loc["rte"]["failed"].to_list() == [2, 1, 2, 1, 1] and rows.loc[("rte", LAST), "diverged"] == 1
    by_run = differences(kept).set_index("run")
    assert by_run.loc["1"].iloc[-5:].to_list() == pytest.approx([10, -10, 10, 25, 20])
    first, second = compare(kept).sort_values("task").to_dict("records")
    # gains of best on dev 10, 10, 2: mean 7.33, standard error 2.67, t(2) 4.303
    assert second["gain, best on dev"] == "7.33 (-4.14 to 18.81)" and second["published gain, best on dev"] == "-"
    assert first["gain, best on dev"] == "10.00 (-)" and first["published gain, best on dev"] == "2.5"  # 64.6 less 62.1


def test_published_gain_only_for_the_same_metric_and_recipe(evaluations):
    paper = apply_protocols(candidates(evaluations.assign(epochs=20, bias_correction=True)))
    assert list(compare(paper)["published gain, best on dev"]) == ["2.5", "2.8"]
    mrpc = compare(paper[paper["task"] == "rte"].assign(task="mrpc", metric="f1"))  # v1 gives the mean of accuracy and F1
    assert list(mrpc["published gain, best on dev"]) == ["-"]


def test_expected_score_of_the_best_of_n():
    assert expected_of_best([0.6, 0.7, 0.8], [0.6, 0.7, 0.8]) == pytest.approx(
        [0.7, (0.6 + 3 * 0.7 + 5 * 0.8) / 9, (0.6 + 7 * 0.7 + 19 * 0.8) / 27])
    assert expected_of_best([3, 1, 2], [7, 9, 5])[1:] == pytest.approx([(9 + 3 * 5 + 5 * 7) / 9, (9 + 7 * 5 + 19 * 7) / 27])
    assert expected_of_best([1, 2, 2], [9, 5, 7])[1] == pytest.approx((9 + 8 * 6) / 9)  # equal ones: their mean
    assert expected_of_best([1], [5]) == pytest.approx([5])


def test_restarts_as_selected_and_as_reported(evaluations):
    rows = restarts(candidates(evaluations)).set_index(["task", "restarts"])
    assert list(rows.loc["rte"].index) == [1, 2, 3] and list(rows.loc["cola"].index) == [1]
    # best on the selection half: 0.8, 0.7 and, where none is finite, the final 0.48; on the other half 0.55, 0.52 and 0.48
    assert rows.loc[("rte", 2), "as selected"] == pytest.approx(100 * (0.48 + 3 * 0.7 + 5 * 0.8) / 9)
    assert rows.loc[("rte", 2), "on the reporting half"] == pytest.approx(100 * (0.48 + 3 * 0.52 + 5 * 0.55) / 9)


def test_area_under_the_roc_curve():
    failed, others = np.array([3.0, 2.0]), np.array([2.0, 1.0])  # of four pairs three in order, one equal
    assert area_under_roc(failed, others) == pytest.approx(3.5 / 4) and area_under_roc(others, failed) == pytest.approx(0.5 / 4)
    assert area_under_roc(np.array([np.inf]), np.array([np.inf, 0])) == pytest.approx(0.75)
    assert area_under_roc(np.stack([failed, others]), np.stack([others, failed])) == pytest.approx([3.5 / 4, 0.5 / 4])


def test_early_signs_by_hand(early):
    """Failed runs have gradients 1e-4 and 1e-3, the others 1e-2 and 1e-3. Left out in this order, the others' thresholds are between
    1e-2 and 1e-3 (caught), between 1e-3 and 1e-4 (missed), the same (spared), and between 1e-2 and 1e-3 (lost)."""
    rows = early_signs.table(early).set_index(["after", "sign"])
    gradient, loss = (rows.loc[("20%", sign)] for sign in early_signs.SIGNS)
    assert (gradient["n"], gradient["failed"], gradient["AUC"], gradient["AUC within a rate"]) == (4, 2, "0.88", "1.00")
    assert gradient["threshold"] == "< 0.0003162"  # the geometric mean; of two thresholds as good the one that stops fewer
    assert (gradient["failed caught"], gradient["others lost"], gradient["steps saved"]) == ("1/2", "1/2", "40%")
    assert (loss["AUC"], loss["95 % interval"], loss["threshold"]) == ("1.00", "-", "> 0.65")
    assert (loss["failed caught"], loss["others lost"], loss["steps saved"]) == ("2/2", "0/2", "40%")


def test_a_sign_that_is_not_finite_is_the_worst(early):
    lost = early.assign(first_layer_gradient=[nan, 0.0, 1e-2, np.inf] * 2)
    assert early_signs.risk(lost, "first_layer_gradient")[:4] == pytest.approx([np.inf, np.inf, -np.log(1e-2), np.inf])
    gradient = early_signs.table(lost).iloc[0]
    assert (gradient["AUC"], gradient["threshold"]) == ("0.75", "not finite")
    nothing = early_signs.table(early.assign(first_layer_gradient=nan)).iloc[0]
    assert set(nothing.iloc[-7:]) == {"-"}


def test_roc_curve():
    others, failed = early_signs.roc(np.array([3.0, 2, 2, 1]), np.array([True, True, False, False]))
    assert list(others) == [0, 0, 0.5, 1] and list(failed) == [0, 0.5, 1, 1]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("change", "said"), [
    ({"failed": True}, "all of the 4 runs failed:\nno ROC curve"), ({"failed": False}, "none of the 4 runs failed:\nno ROC curve"),
    ({"bias_correction": True}, "no run without correction"), ({"first_layer_gradient": nan}, "nothing logged by then")])
def test_no_early_signs_to_judge(early, change, said):
    early = early.assign(**change)
    assert (early_signs.table(early).iloc[0, -7:] == "-").all()
    figure = early_signs.draw(early)
    assert [text.get_text() for text in figure.axes[1].texts] == [said]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("values", [LEARNS, TIES_THEN_FAILS, DIVERGES], ids=["successful", "failed", "diverged"])
@pytest.mark.parametrize("seeds", [1, 2, 12])
def test_few_seeds_of_one_kind(a_run, values, seeds):
    rows = candidates(pd.DataFrame(sum((evaluations_of(a_run, values, seed) for seed in range(seeds)), [])))
    kept, best = apply_protocols(rows), restarts(rows)
    draw(kept, best)
    assert len(best) == seeds and (table(kept)["n"] == seeds).all() and len(compare(kept)) == 1


def test_command(evaluations, early, run_twice, tmp_path):
    evaluations.to_csv(tmp_path / "checkpoint_selection.csv", index=False)
    early.to_csv(tmp_path / "checkpoint_selection_early.csv", index=False)
    names = {"": ("png", "pdf", "md", "csv"), "_early": ("png", "pdf", "md", "csv"), "_differences": ("md", "csv"),
             "_restarts": ("md", "csv")}
    assert run_twice("checkpoint_selection", tmp_path) == {
        f"checkpoint_selection{part}.{kind}" for part, kinds in names.items() for kind in kinds}
    text = (tmp_path / "first" / "checkpoint_selection.md").read_text()
    assert "| without | 3 | 3e-4 | best on dev | 3 | 63.33 |" in text

    early.drop(columns="share").to_csv(tmp_path / "checkpoint_selection_early.csv", index=False)
    ended = subprocess.run([sys.executable, "-m", "analysis.checkpoint_selection", "--results", tmp_path, "--figures",
                            tmp_path / "third"], cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "lacks the column share" in ended.stderr

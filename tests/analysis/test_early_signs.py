"""Early signs of failure: risks, thresholds and ROC curves by hand."""

import subprocess
import sys
from math import nan

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis import early_signs
from analysis.shared.statistics import area_under_roc


@pytest.fixture
def early(a_run):
    # gradient, failed, learning rate
    runs = [(1e-4, True, 1e-4), (1e-3, True, 2e-4), (1e-2, False, 2e-4), (1e-3, False, 1e-4)]
    return pd.DataFrame(
        [
            a_run(
                0.5 if failed else 0.8,
                run=f"{i}",
                seed=i,
                share=share,
                steps=100,
                first_layer_gradient=gradient,
                train_loss=0.7 if failed else 0.6,
                label_entropy=0.69,
                learning_rate=rate,
            )
            for share in (0.1, 0.2)
            for i, (gradient, failed, rate) in enumerate(runs)
        ]
    )


def test_area_under_the_roc_curve():
    # of four pairs three in order, one equal
    failed, others = np.array([3.0, 2.0]), np.array([2.0, 1.0])
    assert area_under_roc(failed, others) == pytest.approx(3.5 / 4) and area_under_roc(
        others, failed
    ) == pytest.approx(0.5 / 4)
    assert area_under_roc(np.array([np.inf]), np.array([np.inf, 0])) == pytest.approx(0.75)
    assert area_under_roc(np.stack([failed, others]), np.stack([others, failed])) == pytest.approx(
        [3.5 / 4, 0.5 / 4]
    )


def test_early_signs_by_hand(early):
    """Failed runs have gradients 1e-4 and 1e-3, the others 1e-2 and 1e-3. Left out in this order,
    the others' thresholds are between 1e-2 and 1e-3 (caught), between 1e-3 and 1e-4 (missed), the
    same (spared), and between 1e-2 and 1e-3 (lost)."""
    rows = early_signs.table(early).set_index(["after", "sign"])
    gradient, loss = (rows.loc[("20%", sign)] for sign in early_signs.SIGNS)
    assert (gradient["n"], gradient["failed"], gradient["AUC"], gradient["AUC within a rate"]) == (
        4,
        2,
        "0.88",
        "1.00",
    )
    # the geometric mean; of two thresholds as good the one that stops fewer
    assert gradient["threshold"] == "< 0.0003162"
    assert (gradient["failed caught"], gradient["others lost"], gradient["steps saved"]) == (
        "1/2",
        "1/2",
        "40%",
    )
    assert (loss["AUC"], loss["95 % interval"], loss["threshold"]) == ("1.00", "-", "> 0.65")
    assert (loss["failed caught"], loss["others lost"], loss["steps saved"]) == (
        "2/2",
        "0/2",
        "40%",
    )


def test_a_sign_that_is_not_finite_is_the_worst(early):
    lost = early.assign(first_layer_gradient=[nan, 0.0, 1e-2, np.inf] * 2)
    assert early_signs.risk(lost, "first_layer_gradient")[:4] == pytest.approx(
        [np.inf, np.inf, -np.log(1e-2), np.inf]
    )
    gradient = early_signs.table(lost).iloc[0]
    assert (gradient["AUC"], gradient["threshold"]) == ("0.75", "not finite")
    nothing = early_signs.table(early.assign(first_layer_gradient=nan)).iloc[0]
    assert set(nothing.iloc[-7:]) == {"-"}


def test_roc_curve():
    others, failed = early_signs.roc(np.array([3.0, 2, 2, 1]), np.array([True, True, False, False]))
    assert list(others) == [0, 0, 0.5, 1] and list(failed) == [0, 0.5, 1, 1]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"failed": True}, "all of the 4 runs failed:\nno ROC curve"),
        ({"failed": False}, "none of the 4 runs failed:\nno ROC curve"),
        ({"bias_correction": True}, "no run without correction"),
        ({"first_layer_gradient": nan}, "nothing logged by then"),
    ],
)
def test_no_early_signs_to_judge(early, change, said):
    early = early.assign(**change)
    assert (early_signs.table(early).iloc[0, -7:] == "-").all()
    figure = early_signs.draw(early)
    assert [text.get_text() for text in figure.axes[1].texts] == [said]


def test_command(early, run_twice, tmp_path):
    early.to_csv(tmp_path / "early_signs.csv", index=False)
    assert run_twice("early_signs", tmp_path) == {
        f"{name}.{kind}"
        for name in ("early_signs", "early_signs_restart")
        for kind in ("png", "pdf", "md", "csv")
    }
    early.drop(columns="share").to_csv(tmp_path / "early_signs.csv", index=False)
    folders = ["--results", tmp_path, "--figures", tmp_path / "third"]
    ended = subprocess.run(
        [sys.executable, "-m", "analysis.early_signs", *folders],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "lacks the column share" in ended.stderr

"""Effective learning rates: the three summaries by hand, the regressions against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from analysis.effective_learning_rate import (
    behind,
    beside,
    logistic,
    main,
    models,
    summaries,
    table,
)
from analysis.shared.reading import NothingToDraw


def rows(a_run, rate, corrected, fates, steps=300, warmup=0.1, beta2=0.999):
    made = []
    for i, failed in enumerate(fates):
        columns = {"learning_rate": rate, "bias_correction": corrected, "steps": steps}
        columns |= {"warmup_ratio": warmup, "adam_beta1": 0.9, "adam_beta2": beta2}
        columns |= {"head_seed": i, "order_seed": i, "dropout_seed": i}
        made.append(a_run(0.4 if failed else 0.9, run=f"{rate}{corrected}{i}", **columns))
    return made


def test_summaries_by_hand(a_run):
    """Of 300 steps, 30 of them warm-up: the peak is the 31st step."""
    table = rows(a_run, 3e-4, False, [0]) + rows(a_run, 3e-4, True, [0])
    without, with_it = summaries(pd.DataFrame(table)).to_dict("records")
    factor = (1 - 0.9**31) / np.sqrt(1 - 0.999**31)
    assert factor == pytest.approx(5.5, abs=0.1)
    assert without["largest"] == pytest.approx(3e-4 * factor)
    assert with_it["largest"] == pytest.approx(3e-4)
    # in the paper's units: without, the schedule; with it a peak later, at 0.23 of the nominal rate
    assert without["paper"] == pytest.approx(3e-4)
    assert with_it["paper"] / 3e-4 == pytest.approx(1 / 4.35, abs=0.005)
    assert without["sum"] / with_it["sum"] == pytest.approx(3.58, abs=0.01)


def test_runs_of_other_lengths_are_another_setting(a_run):
    short, long = (
        rows(a_run, 3e-4, False, fates, steps)
        for fates, steps in (([1, 1, 0], 300), ([0, 0], 1000))
    )
    long = [{**row, "epochs": 10} for row in long]
    found = table(summaries(pd.DataFrame(short + long))).set_index("epochs")
    assert dict(found["n"]) == {3: 3, 10: 2} and dict(found["failed"]) == {3: 2, 10: 0}


def test_a_run_that_diverged_has_the_rates_it_was_to_have(a_run):
    whole = rows(a_run, 3e-4, False, [0, 1])
    stopped = {**whole[1], "steps": 23, "diverged": True}
    found = summaries(pd.DataFrame([whole[0], stopped]))
    assert found["sum"].nunique() == 1 and found["largest"].nunique() == 1


def test_the_regression_is_scikit_learns():
    random = np.random.default_rng(1)
    columns = random.normal(size=(300, 2))
    failed = random.random(300) < 1 / (1 + np.exp(-(0.3 + 2 * columns[:, 0] - columns[:, 1])))
    fit = logistic(columns, failed)
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    theirs = LogisticRegression(C=1 / (2 * 1e-3), tol=1e-10, max_iter=1000).fit(scaled, failed)
    assert fit.coefficients[1:] == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert fit.coefficients[0] == pytest.approx(theirs.intercept_[0], abs=1e-4)
    chances = theirs.predict_proba(scaled)[np.arange(300), failed.astype(int)]
    assert fit.log_likelihood == pytest.approx(np.log(chances).sum(), abs=1e-4)


def test_what_explains_nothing_is_found_to(a_run):
    """Failure by the largest rate alone, or by correction alone."""
    random = np.random.default_rng(2)
    table = []
    for rate in (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3):
        for corrected in (False, True):
            largest = rate * (1 if corrected else 5.5)
            chance = 1 / (1 + (1e-3 / largest) ** 3)
            table += rows(a_run, rate, corrected, random.random(40) < chance)
    runs = summaries(pd.DataFrame(table))
    assert beside(runs["largest"], runs, "bias_correction")[1] > 0.01
    by_summary = models(runs).set_index("summary")["log likelihood"]
    assert by_summary.idxmax() == "largest effective rate"
    fate = runs.assign(failed=~runs["bias_correction"].astype(bool))
    assert beside(fate["largest"], fate, "bias_correction")[1] < 1e-6


def test_a_lead_is_measured_over_seeds(a_run):
    """scipy's t interval of the seeds' sums. The same runs four times over, under the same seeds,
    tell no more than once: lead and interval are four times as large, not twice as sure."""
    random = np.random.default_rng(4)
    table = []
    for rate in (1e-4, 4e-4, 1.6e-3):
        table += rows(a_run, rate, False, random.random(15) < 0.5)
    runs = pd.DataFrame(table)
    failed = runs["failed"].to_numpy(dtype=bool)
    best, other = (logistic(random.normal(size=(45, 1)), failed) for _ in range(2))
    of_seeds = (best.of_each - other.of_each).reshape(3, 15).sum(axis=0)
    low, high = stats.ttest_1samp(of_seeds, 0).confidence_interval()
    said = f"{of_seeds.sum():.1f} ({15 * low:.1f} to {15 * high:.1f})"
    assert behind(best, other, runs) == said
    fourfold = [fit._replace(of_each=np.tile(fit.of_each, 4)) for fit in (best, other)]
    more = pd.concat([runs] * 4, ignore_index=True)
    assert behind(*fourfold, more) == (
        f"{4 * of_seeds.sum():.1f} ({60 * low:.1f} to {60 * high:.1f})"
    )
    few = runs[runs["head_seed"] < 10]
    fits = [fit._replace(of_each=fit.of_each[runs["head_seed"] < 10]) for fit in (best, other)]
    assert "(" not in behind(*fits, few)


def test_command(a_run, run_twice, tmp_path, monkeypatch):
    random = np.random.default_rng(3)
    table = []
    for rate in (1e-4, 4e-4, 1.6e-3):
        table += rows(a_run, rate, False, random.random(25) < 0.5)
        table += rows(a_run, rate, True, random.random(25) < 0.3)
    path = tmp_path / "effective_learning_rate.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    names = {f"effective_learning_rate.{kind}" for kind in ("png", "pdf", "md", "csv")}
    names |= {f"effective_learning_rate_models.{kind}" for kind in ("md", "csv")}
    assert run_twice("effective_learning_rate", tmp_path) == names
    text = (tmp_path / "first" / "effective_learning_rate.md").read_text()
    assert "| 0.1 | 0.999 |" in text and "| 1.00 |" not in text  # warm-up ratio, beta2
    pd.DataFrame(rows(a_run, 1e-4, True, [0, 1])).to_csv(path, index=False)
    folders = ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    monkeypatch.setattr("sys.argv", folders)
    with pytest.raises(NothingToDraw, match="--seeds 26-50"):
        main()

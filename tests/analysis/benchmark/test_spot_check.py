"""Spot check: its probabilities against sums written out, its power against simulation, the
command."""

from math import comb, gamma

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis.benchmark import spot_check
from analysis.benchmark.spot_check import Counts, judged, known_before, p_values, predicted
from analysis.shared.reading import BadInput

PUBLISHED = {False: Counts(43, 50), True: Counts(1, 51)}


def beta(a, b):
    return gamma(a) * gamma(b) / gamma(a + b)


def test_what_is_known_of_the_published_setting():
    """20 and 23 of 25 in Figs 5 and 9 without, 0 of 25 and 1 of 26 with: the sums."""
    numbers = pd.read_csv(REPOSITORY / "analysis" / "published" / "numbers.csv")
    rows = numbers[
        (numbers["source"] == "mosbach2021")
        & numbers["locator"].isin(["Fig. 5", "Fig. 9"])
        & (numbers["model"] == "bert-large-uncased")
        & (numbers["statistic"] == "failed")
        & (numbers["learning_rate"] == 2e-5)
        & (numbers["epochs"] == 3)
    ]
    assert rows.groupby("bias_correction")["value"].sum().to_dict() == {False: 43, True: 1}
    assert known_before("paper")[0] == PUBLISHED
    assert known_before("mini")[0] == {False: Counts(16, 25), True: Counts(0, 25)}


def test_probabilities_are_the_integral_over_the_rate():
    """Of binomial times Beta(k0 + 1/2, n0 - k0 + 1/2), in closed form."""
    for known, n in ((PUBLISHED[True], 5), (PUBLISHED[False], 5), (Counts(0, 5), 3)):
        a, b = known.failed + 0.5, known.runs - known.failed + 0.5
        expected = [comb(n, k) * beta(a + k, b + n - k) / beta(a, b) for k in range(n + 1)]
        assert predicted(known, n) == pytest.approx(expected)
        assert sum(expected) == pytest.approx(1)


def test_p_is_the_share_of_what_is_no_more_probable():
    probabilities = np.array([[0.4, 0.1], [0.1, 0.15], [0.05, 0.2]])
    by_hand = [[1, 0.25], [0.25, 0.4], [0.05, 0.6]]
    assert p_values(probabilities) == pytest.approx(np.array(by_hand))


def test_power_is_how_often_it_notices():
    sizes, rates = dict.fromkeys((False, True), 5), {False: 0.5, True: 0.2}
    p = p_values(spot_check.together(PUBLISHED, sizes))
    random = np.random.default_rng(0)
    drawn = [random.binomial(5, rates[side], 20_000) for side in (False, True)]
    noticed = float(np.mean(p[drawn[0], drawn[1]] < 0.05))
    assert spot_check.power(PUBLISHED, sizes, rates) == pytest.approx(noticed, abs=0.015)


def test_it_is_seldom_wrong_where_old_and_new_runs_have_the_same_rates():
    """Also over what the published counts might have been."""
    sizes, n0 = dict.fromkeys((False, True), 5), 50
    for without, corrected in ((0.86, 0.02), (0.5, 0.5), (0.95, 0.0)):
        random = np.random.default_rng(1)
        wrong = []
        for _ in range(60):
            known = {
                False: Counts(random.binomial(n0, without), n0),
                True: Counts(random.binomial(n0, corrected), n0),
            }
            wrong.append(spot_check.power(known, sizes, {False: without, True: corrected}))
        assert np.mean(wrong) < 0.06


def runs_of(a_run, failed_without, failed_with, seeds=range(101, 106), **columns):
    rows = []
    for corrected, failed in ((False, failed_without), (True, failed_with)):
        for i, seed in enumerate(seeds):
            of_run = {"head_seed": seed, "order_seed": seed, "dropout_seed": seed}
            more = {"segment_ids": True, "packed": True, "bias_correction": corrected}
            more |= {"batch_size": 16, "warmup_ratio": 0.1, "schedule": "linear", **columns}
            rows.append(a_run(0.5 if i < failed else 0.7, **of_run, **more))
    return pd.DataFrame(rows)


BERT = {"model": "google-bert/bert-large-uncased", "data": "nyu-mll/glue"}
BERT |= {"learning_rate": 2e-5, "max_length": 128}
MINI = {"model": "checkpoint@6ba7558e", "data": "mini@e4bf4982", "max_length": 64}


def test_verdicts(a_run):
    fine = judged(runs_of(a_run, 4, 0, **BERT))
    assert fine["verdict"].iloc[-1] == "not told apart from what is known"
    assert fine["known_failed"].tolist() == [43, 1, ""]
    for failed in ((0, 0), (5, 5), (0, 5), (1, 0)):
        table = judged(runs_of(a_run, *failed, **BERT))
        assert table["verdict"].iloc[-1] == "differs from what is known", failed
    with pytest.raises(BadInput, match="nothing is known of without bias correction at 0.5"):
        judged(runs_of(a_run, 4, 0, **(BERT | {"learning_rate": 0.5})))
    half = runs_of(a_run, 4, 0, **BERT)
    with pytest.raises(BadInput, match="no run with bias correction"):
        judged(half[~half["bias_correction"]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pretrained": False}, "pretrained True"),
        ({"dtype": "bfloat16"}, "dtype float32"),
        ({"train_examples": 100}, "train_examples None"),
        ({"schedule": "constant"}, "schedule linear"),
        ({"max_length": 64}, "max_length 128"),
    ],
)
def test_runs_unlike_the_published_ones_are_not_held_against_them(a_run, change, said):
    with pytest.raises(BadInput, match=f"no published run has: expected {said}"):
        judged(runs_of(a_run, 4, 0, **(BERT | change)))


@pytest.mark.parametrize("change", [{"schedule": "constant"}, {"train_examples": 100}])
def test_runs_unlike_the_reference_are_not_held_against_it(a_run, change):
    with pytest.raises(BadInput, match="nothing is known of without bias correction"):
        judged(runs_of(a_run, 3, 0, **MINI, **change))


def test_runs_of_two_settings_are_refused(a_run, tmp_path, draw_here):
    runs = runs_of(a_run, 3, 0, **MINI)
    runs["schedule"] = ["constant", *["linear"] * 9]
    runs.to_csv(tmp_path / "spot_check.csv", index=False)
    with pytest.raises(BadInput, match="has runs that differ in schedule"):
        draw_here(spot_check.main)


def test_a_reference_run_is_not_held_against_its_own_seed(a_run):
    reference = pd.read_csv(REPOSITORY / "results" / "reference" / "mini" / "bias_correction.csv")
    same = reference[(reference["task"] == "rte") & (reference["learning_rate"] == 3e-4)]
    of_others = same[(same["head_seed"] > 5) & ~same["bias_correction"]]["failed"].sum()
    others = judged(runs_of(a_run, 3, 0, seeds=range(1, 6), **MINI))
    assert others["known_runs"].tolist() == [20, 20, ""]
    assert others["known_failed"].tolist() == [of_others, 0, ""]
    assert judged(runs_of(a_run, 3, 0, **MINI))["known_failed"].tolist() == [16, 0, ""]


def test_command(a_run, run_twice, tmp_path, capsys, monkeypatch):
    runs_of(a_run, 3, 0, **MINI).to_csv(tmp_path / "spot_check.csv", index=False)
    kinds = ("png", "pdf", "md", "csv")
    names = {f"spot_check.{kind}" for kind in kinds}
    names |= {"spot_check_power.md", "spot_check_power.csv"}
    assert run_twice("spot_check", tmp_path) == names
    text = (tmp_path / "first" / "spot_check.md").read_text()
    assert "| both | 3 | 10 |" in text and "not told apart" in text
    monkeypatch.setattr("sys.argv", ["", "--before", "--profile", "paper"])
    spot_check.main()
    printed = capsys.readouterr().out
    assert "43 of 50 failed without bias correction, 1 of 51 with" in printed
    assert "Figs 5 and 9" in printed

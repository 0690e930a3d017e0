"""Stopping and starting again: the exact expectations against following every order of runs, the
best of n against Dodge's formula, and thresholds from other seeds only."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.shared.restarts import (
    BEST,
    FIRST,
    POLICIES,
    RESTART,
    TAKE,
    draw,
    held_out,
    restarts,
    shown,
    spent,
)
from analysis.shared.statistics import expected_of_best

SCORES = [0.5, 0.5, 0.6, 0.9]
STOPPED = [True, False, True, False]  # one of each kind


@pytest.fixture
def runs(a_run):
    """Four runs, two failed, that may be stopped after 30 of 100 steps."""
    return pd.DataFrame([a_run(score, share=0.3, steps=100) for score in SCORES])


def follow(order, policy, budget):
    """What a person does who draws runs in this order: score and steps."""
    stops, goes_on = policy
    left, ended, order = 100 * budget, [], iter(order)
    while left >= 100 and (goes_on or not ended):
        i = next(order)
        could_start_another = bool(ended) or left - 30 >= 100
        if stops and STOPPED[i] and could_start_another:
            left -= 30
        else:
            left -= 100
            ended.append(SCORES[i])
    return max(ended), 100 * budget - left


@pytest.mark.parametrize("name", [name for name in POLICIES if name != TAKE])
@pytest.mark.parametrize("budget", [1, 2])
def test_expectations_are_those_of_all_orders(runs, name, budget):
    """At most six runs begin on a budget of two."""
    ends = [follow(o, POLICIES[name], budget) for o in itertools.product(range(4), repeat=6)]
    score, failed, steps = spent(
        runs, np.ones((1, 4)), np.array(STOPPED)[None], POLICIES[name], budget
    )[0]
    assert score == pytest.approx(np.mean([end for end, _ in ends]))
    assert failed == pytest.approx(np.mean([end <= 0.5 for end, _ in ends]))
    assert steps == pytest.approx(np.mean([cost for _, cost in ends]) / 100)


def test_a_run_counts_as_often_as_it_is_drawn(runs):
    twice = runs.iloc[[0, 2, 2, 3]].reset_index(drop=True)
    flags = np.array([STOPPED[i] for i in (0, 2, 2, 3)])
    for policy in POLICIES.values():
        one = spent(runs, np.array([[1.0, 0, 2, 1]]), np.array([STOPPED]), policy, 3)
        other = spent(twice, np.ones((1, 4)), flags[None], policy, 3)
        assert one == pytest.approx(other)


def test_best_of_n_is_dodges(runs):
    expected = expected_of_best(SCORES, SCORES)
    for n in (1, 2, 3):
        score, _, steps = spent(
            runs, np.ones((1, 4)), np.array([STOPPED]), POLICIES["best of n"], n
        )[0]
        assert score == pytest.approx(expected[n - 1]) and steps == n
    taken = spent(runs, np.ones((1, 4)), np.array([STOPPED]), POLICIES[TAKE], 3)[0]
    assert taken == pytest.approx([np.mean(SCORES), 0.5, 1])


@pytest.fixture
def early(a_run):
    """A function that makes 12 seeds of which every third fails, by their gradients: of failed
    and of other runs, in the first and in the second half, which are every other seed."""

    def make(gradients, **columns):
        rows = []
        for seed in range(12):
            failed = seed % 3 == 0
            gradient = gradients[seed % 2][0 if failed else 1]
            rows.append(
                a_run(
                    0.5 if failed else 0.8,
                    run=f"{seed}",
                    seed=seed,
                    share=0.3,
                    steps=100,
                    first_layer_gradient=gradient,
                    **columns,
                )
            )
        return pd.DataFrame(rows)

    return make


def by_policy(rows, budget=5):
    table = pd.DataFrame(rows)
    return table[table["budget"] == budget].set_index("policy")


def test_a_sign_that_tells_all_spares_all_failures(early):
    """A third fails and is stopped: of a budget of 5 up to 13 are before the last must be run."""
    runs = early([(1e-4, 1e-1), (1e-4, 1e-1)])
    rows = by_policy(held_out(runs, runs, "first_layer_gradient"))
    assert rows.loc[TAKE, "failed"] == pytest.approx(100 / 3)
    assert rows.loc[FIRST, "failed"] == pytest.approx(100 / 3**14, abs=1e-6)
    assert rows.loc[FIRST, "steps"] == pytest.approx(1 + 0.3 * 0.5, rel=1e-5)
    assert rows.loc[BEST, "failed"] == pytest.approx(100 / 3**5)
    assert rows.loc[FIRST, "failed_gained"] == pytest.approx(100 / 3**14 - 100 / 3)
    assert rows.loc[RESTART, "failed_gained"] < 0
    for what in ("score", "failed", "steps"):
        assert (rows[f"{what}_low"] <= rows[what] + 1e-9).all()
        assert (rows[what] <= rows[f"{what}_high"] + 1e-9).all()


def test_a_threshold_is_from_the_other_seeds(early):
    """One half's gradients say nothing: it has no threshold, so the other half's runs are never
    stopped, though there the sign is perfect. That half's threshold lies above all of the first,
    whose runs are all stopped until one must be run."""
    runs = early([(1e-3, 1e-3), (1e-4, 1e2)])
    rows = by_policy(held_out(runs, runs, "first_layer_gradient"))
    assert rows.loc[FIRST, "failed"] == pytest.approx(100 / 3)
    assert rows.loc[FIRST, "steps"] == pytest.approx((1 + (13 * 0.3 + 1)) / 2)
    never = early([(1e-3, 1e-3), (1e-3, 1e-3)])
    rows = by_policy(held_out(never, never, "first_layer_gradient"))
    assert rows.loc[RESTART, ["score_gained", "steps"]].tolist() == pytest.approx([0, 5])


def test_settings_with_enough_seeds(early):
    """Runs with correction are judged by thresholds from those without; too few have no rows, and
    the figure says so."""
    uncorrected = early([(1e-4, 1e-1), (1e-4, 1e-1)])
    corrected = early([(1e-1, 1e-1), (1e-1, 1e-1)], bias_correction=True)
    table = restarts(pd.concat([uncorrected, corrected, uncorrected.assign(share=0.2)]))
    assert len(table) == 2 * 2 * 4 * 5
    rows = shown(table)
    assert list(rows["policy"]).count(TAKE) == 2 and set(rows["bias correction"]) == {
        "with",
        "without",
    }
    assert len(draw(table, 12).axes) == 4
    few = restarts(uncorrected[uncorrected["seed"] < 10])
    assert few.empty and shown(few).empty
    assert "10 seeds of a setting" in draw(few, 10).axes[0].texts[0].get_text()

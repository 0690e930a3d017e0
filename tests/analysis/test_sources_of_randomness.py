"""Sources of randomness: flips, effects and the runs test by hand."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analysis.shared.reading import BadInput, NothingToDraw
from analysis.sources_of_randomness import (
    draw,
    flip_share,
    main,
    pairs,
    runs_test,
    table,
    total_effect,
)


@pytest.fixture
def runs(a_run):
    """Six base seeds, of which 1 to 3 fail; another order flips seed 1, rounding seeds 1 and 4."""
    rows = []
    fates = {
        ("nothing", 0): [1, 1, 1, 0, 0, 0],
        ("order", 0): [0, 1, 1, 0, 0, 0],
        ("rounding", 1): [0, 1, 1, 1, 0, 0],
        ("rounding", 2): [1, 1, 1, 1, 0, 0],
    }
    for (moved, repeat), failed in fates.items():
        for seed, fate in enumerate(failed, start=1):
            columns = {"moved": moved, "base_seed": seed, "start_noise_seed": repeat}
            rows.append(a_run(0.4 if fate else 0.9, **columns, run=f"{moved}{repeat}{seed}"))
    return pd.DataFrame(rows)


def test_flips_and_effects_by_hand(runs):
    order = pairs(runs, "order")
    assert len(order) == 6
    assert flip_share(order)[0] == pytest.approx(1 / 6)
    # one of six pairs differs by 1; failed: 5 of 12 runs, variance 5/12 * 7/12
    assert total_effect(order["failed"], order["failed_base"]) == pytest.approx(
        (1 / 6) / (2 * 5 / 12 * 7 / 12)
    )
    rounding = pairs(runs, "rounding")
    share, low, high = flip_share(rounding)  # shares of the seeds: 1/2, 0, 0, 1, 0, 0
    assert share == pytest.approx(1.5 / 6)
    half = 2.5706 * np.std([0.5, 0, 0, 1, 0, 0], ddof=1) / np.sqrt(6)
    assert (low, high) == pytest.approx((0, 0.25 + half), abs=1e-4)
    rows = table(runs).set_index("moved")
    assert rows.loc["rounding", "fate flipped"] == 3
    assert rows.loc["rounding", "failed"] == 7
    assert np.isnan(total_effect(pd.Series([True]), pd.Series([True])))


def test_no_flip_in_several_pairs_a_seed_leaves_room_for_some(runs):
    """Wilson's bound of 0 of 6 base seeds is z^2 / (6 + z^2): 39 %."""
    same = runs[runs["moved"] == "nothing"]
    moved = [same.assign(moved="rounding", start_noise_seed=number) for number in (1, 2)]
    rows = table(pd.concat([same, *moved])).set_index("moved")
    assert rows.loc["rounding", "share flipped, 95 % interval"] == "0% (0% to 39%)"
    assert rows.loc["rounding", "total effect on failed"] == "0.00 (-)"
    assert rows.loc["rounding", "total effect on score"] == "0.00 (-)"


def test_a_run_that_is_not_there_is_neither_failed_nor_not(runs):
    def legend(table):
        return [text.get_text() for text in draw(table).axes[1].get_legend().get_texts()]

    assert legend(runs) == ["failed", "not failed"]
    assert legend(runs.drop(index=7)) == ["failed", "not failed", "no run"]


def test_the_runs_test_against_all_orders():
    """Of 4 failures among 9 seeds: the share of all orders whose number of runs is no likelier."""

    def count(failed):
        return 1 + sum(a != b for a, b in zip(failed, failed[1:], strict=False))

    counts = []
    for chosen in combinations(range(9), 4):
        counts.append(count([i in chosen for i in range(9)]))
    likelihood = {value: counts.count(value) for value in set(counts)}
    for failed in (
        [1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1, 0, 1, 0, 0],
        [0, 1, 1, 0, 0, 1, 0, 0, 1],
    ):
        seen = likelihood[count(failed)]
        expected = sum(1 for value in counts if likelihood[value] <= seen) / len(counts)
        assert runs_test([bool(fate) for fate in failed]) == pytest.approx(expected)
    assert np.isnan(runs_test([True, True]))


def test_clusters_are_looked_for_in_each_setting(runs):
    """Failures 111000 and 000111: 2 runs in each, which 2 of the 20 orders have, and 2 have 6, so p
    is 4 of 20."""
    other = runs.assign(learning_rate=1e-4, failed=~runs["failed"])
    rows = table(pd.concat([runs, other]))
    base = rows[rows["moved"] == "nothing"]
    assert list(base["learning_rate"]) == ["1e-4", "3e-4"]
    assert list(base["p of clusters"]) == ["0.2", "0.2"]
    assert list(base["n"]) == [6, 6] and list(base["failed"]) == [3, 3]


def test_command(runs, run_twice, tmp_path, monkeypatch):
    path = tmp_path / "sources_of_randomness.csv"
    runs.to_csv(path, index=False)
    assert run_twice("sources_of_randomness", tmp_path) == {
        f"sources_of_randomness.{kind}" for kind in ("png", "pdf", "md", "csv")
    }
    folders = ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    monkeypatch.setattr("sys.argv", folders)
    runs[runs["moved"] == "nothing"].to_csv(path, index=False)
    with pytest.raises(NothingToDraw, match="--seeds 25"):
        main()
    runs[runs["moved"] != "nothing"].to_csv(path, index=False)
    with pytest.raises(BadInput, match="nothing is moved"):
        main()

"""Fast path against plain: the tests' p values by hand, the range of counts that would pass, the
command."""

from math import comb

import pandas as pd
import pytest

from analysis.benchmark.fast_path import comparisons, like


@pytest.fixture
def runs(a_run):
    """Plain: 2 of 4 fail; fast: 1 of 4, all scores apart; bfloat16: as plain."""
    scores = {
        "plain": (0.4, 0.45, 0.8, 0.9),
        "fast": (0.42, 0.91, 0.92, 0.93),
        "fast, bfloat16": (0.4, 0.45, 0.8, 0.9),
    }
    return pd.DataFrame(
        [
            a_run(score, path=path, dtype="bfloat16" if "b" in path else "float32")
            for path, several in scores.items()
            for score in several
        ]
    )


def test_p_values(runs):
    table = comparisons(runs).set_index("path")
    assert list(table.index) == ["plain", "fast", "fast, bfloat16"] and table[
        "failed"
    ].tolist() == [2, 1, 2]
    assert table.loc["plain", ["p_failures", "p_ranks", "p_distribution"]].isna().all()
    # of k of the 3 failures in the fast path
    chance = {k: comb(4, k) * comb(4, 3 - k) / comb(8, 3) for k in range(4)}
    assert table.loc["fast", "p_failures"] == pytest.approx(
        sum(p for p in chance.values() if p <= chance[1] * 1.0001)
    )
    # U: the fast scores lie above 1, 4, 4, 4 of the plain ones; as far out are 7 of the 70 ways to
    # choose 4 ranks of 8, to each side
    assert table.loc["fast", "p_ranks"] == pytest.approx(2 * 7 / 70)
    assert table.loc["fast, bfloat16", ["p_failures", "p_distribution"]].tolist() == pytest.approx(
        [1, 1]
    )


def test_counts_that_would_pass():
    def p(k):  # of k failures of 10 against none of 10, both tails
        return 2 * comb(10, k) * comb(10, 0) / comb(20, k)

    low, high = like(pd.Series([False] * 10), 10)
    assert low == 0 and p(high) >= 0.05 > p(high + 1)


def test_command(runs, run_twice, tmp_path):
    runs.to_csv(tmp_path / "fast_path.csv", index=False)
    assert run_twice("fast_path", tmp_path) == {
        f"fast_path.{kind}" for kind in ("png", "pdf", "md", "csv")
    }
    text = (tmp_path / "first" / "fast_path.md").read_text()
    assert "Fisher" in text and "0 to 4" in text

"""The recipes: their table in the paper's order, and the tests of the default against the
paper's."""

import pandas as pd
import pytest
from scipy.stats import f

from analysis.shared.reading import BadInput
from analysis.strong_baseline import DEFAULT, PAPER, compare, draw, main, table

RECIPES = {
    DEFAULT: {"epochs": 3, "bias_correction": False},
    PAPER: {"epochs": 20, "bias_correction": True},
    "Mixout": {"epochs": 3, "bias_correction": False},
}


def recipe(a_run, name, scores, **columns):
    return [a_run(score, recipe=name, **RECIPES[name], **columns) for score in scores]


@pytest.fixture
def runs(a_run):
    return pd.DataFrame(
        [
            *recipe(a_run, DEFAULT, [0.5, 0.6, 0.7, 0.9]),
            *recipe(a_run, PAPER, [0.78, 0.8, 0.8, 0.86]),
            *recipe(a_run, "Mixout", [0.5, 0.5, 0.5, 0.8]),
            *recipe(a_run, PAPER, [0.9], task="cola", metric="matthews_correlation"),
        ]
    )


def test_scores_of_each_recipe_in_the_papers_order(runs):
    rows = table(runs)
    assert list(rows["task"] + " " + rows["recipe"]) == [
        f"cola {PAPER}",
        f"rte {DEFAULT}",
        f"rte {PAPER}",
        "rte Mixout",
    ]
    default = rows.iloc[1]
    assert (default["n"], default["failed"], default["learning_rate"]) == (4, 1, "3e-4")
    assert default["mean"] == pytest.approx(67.5) and default["median"] == pytest.approx(65)
    assert default["std"] == pytest.approx(((17.5**2 + 7.5**2 + 2.5**2 + 22.5**2) / 4) ** 0.5)


def test_each_two_recipes(runs):
    rows = compare(runs)
    assert rows[["task", "first", "second"]].to_numpy().tolist() == [
        ["cola", DEFAULT, PAPER],
        ["rte", DEFAULT, PAPER],
        ["rte", DEFAULT, "Mixout"],
        ["rte", PAPER, "Mixout"],
    ]
    # 2 * C(4, 3) / C(8, 3)
    assert (
        rows.iloc[3]["second: failed/n, std"] == "3/4, 12.99" and rows.iloc[3]["Fisher p"] == "0.14"
    )
    cola, rte = rows.iloc[0], rows.iloc[1]
    assert (
        rte["first: failed/n, std"] == "1/4, 14.79" and rte["second: failed/n, std"] == "0/4, 3.00"
    )
    # 1 and 0 of 4: no table with one failure is likelier or less likely
    assert rte["Fisher p"] == "1"
    # distances from the means 67.5 and 81: 17.5, 7.5, 2.5, 22.5 and 3, 1, 1, 5; an F test with 1
    # and 6 degrees of freedom
    far, near = pd.Series([17.5, 7.5, 2.5, 22.5]), pd.Series([3.0, 1, 1, 5])
    between = 4 * ((far.mean() - near.mean()) / 2) ** 2 * 2
    within = ((far - far.mean()) ** 2).sum() + ((near - near.mean()) ** 2).sum()

    assert rte["Levene p, mean-centred"] == f"{f.sf(between / (within / 6), 1, 6):.2g}"
    assert list(cola.iloc[-6:]) == ["-", PAPER, "0/1, 0.00", "-", "-", "-"]


def test_equal_scores_and_one_run_are_not_tested(a_run):
    equal = pd.DataFrame([*recipe(a_run, DEFAULT, [0.5] * 5), *recipe(a_run, PAPER, [0.5] * 5)])
    assert list(compare(equal).iloc[0, -3:]) == ["-", "-", "1"]
    for name in (DEFAULT, "Mixout"):
        alone = pd.DataFrame(recipe(a_run, name, [0.8]))
        draw(alone)
        assert list(compare(alone).iloc[0, -3:]) == ["-", "-", "-"] and len(table(alone)) == 1


def test_command(runs, run_twice, tmp_path, monkeypatch):
    runs.to_csv(tmp_path / "strong_baseline.csv", index=False)
    assert run_twice("strong_baseline", tmp_path) == {
        f"strong_baseline.{kind}" for kind in ("png", "pdf", "md", "csv")
    } | {"strong_baseline_tests.md", "strong_baseline_tests.csv"}
    assert (
        "| default | 3e-4 | without | 3 | 4 | 67.50 |"
        in (tmp_path / "first" / "strong_baseline.md").read_text()
    )

    runs.drop(columns="recipe").to_csv(tmp_path / "strong_baseline.csv", index=False)
    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    with pytest.raises(BadInput, match="lacks the column recipe"):
        main()

"""Small training sets: the conditions' table and Fisher's tests, against counts made by hand."""

import pandas as pd
import pytest
from scipy.stats import hypergeom

from analysis.shared.reading import BadInput
from analysis.small_datasets import CONDITIONS, compare, draw, main, table

FULL, EPOCHS, ITERATIONS = CONDITIONS


def condition(a_run, name, failed, learned, **columns):
    size = {
        "condition": name,
        "examples": 1600 if name == FULL else 400,
        "epochs": 12 if name == ITERATIONS else 3,
    }
    return [a_run(score, **size, **columns) for score in [0.5] * failed + [0.9] * learned]


@pytest.fixture
def runs(a_run):
    """RTE: 1, 4 and 0 of 4 runs fail; CoLA: 0, 3 and no runs."""
    cola = {"task": "cola", "data": "mini@2", "metric": "matthews_correlation"}
    return pd.DataFrame(
        [
            *condition(a_run, FULL, 1, 3),
            *condition(a_run, EPOCHS, 4, 0),
            *condition(a_run, ITERATIONS, 0, 4),
            *condition(a_run, FULL, 0, 3, **cola),
            *condition(a_run, EPOCHS, 3, 0, **cola),
        ]
    )


def test_scores_of_each_condition(runs):
    rows = table(runs).set_index(["task", "condition"])
    assert list(rows.loc["rte"].index) == [FULL, EPOCHS, ITERATIONS]
    full = rows.loc[("rte", FULL)]
    assert (full["n"], full["failed"], full["examples"], full["epochs"]) == (4, 1, 1600, 3)
    assert (
        full["mean"] == pytest.approx(80)
        and full["median"] == pytest.approx(90)
        and full["max"] == pytest.approx(90)
    )
    assert full["std"] == pytest.approx((3 * 10**2 / 4 + 30**2 / 4) ** 0.5)


def test_failures_are_compared_per_task_and_with_summed_counts(runs):
    rows = compare(runs).set_index(["task", "first", "second"])
    # 1 and 4 of 4: of all ways to place 5 failures among 8 runs, those no likelier than this one
    chances = [hypergeom(8, 5, 4).pmf(k) for k in range(1, 5)]
    expected = sum(p for p in chances if p <= chances[0] * (1 + 1e-9))
    assert float(rows.loc[("rte", FULL, EPOCHS), "Fisher p"]) == pytest.approx(expected, rel=0.05)
    assert rows.loc[("cola", FULL, ITERATIONS), "Fisher p"] == "-"
    pooled = rows.loc[("all tasks", FULL, EPOCHS)]
    assert (
        pooled["first failed"],
        pooled["first n"],
        pooled["second failed"],
        pooled["second n"],
    ) == (1, 7, 7, 7)
    # p is written with 2 digits
    assert float(pooled["Fisher p"]) == pytest.approx(2 * hypergeom(14, 8, 7).pmf(1), rel=0.05)


def test_tasks_summed_are_named_where_another_has_another_rate(a_run, runs):
    other = condition(a_run, FULL, 2, 2, task="mrpc", data="mini@3", learning_rate=2e-4)
    rows = compare(pd.concat([runs, pd.DataFrame(other)])).set_index(["task", "first", "second"])
    assert "all tasks" not in rows.index
    summed = "acceptability (mini's CoLA) and entailment (mini's RTE)"
    assert rows.loc[(summed, FULL, EPOCHS), "first n"] == 7


def test_one_run_of_one_condition(a_run):
    alone = pd.DataFrame(condition(a_run, FULL, 0, 1))
    draw(alone)
    assert table(alone)["std"].item() == 0
    assert set(compare(alone)["Fisher p"]) == {"-"} and "all tasks" not in set(
        compare(alone)["task"]
    )


def test_command(runs, run_twice, tmp_path, monkeypatch):
    runs.to_csv(tmp_path / "small_datasets.csv", index=False)
    assert run_twice("small_datasets", tmp_path) == {
        f"small_datasets.{kind}" for kind in ("png", "pdf", "md", "csv")
    } | {"small_datasets_tests.md", "small_datasets_tests.csv"}
    assert "| 1600 | 3 | 4 | 80.00 |" in (tmp_path / "first" / "small_datasets.md").read_text()

    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    runs.drop(columns="examples").to_csv(tmp_path / "small_datasets.csv", index=False)
    with pytest.raises(BadInput, match="lacks the column examples"):
        main()
    runs.replace({"condition": {FULL: "all"}}).to_csv(tmp_path / "small_datasets.csv", index=False)
    with pytest.raises(BadInput, match="condition 'all'"):
        main()

"""The figure and tables of your_data, and what it says that so many seeds can tell."""

import pandas as pd
import pytest
from scipy import stats

from analysis.shared.reading import BadInput
from analysis.your_data import (
    compare,
    draw,
    fewest_seen,
    how_to_go_on,
    in_order,
    main,
    report,
    seeds_for,
    table,
    what_seeds_tell,
)

DATA = "own:reviews@12345678 text to label"


def runs(a_run, failed, n=10, **columns):
    """So many runs of each recipe, so many of them failed."""
    rows = []
    for name, count in failed.items():
        for i in range(n):
            score = 0.5 if i < count else 0.8 + 0.01 * i
            rows.append(
                a_run(
                    score,
                    **{
                        "run": f"{len(rows):016x}",
                        "recipe": name,
                        "task": "own:reviews",
                        "data": DATA,
                        "bias_correction": name != "default",
                        **columns,
                    },
                )
            )
    return pd.DataFrame(rows)


NONE = {"default": 0, "Trainer's defaults": 0, "paper's recipe": 0}


@pytest.mark.parametrize(("n", "seen"), [(3, None), (4, 4), (5, 4), (10, 5), (25, 6)])
def test_the_fewest_failures_that_are_seen(n, seen):
    """By trying all counts with scipy's own test."""
    found = fewest_seen(n, n)
    assert found == seen
    p = [stats.fisher_exact([[k, n - k], [0, n]]).pvalue for k in range(n + 1)]
    assert [k for k in range(n + 1) if p[k] < 0.05][:1] == ([seen] if seen else [])


def test_seeds_for_a_difference():
    assert seeds_for(0.0, 1.0) == 4 and seeds_for(0.5, 0.5) is None
    n = seeds_for(0.0, 0.3)
    rejected = stats.fisher_exact([[0, n], [round(0.3 * n), n - round(0.3 * n)]]).pvalue
    assert rejected < 0.05 and n > 10


def test_no_fewer_seeds_are_advised_than_there_are(a_run):
    """3 and 10 of 25: p is 0.051, and 24 seeds of such rates would have given less."""
    assert stats.fisher_exact([[3, 22], [10, 15]]).pvalue > 0.05
    assert stats.fisher_exact([[3, 21], [10, 14]]).pvalue < 0.05
    needed = seeds_for(3 / 25, 10 / 25, 25)
    for n in range(needed, needed + 6):
        table = [[round(rate * n), n - round(rate * n)] for rate in (3 / 25, 10 / 25)]
        assert stats.fisher_exact(table).pvalue < 0.05
    said = how_to_go_on(in_order(runs(a_run, {**NONE, "default": 10, "paper's recipe": 3}, n=25)))
    assert needed > 25 and f"--seeds {needed}" not in said  # here 0 and 10 are told apart
    failed = {"default": 10, "Trainer's defaults": 9, "paper's recipe": 3}
    assert f"--seeds {needed}" in how_to_go_on(in_order(runs(a_run, failed, n=25)))


def test_what_a_correlation_hides(a_run):
    columns = {"metric": "pearson", "majority_level": 0.0, "label_entropy": 2.4, "dev_examples": 60}
    frame = runs(a_run, NONE, n=2, **columns).assign(train_loss=[9.8, 2.0] * 3)
    said = report(frame)
    assert "By their loss 3 of 6 runs have learnt nothing" in said and "on 60 examples" in said
    assert "By their loss" not in report(runs(a_run, NONE, n=2))


def test_what_is_said(a_run):
    recipes = in_order(runs(a_run, NONE))
    text = what_seeds_tell(recipes)
    assert "sees 5 failed of 10 or more: a difference of 50 points" in text
    assert "up to 28 %" in text  # Wilson's interval of 0 of 10
    assert "69 to 183 %" in text  # of a standard deviation over 10
    few = in_order(runs(a_run, NONE, n=2))
    assert "not even 2 failed of 2 beside 0 of 2" in what_seeds_tell(few)
    assert "up to 66 %" in what_seeds_tell(few)


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        (NONE, "whether others are told from it 11 seeds or more can say"),
        ({**NONE, "default": 7}, "paper's recipe fails less than default (p < 0.05)"),
        ({**NONE, "default": 3}, "default and Trainer's defaults are told apart from about 16"),
        (dict.fromkeys(NONE, 10), "no matter of seeds"),
        (dict.fromkeys(NONE, 4), "No recipe is seen to fail more than another"),
    ],
)
def test_how_to_go_on(a_run, failed, expected):
    assert expected in how_to_go_on(in_order(runs(a_run, failed)))


def test_tables_by_hand(a_run):
    frame = runs(a_run, {**NONE, "default": 7})
    assert table(frame)["recipe"].tolist() == list(NONE)
    assert table(frame)["failed"].tolist() == [7, 0, 0]
    tests = compare(frame)
    assert tests["failed"].tolist()[0] == "7/10 and 0/10"
    p = stats.fisher_exact([[7, 3], [0, 10]]).pvalue
    assert tests["Fisher p"].tolist()[0] == f"{p:.2g}"
    said = report(frame)
    assert "**reviews, checkpoint**, accuracy, best constant answer 50.0" in said
    assert "default 7/10 failed (40 to 89 %)" in said


def test_same_bytes_twice(a_run, tmp_path, run_twice):
    parts = [
        runs(a_run, {**NONE, "default": 3}),
        runs(a_run, NONE, n=2, task="own:scores", metric="pearson", majority_level=0.0),
    ]
    frame = pd.concat(parts).assign(run=lambda t: [f"{i:016x}" for i in range(len(t))])
    frame.to_csv(tmp_path / "your_data.csv", index=False)
    assert run_twice("your_data", tmp_path) == {
        f"your_data{end}" for end in (".png", ".pdf", ".md", ".csv", "_tests.md", "_tests.csv")
    }
    text = (tmp_path / "first" / "your_data.md").read_text()
    assert "| reviews | default |" in text or "| checkpoint | reviews |" in text
    assert "**scores, checkpoint**, Pearson correlation" in text and "own:" not in text


def test_one_recipe_only(a_run, tmp_path, run_twice):
    """The others crashed: what there is is shown."""
    runs(a_run, {"default": 1}, n=3).to_csv(tmp_path / "your_data.csv", index=False)
    assert "your_data.png" in run_twice("your_data", tmp_path)


@pytest.mark.parametrize(
    "change", [{"learning_rate": 3e-5}, {"epochs": 20}, {"train_examples": 400.0}]
)
def test_two_settings_of_a_recipe_are_not_counted_together(a_run, tmp_path, draw_here, change):
    """Pooled, none of 10 and all of 10 would be 10 of 20. Blank, as of all examples, is a value
    too."""
    parts = [runs(a_run, {"default": 0}), runs(a_run, {"default": 10}, **change)]
    frame = pd.concat(parts).assign(run=lambda t: [f"{i:016x}" for i in range(len(t))])
    frame.to_csv(tmp_path / "your_data.csv", index=False)
    with pytest.raises(BadInput, match=f"has runs of the recipe 'default' .*{next(iter(change))}"):
        draw_here(main)


def test_a_run_that_diverged_early_is_no_short_training(a_run):
    frame = runs(a_run, {**NONE, "default": 3}, steps=300)
    frame.loc[frame.index[0], ["steps", "diverged"]] = 23, True
    assert "too few" not in how_to_go_on(in_order(frame))


def test_scores_that_are_all_the_same_get_an_axis_of_points(a_run):
    same = runs(a_run, {"default": 2, "paper's recipe": 2}, n=2)
    figure = draw(same.assign(majority_level=0.5))
    low, high = figure.axes[0].get_ylim()
    assert low <= 49 and high >= 51


@pytest.mark.parametrize(("steps", "told"), [(9, True), (300, False)])
def test_runs_of_a_few_steps_are_not_called_failing(a_run, steps, told):
    said = how_to_go_on(in_order(runs(a_run, {**NONE, "default": 3}, steps=steps)))
    assert ("A run has 9 steps, too few" in said) == told

"""The second definition of success: its levels are what a bag of words scores."""

import pandas as pd
from conftest import REPOSITORY

from analysis.shared.learnt import has_learnt, levels
from analysis.shared.statistics import over_seeds

RTE = "mini@e4bf4982"


def rows(scores, **columns):
    table = pd.DataFrame({"score": scores, "task": "rte", "data": RTE, "diverged": False})
    return table.assign(failed=table["score"] <= 0.53, **columns)


def test_above_the_bag_of_words_and_above_the_start():
    level = levels()["rte", RTE]
    assert 0.7 < level < 0.8
    scores = [level, level + 0.01, 0.9, 0.6]
    assert has_learnt(rows(scores)).tolist() == [False, True, True, False]
    before = [0.5, 0.95, 0.5, 0.4]
    assert has_learnt(rows(scores, untrained_score=before)).tolist() == [False, False, True, False]


def test_counted_in_tables_of_mini_only():
    table = over_seeds(rows([0.5, 0.6, 0.9]), ["task", "data"])
    assert table.loc[0, ["failed", "learnt", "n"]].tolist() == [1, 1, 3]
    others = rows([0.5, 0.9]).assign(data="glue@1")
    assert has_learnt(others) is None
    assert "learnt" not in over_seeds(others, ["task", "data"])


def test_the_committed_levels_are_what_the_script_writes():
    from experiments.finetuning.tasks import MINI
    from experiments.mini.baselines import PATH, TASKS_OF_MINI, baseline

    committed = pd.read_csv(PATH, dtype=str)
    assert PATH.is_relative_to(REPOSITORY)
    assert len(committed) == len(MINI) * len(TASKS_OF_MINI)
    for task in ("rte", "tagging"):
        row = baseline(task, "mini")
        first = committed[committed["task"] == task].iloc[0]
        assert first["data"] == row["data"]
        assert abs(float(first["bag_of_words"]) - row["bag_of_words"]) < 1e-4

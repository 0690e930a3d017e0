"""The comparison with the published runs, on the published runs themselves and on what must not be judged."""

import pytest
from scipy.stats import hypergeom

from analysis.check import compare, published_runs


@pytest.fixture
def fig_9():
    """Fig. 9's runs at 2e-5 without correction, as if they were ours: 23 of 25 failed."""
    runs = published_runs()
    runs = runs[(runs["locator"] == "Fig. 9") & (runs["learning_rate"] == 2e-5) & ~runs["bias_correction"]]
    return runs.assign(model="google-bert/bert-large-uncased").drop(columns="locator")


def test_the_published_runs_agree_with_themselves(fig_9):
    rows = compare(fig_9).set_index("published in")
    assert list(rows.index) == ["Mosbach et al. v3, Fig. 5", "Mosbach et al. v3, Fig. 9"]
    assert rows["published: failed/n, mean, std"]["Mosbach et al. v3, Fig. 9"] == "23/25, 50.9, 4.5"
    assert rows["published: failed/n, mean, std"]["Mosbach et al. v3, Fig. 5"] == "20/25, 52.3, 7.2"
    assert rows["Fisher p"]["Mosbach et al. v3, Fig. 9"] == "1.000"
    assert (rows["verdict"] == "agrees").all()
    # 23 and 20 of 25, two-sided by hand: all tables with 43 failures of 50 that are no likelier than this one
    chances = [hypergeom(50, 43, 25).pmf(k) for k in range(18, 26)]
    expected = sum(p for p in chances if p <= chances[23 - 18] * (1 + 1e-9))
    assert float(rows["Fisher p"]["Mosbach et al. v3, Fig. 5"]) == pytest.approx(expected, abs=5e-4)


def test_runs_that_all_learn_differ(fig_9):
    assert (compare(fig_9.assign(failed=False, score=0.7))["verdict"] == "differs").all()


@pytest.mark.parametrize("change", [{"model": "checkpoint@1"}, {"task": "cola"}, {"learning_rate": 5e-5}, {"epochs": 20},
                                    {"pretrained": False}, {"dtype": "bfloat16"}])
def test_other_settings_are_shown_and_not_judged(fig_9, change):
    rows = compare(fig_9.assign(**change))
    assert list(rows["verdict"]) == ["not judged: no such published runs"]
    assert list(rows["ours: failed/n, mean, std"]) == ["23/25, 50.9, 4.5"]

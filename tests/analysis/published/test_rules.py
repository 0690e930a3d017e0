"""Ways to a verdict that the statistic alone would give and the sentence does not bear."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis.published.claims import CLAIMS
from analysis.published.evidence import SINCE, results
from analysis.published.rules import OUTCOMES, differ_in
from analysis.published.verdicts import (
    ADJUSTED,
    ALIKE,
    FAILS,
    FEW,
    HOLDS,
    NEED,
    NO_DATA,
    OPEN,
    evaluate,
    why_open,
)
from analysis.shared.estimates import Estimate

NOISE = 0.001 * np.sin(np.arange(60))
PAPER = {"recipe": "paper's recipe", "epochs": 20, "bias_correction": True}
SAMPLE = {"condition": "sample, same iterations", "train_examples": 400, "epochs": 12}
BERT = {"model": "google/bert-large-uncased@1", "data": "glue@1", "learning_rate": 2e-5}


@pytest.fixture
def write(a_run, tmp_path):
    """A function that writes a CSV of groups of runs (number, columns; a list is a value a run) and
    gives the row of a claim."""

    def make(table, claim, *groups):
        rows = []
        for n, columns in groups:
            for i in range(n):
                values = {
                    name: value[i] if isinstance(value, list) else value
                    for name, value in columns.items()
                }
                seeds = dict.fromkeys(("head_seed", "order_seed", "dropout_seed"), i + 1)
                score = values.pop("score", 0.8 + NOISE[i])
                rows.append(a_run(score, **{"run": f"r{len(rows)}", **seeds, **values}))
        pd.DataFrame(rows).to_csv(tmp_path / f"{table}.csv", index=False)
        return evaluate(results(tmp_path)).loc[claim]

    return make


def scores(level, n=25, spread=0.0):
    return [level + spread * np.sin(i) for i in range(n)]


WIDE = scores(0.45, spread=0.04)  # all failed, at or below 0.5
CASES = {
    # (a) equal failures have no spread
    "std of a recipe that always fails": (
        ("strong_baseline", "recipe_std_rte"),
        [
            (25, {"recipe": "default", "score": WIDE}),
            (25, {**PAPER, "score": scores(0.5)}),
        ],
        OPEN,
    ),
    "std of a recipe that fails more": (
        ("strong_baseline", "recipe_std_rte"),
        [
            (25, {"recipe": "default", "score": scores(0.8, spread=0.1)}),
            (25, {**PAPER, "score": [0.5] * 5 + scores(0.501, 20, 0.0005)}),
        ],
        OPEN,
    ),
    "std of a recipe that learns": (
        ("strong_baseline", "recipe_std_rte"),
        [
            (25, {"recipe": "default", "score": scores(0.7, spread=0.15)}),
            (25, {**PAPER, "score": scores(0.9, spread=0.01)}),
        ],
        HOLDS,
    ),
    # (b) both always fail, and one gives the rarer label
    "mean of a recipe that always fails": (
        ("strong_baseline", "recipe_mean_rte"),
        [
            (25, {"recipe": "default", "score": scores(0.47, spread=0.002)}),
            (25, {**PAPER, "score": scores(0.495, spread=0.002)}),
        ],
        OPEN,
    ),
    "mean of a recipe most of whose scores are lost": (
        ("strong_baseline", "recipe_mean_rte"),
        [
            (25, {"recipe": "default", "score": scores(0.6, spread=0.05), "failed": False}),
            (
                25,
                {
                    **PAPER,
                    "score": [np.nan] * 19 + scores(0.9, 6, 0.01),
                    "failed": False,
                },
            ),
        ],
        (OPEN, NO_DATA),
    ),
    # (c) failed runs at the label entropy
    "half of the failed runs above the entropy, half below": (
        ("bias_correction", "failed_at_label_entropy"),
        [(24, {"score": 0.5, "train_loss": [0.49, 0.89] * 12})],
        FAILS,
    ),
    "most failed runs diverged": (
        ("bias_correction", "failed_at_label_entropy"),
        [
            (
                25,
                {
                    "score": 0.5,
                    "train_loss": [np.inf] * 20 + [0.69] * 5,
                    "diverged": [True] * 20 + [False] * 5,
                },
            )
        ],
        FAILS,
    ),
    "one seed in twelve settings": (
        ("bias_correction", "failed_at_label_entropy"),
        [
            (
                12,
                {
                    "score": 0.5,
                    "train_loss": 0.69,
                    "learning_rate": [1e-4 * i for i in range(1, 13)],
                    "head_seed": 1,
                    "order_seed": 1,
                    "dropout_seed": 1,
                },
            )
        ],
        OPEN,
    ),
    "twelve seeds": (
        ("bias_correction", "failed_at_label_entropy"),
        [(25, {"score": 0.5, "train_loss": 0.69})],
        HOLDS,
    ),
    # (d) no room to fail more
    "all fail on the whole set and on the sample": (
        ("small_datasets", "same_stability_cola"),
        [
            (25, {"task": "cola", "condition": "full", "score": 0.5}),
            (25, {"task": "cola", **SAMPLE, "score": 0.5}),
        ],
        OPEN,
    ),
    "nearly all fail on the whole set": (
        ("small_datasets", "same_stability_cola"),
        [
            (40, {"task": "cola", "condition": "full", "score": [0.5] * 31 + [0.8] * 9}),
            (40, {"task": "cola", **SAMPLE, "score": [0.5] * 25 + [0.8] * 15}),
        ],
        OPEN,
    ),
    "the sample fails less where there is room": (
        ("small_datasets", "same_stability_cola"),
        [
            (40, {"task": "cola", "condition": "full", "score": [0.5] * 10 + [0.8] * 30}),
            (40, {"task": "cola", **SAMPLE, "score": [0.5] * 4 + [0.8] * 36}),
        ],
        HOLDS,
    ),
    # (e) no small loss among the losses
    "losses from 0.45 to 0.60 only": (
        ("generalization", "small_loss_rank"),
        [
            (
                60,
                {
                    "train_loss": list(np.linspace(0.45, 0.6, 60)),
                    "score": list(0.9 - np.linspace(0, 0.2, 60)),
                },
            )
        ],
        OPEN,
    ),
    "small losses among them": (
        ("generalization", "small_loss_rank"),
        [
            (
                60,
                {
                    "train_loss": list(np.linspace(0.01, 0.6, 60)),
                    "score": list(0.9 - np.linspace(0, 0.2, 60)),
                },
            )
        ],
        HOLDS,
    ),
    # (f) the same seeds twice
    "three seeds written twice": (
        ("bias_correction", "correction_bert_rte_middle"),
        [
            (3, {"score": 0.5}),
            (3, {"score": 0.5}),
            (3, {"bias_correction": True}),
            (3, {"bias_correction": True}),
        ],
        OPEN,
    ),
    # the three beside them
    "a printed p with four runs a recipe": (
        ("strong_baseline", "levene_rte_mean"),
        [
            (4, {"recipe": "default", "score": [0.5, 0.9, 0.55, 0.85], **BERT}),
            (4, {**PAPER, **BERT, "score": [0.9, 0.901, 0.902, 0.9]}),
        ],
        OPEN,
    ),
    "runs of another batch size": (
        ("bias_correction", "correction_bert_rte_middle"),
        [
            (25, {"score": 0.5, "batch_size": 16}),
            (25, {"bias_correction": True, "batch_size": 32}),
        ],
        NO_DATA,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verdicts(case, write):
    (table, claim), groups, verdict = CASES[case]
    row = write(table, claim, *groups)
    assert row["verdict"] in (verdict if isinstance(verdict, tuple) else (verdict,)), row.to_dict()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("batch_size", (16, 32)),
        ("max_length", (64, 128)),
        ("optimizer", ("adamw", "sgd")),
        ("dropout", (0.1, 0.0)),
        ("packed", (True, False)),
        ("segment_ids", (True, False)),
        ("start_noise", (0.0, 1e-7)),
        ("a_field_of_next_year", (1, 2)),
    ],
)
def test_what_differs_otherwise_is_not_judged_together(field, values, write):
    row = write(
        "bias_correction",
        "correction_bert_rte_middle",
        (25, {"score": 0.5, field: values[0]}),
        (25, {"bias_correction": True, field: values[1]}),
    )
    assert row["verdict"] == NO_DATA
    assert f"differ in {field}" in row["remark"]


def test_a_field_that_only_newer_rows_have_counts_as_its_default(write):
    row = write(
        "bias_correction",
        "correction_bert_rte_middle",
        (25, {"score": 0.5}),
        (25, {"bias_correction": True, "segment_ids": True}),
    )
    assert row["verdict"] == HOLDS


def test_all_that_a_run_is_made_from_counts():
    """Every hashed field of a run is either compared or named as an outcome for a reason."""
    from dataclasses import fields

    from experiments.finetuning.run import Run

    hashed = {f.name for f in fields(Run) if f.metadata.get("changes_result", True)}
    assert hashed & OUTCOMES == {"device"}  # a machine's name; the CPU path is `packed`
    table = pd.DataFrame([dict.fromkeys(hashed, 1), dict.fromkeys(hashed, 2)])
    seeds = {"head_seed", "order_seed", "dropout_seed"}
    assert set(differ_in(table.assign(task="rte"), ())) == hashed - seeds - {"device", "task"}


def test_a_quick_search_finds_no_verdict_that_is_too_often_wrong():
    """The whole of it is committed: figures/reference/verdict_search.md."""
    from analysis.published.verdict_search import search

    table = search(sources=6)
    assert len(table) > 60
    assert not table["too often"].any()
    committed = pd.read_csv(REPOSITORY / "figures" / "reference" / "verdict_search.csv")
    assert list(committed["truth"]) == list(table["truth"])


def failing(n, failed, **columns):
    return n, {"score": [0.4] * failed + [0.9] * (n - failed), **columns}


@pytest.mark.parametrize(
    ("pair", "verdict", "why"),
    [
        ((failing(25, 20), failing(25, 0)), HOLDS, ""),
        ((failing(9, 6), failing(9, 6)), OPEN, FEW),
        # p = 0.0001 by Fisher, and yet one group has 4 runs
        ((failing(25, 25), failing(4, 0)), OPEN, FEW),
        ((failing(25, 6), failing(25, 5)), OPEN, ALIKE),
    ],
)
def test_why_a_claim_is_open(write, pair, verdict, why):
    (n, without), (m, with_it) = pair
    row = write(
        "bias_correction",
        "correction_bert_rte_middle",
        (n, {"bias_correction": False, "epochs": 3, **without}),
        (m, {"bias_correction": True, "epochs": 3, **with_it}),
    )
    assert (row["verdict"], row["why_open"]) == (verdict, why)


def test_what_keeps_a_claim_open_is_asked_in_order():
    claim = next(claim for claim in CLAIMS if claim.id == "correction_bert_rte_middle")
    found = Estimate(30.0, 1.0, 60.0, lambda threshold: 0.03, (25, 25))
    assert why_open(claim, found, 0.03, 0.03) == ""
    assert why_open(claim, found, 0.03, 0.06) == ADJUSTED
    assert why_open(claim, found, 0.06, 0.06) == ALIKE
    assert why_open(claim, found._replace(n=(25, 19)), 0.03, 0.06) == FEW
    # decided but for the need
    assert why_open(claim, found._replace(may_hold=False), 0.03, 0.03) == NEED
    assert why_open(claim, found._replace(may_hold=False), 0.06, 0.06) == ALIKE
    for n in ((), (25, 0)):  # no data
        assert why_open(claim, found._replace(n=n), 0.06, 0.06) == ""


def test_what_older_rows_lack_is_known():
    """Of the settings what those runs had, which is the default of a run; all else came out of
    them, so that older and newer rows can be judged together."""
    from experiments.finetuning.run import Run

    reference = REPOSITORY / "results" / "reference" / "mini"
    older, newer = (
        set(pd.read_csv(reference / f"{name}.csv", nrows=1))
        for name in ("bias_correction", "training_length")
    )
    settings = {field.name: field.default for field in dataclasses.fields(Run)}
    lacking = newer - older
    assert len(lacking) > 8
    for name in lacking & set(settings):
        missing = settings[name] is None
        assert SINCE[name] == settings[name] or (missing and np.isnan(SINCE[name]))
    assert lacking - set(settings) <= OUTCOMES

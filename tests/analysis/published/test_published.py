"""The published data: columns, types, allowed values, counts, and a few values that must be
where the papers have them."""

import math

import pandas as pd
import pytest
from conftest import REPOSITORY

PUBLISHED = REPOSITORY / "analysis" / "published"
TASKS = {"rte", "mrpc", "cola", "qnli", "scitail", "stsb", "sst2", "qqp", "mnli"}
MODELS = {
    "bert-large-uncased",
    "roberta-large",
    "albert-large-v2",
    "bert-large",
    "bart-large",
    "electra-large-discriminator",
    "xlnet-large-cased",
}
METRICS = {"accuracy", "f1", "matthews_correlation"}
SETTING = [
    "source",
    "locator",
    "model",
    "task",
    "approach",
    "train_examples",
    "learning_rate",
    "bias_correction",
    "epochs",
    "metric",
]


@pytest.fixture(scope="module")
def text():
    """Every file as it stands, all cells as text."""
    return {
        name: pd.read_csv(PUBLISHED / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in ("runs", "numbers", "sources")
    }


@pytest.fixture(scope="module")
def runs():
    return pd.read_csv(PUBLISHED / "runs.csv")


@pytest.fixture(scope="module")
def numbers():
    return pd.read_csv(PUBLISHED / "numbers.csv")


def test_columns_and_sources(text):
    assert list(text["runs"].columns) == [*SETTING, "score", "training_loss"]
    assert list(text["numbers"].columns) == [
        "source",
        "locator",
        "model",
        "task",
        "approach",
        "part",
        "train_examples",
        "learning_rate",
        "bias_correction",
        "epochs",
        "split",
        "metric",
        "statistic",
        "at",
        "up_to",
        "relation",
        "value",
        "rounding",
        "unit",
        "reading",
        "note",
    ]
    assert list(text["sources"].columns) == ["id", "citation", "version", "date", "read", "url"]
    assert (
        text["sources"]["id"].is_unique and text["sources"]["url"].str.startswith("https://").all()
    )
    assert (
        set(text["sources"]["id"]) == set(text["numbers"]["source"]) >= set(text["runs"]["source"])
    )


@pytest.mark.parametrize("name", ["runs", "numbers", "sources"])
def test_plain_files(name):
    data = (PUBLISHED / f"{name}.csv").read_bytes()
    assert b"\r" not in data and data.endswith(b"\n") and not data.endswith(b"\n\n")


@pytest.mark.parametrize("name", ["runs", "numbers"])
def test_numbers_are_numbers_and_words_are_known(text, name):
    table = text[name]
    for column in ("learning_rate", "score", "training_loss", "value", "rounding", "at", "up_to"):
        cells = table.get(column, pd.Series(dtype=str))
        assert all(math.isfinite(float(cell)) for cell in cells if cell), column
    for column in ("train_examples", "epochs"):
        assert all(cell.isdigit() for cell in table[column] if cell), column
    assert set(table["bias_correction"]) == {"", "True", "False"}
    assert set(table["task"]) <= TASKS | {""} and set(table["model"]) <= MODELS | {""}
    rates = pd.to_numeric(table["learning_rate"]).dropna()
    assert rates.between(1e-6, 1e-3).all()
    order = table.apply(tuple, axis=1)
    assert order.nunique() == len(order) or name == "runs"  # runs may coincide, numbers may not


def test_allowed_values_of_numbers(numbers):
    assert set(numbers["relation"]) == {"=", "<", ">=", "about"}
    assert set(numbers["unit"]) == {
        "percent",
        "fraction",
        "count",
        "perplexity",
        "nats",
        "seconds",
        "dimensionless",
    }
    assert set(numbers["reading"]) == {"printed", "image", "vector figure", "pixels", "computed"}
    assert set(numbers["metric"].dropna()) == METRICS | {
        "spearman_correlation",
        "accuracy_and_f1",
        "mlm_perplexity",
        "training_loss",
        "gradient_norm",
    }
    in_words = numbers[numbers["value"].isna()]
    assert len(in_words) == 8 and in_words["note"].str.startswith("in words: ").all()
    assert (numbers["value"].isna() == numbers["rounding"].isna()).all() and not (
        numbers["rounding"] < 0
    ).any()
    assert numbers[numbers["unit"] == "percent"]["value"].between(0, 100).all()
    assert numbers[numbers["unit"] == "fraction"]["value"].between(0, 1).all()
    counts = numbers[numbers["unit"] == "count"]["value"].dropna()
    assert (counts == counts.round()).all()
    key = [
        c
        for c in numbers.columns
        if c not in ("value", "rounding", "relation", "unit", "reading", "note")
    ]
    twice = numbers[numbers.duplicated(key)]
    # 3, 10 and 20
    assert set(twice["locator"]) == {"Table 3"} and set(twice["statistic"]) == {"epochs"}


def test_counts_of_rows(runs, numbers):
    assert runs["locator"].value_counts().to_dict() == {
        "Fig. 1": 210,
        "Fig. 3": 225,
        "Fig. 5": 450,
        "Fig. 8b": 451,
        "Fig. 9": 451,
    }
    assert numbers["source"].value_counts().to_dict() == {
        "mosbach2021": 1407,
        "zhang2021": 255,
        "du2023": 216,
        "lee2020": 138,
        "mosbach2020": 48,
        "dodge2020": 40,
        "aghajanyan2021": 15,
        "mosbach_rerun": 14,
        "devlin2019": 5,
    }
    settings = runs[runs["locator"] != "Fig. 8b"].groupby(SETTING, dropna=False).size()
    assert len(settings) == 54 and set(settings) == {20, 25, 26}


def test_scores(runs):
    assert runs["score"].between(0, 1).all() and set(runs["metric"]) == METRICS
    rte = runs[runs["task"] == "rte"]["score"] * 277
    assert ((rte - rte.round()).abs() / 277).max() < 0.001
    assert (runs["training_loss"].notna() == (runs["locator"] == "Fig. 8b")).all()
    assert runs["training_loss"].dropna().between(0, 1).all()
    ablation, scatter = (
        runs[runs["locator"] == figure]["score"].sort_values().to_numpy()
        for figure in ("Fig. 9", "Fig. 8b")
    )
    assert abs(ablation - scatter).max() <= 1e-5 + 1e-9  # the same runs twice


@pytest.mark.parametrize(
    ("which", "value"),
    [
        (
            {
                "source": "mosbach2021",
                "locator": "Table 1",
                "task": "rte",
                "approach": "Ours",
                "statistic": "std",
            },
            2.7,
        ),
        (
            {
                "source": "mosbach2021",
                "locator": "Table 1",
                "task": "mrpc",
                "approach": "Ours",
                "statistic": "mean",
            },
            90.3,
        ),
        (
            {
                "source": "mosbach2020",
                "locator": "Table 1",
                "task": "rte",
                "approach": "Devlin",
                "statistic": "median",
            },
            47.3,
        ),
        (
            {
                "source": "mosbach2021",
                "locator": "Table 4",
                "train_examples": 1000,
                "epochs": 71,
                "statistic": "mean",
            },
            87.5,
        ),
        (
            {"source": "mosbach2021", "metric": "mlm_perplexity", "approach": "pre-trained model"},
            9.37,
        ),
        ({"source": "mosbach2021", "locator": "Fig. 2a", "part": "blue", "at": 0}, 6953),
        (
            {
                "source": "mosbach2021",
                "locator": "Fig. 4",
                "approach": "failed run",
                "part": "layer 1",
                "statistic": "min",
            },
            9.7e-5,
        ),
        (
            {
                "source": "mosbach2021",
                "locator": "Table 3",
                "model": "roberta-large",
                "statistic": "adam_beta2",
            },
            0.98,
        ),
        (
            {
                "source": "lee2020",
                "locator": "Table 1",
                "task": "rte",
                "approach": "mixout(w_pre,0.8)",
                "statistic": "mean",
            },
            64.0,
        ),
        ({"source": "zhang2021", "statistic": "share_below_55"}, 48),
        ({"source": "devlin2019", "task": "rte"}, 70.1),
        ({"source": "mosbach_rerun", "metric": "f1", "statistic": "mean"}, 89.78),
    ],
)
def test_values_stand_where_the_papers_have_them(numbers, which, value):
    for column, wanted in which.items():
        numbers = numbers[numbers[column] == wanted]
    assert len(numbers) == 1 and numbers["value"].iloc[0] == pytest.approx(value, rel=1e-4)
    assert numbers["relation"].iloc[0] == "="


def test_bounds_have_their_relation(numbers):
    assert set(numbers[numbers["statistic"] == "levene_p"]["relation"]) == {"<"}
    assert (numbers[numbers["statistic"] == "levene_p"]["value"] == 0.001).all()
    at_least = numbers[numbers["relation"] == ">="]
    assert at_least["source"].tolist() == ["lee2020"] and at_least["value"].tolist() == [15]

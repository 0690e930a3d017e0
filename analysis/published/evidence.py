"""The tables on which claims are judged and runs compared: those of a folder of results, and the
published points in the same form."""

import sys
from collections.abc import Callable
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import catastrophic_forgetting, loss_surfaces
from analysis.published.audit import MAJORITY_LEVEL, READ_OFF
from analysis.published.kinds import RATES
from analysis.published.rules import SEEDS, trained_with
from analysis.shared.names import PAPER_MODELS, is_mini, model_name
from analysis.shared.reading import PUBLISHED, BadInput, NothingToDraw, read_csv
from analysis.shared.schema import REGRESSIONS

RUN_TABLES = (
    "bias_correction",
    "training_length",
    "small_datasets",
    "strong_baseline",
    "generalization",
)
SETTING = [
    "model",
    "task",
    "data",
    "learning_rate",
    "bias_correction",
    "epochs",
    "pretrained",
    "dtype",
    "train_examples",
]
OF_A_RUN = [*SETTING[:-1], "score", "failed"]
OPTIONAL = ["train_loss", "label_entropy", "first_layer_gradient", "classifier_gradient"]
NEEDED = {
    "catastrophic_forgetting": catastrophic_forgetting.NEEDED,
    "loss_surfaces_lines": loss_surfaces.NEEDED_LINES,
}
NEAR = 0.05  # nats
# fields that runs got later, and what those without them had: older CSVs lack them
SINCE = {
    "train_examples": np.nan,
    "mixout": 0.0,
    "segment_ids": True,
    "start_noise": 0.0,
    "start_noise_seed": 0,
    "frozen_layers": 0,
    "lora_rank": 0,
    "lora_alpha": 16.0,
    "head_epochs": 0,
    "schedule": "linear",
    "evaluations_per_epoch": np.nan,
}
# profiles.py
LEARNING_RATES = {
    "mini": (2e-4, 3e-4, 4e-4),
    "small": (5e-5, 1e-4, 2e-4),
    "paper": (1e-5, 2e-5, 3e-5),
}
# by the published runs' approach
RECIPE_OF = {"Devlin": "default", "Ours": "paper's recipe", "Lee": "mixout"}
# what the published runs have in common, beside the columns of published_points
AS_PUBLISHED = {"batch_size": 16, "max_length": 128, "warmup_ratio": 0.1, "schedule": "linear"}
Source = Callable[[str], pd.DataFrame]  # gives a table by its name


class Missing(Exception):
    """Why a claim cannot be evaluated."""


def published_points() -> pd.DataFrame:
    """All published points, with the columns of our CSVs that they have; missing values stay
    missing."""
    runs = read_csv(
        PUBLISHED / "runs.csv",
        ["locator", "model", "task", "approach", "train_examples", "score", "training_loss"],
    )
    return runs.rename(columns={"training_loss": "train_loss"}).assign(
        data="published",
        pretrained=True,
        dtype="float32",
        diverged=False,
        recipe=runs["approach"].map(RECIPE_OF),
        failed=runs["score"] <= runs["task"].map(MAJORITY_LEVEL) + READ_OFF,
    )


def unlike_published(runs: pd.DataFrame, fields: dict[str, Any] = AS_PUBLISHED) -> list[str]:
    """The fields, as far as the runs have them, in which one is not as the published runs are."""
    return [
        name
        for name, value in fields.items()
        if name in runs and not (runs[name].isna() if pd.isna(value) else runs[name] == value).all()
    ]


def published_runs(experiment: str = "bias_correction") -> pd.DataFrame:
    """The published points of an experiment's figures, with the columns of its CSV that they
    have."""
    figures = {
        "bias_correction": ["Fig. 5", "Fig. 9"],
        "training_length": ["Fig. 9"],
        "small_datasets": ["Fig. 3"],
        "strong_baseline": ["Fig. 1"],
        "generalization": ["Fig. 8b"],
    }[experiment]
    runs = published_points()
    runs = runs[runs["locator"].isin(figures)]
    if experiment == "bias_correction":
        runs = runs[runs["epochs"] == 3]
    if experiment == "small_datasets":
        samples = runs["epochs"].map(
            lambda epochs: f"sample, same {'epochs' if epochs == 3 else 'iterations'}"
        )
        runs = runs.assign(condition=samples.where(runs["train_examples"].notna(), "full"))
    if experiment == "generalization":
        return runs.assign(label_entropy=log(2))  # RTE's training labels: 1,249 and 1,241
    return (
        runs
        if experiment == "strong_baseline"
        else runs.astype({"bias_correction": bool, "epochs": int})
    )


def read_runs(path: Path) -> pd.DataFrame:
    """A CSV with a row a run, each setting and seed once; what older ones lack is filled in
    (SINCE)."""
    runs = read_csv(path, ["run", *OF_A_RUN])
    if "train_subset" in runs and (parts := runs["train_subset"].notna()).any():
        print(
            f"warning: {path.name}: {parts.sum()} runs on a part of their training data"
            " (train_subset) are not compared",
            file=sys.stderr,
        )
        runs = runs[~parts]
    for name, value in SINCE.items():
        runs[name] = runs[name].fillna(value) if name in runs else value
    return each_once(runs)


def all_runs(results: Path) -> pd.DataFrame:
    """The runs of all CSVs of a folder, each once; empty if there are none. Those with Mixout are
    left out: they differ from the others in what is compared nowhere else."""
    tables = [read_runs(path) for path in tables_of_runs(results)]
    return once(tables) if tables else pd.DataFrame(columns=["run", *OF_A_RUN])


def tables_of_runs(results: Path) -> list[Path]:
    """The CSVs of a folder that have a row a run and are not empty."""
    paths = [results / f"{name}.csv" for name in RUN_TABLES]
    return [path for path in paths if path.is_file() and path.stat().st_size]


def once(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The runs of several tables without those with Mixout, each setting and seed once: where an
    older version of the code made some of the tables, the same seeds would count twice."""
    runs = pd.concat(tables, ignore_index=True)
    return each_once(runs[runs["mixout"] == 0])


def each_once(runs: pd.DataFrame) -> pd.DataFrame:
    """Each setting and seed once, where the table says the seeds, else each run."""
    if not set(SEEDS) <= set(runs):
        return runs.drop_duplicates("run")
    return runs.drop_duplicates(trained_with(runs))


def prepared(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """A table with what the claims ask for: family, kind and rank of the learning rate; derived
    columns a run or pair."""
    if name == "catastrophic_forgetting":
        table = forgetting(table)
    elif name == "loss_surfaces_lines":
        table = barriers(table)
    else:
        table = table.reindex(columns=list(dict.fromkeys([*table.columns, *OPTIONAL])))
        successful = table[~table["failed"].astype(bool)].groupby(
            ["model", "data", "task", "train_examples"], dropna=False
        )
        gradients = {
            part: np.log10(table[f"{part}_gradient"].clip(lower=1e-30))
            for part in ("first_layer", "classifier")
        }
        table = table.assign(
            score_points=100 * table["score"],
            below_55=table["score"] < 0.55,
            loss_above_entropy=table["train_loss"] - table["label_entropy"],
            near_entropy=near_entropy(table),
            **{f"log_{part}_gradient": values for part, values in gradients.items()},
            lowest_third=successful["train_loss"].rank(pct=True) <= 1 / 3,
        )
    short = [model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)]
    family = [family_of(model) for model in short]
    kind = [
        "mini" if is_mini(data) else "paper" if model in PAPER_MODELS else "small"
        for model, data in zip(short, table["data"], strict=True)
    ]
    table = table.assign(model_name=short, family=family, kind=kind)
    if "learning_rate" not in table:
        return table
    ranks = {}
    for of_kind, rates in LEARNING_RATES.items():
        for rate, rank in zip(rates, RATES, strict=True):
            ranks[of_kind, rate] = rank
    pairs = list(zip(kind, table["learning_rate"], strict=True))
    middle = [LEARNING_RATES[of_kind][1] for of_kind in kind]
    return table.assign(
        rate=[ranks.get(pair, "other") for pair in pairs],
        multiple=(table["learning_rate"] / middle).round(3),  # of the middle rate
    )


def family_of(model: str) -> str:
    """bert, roberta or albert, by a model's name."""
    for name in ("roberta", "albert"):
        if name in model.lower():
            return name
    return "bert"


def near_entropy(table: pd.DataFrame) -> pd.Series:
    """Whether each run's training loss ends within NEAR nats of the label entropy; a diverged run's
    does not. Of a run without a loss it is not known (missing), and a regression's has no nats."""
    distance = (table["train_loss"] - table["label_entropy"]).abs()
    near = (distance <= NEAR).astype(object)
    diverged = table["diverged"] == True if "diverged" in table else False  # noqa: E712 (or missing)
    known = table["train_loss"].notna() | diverged
    if "metric" in table:
        known &= ~table["metric"].isin(REGRESSIONS)
    return near.where(known, None)


def forgetting(table: pd.DataFrame) -> pd.DataFrame:
    """A row a run: by how many orders of magnitude perplexity is above the pre-trained model's with
    no layer put back, and which share of the layers has to be put back for less than twice. A
    perplexity that is not finite counts as 1e300."""
    rows = []
    for _, run in table.groupby([*catastrophic_forgetting.SETTING, "run"], dropna=False):
        perplexity = (
            run.set_index("layers_put_back")["perplexity"]
            .fillna(np.inf)
            .clip(upper=1e300)
            .sort_index()
        )
        level = run["pretrained_perplexity"].iloc[0]
        k = catastrophic_forgetting.settled(perplexity < 2 * level)
        rows.append(
            {
                **run.iloc[0][[*catastrophic_forgetting.SETTING, "learning_rate", "run", "failed"]],
                "forgetting": np.log10(perplexity.iloc[0] / level),
                "share_put_back": 1.0 if k == "never" else int(k) / run["layers"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def barriers(table: pd.DataFrame) -> pd.DataFrame:
    """A row a pair of runs: whether the loss on the line between them rises above the barrier of
    analysis/loss_surfaces.py."""
    between = table[table["line"] == "failed to successful"]
    if between.empty:
        raise Missing("no line between a failed and a successful run")
    heights = (
        between.groupby(loss_surfaces.PAIR)[["position", "loss"]]
        .apply(loss_surfaces.barrier)
        .rename("height")
        .dropna()
        .reset_index()
    )
    return heights.assign(separated=heights["height"] > loss_surfaces.BARRIER)


def results(folder: Path) -> Source:
    """The tables of a folder of results."""

    @cache
    def read(name: str) -> pd.DataFrame:
        path = folder / f"{name}.csv"
        if name == "all runs":
            tables = [read(path.stem) for path in tables_of_runs(folder)]
            if not tables:
                raise Missing("no CSV with a row a run")
            return once(tables)
        if not path.is_file():
            raise Missing(f"no {path.name}")
        try:
            return prepared(
                name, read_csv(path, NEEDED[name]) if name in NEEDED else read_runs(path)
            )
        except NothingToDraw:
            raise Missing(f"{path.name} has no rows") from None
        except BadInput:
            raise Missing(f"{path.name} cannot be used: run experiments/{name}.py again") from None

    return read


@cache
def published(name: str) -> pd.DataFrame:
    """The published points as such tables: runs of Figs 1, 3, 5, 8b, 9, perplexities of Fig. 2,
    end of the curves of Fig. 4."""
    if name == "all runs":
        return pd.concat(
            [published("generalization"), prepared(name, published_gradients())], ignore_index=True
        )
    if name == "catastrophic_forgetting":
        return prepared(name, published_perplexities())
    if name in RUN_TABLES:
        return prepared(name, published_runs(name))
    raise Missing("no points published")


def numbers(locators: list[str]) -> pd.DataFrame:
    table = read_csv(PUBLISHED / "numbers.csv", ["locator", "part", "at", "value"])
    return table[table["locator"].isin(locators) & (table["source"] == "mosbach2021")]


def published_perplexities() -> pd.DataFrame:
    """Fig. 2's points with the columns of catastrophic_forgetting.csv: a row a run and number of
    layers put back."""
    table = numbers(["Fig. 2a", "Fig. 2b"])
    return pd.DataFrame(
        {
            "task": "rte",
            "model": table["model"],
            "data": "published",
            "embeddings": "-",
            "text": "WikiText-2",
            "run": table["approach"] + " " + table["part"],
            "learning_rate": table["learning_rate"],
            "failed": table["approach"] == "failed run",
            "layers_put_back": table["at"].astype(int),
            "layers": 24,
            "perplexity": table["value"],
            "pretrained_perplexity": table.loc[table["at"] == 24, "value"].iloc[0],
        }
    )


def published_gradients() -> pd.DataFrame:
    """The ends of Fig. 4's curves (L2 norms at iteration 460) with the columns of a table of
    runs: a failed and a successful one."""
    table = numbers(["Fig. 4"])
    last = table[(table["statistic"] == "at_iteration") & (table["at"] == 460)].pivot(
        index="approach", columns="part", values="value"
    )
    return pd.DataFrame(
        {
            "run": last.index,
            "model": "bert-large-uncased",
            "data": "published",
            "task": "rte",
            "train_examples": np.nan,
            "learning_rate": 2e-5,
            "bias_correction": False,
            "epochs": 3,
            "pretrained": True,
            "dtype": "float32",
            "score": np.nan,
            "failed": last.index == "failed run",
            "first_layer_gradient": last["layer 1"].to_numpy(),
            "classifier_gradient": last["classifier"].to_numpy(),
        }
    )

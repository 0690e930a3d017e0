"""What the page says first: the paper's main sentences, each with a verdict and its counts."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis.report.page import anchor


class Headline(NamedTuple):
    claim: str  # id of the claim that decides (analysis/published/claims.py)
    section: str  # experiment whose section says more
    sentence: str
    says: str  # the effect in words: {effect}, or the failed of n of each group: {0}, {1}


HEADLINES = (
    Headline(
        "correction_bert_rte_middle",
        "bias_correction",
        "Adam's bias correction keeps runs from failing (RTE, middle rate, 3 epochs)",
        "failed without it {0}, with it {1}",
    ),
    Headline(
        "correction_bert_cola_middle",
        "bias_correction",
        "It does on CoLA too, of which the paper has no such runs",
        "failed without it {0}, with it {1}",
    ),
    Headline(
        "failed_at_label_entropy",
        "generalization",
        "A failed run ends at the label entropy, the loss of a constant answer",
        "so end {effect} % of the failed seeds",
    ),
    Headline(
        "gradient_first_layer",
        "vanishing_gradients",
        "In failed runs the gradient of the lowest layer vanishes",
        "{effect} orders of magnitude below that of successful runs",
    ),
    Headline(
        "forgetting_failed",
        "catastrophic_forgetting",
        "Failed runs forget what pre-training taught (a symptom, says the paper)",
        "perplexity {effect} orders of magnitude up",
    ),
    Headline(
        "iterations_cola",
        "small_datasets",
        "On little data it is iterations that lack, not examples (a sample of CoLA)",
        "failed with as many epochs {0}, as many iterations {1}",
    ),
    Headline(
        "small_loss_mean",
        "generalization",
        "A training loss near zero costs no dev score",
        "runs of the lowest third of losses score {effect} points above the others",
    ),
    Headline(
        "recipe_mean_rte",
        "strong_baseline",
        "Bias correction and 20 epochs score higher than the default recipe (RTE)",
        "{effect} points higher",
    ),
)
NO_DATA = "no data"
WORDS = {"holds": "yes", "does not hold": "no", "open": "open", NO_DATA: "no such runs"}


def first_screen(claims: pd.DataFrame) -> list[str]:
    """A table of HEADLINES by what `judged` reads; nothing where that is empty."""
    if claims.empty:
        return []
    rows = [line for headline in HEADLINES if (line := row(headline, claims))]
    return [
        "| what the paper says | these runs | the published runs |",
        "|---|---|---|",
        *rows,
        "",
        "A run has **failed** if it ends with no better a dev score than the best constant answer"
        " has. **yes**, **no**: p < 0.05, adjusted for the number of claims, and at least 5 runs in"
        " a group; **open** otherwise, with the reason. n: runs of each group."
        " Seeds follow one another; none was picked.",
    ]


def judged(figures: Path) -> pd.DataFrame:
    """The scorecard of a folder of figures by claim; empty where there is none of "yours"."""
    path = figures / "scorecard.csv"
    if not path.is_file():
        return pd.DataFrame()
    claims = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not {"claim", "yours_verdict"} <= set(claims):
        return pd.DataFrame()  # of a folder of folders, whose runs are not "yours"
    return claims.set_index("claim")


def answers(claims: pd.DataFrame, experiment: str) -> list[str]:
    """What the first screen says of an experiment, for the head of its section."""
    lines = []
    for headline in HEADLINES:
        if headline.section == experiment and headline.claim in claims.index:
            claim = claims.loc[headline.claim]
            yours, published = (cell(headline, claim, side) for side in ("yours", "published"))
            lines.append(f"- {headline.sentence}. These runs: {yours}. Published: {published}.")
    return [*lines, ""] if lines else []


def row(headline: Headline, claims: pd.DataFrame) -> str:
    """A line of the table; empty where the scorecard does not have the claim."""
    if headline.claim not in claims.index:
        return ""
    title = headline.section.replace("_", " ").capitalize()
    sides = [cell(headline, claims.loc[headline.claim], side) for side in ("yours", "published")]
    return f"| [{headline.sentence}](#{anchor(title)}) | {' | '.join(sides)} |"


def cell(headline: Headline, claim: pd.Series, side: str) -> str:
    """A verdict with what it rests on: "**yes**: failed without it 16 of 25, with it 0 of 25"; an
    open one with what keeps it open."""
    verdict = claim.get(f"{side}_verdict", NO_DATA)
    word = f"**{WORDS.get(verdict, verdict)}**"
    if verdict == NO_DATA:
        return word
    if why := claim.get(f"{side}_why_open", ""):
        word += f" ({why})"
    counts = claim.get(f"{side}_failed", "").split(" and ")
    effect = claim[f"{side}_effect"]
    rounded = f"{float(effect):.3g}" if effect else "?"
    if "{effect}" in headline.says:
        n = claim[f"{side}_n"]
        # no line ends between n and its number
        return f"{word}: {headline.says.format(effect=rounded)} (n\u00a0=\u00a0{n})"
    return f"{word}: {headline.says.format(*counts)}"

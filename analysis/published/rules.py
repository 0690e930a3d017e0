"""What a claim is, how it is judged, and what else must be so before it may hold.

A claim picks the runs of a table (`where`), splits them in two groups (`first`, `second`; None: one
group), takes a statistic of them (`estimate`), and says what its value must be (`relation`,
`threshold`). Column values: `family` is bert, roberta or albert; `rate` lowest, middle or highest
of the model's three learning rates, `kind` paper for the paper's models; None means "not given".

The rules:
- TESTED: "holds" if the value is on the claimed side of the threshold and the two-sided p value
  that it lies at the threshold, adjusted by Holm over all tested claims of the source, is below
  0.05; "does not hold" if it is on the other side with such a p; else "open". A claim of no harm or
  of equality has its margin as threshold: it holds if the value is significantly better than the
  margin, so that few runs can never show it. With fewer than FEWEST runs in a group a claim stays
  open whatever p says.
- PRINTED: a p value as the paper prints it: compared as it is, not adjusted, and only with as many
  runs as the paper had at least, AS_PRINTED in each group. For the paper's models only, as the
  next.
- ABSENT: no such run at all: one is enough to contradict; none shows it only if the rate's 95 %
  interval ends below the margin.
- `needs`: what the statistic does not see and the sentence takes for granted; where it is not so,
  a claim that would hold is open. Equal failures have no spread, so a small one is not stability
  (`one_learns`, `fails_no_more`); a set that fails nearly always leaves no room to fail more
  (`room`).
- `grounds`: without them the claim is open whatever comes out. A small loss costs nothing only
  where losses are small (`small_losses`); a score that is missing is not left out (`all_scored`).
- Runs are compared only where all that they were trained with is equal, but what the claim names
  (`varies`) and the seeds. So a field that is added to the runs later counts by itself.

FEWEST was raised, and `needs`, `grounds`, the last rule and the limit of PRINTED were added, after
readings had found verdicts that should not have been; they can only take verdicts away.
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from analysis.shared.estimates import Estimate

TESTED, PRINTED, ABSENT = "tested", "as printed", "absent"
MARGIN = 25  # points of failure rate
FEWEST = 5  # runs in a group
AS_PRINTED = 20  # runs in a group, as many as the paper's smallest
SMALL_LOSS = 0.1  # nats, over the last epoch

Need = Callable[[pd.DataFrame, pd.DataFrame | None], str]  # why not, or ""


class Claim(NamedTuple):
    """One sentence as a test: which rows, in one or two groups, which statistic, which side of
    which threshold."""

    id: str
    statement: str
    locator: str  # in Mosbach et al. 2021, unless it says otherwise
    table: str  # the CSV, less its ending, or "all runs": every CSV with a row a run
    where: dict
    first: dict
    second: dict | None
    estimate: Callable[[pd.DataFrame, pd.DataFrame | None], Estimate]
    relation: str  # ">", "<" or "within" (plus or minus)
    threshold: float
    unit: str
    basis: str  # where the threshold comes from
    rule: str = TESTED
    needs: tuple[Need, ...] = ()  # else it is open where it would hold
    grounds: tuple[Need, ...] = ()  # else it is open
    varies: tuple[str, ...] = ()  # columns in which the runs compared may differ


# what a row says of a run besides what it was trained with; all other columns must be equal
OUTCOMES = {
    *("run", "metric", "score", "accuracy", "f1", "matthews_correlation", "dev_loss"),
    *("pearson", "spearman", "token_f1", "entity_f1", "precision", "recall", "unread_words"),
    *("majority_level", "failed", "diverged", "constant_prediction", "train_loss"),
    *("label_entropy", "first_layer_gradient", "classifier_gradient", "steps", "unknown_tokens"),
    *("drawn_from_head_seed", "seconds", "git_commit", "python_version", "torch_version"),
    *("transformers_version", "untrained_score", "device", "dev_margins", "train_subset"),
    *("selection_score", "selection_loss", "reporting_score", "reporting_loss"),
    # they follow from the settings, and older rows lack them
    *("trained_parameters", "step_operations"),
    # of the published points
    *("source", "locator", "approach", "seed"),
    # derived, or another word for a field
    *("score_points", "below_55", "loss_above_entropy", "near_entropy", "lowest_third"),
    *("log_first_layer_gradient", "log_classifier_gradient", "forgetting", "share_put_back"),
    *(
        "separated",
        "height",
        "model_name",
        "family",
        "kind",
        "rate",
        "multiple",
        "recipe",
        "condition",
    ),
    *("examples", "failed_run", "successful_run", "failed_seed", "successful_seed"),
}
SEEDS = ("head_seed", "order_seed", "dropout_seed")


def trained_with(table: pd.DataFrame) -> list[str]:
    """The columns of a table that say what its runs were trained with, the seeds among them."""
    return [column for column in table.columns if column not in OUTCOMES]


def differ_in(table: pd.DataFrame, varies: tuple[str, ...]) -> list[str]:
    """The columns in which runs differ that are to be compared, and may not: all they were trained
    with but the seeds and `varies`. A task has its own data."""
    found = []
    for column in trained_with(table):
        if column in (*SEEDS, *varies):
            continue
        groups = table.groupby("task") if column == "data" and "task" in table else [("", table)]
        if any(group[column].nunique(dropna=False) > 1 for _, group in groups):
            found.append(column)
    return found


def failure_rate(runs: pd.DataFrame) -> float:
    """Share of the runs that failed."""
    return float(runs["failed"].astype(bool).mean())


def learns(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """Of both groups more than half of the runs have not failed."""
    for group in (first, second):
        if group is not None and failure_rate(group) >= 0.5:
            return f"{failure_rate(group):.0%} of a group failed, so its scores say little"
    return ""


def one_learns(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """Of the first group more than half of the runs have not failed."""
    return learns(first, None)


def fails_no_more(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """The second group, which is said to vary less, does not fail more, and mostly learns: equal
    failures have no spread."""
    assert second is not None
    if failure_rate(second) > failure_rate(first):
        return "the group said to vary less fails more often"
    return learns(second, None)


def room(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """The second group leaves room for the first to fail more by the margin."""
    assert second is not None
    if 100 * failure_rate(second) + MARGIN >= 100:
        return f"{failure_rate(second):.0%} of the whole set failed, so no {MARGIN} points more can"
    return ""


def all_scored(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """No run lacks a score."""
    lost = sum(int(g["score"].isna().sum()) for g in (first, second) if g is not None)
    return f"{lost} runs without a score" if lost else ""


def small_losses(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """At least FEWEST of the first group's runs have a small training loss."""
    small = int((first["train_loss"] < SMALL_LOSS).sum())
    if small < FEWEST:
        return f"{small} runs with a training loss below {SMALL_LOSS:g} nats"
    return ""


def unmet(needs: tuple[Need, ...], first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """Which of these needs are not met, in words; "" if all are."""
    reasons = [need(first, second) for need in needs]
    return "; ".join(reason for reason in reasons if reason)

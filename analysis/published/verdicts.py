"""The verdict on each claim: on a source of tables, whichever it is."""

import numpy as np
import pandas as pd

from analysis.published.claims import CLAIMS
from analysis.published.evidence import (
    Missing,
    Source,
)
from analysis.published.kinds import FAMILIES, TASKS
from analysis.published.rules import (
    ABSENT,
    AS_PRINTED,
    FEWEST,
    MARGIN,
    PRINTED,
    SEEDS,
    Claim,
    differ_in,
    unmet,
)
from analysis.shared.estimates import Estimate
from analysis.shared.statistics import fisher, holm

OF_FAILURES = ("points of failure rate", "% failed")  # units of claims
HOLDS, FAILS, OPEN, NO_DATA = "holds", "does not hold", "open", "no data"
# why a claim is open, in the order asked
NEED = "a need is not met"
FEW = f"fewer than {AS_PRINTED} runs in a group"
ADJUSTED = "only Holm's adjustment keeps it so"
ALIKE = f"not told from the threshold by {AS_PRINTED} runs or more"
WHY_OPEN = (NEED, FEW, ADJUSTED, ALIKE)


def select(table: pd.DataFrame, which: dict) -> pd.DataFrame:
    """The rows with these values; None: not given."""
    for column, value in which.items():
        if column not in table:
            raise Missing(f"a CSV without the column {column}")
        table = table[table[column].isna() if value is None else table[column] == value]
        if table.empty:
            raise Missing(
                {
                    "family": f"no run of {FAMILIES.get(value)}",
                    "task": f"no run on {TASKS.get(value)}",
                    "rate": f"no run at the {value} rate",
                    "epochs": f"no run of {value} epochs",
                    "bias_correction": f"no run {'with' if value else 'without'} bias correction",
                    "failed": f"no {'failed' if value else 'successful'} run",
                    "kind": "no run of a model of the paper",
                    "train_examples": "no run on all examples",
                    "pretrained": "no run from a checkpoint",
                    "lowest_third": "too few successful runs with a loss",
                }.get(column, f"no run with {column} '{value}'")
            )
    return table


def groups_of(claim: Claim, source: Source) -> list[pd.DataFrame | None]:
    """The runs, or pairs of runs, that a claim compares; Missing says why there are none."""
    table = select(source(claim.table), claim.where)
    second = None if claim.second is None else select(table, claim.second)
    return [select(table, claim.first), second]


def of_the_same_seeds(first: pd.DataFrame, second: pd.DataFrame | None) -> str:
    """How many runs failed in each group of the seeds that both have, where one has more, and
    Fisher's p of these; "" otherwise."""
    if second is None or not set(SEEDS) <= set(first):
        return ""
    one, other = (group.set_index(list(SEEDS))["failed"].astype(bool) for group in (first, second))
    shared = one.index.intersection(other.index)
    if len(shared) < FEWEST or len(shared) == max(len(one), len(other)):
        return ""
    one, other = one.loc[shared], other.loc[shared]
    return (
        f"of the {len(shared)} seeds of both {one.sum()} and {other.sum()} fail,"
        f" p {fisher(one, other):.2g}"
    )


def failed_of_n(claim: Claim, source: Source) -> str:
    """Failed runs of each group, of a claim about failure rates: "16 of 25 and 0 of 25"."""
    if claim.unit not in OF_FAILURES:
        return ""
    groups = [group for group in groups_of(claim, source) if group is not None]
    return " and ".join(f"{group['failed'].sum()} of {len(group)}" for group in groups)


def estimate(claim: Claim, source: Source) -> Estimate:
    """What the claim's statistic is on a source; Missing says why there is none."""
    groups = groups_of(claim, source)
    used = pd.concat([group for group in groups if group is not None])
    if used.empty:
        raise Missing(f"nothing usable in {claim.table}")
    if mixed := differ_in(used, claim.varies):
        raise Missing(f"runs that differ in {', '.join(mixed)} are not judged together")
    found = claim.estimate(*groups)
    seeds = of_the_same_seeds(*groups) if claim.unit in OF_FAILURES else ""
    no_grounds, not_met = unmet(claim.grounds, *groups), unmet(claim.needs, *groups)
    return found._replace(
        remark="; ".join(filter(None, [found.remark, seeds, no_grounds, not_met])),
        may_hold=not no_grounds and not not_met,
        may_fail=not no_grounds,
    )


def p_value(claim: Claim, found: Estimate) -> float:
    """Two-sided p that the value lies at the threshold; for "within" at the threshold that
    decides."""
    if claim.relation != "within":
        return found.p_at(claim.threshold)
    ends = -claim.threshold, claim.threshold
    return (
        max(map(found.p_at, ends))
        if abs(found.effect) <= claim.threshold
        else found.p_at(ends[int(found.effect > 0)])
    )


def judge(claim: Claim, found: Estimate, p: float) -> str:
    """The verdict by the claim's rule (analysis/published/rules.py), with p adjusted."""
    verdict = by_rule(claim, found, p)
    allowed = {HOLDS: found.may_hold, FAILS: found.may_fail, OPEN: True}
    return verdict if allowed[verdict] else OPEN


def by_rule(claim: Claim, found: Estimate, p: float) -> str:
    """The verdict by the value alone."""
    right = {
        ">": found.effect > claim.threshold,
        "<": found.effect < claim.threshold,
        "within": abs(found.effect) <= claim.threshold,
    }[claim.relation]
    if claim.rule == ABSENT:
        return FAILS if found.effect > 0 else HOLDS if found.high < MARGIN else OPEN
    if claim.rule == PRINTED:
        sure = found.effect == found.effect and min(found.n) >= AS_PRINTED
    else:
        sure = p < 0.05 and min(found.n) >= FEWEST
    return (HOLDS if right else FAILS) if sure else OPEN


def why_open(claim: Claim, found: Estimate, p: float, p_holm: float) -> str:
    """Which of WHY_OPEN keeps a claim open; "" of one that is not. An effect that many runs do not
    show may still be there, smaller than they can."""
    if not min(found.n, default=0) or judge(claim, found, p_holm) != OPEN:
        return ""
    if by_rule(claim, found, p_holm) != OPEN:
        return NEED
    if min(found.n) < AS_PRINTED:
        return FEW
    return ADJUSTED if by_rule(claim, found, p) != OPEN else ALIKE


def evaluate(source: Source, claims: tuple[Claim, ...] = CLAIMS) -> pd.DataFrame:
    """One row per claim: verdict, why_open, effect, low, high, p, p_holm, n, remark, failed. Holm's
    adjustment is over all tested claims."""
    rows, failed = [], []
    for claim in claims:
        failed.append("")
        try:
            found = estimate(claim, source)
            failed[-1] = failed_of_n(claim, source)
            rows.append(
                (found, p_value(claim, found) if claim.rule not in (PRINTED, ABSENT) else np.nan)
            )
        except Missing as reason:
            rows.append(
                (Estimate(np.nan, np.nan, np.nan, lambda t: np.nan, (), str(reason)), np.nan)
            )
    adjusted = holm([p for _, p in rows])
    return pd.DataFrame(
        [
            {
                "verdict": judge(claim, found, p_holm) if min(found.n, default=0) else NO_DATA,
                "why_open": why_open(claim, found, p, p_holm),
                "effect": found.effect,
                "low": found.low,
                "high": found.high,
                "p": p,
                "p_holm": p_holm,
                "n": " and ".join(map(str, found.n)),
                "remark": found.remark,
                "failed": counted,
            }
            for claim, (found, p), p_holm, counted in zip(
                claims, rows, adjusted, failed, strict=True
            )
        ],
        index=[claim.id for claim in claims],
    )

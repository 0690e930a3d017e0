"""How often a claim "holds" on made-up runs of which it is false.

Command : python -m analysis.published.verdict_search
Writes  : figures/reference/verdict_search.md, .csv (always the same bytes; two minutes)

Each truth says how the runs of one claim come about; the statement is false of it, or just not true
(the value lies at the threshold). A source holds nothing else, so that Holm's adjustment, which
only takes verdicts away, takes none: a claim at its threshold may hold by chance in 2.5 % of the
sources.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from analysis.published.claims import CLAIMS
from analysis.published.evidence import SINCE, Missing, Source, each_once, prepared
from analysis.published.verdicts import FAILS, HOLDS, evaluate
from analysis.shared.reading import REPOSITORY, run_command
from analysis.shared.statistics import wilson_interval
from analysis.shared.tables import save_table

SOURCES = 100  # of each cell
ALLOWED = 0.05  # share of sources in which a claim may hold that is false of the truth
LEVEL = 0.5  # majority level of the made-up task

Random: TypeAlias = np.random.Generator
Runs: TypeAlias = pd.DataFrame


class Truth(NamedTuple):
    """How the runs of a claim come about, with so many in a group."""

    claim: str
    says: str
    make: Callable[[Random, int], Runs]


def runs_of(scores: np.ndarray, **columns: object) -> Runs:
    """Rows of runs with these scores; those at or below the level have failed."""
    n = len(scores)
    seeds = np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "run": [f"{sorted(columns.items())}{i}" for i in range(n)],
            "model": "checkpoint@1",
            "data": "mini@1",
            "task": "rte",
            "learning_rate": 3e-4,
            "bias_correction": False,
            "epochs": 3,
            "pretrained": True,
            "dtype": "float32",
            "head_seed": seeds,
            "order_seed": seeds,
            "dropout_seed": seeds,
            "score": scores,
            "failed": scores <= LEVEL,
            "diverged": False,
            "train_loss": 0.3,
            "label_entropy": 0.69,
            **SINCE,
            **columns,
        }
    )


def fates(random: Random, n: int, rate: float) -> np.ndarray:
    """Scores of runs that fail with a probability, and then give one answer."""
    return np.where(random.random(n) < rate, LEVEL, random.uniform(0.8, 0.9, n))


def compared(
    first: Callable[[Random, int], np.ndarray], second: Callable[[Random, int], np.ndarray]
) -> Callable[[dict, dict], Callable[[Random, int], Runs]]:
    """Two groups of scores, to be given the columns that tell them apart."""

    def with_columns(one: dict, other: dict) -> Callable[[Random, int], Runs]:
        def make(random: Random, n: int) -> Runs:
            groups = [runs_of(first(random, n), **one), runs_of(second(random, n), **other)]
            return pd.concat(groups, ignore_index=True)

        return make

    return with_columns


def failing(rate: float) -> Callable[[Random, int], np.ndarray]:
    def draw(random: Random, n: int) -> np.ndarray:
        return fates(random, n, rate)

    return draw


def normal(mean: float, std: float) -> Callable[[Random, int], np.ndarray]:
    def draw(random: Random, n: int) -> np.ndarray:
        return random.normal(mean, std, n)

    return draw


def lost(share: float) -> Callable[[Random, int], np.ndarray]:
    """Scores of which a share is missing, and the others are good."""

    def draw(random: Random, n: int) -> np.ndarray:
        return np.where(random.random(n) < share, np.nan, random.normal(0.9, 0.01, n))

    return draw


def thrice(make: Callable[[Random, int], Runs]) -> Callable[[Random, int], Runs]:
    """The same runs written three times, under other ids."""

    def again(random: Random, n: int) -> Runs:
        runs = make(random, max(2, n // 3))
        return pd.concat([runs.assign(run=runs["run"] + copy) for copy in "abc"], ignore_index=True)

    return again


def near_entropy(share: float, settings: int = 1) -> Callable[[Random, int], Runs]:
    """Failed runs, a share of whose seeds end at the label entropy, in so many settings."""

    def make(random: Random, n: int) -> Runs:
        parts = []
        near = random.random(n) < share
        for setting in range(settings):
            far = random.choice([-0.2, 0.2, np.inf], n)
            losses = np.where(near, 0.69, 0.69 + far)
            runs = runs_of(np.full(n, LEVEL), learning_rate=1e-4 * (1 + setting))
            parts.append(runs.assign(train_loss=losses, diverged=np.isinf(losses)))
        return pd.concat(parts, ignore_index=True)

    return make


def gradients(orders: float) -> Callable[[Random, int], Runs]:
    """The classifier's gradient in failed runs, so many orders of magnitude below the others'."""

    def make(random: Random, n: int) -> Runs:
        groups = []
        for score, below in ((0.85, 0.0), (LEVEL, orders)):
            norms = 10 ** random.normal(-below, 0.3, n)
            runs = runs_of(np.full(n, score), first_layer_gradient=1.0)
            groups.append(runs.assign(classifier_gradient=norms, run=runs["run"] + str(score)))
        both = pd.concat(groups, ignore_index=True)
        return both.assign(head_seed=range(len(both)))

    return make


def losses(correlation: float, lowest: float) -> Callable[[Random, int], Runs]:
    """Scores that go with the training loss, losses from `lowest` on."""

    def make(random: Random, n: int) -> Runs:
        pairs = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
        loss = lowest + 0.15 * (pairs[:, 0] - pairs[:, 0].min())
        return runs_of(0.8 + 0.02 * pairs[:, 1]).assign(train_loss=loss, failed=False)

    return make


def several_kinds(make: Callable[[Random, int], Runs]) -> Callable[[Random, int], Runs]:
    """The corrected runs have batches of another size."""

    def mixed(random: Random, n: int) -> Runs:
        runs = make(random, n)
        return runs.assign(batch_size=np.where(runs["bias_correction"], 32, 16))

    return mixed


WITHOUT, WITH = {"bias_correction": False}, {"bias_correction": True}
DEFAULT = {"recipe": "default"}
PAPER = {"recipe": "paper's recipe", "epochs": 20, "bias_correction": True}
WHOLE = {"task": "cola", "condition": "full"}
SAMPLE = {"task": "cola", "condition": "sample, same iterations", "train_examples": 400.0}
SAME = compared(failing(0.6), failing(0.6))(WITHOUT, WITH)
REVERSED = compared(failing(0.2), failing(0.8))(WITHOUT, WITH)
HELPS = compared(failing(0.9), failing(0.1))(WITHOUT, WITH)
CORRECTION, STD, MEAN = "correction_bert_rte_middle", "recipe_std_rte", "recipe_mean_rte"
STABLE, ENTROPY = "same_stability_cola", "failed_at_label_entropy"
CLASSIFIER, RANK, ALONE = "gradient_classifier", "small_loss_rank", "correction_alone"
TRUTHS = (
    Truth(CORRECTION, "both fail in 60 %", SAME),
    Truth(CORRECTION, "both always fail", compared(failing(1), failing(1))(WITHOUT, WITH)),
    Truth(CORRECTION, "both never fail", compared(failing(0), failing(0))(WITHOUT, WITH)),
    Truth(CORRECTION, "reversed: 20 and 80 %", REVERSED),
    Truth(CORRECTION, "both fail in 60 %, written thrice", thrice(SAME)),
    Truth(CORRECTION, "another batch size does it", several_kinds(HELPS)),
    Truth(STABLE, "25 points more fail", compared(failing(0.3), failing(0.55))(WHOLE, SAMPLE)),
    Truth(STABLE, "50 points more fail", compared(failing(0.2), failing(0.7))(WHOLE, SAMPLE)),
    Truth(STABLE, "25 more of 75 %", compared(failing(0.75), failing(1))(WHOLE, SAMPLE)),
    Truth(STD, "equal, normal", compared(normal(0.8, 0.05), normal(0.9, 0.05))(DEFAULT, PAPER)),
    Truth(STD, "reversed", compared(normal(0.8, 0.02), normal(0.9, 0.05))(DEFAULT, PAPER)),
    Truth(STD, "equal, 40 % fail", compared(failing(0.4), failing(0.4))(DEFAULT, PAPER)),
    Truth(STD, "recipe always fails", compared(normal(0.4, 0.05), failing(1))(DEFAULT, PAPER)),
    Truth(STD, "recipe fails in 80 %", compared(failing(0.5), failing(0.8))(DEFAULT, PAPER)),
    Truth(MEAN, "equal, normal", compared(normal(0.8, 0.05), normal(0.8, 0.05))(DEFAULT, PAPER)),
    Truth(
        MEAN, "equal, std 3 to 1", compared(normal(0.8, 0.06), normal(0.8, 0.02))(DEFAULT, PAPER)
    ),
    Truth(MEAN, "equal, 40 % fail", compared(failing(0.4), failing(0.4))(DEFAULT, PAPER)),
    Truth(MEAN, "reversed", compared(normal(0.9, 0.02), normal(0.8, 0.02))(DEFAULT, PAPER)),
    Truth(MEAN, "both always fail", compared(normal(0.4, 0.01), failing(1))(DEFAULT, PAPER)),
    Truth(MEAN, "19 of 25 scores lost", compared(normal(0.85, 0.02), lost(0.76))(DEFAULT, PAPER)),
    Truth(ENTROPY, "half of the seeds", near_entropy(0.5)),
    Truth(ENTROPY, "half of the seeds, 12 settings", near_entropy(0.5, settings=12)),
    Truth(ENTROPY, "none, half diverged", near_entropy(0.0)),
    Truth(CLASSIFIER, "one order of magnitude", gradients(1.0)),
    Truth(CLASSIFIER, "two orders of magnitude", gradients(2.0)),
    Truth(RANK, "correlation 0.3", losses(0.3, lowest=0.01)),
    Truth(RANK, "no small loss", losses(-0.8, lowest=0.45)),
    Truth(ALONE, "a quarter fails", compared(failing(0.9), failing(0.25))(WITHOUT, WITH)),
)
SIZES = (1, 5, 25)  # runs in a group


def source_of(runs: Runs) -> Source:
    """A source that has these runs in every table."""

    def read(name: str) -> pd.DataFrame:
        if name in ("catastrophic_forgetting", "loss_surfaces_lines"):
            raise Missing("not made up")
        return prepared(name, each_once(runs))

    return read


def search(sources: int) -> pd.DataFrame:
    """One row a truth and size: in how many of the sources its claim holds, or does not."""
    by_id = {claim.id: claim for claim in CLAIMS}
    rows: list[dict[str, Any]] = []
    for truth in TRUTHS:
        for n in SIZES:
            random = np.random.default_rng([n, len(truth.says), len(rows)])
            verdicts = []
            for _ in range(sources):
                source = source_of(truth.make(random, n))
                table = evaluate(source, (by_id[truth.claim],))
                verdicts.append(table["verdict"].iloc[0])
            held = verdicts.count(HOLDS)
            low, high = wilson_interval(held, sources)
            rows.append(
                {
                    "claim": truth.claim,
                    "truth": truth.says,
                    "runs in a group": n,
                    "sources": sources,
                    "holds, though false": held,
                    "95 % interval": f"{low:.1%} to {high:.1%}",
                    "does not hold": verdicts.count(FAILS),
                    "too often": low > ALLOWED,
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    table = search(SOURCES)
    too_often = int(table["too often"].sum())
    print(f"{len(table)} cells of {SOURCES} sources: {too_often} hold too often")
    save_table(
        table.drop(columns="too often"),
        REPOSITORY / "figures" / "reference" / "verdict_search",
        "Verdicts on made-up runs",
        f"In {too_often} of {len(table)} cells a claim that is false of the truth, or lies at its"
        f" threshold, holds in significantly more than {ALLOWED:.0%} of the sources (Wilson's"
        " interval). Scores are made up; each source has the runs of one claim only, so nothing is"
        " adjusted.",
    )


if __name__ == "__main__":
    run_command(main)

"""What to try for each shape of a log, in order, with the evidence that this study has for it.

Counts are read from the published points (runs.csv), from results/reference and from accuracy.csv;
nothing is typed in. Where the study has none, the line says so.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnosis.verdict import (
    COLLAPSED,
    LEARNT,
    LIES,
    MEMORISED,
    NEVER,
    NO_NUMBER,
    OSCILLATES,
    UNKNOWN,
)
from analysis.published.evidence import published_runs
from analysis.shared.names import rate_name
from analysis.shared.reading import REPOSITORY, read_csv

REFERENCE = REPOSITORY / "results" / "reference"
ACCURACY = Path(__file__).parent / "accuracy.csv"
MIDDLE = 3e-4  # mini's rate at which most of its evidence was gathered
Evidence = Callable[[], str]


@cache
def table(folder: str, name: str) -> pd.DataFrame:
    """A committed table of runs."""
    return read_csv(REFERENCE / folder / f"{name}.csv", ["failed", "score"])


def where(runs: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The runs with these values."""
    for name, value in columns.items():
        runs = runs[runs[name] == value]
    return runs


def failed(runs: pd.DataFrame) -> str:
    """Failed runs of n."""
    return f"{int(runs['failed'].sum())} of {len(runs)}"


@cache
def measured_verdicts() -> pd.DataFrame:
    """accuracy.csv's rows of finished runs that were written out as logs."""
    return where(pd.read_csv(ACCURACY), log="written out")


def mini_rte(**columns: Any) -> pd.DataFrame:
    """Runs of mini's entailment in training_length."""
    return where(table("mini", "training_length"), task="rte", **columns)


def published_rte(experiment: str, **columns: Any) -> pd.DataFrame:
    """Published points of BERT-large on RTE at 2e-5."""
    runs = published_runs(experiment)
    return where(runs, task="rte", model="bert-large-uncased", learning_rate=2e-5, **columns)


def correction() -> str:
    small = where(table("small", "bias_correction"), task="rte", learning_rate=1e-4)
    pairs = (
        ("BERT-large on RTE at 2e-5 (published)", published_rte("bias_correction")),
        (f"mini at {rate_name(MIDDLE)}", mini_rte(learning_rate=MIDDLE, epochs=3)),
        ("gte-small on RTE at 1e-4", small),
    )
    said = []
    for name, runs in pairs:
        counts = [failed(where(runs, bias_correction=corrected)) for corrected in (False, True)]
        said.append(f"{name} {counts[0]} fail without, {counts[1]} with")
    return "; ".join(said)


def lower_rate() -> str:
    plain = mini_rte(bias_correction=False, epochs=3)
    corrected = table("mini", "effective_learning_rate")
    corrected = where(corrected, bias_correction=True, warmup_ratio=0.1, adam_beta2=0.999)
    return (
        f"mini without correction fails in {by_rate(plain)}; with it in"
        f" {by_rate(corrected[corrected['learning_rate'] > MIDDLE])}"
    )


def by_rate(runs: pd.DataFrame) -> str:
    """Failed runs of n at each learning rate."""
    return ", ".join(
        f"{failed(where(runs, learning_rate=rate))} at {rate_name(rate)}"
        for rate in sorted(runs["learning_rate"].unique())
    )


def another_seed() -> str:
    runs = mini_rte(learning_rate=MIDDLE, bias_correction=False, epochs=3)
    return (
        f"of one and the same setting {failed(runs)} seeds fail (mini, without correction), so a"
        " restart may learn; it does not cure the setting"
    )


def longer() -> str:
    mini = mini_rte(bias_correction=False, epochs=20)
    published = published_rte("training_length", bias_correction=False, epochs=20)
    return (
        f"without correction and with 20 epochs {failed(published)} fail (BERT-large on RTE at"
        f" 2e-5, published), of mini {by_rate(mini)}"
    )


def remedies() -> str:
    runs = where(table("mini", "mitigations"), bias_correction=False)
    failures = runs.groupby("method", sort=True)["failed"].sum()
    without = ", ".join(failures.index[failures == 0])
    return (
        f"mini without correction: {failed(where(runs, method='none'))} fail, and none with"
        f" {without}"
    )


def memorise_two() -> str:
    runs = where(table("mini", "convergence_pitfalls"), condition="2 examples")
    fitted = int((runs["last_loss"] < 0.07).sum())
    return f"on mini {fitted} of {len(runs)} runs on 2 examples end below 0.07 nats"


def rising_rate() -> str:
    rising = "rate rising to the end"
    runs = where(table("mini", "convergence_pitfalls"), condition=rising)
    path = REFERENCE / "mini" / "convergence_pitfalls_curves.csv"
    curves = where(read_csv(path, ["condition", "run", "step", "score"]), condition=rising)
    best = 100 * curves[curves["step"] > 0].groupby("run")["score"].max()
    return (
        f"mini with correction and a rate that rises to {rate_name(runs['learning_rate'].iloc[0])}"
        f" at the last step: {failed(runs)} fail at the end, though each had scored"
        f" {best.min():.0f} to {best.max():.0f} %"
    )


def best_checkpoint() -> str:
    runs = read_csv(REFERENCE / "mini" / "checkpoint_selection.csv", ["run", "step", "score"])
    runs = where(runs, learning_rate=MIDDLE, bias_correction=False, epochs=3)
    best = runs[runs["step"] > 0].groupby("run")[["score", "majority_level"]].max()
    last = runs.groupby("run")["failed"].first()
    below = int((best["score"] <= best["majority_level"]).sum())
    return (
        f"mini without correction: {int(last.sum())} of {len(last)} have failed at the end, of the"
        f" best checkpoints {below}; chosen on the reported set, so its score is too good"
    )


def no_nan() -> str:
    runs = where(table("mini", "convergence_pitfalls"), condition="rate too high")
    return (
        f"mini in float32 at 250 times the rate: {failed(runs)} fail, {int(runs['diverged'].sum())}"
        " with a loss that is no number; of float16 this study has no run"
    )


def spread() -> str:
    said = []
    for corrected, name in ((True, "with correction"), (False, "without")):
        runs = mini_rte(learning_rate=MIDDLE, bias_correction=corrected, epochs=3)
        said.append(f"{100 * runs['score'].std(ddof=0):.1f} points {name}")
    return f"standard deviation over 25 seeds of one setting, mini: {', '.join(said)}"


def with_a_score() -> str:
    """Of all ways of logging finished runs, with the labels given; "cannot tell" is not right."""
    verdicts = where(measured_verdicts(), labels="given")
    said = []
    for model in ("gte-small", "mini"):
        counts = []
        for seen in ("scores", "losses only"):
            these = where(verdicts, model=model, seen=seen)
            right = these[these["verdict"] == these["truth"]]["runs"].sum()
            counts.append(f"{right} of {these['runs'].sum()}")
        said.append(f"of {model}'s held-out runs {counts[0]} verdicts with it, {counts[1]} without")
    return f"right, with labels given: {'; '.join(said)}"


def tagging(column: str) -> tuple[pd.Series, pd.Series]:
    """A measure of the scores of mini's tagging by seed, in points: at a constant rate and with
    decay to 0."""
    runs = table("mini", "oscillating_scores").set_index("head_seed").sort_index()
    constant, linear = (where(runs, schedule=name)[column] for name in ("constant", "linear"))
    return 100 * constant, 100 * linear


def decay() -> str:
    jumps, bands = tagging("jump"), tagging("last_std")
    narrower = int((bands[1] < bands[0]).sum())
    return (
        f"F1 of mini's tagging moves by {jumps[0].mean():.2f} points from epoch to epoch at a"
        f" constant rate, by {jumps[1].mean():.2f} with decay; in the last quarter its band is"
        f" narrower with decay for {narrower} of {len(bands[0])} seeds"
    )


def dev_alone() -> str:
    constant, linear = tagging("dev_std")
    jumps = tagging("jump")[0]
    return (
        f"sentences drawn again move F1 of mini's tagging by {constant.mean():.2f} points (standard"
        f" deviation) at a constant rate, where epochs move it by {jumps.mean():.2f}, and by"
        f" {linear.mean():.2f} with decay"
    )


def none() -> str:
    return "this study has no evidence for it"


CORRECTION: tuple[str, Evidence] = (
    "see that Adam corrects its bias (torch.optim.AdamW and today's Trainer do; the original BERT"
    " code, transformers.AdamW(correct_bias=False) and MLX's default do not)",
    correction,
)
LOWER: tuple[str, Evidence] = ("lower the peak rate", lower_rate)
PIPELINE: tuple[str, Evidence] = (
    "train on 2 examples: a loss that does not go to 0 is a fault of data, labels or code",
    memorise_two,
)
TRY: dict[str, list[tuple[str, Evidence]]] = {
    NEVER: [
        CORRECTION,
        LOWER,
        ("start again with another seed, three or more", another_seed),
        ("train longer, with the rate decaying to 0", longer),
        ("freeze the lower layers or give them lower rates, or take Mixout for dropout", remedies),
        ("see that the training data are shuffled", none),
        PIPELINE,
    ],
    COLLAPSED: [
        LOWER,
        ("see that the rate falls after its warm-up, and does not rise to the end", rising_rate),
        CORRECTION,
        ("evaluate more often and keep the best checkpoint", best_checkpoint),
        ("start again with another seed", another_seed),
    ],
    NO_NUMBER: [
        ("train in float32 or bfloat16 if it is float16 (overflow)", no_nan),
        ("lower the rate and clip the gradient's norm at 1", lower_rate),
        ("look for the first batch with a loss that is no number", none),
    ],
    LIES: [
        ("compute the score by hand from the saved predictions and labels", none),
        ("look whether it gets logits or answers, and whether answers are rounded", none),
    ],
    MEMORISED: [
        ("see that training data are shuffled, and labels of train and dev in one order", none),
        ("train on more examples", none),
        ("keep the best checkpoint", best_checkpoint),
    ],
    OSCILLATES: [
        ("let the rate decay to 0 in place of a constant one", decay),
        (
            "evaluate on more examples: n alone give a score near a half a standard error of 50 /"
            " sqrt(n) points",
            dev_alone,
        ),
        LOWER,
    ],
    LEARNT: [("train five seeds or more before you compare anything", spread)],
    UNKNOWN: [
        ("log a score on dev (the Trainer's compute_metrics) if there is none", with_a_score),
        ("log more often and evaluate every epoch (--logging_steps 10)", none),
        ("say what chance gives: --labels, --classes or --group", none),
    ],
}

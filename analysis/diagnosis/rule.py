"""Which shape the log of a run is, by rule: what chance would give, and what the run did.

The rule sees losses, scores and whether a number is one; not what was done in the run. Its
thresholds were chosen on runs with odd seeds and are judged on those with even ones
(accuracy.py); SMALL is that of convergence_pitfalls.
"""

from math import isnan, log, nan

import numpy as np

from analysis.diagnosis.at_chance import failed_or_learnt
from analysis.diagnosis.chance import Chance, kind_of, lowest_entropy
from analysis.diagnosis.records import Log
from analysis.diagnosis.verdict import (
    CHOSEN,
    LIES,
    MEMORISED,
    NO_NUMBER,
    OSCILLATES,
    SMALL,
    UNKNOWN,
    Thresholds,
    Verdict,
    end_loss,
    fallen,
    last,
    near_zero,
    way,
)

FEWEST = 4  # evaluations in the second half of a run, to call it oscillating


def judge(log_: Log, chance: Chance, thresholds: Thresholds = CHOSEN) -> Verdict:
    """The shape of a log."""
    for rule in (no_number, lying_metric, memorised, oscillating):
        if verdict := rule(log_, chance, thresholds):
            return verdict
    return failed_or_learnt(log_, chance, thresholds)


def no_number(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict | None:
    """C: a loss or gradient that is no number at the end, or a loss of exactly 0."""
    return broken_end(log_) or zeros(log_)


def broken_end(log_: Log) -> Verdict | None:
    """C, where the last records hold no finite number."""
    for part, what in (
        (log_.training, "training loss or gradient norm"),
        (log_.evaluations, "dev loss"),
    ):
        whole = np.flatnonzero(~part.broken)
        since = int(whole[-1]) + 1 if len(whole) else 0
        if since == len(part):
            continue
        if part is log_.training and since == len(part) - 1 and not isnan(part.loss[-1]):
            continue  # one gradient that overflowed, as float16's scaler makes
        because = [f"{what} is no finite number from step {part.step[since]:,.6g} on"]
        if part is log_.evaluations and not isnan(end_loss(log_)):
            because.append(
                f"training loss ends at {end_loss(log_):.3g} nats all the same: float16 in the"
                " evaluation, or a broken dev set, before the run is blamed"
            )
            return Verdict(NO_NUMBER, because)
        return Verdict(NO_NUMBER, because, True)
    return None


def zeros(log_: Log) -> Verdict | None:
    """C, where the last training losses are exactly 0 from one record to the next."""
    loss = log_.training.known("loss")[1]
    count = len(loss) - 1 - np.flatnonzero(loss)[-1] if loss.any() else len(loss)
    before = loss[-count - 1] if count < len(loss) else nan
    # a loss that is memorised away comes to 0 by degrees; one that breaks jumps there
    if count < 2 or before < SMALL:
        return None
    was = "and never anything else" if isnan(before) else f"and was {before:.3g} before"
    return Verdict(
        NO_NUMBER, [f"training loss is exactly 0 in the last {count} records", was], True
    )


def lowest_possible(log_: Log, chance: Chance, loss: float) -> float:
    """The lowest score that goes with a dev loss in nats: a wrong answer costs at least ln 2, so
    at most loss / ln 2 of the answers are wrong. NaN where nothing follows."""
    wrong, kind = loss / log(2), kind_of(log_.metric)
    if kind == "accuracy":
        return 1 - wrong
    if len(chance.shares) == 2 and not chance.guessed:
        if kind == "f1" and wrong < chance.shares[1]:
            return 2 * (chance.shares[1] - wrong) / (2 * chance.shares[1] - wrong)
        if kind == "correlation" and wrong < min(chance.shares):
            return 1e-9
    return nan


def lying_metric(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict | None:
    """D: a score that the dev loss rules out, or that is always the same while that loss falls."""
    table = log_.evaluations
    both = ~np.isnan(table.loss) & ~np.isnan(table.other)
    loss, score = table.loss[both], table.other[both]
    if not len(loss):
        return None
    lowest = lowest_possible(log_, chance, float(loss[-1]))
    if score[-1] < lowest - 0.005:
        return Verdict(
            LIES,
            [
                f"a dev loss of {loss[-1]:.3g} nats cannot go with a score of {score[-1]:.4g}: a"
                f" wrong answer costs at least ln 2, so it is {max(lowest, 0):.3g} or more (unless"
                " the loss is smoothed, weighted, focal, or a mean over several labels)"
            ],
        )
    fell = 1 - loss[-1] / chance.entropy if chance.entropy else nan
    perfect = score[-1] > 1 - 1e-9  # no constant answer's
    if len(score) >= 3 and np.ptp(score) < 1e-9 and fell > thresholds.moved and not perfect:
        lowest = lowest_entropy(log_.metric, float(score[-1]), len(chance.shares))
        constant = kind_of(log_.metric) != "accuracy" or loss[-1] >= lowest - thresholds.at_entropy
        if kind_of(log_.metric) in ("entities", "f1") and score[-1] == 0 and loss[-1] > 2 * SMALL:
            return None  # nothing is found: at chance, whatever the labels
        if chance.guessed and constant:
            return Verdict(
                UNKNOWN,
                [
                    f"the score is {score[-1]:.4g} in all {len(score)} evaluations at a dev loss of"
                    f" {loss[-1]:.3g} nats: uneven labels at chance, or a wrong metric: give"
                    " --labels"
                ],
            )
        return Verdict(
            LIES,
            [
                f"the score is {score[-1]:.4g} in all {len(score)} evaluations, while the dev loss"
                f" fell to {loss[-1]:.3g} nats, {fell:.0%} below the label entropy (unless it is no"
                " cross-entropy, as a focal one)"
            ],
        )
    return None


def memorised(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict | None:
    """A training loss near 0, or well below the label entropy, that dev has nothing of."""
    score, dev = (last(log_.evaluations.known(name)[1]) for name in ("other", "loss"))
    train, up = end_loss(log_), way(score, chance)
    near_0 = train < near_zero(log_, chance, thresholds)
    fell = train < (chance.entropy / 2 if isnan(dev) else fallen(chance, thresholds))
    nothing = up <= thresholds.near and not dev < chance.entropy - thresholds.at_entropy
    if not (near_0 and up < thresholds.left_score) and not (fell and nothing):
        return None
    because = [
        f"training loss ends at {train:.2g} nats",
        f"the score at {score:.4g}, the best constant answer's is {chance.level:.4g}",
    ]
    if not isnan(dev):
        known = f", the label entropy is {chance.entropy:.3g}" if chance.entropy > 0 else ""
        because.append(f"dev loss ends at {dev:.3g}{known}")
    return Verdict(MEMORISED, because)


def oscillating(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict | None:
    """Scores that go up and down by much in the second half of the evaluations."""
    scores = log_.evaluations.known("other")[1]
    half = scores[len(scores) // 2 :]
    if len(half) < FEWEST or isnan(chance.level):
        return None
    moves = np.diff(half)
    turns = int((moves[1:] * moves[:-1] < 0).sum())
    typical = float(np.median(np.abs(moves)))
    if typical < thresholds.band * (1 - chance.level) or 2 * turns < len(moves) - 1:
        return None
    if log_.dev_examples and typical < 2 * sampling_error(half, log_.dev_examples):
        return None
    because = [
        f"of the last {len(half)} scores {turns} of {len(moves) - 1} turn back, between"
        f" {half.min():.4g} and {half.max():.4g}; the median move is {typical:.2g}"
    ]
    if log_.dev_examples:
        because.append(
            f"{log_.dev_examples} dev examples alone give a standard error of"
            f" {sampling_error(half, log_.dev_examples):.2g}"
        )
    return Verdict(OSCILLATES, because)


def sampling_error(scores: np.ndarray, examples: int) -> float:
    """Standard error of a share of so many examples, at the mean of these scores."""
    share = float(np.clip(np.mean(scores), 0.05, 0.95))
    return (share * (1 - share) / examples) ** 0.5

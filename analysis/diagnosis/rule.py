"""Which shape the log of a run is, by rule: what chance would give, and what the run did.

The rule sees losses, scores and whether a number is one; not what was done in the run. Its
thresholds were chosen on runs with odd seeds and are judged on those with even ones
(accuracy.py); FAR and SMALL are those of convergence_pitfalls.
"""

from dataclasses import dataclass
from math import isfinite, isnan, log, nan

import numpy as np

from analysis.diagnosis.chance import FAR, Chance, lowest_entropy
from analysis.diagnosis.records import Log

NEVER, COLLAPSED, NO_NUMBER, LIES = (
    "never left chance",
    "learnt and collapsed",
    "NaN or 0",
    "the metric lies",
)
MEMORISED, OSCILLATES, LEARNT, UNKNOWN = "memorised", "oscillates", "learnt", "cannot tell"
SHAPES = [NEVER, COLLAPSED, NO_NUMBER, LIES, MEMORISED, OSCILLATES, LEARNT, UNKNOWN]
LETTERS = {NEVER: "A", COLLAPSED: "B", NO_NUMBER: "C", LIES: "D"}

SMALL = log(2) / 10  # nats; a training loss below it is near 0
BLOCKS = 30  # a longer series of losses is smoothed to so many means, as single batches are noisy
FEWEST = 4  # evaluations in the second half of a run, to call it oscillating


@dataclass(frozen=True)
class Thresholds:
    """What was chosen on runs with odd seeds, but for band and moved, which nothing there bears
    on. A share is one of the way from the constant answer's score (0) to a perfect one (1)."""

    tied: float = 0.01  # share: still at chance
    near: float = 0.1  # the same, where the labels are a guess and the loss is at the entropy
    at_entropy: float = 0.01  # nats below the label entropy: still at chance
    left_score: float = 0.2  # share: has left chance
    left_dev: float = 0.03  # nats that the dev loss is below the label entropy: likewise
    left_train: float = 0.2  # nats, of the mean training loss since the last record
    mean_small: float = 0.25  # nats: a mean training loss of the whole run below it ends near 0
    band: float = 0.1  # share: median move from one evaluation to the next of an oscillation
    moved: float = 0.3  # share of the label entropy by which the dev loss fell at a fixed score


@dataclass(frozen=True)
class Verdict:
    """A shape, and the numbers it rests on, a sentence each."""

    shape: str
    because: list[str]
    failed: bool | None = None  # at the end at chance or without a number; None: not known


def judge(log_: Log, chance: Chance, thresholds: Thresholds = Thresholds()) -> Verdict:
    """The shape of a log."""
    for rule in (no_number, lying_metric, memorised, oscillating):
        if verdict := rule(log_, chance, thresholds):
            return verdict
    return failed_or_learnt(log_, chance, thresholds)


def smoothed(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """A series of at most so many points: means of as many parts, at their last step."""
    if len(steps) <= most:
        return steps, values
    edges = np.linspace(0, len(steps), most + 1).astype(int)
    return steps[edges[1:] - 1], np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def end_loss(log_: Log) -> float:
    """Mean training loss of the records of the last tenth of the run, in nats; without records the
    mean over the whole run, where that is known."""
    steps, losses = log_.training.known("loss")
    if not len(steps):
        return log_.mean_loss
    late = losses[steps > 0.9 * steps[-1]]
    return float((late if len(late) else losses[-1:]).mean())  # none: the only step is 0


def last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else nan


def no_number(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict | None:
    """C: a loss or gradient that is no number at the end, or a loss of exactly 0."""
    for part, what in (
        (log_.training, "training loss or gradient norm"),
        (log_.evaluations, "dev loss"),
    ):
        if len(part) and part.broken[-1]:
            first = part.step[part.broken][0]
            return Verdict(
                NO_NUMBER, [f"{what} is no finite number from step {first:,.6g} on"], True
            )
    loss = log_.training.known("loss")[1]
    zeros = len(loss) - 1 - np.flatnonzero(loss)[-1] if loss.any() else len(loss)
    before = loss[-zeros - 1] if zeros < len(loss) else nan
    # a loss that is memorised away comes to 0 by degrees; one that breaks jumps there
    if zeros >= 2 and not before < SMALL:
        return Verdict(
            NO_NUMBER,
            [f"training loss is exactly 0 in the last {zeros} records"]
            + (
                [f"and was {before:.3g} before"]
                if not isnan(before)
                else ["and never anything else"]
            ),
            True,
        )
    return None


def lowest_possible(log_: Log, chance: Chance, loss: float) -> float:
    """The lowest score that goes with a dev loss in nats: a wrong answer costs at least ln 2, so
    at most loss / ln 2 of the answers are wrong. NaN where nothing follows."""
    wrong, name = loss / log(2), log_.metric or ""
    if "acc" in name:
        return 1 - wrong
    if len(chance.shares) == 2 and not chance.guessed:
        if "f1" in name and "macro" not in name and wrong < chance.shares[1]:
            return 2 * (chance.shares[1] - wrong) / (2 * chance.shares[1] - wrong)
        if ("mcc" in name or "matthews" in name) and wrong < min(chance.shares):
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
                " the loss is smoothed or weighted)"
            ],
        )
    fell = 1 - loss[-1] / chance.entropy if chance.entropy else nan
    if len(score) >= 3 and np.ptp(score) < 1e-9 and fell > thresholds.moved:
        lowest = lowest_entropy(log_.metric, float(score[-1]), len(chance.shares))
        constant = "acc" not in (log_.metric or "") or loss[-1] >= lowest - thresholds.at_entropy
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
                f" fell to {loss[-1]:.3g} nats, {fell:.0%} below the label entropy"
            ],
        )
    return None


def way(score: float | np.ndarray, chance: Chance) -> float | np.ndarray:
    """How far a score is on the way from the best constant answer (0) to a perfect one (1)."""
    return (score - chance.level) / (1 - chance.level)


def memorised(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict | None:
    """A training loss near 0 that dev has nothing of."""
    score, dev = (last(log_.evaluations.known(name)[1]) for name in ("other", "loss"))
    near_zero = SMALL if len(log_.training) else thresholds.mean_small
    if not end_loss(log_) < near_zero:
        return None
    because = [f"training loss ends at {end_loss(log_):.2g} nats"]
    if way(score, chance) < thresholds.left_score:
        because.append(
            f"the score at {score:.4g}, the best constant answer's is {chance.level:.4g}"
        )
    elif dev > chance.entropy + FAR:
        because.append(f"the dev loss at {dev:.3g}, the label entropy is {chance.entropy:.3g}")
    else:
        return None
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


def failed_or_learnt(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict:
    """A, B or learnt; cannot tell where the last look is the only one."""
    scores = log_.evaluations.known("other")[1]
    dev, train = log_.evaluations.known("loss")[1], end_loss(log_)
    because, failed = at_the_end(scores, dev, train, chance, thresholds)
    if failed is None:
        return Verdict(UNKNOWN, [*because, what_is_missing(log_, chance)])
    if not failed:
        if not len(scores) and not len(dev):
            because.append("no evaluation says whether it learnt more than its training examples")
            return Verdict(UNKNOWN, because)
        return one_answer(log_, chance, thresholds, because) or Verdict(LEARNT, because, False)
    return when_it_failed(log_, chance, thresholds, because)


def one_answer(
    log_: Log, chance: Chance, thresholds: Thresholds, because: list[str]
) -> Verdict | None:
    """A, or not known, for a score above the level that was guessed which is the same in all
    evaluations, at losses that one constant answer to uneven labels may have."""
    scores = log_.evaluations.known("other")[1]
    if not chance.guessed or len(scores) < 3 or np.ptp(scores) > 1e-9:
        return None
    ends = [end_loss(log_), last(log_.evaluations.known("loss")[1])]
    loss = min((x for x in ends if not isnan(x)), default=nan)
    lowest = lowest_entropy(log_.metric, float(scores[-1]), len(chance.shares))
    if not loss >= lowest - thresholds.at_entropy:
        return None
    said = (
        f"but the score is the same in all {len(scores)} evaluations, as one constant answer's is"
        " where labels are uneven"
    )
    close = loss >= chance.entropy - thresholds.left_train
    if close and way(scores[-1], chance) <= thresholds.left_score:
        return Verdict(NEVER, [*because, said, "give --labels to be sure"], True)
    return Verdict(UNKNOWN, [*because, f"{said}: give --labels"])


def at_the_end(
    scores: np.ndarray, dev: np.ndarray, train: float, chance: Chance, thresholds: Thresholds
) -> tuple[list[str], bool | None]:
    """Whether a run ends at chance, by its score, else its dev loss, else its training loss; None:
    not known."""
    because = []
    if not isnan(train) and isfinite(chance.entropy):
        because.append(
            f"training loss ends at {train:.3g} nats, the label entropy is {chance.entropy:.3g}"
        )
    if len(scores) and not isnan(chance.level):
        because.append(
            f"the score ends at {scores[-1]:.4g}, the best constant answer's is {chance.level:.4g}"
        )
        up = way(scores[-1], chance)
        at_chance = bool(up <= thresholds.tied)
        if chance.guessed and len(dev):  # labels need not be even: near chance, by the loss as well
            because.append(f"dev loss ends at {dev[-1]:.3g}")
            close = abs(dev[-1] - chance.entropy) <= thresholds.at_entropy
            at_chance |= bool(close and up <= thresholds.near)
        return because, at_chance
    if not isfinite(chance.entropy):
        return because, None
    bound = chance.entropy - thresholds.at_entropy
    if len(dev):
        because.append(f"dev loss ends at {dev[-1]:.3g}")
        if dev[-1] >= bound and train < chance.entropy - thresholds.left_train:
            because.append("it may be too sure of itself, or have learnt its examples by heart")
            return because, None
        return because, bool(dev[-1] >= bound)
    return because, None if isnan(train) else train >= bound


def when_it_failed(
    log_: Log, chance: Chance, thresholds: Thresholds, because: list[str]
) -> Verdict:
    """Of a run that ends at chance: whether it ever left it."""
    table = log_.evaluations
    scores, dev = np.asarray(way(table.other[:-1], chance)), table.loss[:-1]
    # a score and a dev loss that both say so; one of them where the other is missing
    score_left, dev_left = (
        scores > thresholds.left_score,
        dev < chance.entropy - thresholds.left_dev,
    )
    left = (score_left | np.isnan(scores)) & (dev_left | np.isnan(dev)) & (score_left | dev_left)
    if left.any():
        best = int(np.flatnonzero(left)[np.argmax(np.nan_to_num(scores[left], nan=-1.0))])
        what = f"score {table.other[best]:.4g}, " if not isnan(table.other[best]) else ""
        what += f"dev loss {dev[best]:.3g}" if not isnan(dev[best]) else ""
        said = f"at step {table.step[best]:,.6g} it had {what.rstrip(', ')}"
        return Verdict(COLLAPSED, [*because, said], True)
    steps, losses = smoothed(*log_.training.known("loss"), BLOCKS)
    known = log_.evaluations.known("other")[1]
    # uneven labels have a lower entropy than the guess, which a run at chance falls to
    uneven = chance.guessed and len(known) > 1 and np.ptp(known) == 0
    if len(losses) and not uneven and losses.min() < chance.entropy - thresholds.left_train:
        said = f"at step {steps[losses.argmin()]:,.6g} the training loss was {losses.min():.3g}"
        return Verdict(COLLAPSED, [*because, said], True)
    if len(losses) < 2 and len(table) < 2 and isnan(log_.mean_loss):
        said = "it failed, but one record does not say whether it had learnt before"
        return Verdict(UNKNOWN, [*because, said], True)
    return Verdict(NEVER, [*because, "no earlier record says that it had left chance"], True)


def what_is_missing(log_: Log, chance: Chance) -> str:
    if isnan(chance.entropy) and isnan(chance.level):
        return "what chance would give is not known: give --labels, --classes or --group"
    return "no score says which"

"""Whether a run ends at chance, and if so whether it ever left it: A, B, learnt, or not known."""

from math import isfinite, isnan, nan

import numpy as np

from analysis.diagnosis.chance import Chance, entropy_of, kind_of, lowest_entropy
from analysis.diagnosis.records import Log
from analysis.diagnosis.verdict import (
    COLLAPSED,
    LEARNT,
    NEVER,
    SMALL,
    UNKNOWN,
    Thresholds,
    Verdict,
    end_loss,
    last,
    smoothed,
    way,
)

BLOCKS = 30  # a longer series of losses is smoothed to so many means, as single batches are noisy


def failed_or_learnt(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict:
    """A, B or learnt; cannot tell where the last look is the only one."""
    scores = log_.evaluations.known("other")[1]
    dev, train = log_.evaluations.known("loss")[1], end_loss(log_)
    because, failed = at_the_end(scores, dev, train, chance, thresholds)
    if not failed and (verdict := one_answer(log_, chance, thresholds, because)):
        return verdict
    if failed is None:
        said = [] if len(scores) and not isnan(chance.level) else [what_is_missing(log_, chance)]
        return Verdict(UNKNOWN, [*because, *said])
    if not failed:
        if not len(scores) and not len(dev):
            because.append("no evaluation says whether it learnt more than its training examples")
            return Verdict(UNKNOWN, because)
        if last(dev) > chance.entropy:
            because.append(
                f"dev loss ends at {dev[-1]:.3g}, above the label entropy: it is too sure where it"
                " is wrong, as after many epochs, which the score does not see"
            )
        return Verdict(LEARNT, because, False)
    return when_it_failed(log_, chance, thresholds, because)


def one_answer(
    log_: Log, chance: Chance, thresholds: Thresholds, because: list[str]
) -> Verdict | None:
    """A, or not known, for a score above the level that was guessed which is the same in all
    evaluations, at losses that one constant answer to uneven labels may have."""
    scores = log_.evaluations.known("other")[1]
    if not chance.guessed or len(scores) < 3 or np.ptp(scores) > thresholds.tied:
        return None
    ends = [end_loss(log_), last(log_.evaluations.known("loss")[1])]
    loss = min((x for x in ends if not isnan(x)), default=nan)
    if np.ptp(scores) > 1e-9:  # hardly moving: only at just the loss of such a constant answer
        share = float(scores[-1])
        if kind_of(log_.metric) != "accuracy" or not 0.5 <= share < 1:
            return None
        if abs(loss - entropy_of((share, 1 - share))) > 2 * thresholds.at_entropy:
            return None
    lowest = lowest_entropy(log_.metric, float(scores[-1]), len(chance.shares))
    if not loss >= lowest - thresholds.at_entropy:
        return None
    said = (
        f"but the score is the same in all {len(scores)} evaluations, or nearly, as one constant"
        " answer's is where labels are uneven"
    )
    close = loss >= chance.entropy - thresholds.left_train
    if close and way(scores[-1], chance) <= thresholds.left_score:
        return Verdict(NEVER, [*because, said, "give --labels to be sure"], True)
    return Verdict(UNKNOWN, [*because, f"{said}: give --labels"])


def at_the_end(
    scores: np.ndarray, dev: np.ndarray, train: float, chance: Chance, thresholds: Thresholds
) -> tuple[list[str], bool | None]:
    """Whether a run ends at chance, by its score, near chance by its losses too, without a score by
    its dev loss, else its training loss; None: not known."""
    because = []
    if not isnan(train) and isfinite(chance.entropy):
        because.append(
            f"training loss ends at {train:.3g} nats, the label entropy is {chance.entropy:.3g}"
        )
    by_loss = loss_at_chance(last(dev), train, chance, thresholds)
    if len(scores) and not isnan(chance.level):
        because.append(
            f"the score ends at {scores[-1]:.4g}, the best constant answer's is {chance.level:.4g}"
        )
        if len(dev) and isfinite(chance.entropy):
            because.append(f"dev loss ends at {dev[-1]:.3g}")
        up = float(way(scores[-1], chance))
        if up <= thresholds.tied:
            return because, True
        loss = dev[-1] if len(dev) else train
        failed, said = near_chance(up, loss, by_loss, chance, thresholds)
        return [*because, said] if said else because, failed
    if not isfinite(chance.entropy):
        return because, None
    if len(dev):
        because.append(f"dev loss ends at {dev[-1]:.3g}")
        if by_loss is None:
            because.append("it may be too sure of itself, or have learnt its examples by heart")
    return because, by_loss


def loss_at_chance(dev: float, train: float, chance: Chance, thresholds: Thresholds) -> bool | None:
    """Whether the dev loss, else the training loss, ends at the label entropy or above; None: not
    known, as where the training loss has fallen and dev's has not."""
    bound = chance.entropy - thresholds.at_entropy
    if isnan(bound) or (isnan(dev) and isnan(train)):
        return None
    if isnan(dev):
        return train >= bound
    if dev >= bound and train < max(SMALL, chance.entropy - thresholds.left_train):
        return None
    return dev >= bound


def near_chance(
    up: float, loss: float, by_loss: bool | None, chance: Chance, thresholds: Thresholds
) -> tuple[bool | None, str]:
    """The same of a run whose score lies above the best constant answer's, `loss` its last; and
    what to say of it."""
    if up > thresholds.near:
        if not by_loss or not chance.guessed:
            return False, ""
        return None, (
            "the loss is at chance and the score is not: uneven labels, another number of them, or"
            " a weighted loss: give --labels"
        )
    if chance.guessed and not by_loss and loss > chance.entropy - thresholds.left_train:
        return None, "barely above chance, if the labels are even: give --labels"
    if isnan(chance.entropy):
        return None, "barely above chance, and no loss says more"
    return by_loss, ""


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
    bound = chance.entropy - thresholds.left_train
    came_back = not end_loss(log_) < bound
    if len(losses) and not uneven and came_back and losses.min() < bound:
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

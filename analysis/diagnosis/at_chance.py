"""Whether a run ends at chance, and if so whether it ever left it: A, B, learnt, or not known."""

from math import isfinite, isnan, log, nan

import numpy as np

from analysis.diagnosis.chance import (
    MOST_LIKELY_SHARE,
    Chance,
    entropy_of,
    kind_of,
    lowest_entropy,
)
from analysis.diagnosis.columns import NO_WORD
from analysis.diagnosis.records import Log
from analysis.diagnosis.verdict import (
    COLLAPSED,
    LEARNT,
    NEVER,
    UNKNOWN,
    Thresholds,
    Verdict,
    end_loss,
    fallen,
    last,
    near_zero,
    smoothed,
    way,
)

ABOUT = 0.12  # of a score 1 / k: so near to it is one that only k labels' chance explains
LOST = 0.25  # share of the way from chance: a score that fell so far is told of
BLOCKS = 30  # a longer series of losses is smoothed to so many means, as single batches are noisy


def failed_or_learnt(log_: Log, chance: Chance, thresholds: Thresholds) -> Verdict:
    """A, B or learnt; cannot tell where the last look is the only one."""
    scores, dev = (log_.evaluations.known(name)[1] for name in ("other", "loss"))
    because, failed = at_the_end(log_, chance, thresholds)
    if not failed and (verdict := one_answer(log_, chance, thresholds, because)):
        return verdict
    if failed is False and of_uneven_labels(log_, chance, thresholds):
        uneven = (
            "learnt, or one constant answer to uneven labels or to another number of them: give"
            " --labels"
        )
        return Verdict(UNKNOWN, [*because, uneven])
    if failed is None:
        said = [] if len(scores) and not isnan(chance.level) else [what_is_missing(log_, chance)]
        return Verdict(UNKNOWN, [*because, *said])
    if not failed:
        if not len(scores) and not len(dev):
            because.append("no evaluation says whether it learnt more than its training examples")
            return Verdict(UNKNOWN, because)
        if last(dev) > chance.entropy:
            because.append(
                "that is above the label entropy: it is too sure where it is wrong, as after many"
                " epochs, which the score does not see"
            )
        if len(scores) and way(scores.max(), chance) - way(scores[-1], chance) > LOST:
            at = log_.evaluations.known("other")[0][scores.argmax()]
            because.append(
                f"but at step {at:,.6g} the score was {scores.max():.4g}: keep the best checkpoint,"
                " and lower the rate"
            )
        return Verdict(LEARNT, because, False)
    return when_it_failed(log_, chance, thresholds, because)


def one_answer(
    log_: Log, chance: Chance, thresholds: Thresholds, because: list[str]
) -> Verdict | None:
    """A, or not known, for a score above the level that was guessed which is the same in all
    evaluations, at losses that one constant answer to uneven labels may have."""
    scores, dev = (log_.evaluations.known(name)[1] for name in ("other", "loss"))
    if not chance.guessed or len(scores) < 3 or np.ptp(scores) > thresholds.tied:
        return None
    if scores[-1] > 1 - 1e-9:  # no constant answer's
        return None
    loss = min((x for x in (end_loss(log_), last(dev)) if not isnan(x)), default=nan)
    if kind_of(log_.metric) == "f1" and scores.max() < NO_WORD and stays(log_, thresholds):
        said = f"the F1 is under {NO_WORD} in all {len(scores)} evaluations, and the losses stay"
        return Verdict(NEVER, [*because, f"{said}: every answer is the label that does not count"])
    same = bool(np.ptp(scores) < 1e-9)
    if not same and not at_one_label(log_, loss, chance, thresholds):
        return None
    lowest = lowest_entropy(log_.metric, float(scores[-1]), len(chance.shares))
    if not loss >= lowest - thresholds.at_entropy:
        return None
    said = (
        f"but the score is {'' if same else 'nearly '}the same in all {len(scores)} evaluations, as"
        " one constant answer's is where labels are uneven"
    )
    close = loss >= fallen(chance, thresholds)
    if same and close and way(scores[-1], chance) <= thresholds.left_score:
        return Verdict(NEVER, [*because, said, "give --labels to be sure"], True)
    return Verdict(UNKNOWN, [*because, f"{said}: give --labels"])


def at_one_label(log_: Log, loss: float, chance: Chance, thresholds: Thresholds) -> bool:
    """Whether an accuracy that moves little is what answering the commonest label gets, by the last
    loss, which is at an entropy of such labels, and losses that move as little. Of more than two
    labels the entropy has a range, and shares that are hardly a label's are left out."""
    share, labels = float(log_.evaluations.known("other")[1][-1]), len(chance.shares)
    highest = 1 if labels == 2 else MOST_LIKELY_SHARE
    if kind_of(log_.metric) != "accuracy" or labels < 2 or not 1 / labels <= share < highest:
        return False
    low = lowest_entropy(log_.metric, share, labels)
    high = entropy_of((share, 1 - share)) + (1 - share) * log(labels - 1)
    near = 2 * thresholds.at_entropy
    return stays(log_, thresholds) and low - near <= loss <= high + near


def stays(log_: Log, thresholds: Thresholds) -> bool:
    """Whether the last two dev losses are nearly alike; without dev losses the means of the last
    two quarters of training's, which are noisy."""
    dev = log_.evaluations.known("loss")[1]
    losses = dev[-2:] if len(dev) else smoothed(*log_.training.known("loss"), 4)[1][-2:]
    return len(losses) > 1 and bool(np.ptp(losses) <= 2 * thresholds.at_entropy)


def of_uneven_labels(log_: Log, chance: Chance, thresholds: Thresholds) -> bool:
    """Whether losses without a score, below a label entropy that was guessed, may be at that of
    uneven labels, or of another number of them: dev's do not move, and training's end there."""
    scores, dev = (log_.evaluations.known(name)[1] for name in ("other", "loss"))
    if not chance.guessed or (len(scores) and not isnan(chance.level)) or not len(dev):
        return False
    still = np.ptp(dev) <= 2 * thresholds.at_entropy
    settled = len(dev) > 2 and np.ptp(dev[-2:]) <= thresholds.settled
    possible = dev[-1] >= thresholds.uneven * chance.entropy
    # of no training loss: not apart
    apart = abs(end_loss(log_) - dev[-1]) > thresholds.alike
    return bool((still or settled) and possible and not apart)


def at_the_end(log_: Log, chance: Chance, thresholds: Thresholds) -> tuple[list[str], bool | None]:
    """Whether a run ends at chance, by its score, near chance by its losses too, without a score by
    its dev loss, else its training loss; None: not known."""
    scores, dev = (log_.evaluations.known(name)[1] for name in ("other", "loss"))
    train, because = end_loss(log_), []
    if not isnan(train) and isfinite(chance.entropy):
        because.append(
            f"training loss ends at {train:.3g} nats, the label entropy is {chance.entropy:.3g}"
        )
    by_loss, why = loss_at_chance(log_, chance, thresholds)
    if len(scores) and not isnan(chance.level):
        because.append(
            f"the score ends at {scores[-1]:.4g}, the best constant answer's is {chance.level:.4g}"
        )
        if len(dev) and isfinite(chance.entropy):
            because.append(f"dev loss ends at {dev[-1]:.3g}")
        failed, said = by_score(log_, by_loss, chance, thresholds)
        if failed is None and not said:
            said = why
        return [*because, said] if said else because, failed
    if not isfinite(chance.entropy):
        return because, None
    if len(dev):
        because.append(f"dev loss ends at {dev[-1]:.3g}")
        if why:
            because.append(why)
    return because, by_loss


def loss_at_chance(log_: Log, chance: Chance, thresholds: Thresholds) -> tuple[bool | None, str]:
    """Whether the dev loss, else the training loss, ends at the label entropy or above; None: not
    known, and why: the training loss has left chance and dev's has not, or dev's has risen, as it
    does where a run is too sure of itself."""
    bound = chance.entropy - thresholds.at_entropy
    dev, train = log_.evaluations.known("loss")[1], end_loss(log_)
    if isnan(bound) or (not len(dev) and isnan(train)):
        return None, ""
    if not len(dev):
        return train >= bound, ""
    if dev[-1] < bound:
        return False, ""
    if train < max(near_zero(log_, chance, thresholds), chance.entropy - thresholds.off_chance):
        return (
            None,
            "training has left chance and dev has not: too sure of itself, or little learnt",
        )
    if isnan(train):  # a run that collapses stays where it comes to
        rose = dev[-1] > dev.min() + thresholds.risen
        rose &= np.ptp(dev[-2:]) > 2 * thresholds.at_entropy
    else:
        rose = dev[-1] > max(chance.entropy, train, dev.min()) + thresholds.risen
    return (None, "the dev loss has risen: too sure of itself, or failed") if rose else (True, "")


def by_score(
    log_: Log, by_loss: bool | None, chance: Chance, thresholds: Thresholds
) -> tuple[bool | None, str]:
    """The same by the score, near or below the best constant answer's by the losses as well; and
    what to say of it."""
    dev = log_.evaluations.known("loss")[1]
    up = float(way(log_.evaluations.known("other")[1][-1], chance))
    loss = dev[-1] if len(dev) else end_loss(log_)
    # the level of these is 0 or a half whatever the labels
    sure = not chance.guessed or kind_of(log_.metric) in ("correlation", "entities", "auc")
    if up <= thresholds.tied:
        if sure or not loss < fallen(chance, thresholds):
            return True, ""
        return None, (
            "the loss has fallen and the score is at chance, if the labels are even: uneven ones,"
            " several an example, or a wrong metric: give --labels"
        )
    if up > thresholds.near and chance.guessed and of_another_scale(log_):
        return None, (
            "the training loss ends where it began and far above dev's, so it is of another scale,"
            " and the number of labels is not known: give --labels"
        )
    if up > thresholds.near and (fewer := fewer_labels(log_, chance, thresholds)):
        return None, (
            f"scores and losses are those of {fewer} labels at chance as well, and the first loss"
            " is no sure guide: give --classes or --labels"
        )
    if up > thresholds.near:
        # a dev loss that was lower before is that of a run too sure of itself
        losses = dev if len(dev) else log_.training.known("loss")[1]
        stuck = len(losses) and losses.min() >= chance.entropy - thresholds.at_entropy
        near = by_loss or (
            by_loss is None and len(dev) and loss <= chance.entropy + 2 * thresholds.at_entropy
        )
        if not near or not chance.guessed or not stuck:
            return False, ""
        return None, (
            "the loss is at chance and the score is not: uneven labels, another number of them, or"
            " a weighted loss: give --labels"
        )
    if chance.guessed and not by_loss and loss > fallen(chance, thresholds):
        return None, "barely above chance, if the labels are even: give --labels"
    if isnan(chance.entropy):
        return None, "barely above chance, and no loss says more"
    return by_loss, ""


def fewer_labels(log_: Log, chance: Chance, thresholds: Thresholds) -> int:
    """How many labels, fewer than were guessed from the first loss, have such scores and losses at
    chance, or after learning by heart: all scores near 1 / k, and a dev loss, else a training
    loss, not below ln k. 0 for none."""
    scores, dev = (log_.evaluations.known(name)[1] for name in ("other", "loss"))
    if not chance.guessed or kind_of(log_.metric) not in ("accuracy", "micro", "balanced"):
        return 0
    loss, train = last(dev), end_loss(log_)
    for labels in range(2, len(chance.shares)):
        near = np.abs(scores - 1 / labels).max() <= ABOUT / labels
        bound = log(labels) - thresholds.at_entropy
        by_heart = train < near_zero(log_, chance, thresholds) or not train < bound
        if near and (loss >= bound or (isnan(loss) and by_heart)):
            return labels
    return 0


def of_another_scale(log_: Log) -> bool:
    """Whether the training loss ends near where it began and 1.6 times above the last dev loss."""
    losses, dev = log_.training.known("loss")[1], log_.evaluations.known("loss")[1]
    if len(losses) < 2 or not len(dev):
        return False
    end = end_loss(log_)
    return end > 0.9 * losses[0] and end > 1.6 * dev[-1] and end - dev[-1] > 0.5


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
    bound = fallen(chance, thresholds)
    came_back = not end_loss(log_) < bound
    # the lowest of many noisy means says little where dev, asked before, was at chance
    asked = np.count_nonzero(~np.isnan(dev)) > 1
    if len(losses) and not asked and not uneven and came_back and losses.min() < bound:
        said = f"at step {steps[losses.argmin()]:,.6g} the training loss was {losses.min():.3g}"
        return Verdict(COLLAPSED, [*because, said], True)
    if len(losses) < 2 and len(table) < 2 and isnan(log_.mean_loss):
        said = "it failed, but one record does not say whether it had learnt before"
        return Verdict(UNKNOWN, [*because, said], True)
    return Verdict(NEVER, [*because, "no earlier record says that it had left chance"], True)


def what_is_missing(log_: Log, chance: Chance) -> str:
    if log_.other_task:
        return "of a regression log pearson or spearman; answers in words are not judged"
    if isnan(chance.entropy) and isnan(chance.level):
        return "what chance would give is not known: give --labels, --classes or --group"
    return "no score says which"

"""What chance gives in a log: the label entropy and the score of the best constant answer, as given
or guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, isnan, log, nan

import numpy as np

from analysis.diagnosis.cells import CORRELATIONS
from analysis.diagnosis.columns import plain
from analysis.diagnosis.records import Log
from analysis.shared.reading import BadInput

FAR = 0.5  # nats above the label entropy: less right than guessing
MOST_LABELS = 1_000_000  # a first loss above the entropy of so many is no guide to their number
MOST_GUESSED = 300  # labels; more are a language model's, or losses of another scale
MIDWAY = (log(2) + log(3)) / 2  # nats
MOST_LIKELY_SHARE = 0.75  # of the commonest label, where a score that moved before suggests it


@dataclass(frozen=True)
class Chance:
    """What a model that has learnt nothing gets."""

    entropy: float  # nats: the loss of answering with the label shares; NaN: not known
    level: float  # score of the best constant answer; NaN: not known
    shares: tuple[float, ...]  # of the labels; () where not known
    guessed: bool
    said: str  # how it is known, for the reader


def entropy_of(shares: Sequence[float]) -> float:
    """In nats."""
    return -sum(share * log(share) for share in shares if share > 0)


def kind_of(metric: str | None) -> str:
    """What a score is by its name: correlation, entities, auc, balanced, accuracy, micro, weighted
    or macro F1, F1 of label 1; "" for another."""
    name = plain(metric or "")
    if any(part in name for part in CORRELATIONS):
        return "correlation"
    if "entity" in name or "overall_f1" in name:
        return "entities"
    if "auc" in name:
        return "auc"
    if "micro" in name:
        return "micro"
    if "acc" in name:
        return "balanced" if "balanced" in name else "accuracy"
    if "f1" in name:
        return "weighted" if "weighted" in name else "macro" if "macro" in name else "f1"
    return ""


def constant_level(metric: str | None, shares: Sequence[float]) -> float:
    """The score of the best constant answer; F1 of label 1 with two labels, else macro. NaN where
    the metric is not known."""
    kind = kind_of(metric)
    if kind in ("correlation", "entities"):
        return 0.0
    if kind == "auc":
        return 0.5
    if not kind or not shares:
        return nan
    if kind in ("accuracy", "micro"):  # the same, of one label an example
        return max(shares)
    if kind == "balanced":
        return 1 / len(shares)
    of_each = [2 * share / (1 + share) for share in shares]
    if kind == "weighted":
        return max(share * f1 for share, f1 in zip(shares, of_each, strict=True))
    if kind == "f1" and len(shares) == 2:
        return of_each[1]
    return max(of_each) / len(shares)


def lowest_entropy(metric: str | None, score: float, labels: int) -> float:
    """The lowest label entropy (nats) with which one constant answer has such a score: that of as
    many labels as can be as frequent as the commonest, and the rest. NaN where nothing follows."""
    kind, share = kind_of(metric), score
    of_one = kind == "f1" and labels == 2  # F1 of label 1
    if kind in ("f1", "macro"):
        total = score if of_one else labels * score  # of the labels' F1
        share = total / (2 - total) if total < 2 else nan
    elif kind not in ("accuracy", "micro"):
        return nan
    if not 0 < share <= 1:
        return nan
    if of_one:
        return entropy_of((share, 1 - share))
    most = int(1 / share + 1e-9)
    return entropy_of([share] * most + [max(0.0, 1 - most * share)])


def check_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """Label shares that a person gave, made to sum to 1."""
    total = sum(shares)
    if len(shares) < 2 or min(shares) <= 0 or not 0.98 <= total <= 1.02:
        said = " ".join(f"{share:g}" for share in shares)
        raise BadInput(
            f"--labels {said}: expected the shares of two or more labels, each above 0, that sum to"
            " 1, such as 0.68 0.32"
        )
    return tuple(share / total for share in shares)


def chance_of(log_: Log, shares: tuple[float, ...] = (), said: str = "") -> Chance:
    """What chance gives in a log: by the shares that were given, by the run's own record, or
    guessed."""
    if shares:
        return Chance(entropy_of(shares), constant_level(log_.metric, shares), shares, False, said)
    if not isnan(log_.label_entropy):
        return Chance(
            log_.label_entropy, log_.constant_level, (), False, "from the labels of the run"
        )
    return guess(log_)


def guess(log_: Log) -> Chance:
    """From a score that never changes, else from where the loss begins: at ln k, of k labels that
    are equally frequent."""
    if any(part in plain(log_.metric or "") for part in ("pearson", "spearman")):
        return Chance(nan, 0.0, (), True, "a correlation: loss at chance not known")
    if log_.other_task:
        said = f"{log_.other_task} is no score of classes, which is all that is judged here"
        return Chance(nan, nan, (), True, said)
    losses = all_losses(log_)
    if fixed := guess_from_fixed_score(log_, losses):
        return fixed
    first = first_loss(log_, losses)
    if stays := stays_at_two(log_, first):
        return stays
    if not len(log_.training) and first > log_.mean_loss + FAR:
        first = log_.mean_loss  # evaluations only, after training has been learnt by heart
    if not first <= log(MOST_LABELS):
        return Chance(nan, constant_level(log_.metric, ()), (), True, "not known")
    # a loss begins at ln k and falls; 0.05 nats for what the first record has above it, and more
    # where it stays at ln 2
    noisy = first < MIDWAY and stays_high(log_) and scored(log_)
    labels = 2 if noisy else max(2, ceil(exp(first - 0.05)))
    if labels > MOST_GUESSED:
        said = f"not known: a first loss of {first:.3g} is that of {labels:,} labels; --classes"
        return Chance(
            nan, constant_level(log_.metric, ()), (), True, f"{said} if there are so many"
        )
    even = (1 / labels,) * labels
    return Chance(
        log(labels),
        constant_level(log_.metric, even),
        even,
        True,
        f"guessed: {labels} labels, equally frequent, as the first loss is {first:.3g}",
    )


def stays_high(log_: Log) -> bool:
    """Whether the losses stay at ln 2 or above: dev's, and the mean of the last tenth of
    training's."""
    steps, training = log_.training.known("loss")
    lowest = [log_.evaluations.known("loss")[1]]
    if len(training):
        late = training[steps >= 0.9 * steps[-1]]
        lowest.append(late.mean(keepdims=True))
    return bool(np.concatenate(lowest).min() > log(2) - 0.03)


def scored(log_: Log) -> bool:
    return len(log_.evaluations.known("other")[1]) > 0


def first_loss(log_: Log, losses: np.ndarray) -> float:
    """The mean of the first three training losses, of those in the first twentieth of the run, as
    single batches are noisy; without any the first loss."""
    steps, training = log_.training.known("loss")
    if not len(training):
        return float(losses[0]) if len(losses) else nan
    early = training[:3][steps[:3] <= steps[-1] / 20]
    return float(early.mean() if len(early) else training[0])


def stays_at_two(log_: Log, first: float) -> Chance | None:
    """Two labels, where the dev loss stays at ln 2 and the training loss, of another scale, does
    not say so."""
    dev = log_.evaluations.known("loss")[1]
    if len(dev) < 2 or first < MIDWAY or np.abs(dev - log(2)).max() > 0.03:
        return None
    even = (0.5, 0.5)
    said = f"guessed: 2 labels, equally frequent, as the dev loss stays at {dev[-1]:.3g}"
    return Chance(log(2), constant_level(log_.metric, even), even, True, said)


def guess_from_fixed_score(log_: Log, losses: np.ndarray) -> Chance | None:
    """Two labels whose shares are those of a score that no longer changes, if the loss is at their
    entropy."""
    scores, kind = log_.evaluations.known("other")[1], kind_of(log_.metric)
    if not len(losses) or len(scores) < 2 or scores[-1] != scores[-2]:
        return None
    if kind not in ("accuracy", "micro", "f1"):
        return None
    share = float(scores[-1] / (2 - scores[-1]) if kind == "f1" else scores[-1])
    if not 0.5 <= share < 1 or abs(losses[-1] - entropy_of((share, 1 - share))) > 0.03:
        return None
    # a run that has learnt and is as sure as it is right has such a loss too
    if np.ptp(scores) > 0 and share > MOST_LIKELY_SHARE:
        return None
    return Chance(
        entropy_of((share, 1 - share)),
        float(scores[-1]),
        (1 - share, share),
        True,
        f"guessed: the score ends at {scores[-1]:.4g} twice and the loss at the entropy of labels"
        " with that share",
    )


def all_losses(log_: Log) -> np.ndarray:
    """Training and dev losses in the order of their steps."""
    steps, losses = [], []
    for part in (log_.training, log_.evaluations):
        known = part.known("loss")
        steps.append(known[0])
        losses.append(known[1])
    order = np.argsort(np.concatenate(steps), kind="stable")
    return np.concatenate(losses)[order]

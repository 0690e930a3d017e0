"""The rule, on logs of which a person would say what they show."""

from math import log, nan

import numpy as np
import pytest

from analysis.diagnosis.chance import (
    chance_of,
    check_shares,
    constant_level,
    entropy_of,
    lowest_entropy,
)
from analysis.diagnosis.columns import from_records
from analysis.diagnosis.rule import judge, lowest_possible
from analysis.diagnosis.verdict import (
    COLLAPSED,
    LEARNT,
    LIES,
    MEMORISED,
    NEVER,
    NO_NUMBER,
    OSCILLATES,
    UNKNOWN,
    end_loss,
    smoothed,
)
from analysis.shared.reading import BadInput

EVEN = (0.5, 0.5)


def a_log(train=(), dev=(), scores=(), metric="accuracy", norms=(), closing=None):
    """Records at 100, 200, ...; None is missing."""
    records = []
    for number, loss in enumerate(train):
        records.append({"step": 100 * (number + 1), "loss": loss})
        if number < len(norms):
            records[-1]["grad_norm"] = norms[number]
    for number in range(max(len(dev), len(scores))):
        record = {"step": 100 * (number + 1)}
        if number < len(dev):
            record["eval_loss"] = dev[number]
        if number < len(scores):
            record[f"eval_{metric}"] = scores[number]
        records.append(record)
    if closing is not None:
        records.append({"step": 1000, "train_runtime": 1.0, "train_loss": closing})
    return from_records(records, "a log", None)


SHAPES = {
    "at chance from the start": (a_log([0.70, 0.69, 0.693], [0.693] * 3, [0.5] * 3), NEVER),
    "at chance, by the losses alone": (a_log([0.70, 0.694, 0.693], [0.694, 0.693]), NEVER),
    "at chance, by the training loss alone": (a_log([0.70, 0.694, 0.693]), NEVER),
    "worse than chance": (a_log([1.3, 0.9, 0.8], [0.9, 0.8], [0.5, 0.47]), NEVER),
    "DNABERT #78": (
        a_log([0.3, 0.2, 0.69], [0.25, 0.69, 0.693], [0.94, 0.5, 0.5]),
        COLLAPSED,
    ),
    "learns and jumps, no score": (a_log([0.5, 0.3, 2.08, 0.7, 0.693], [0.4, 0.70]), COLLAPSED),
    "nan": (a_log([0.7, nan], [nan], [0.5]), NO_NUMBER),
    "nan from the first record": (a_log([nan] * 3, [nan] * 3, [0.527] * 3), NO_NUMBER),
    "the Trainer's filter writes 0": (
        a_log([0.6, 0.0, 0.0], [], [], norms=[1.0, nan, nan]),
        NO_NUMBER,
    ),
    "exactly 0 from one record to the next": (a_log([0.6, 0.0, 0.0], [0.7], [0.5]), NO_NUMBER),
    "0 from the first record": (a_log([0.0, 0.0, 0.0]), NO_NUMBER),
    "one gradient that overflowed, as float16's scaler makes": (
        a_log([0.6, 0.4, 0.3], [0.4], [0.9], norms=[1.0, np.inf, 2.0]),
        LEARNT,
    ),
    "a loss too low for the score": (a_log([0.2], [0.1], [0.5]), LIES),
    "a score that never moves": (a_log([0.5, 0.4, 0.4], [0.6, 0.5, 0.4], [0.5] * 3, "f1"), LIES),
    "by heart": (a_log([0.3, 0.05, 0.001], [1.0, 1.9], [0.52, 0.51]), MEMORISED),
    "by heart, or learnt and too sure of itself: no score": (
        a_log([0.3, 0.05, 0.001], [1.0, 1.9]),
        UNKNOWN,
    ),
    "by heart, the mean alone": (a_log([], [1.5, 1.9], [0.5, 0.5], closing=0.05), MEMORISED),
    "up and down": (
        a_log([0.4] * 8, [0.5] * 8, [0.6, 0.9, 0.6, 0.9, 0.6, 0.88, 0.61, 0.9]),
        OSCILLATES,
    ),
    "up": (a_log([0.6, 0.4, 0.3], [0.5, 0.4], [0.7, 0.8]), LEARNT),
    "sure of itself, but right": (a_log([0.1, 0.01], [0.5, 0.9], [0.9, 0.9]), LEARNT),
    "no evaluation": (a_log([0.6, 0.4, 0.2]), UNKNOWN),
    "losses apart, no score": (a_log([0.5, 0.3, 0.2], [0.6, 0.75]), UNKNOWN),
    "one look at chance": (a_log([], [0.693], [0.5]), UNKNOWN),
    "down to ln 2 from above": (a_log([], [1.3, 0.9, 0.8]), NEVER),
}  # fmt: skip


@pytest.mark.parametrize(
    ("losses", "shape"), [([0.06, 0.053, 0.052], UNKNOWN), ([0.06, 0.02, 0.002], MEMORISED)]
)
def test_numbers_from_0_to_1_have_a_small_loss_at_chance(losses, shape):
    """Their variance is 0.05; of the second run nothing but the training loss falls."""
    log_ = a_log(losses, [0.0512, 0.0511, 0.0611], [0.01, -0.02, 0.03], "pearson")
    verdict = judge(log_, chance_of(log_))
    assert verdict.shape == shape and not any("nan" in said for said in verdict.because)


def test_of_two_runs_in_a_log_the_last_ones_end_counts():
    """Ten records of a run that learnt, then five of one that did not."""
    records = [{"step": 100 * i, "loss": 0.7 - 0.06 * i} for i in range(1, 11)]
    records.append({"step": 1000, "eval_loss": 0.2, "eval_accuracy": 0.9})
    records += [{"step": 100 * i, "loss": 0.693} for i in range(1, 6)]
    records.append({"step": 500, "eval_loss": 0.693, "eval_accuracy": 0.5})
    log_ = from_records(records, "a log", None)
    assert end_loss(log_) == pytest.approx(0.693)
    assert judge(log_, chance_of(log_)).failed


# gte-small's runs without a score, the losses of three evaluations; without --labels, and with them
WITHOUT_SCORES = {
    "RTE, 58.8: training has left chance, dev has risen": (
        a_log([0.695, 0.63, 0.557], [0.688, 0.697, 0.732]),
        (UNKNOWN, UNKNOWN),
        EVEN,
    ),
    "the same, evaluations and the closing mean": (
        a_log([], [0.688, 0.697, 0.732], closing=0.63),
        (UNKNOWN, UNKNOWN),
        EVEN,
    ),
    "the same, a table of evaluations": (
        a_log([], [0.688, 0.697, 0.732]),
        (UNKNOWN, UNKNOWN),
        EVEN,
    ),
    "CoLA, 31: dev rises above chance at the end": (
        a_log([], [0.617, 0.563, 0.639]),
        (LEARNT, UNKNOWN),
        (0.296, 0.704),
    ),
    "a collapse in a table: it stays where it comes to": (
        a_log([], [0.4, 0.69, 0.693]),
        (COLLAPSED, COLLAPSED),
        EVEN,
    ),
    "a stale training record": (a_log([0.66], [0.69, 0.74, 0.95]), (UNKNOWN, UNKNOWN), EVEN),
    "RTE, failed": (a_log([0.703, 0.699, 0.695], [0.692, 0.695, 0.692]), (NEVER, NEVER), EVEN),
    "RTE, failed, evaluations only": (a_log([], [0.692, 0.695, 0.692]), (NEVER, NEVER), EVEN),
    "CoLA, failed: at the entropy of its labels": (
        a_log([0.671, 0.62, 0.604], [0.621, 0.618, 0.619]),
        (UNKNOWN, NEVER),
        (0.296, 0.704),
    ),
    "the same, an early first evaluation": (
        a_log([0.68, 0.63, 0.61], [0.65, 0.619, 0.619]),
        (UNKNOWN, NEVER),
        (0.296, 0.704),
    ),
    "85 to 15, failed, one evaluation": (
        a_log([0.43, 0.425], [0.424]),
        (UNKNOWN, NEVER),
        (0.15, 0.85),
    ),
    "95 to 5, failed": (
        a_log([0.25, 0.2, 0.2], [0.2, 0.199, 0.199]),
        (UNKNOWN, NEVER),
        (0.05, 0.95),
    ),
    "CoLA's sample, failed, one evaluation": (
        a_log([0.65, 0.603], [0.623]),
        (UNKNOWN, NEVER),
        (0.296, 0.704),
    ),
    "CoLA, 22.6: training goes on, dev does not": (
        a_log([0.643, 0.5, 0.434], [0.613, 0.607, 0.636]),
        (LEARNT, UNKNOWN),
        (0.296, 0.704),
    ),
    "MRPC, 89.3": (
        a_log([0.655, 0.3, 0.196], [0.39, 0.374, 0.425]),
        (LEARNT, LEARNT),
        (0.32, 0.68),
    ),
}  # fmt: skip


NEAR_CHANCE = {  # what a stranger tried; without --labels, and with RTE's or the case's own
    "RTE, failed, the answer flips": (
        a_log([0.698, 0.696, 0.695], [0.6925, 0.694, 0.6918], [0.5271, 0.4729, 0.5271]),
        (NEVER, NEVER),
        (0.5271, 0.4729),
    ),
    "two examples above the majority": (
        a_log([0.698, 0.696, 0.695], [0.6925, 0.694, 0.6925], [0.5271, 0.4729, 0.5343]),
        (NEVER, NEVER),
        (0.5271, 0.4729),
    ),
    "CoLA, just above 0": (
        a_log([0.64, 0.62, 0.613], [0.62, 0.619, 0.618], [0, 0, 0.0207], "mcc"),
        (UNKNOWN, NEVER),
        (0.31, 0.69),
    ),
    "without a dev loss": (
        a_log([0.7003, 0.6968, 0.6951], [], [0.5271, 0.4729, 0.5271]),
        (NEVER, NEVER),
        (0.5271, 0.4729),
    ),
    "a first batch of 0.8": (
        a_log([0.8, 0.69, 0.7], [0.6931, 0.6935, 0.6925], [0.5271, 0.5271, 0.53]),
        (NEVER, NEVER),
        (0.5271, 0.4729),
    ),
    "90 % of one label, moving a little": (
        a_log([0.34, 0.33, 0.33], [0.326, 0.325, 0.325], [0.9, 0.9012, 0.9006]),
        (UNKNOWN, NEVER),
        (0.9, 0.1),
    ),
    "99 % of one label, whose entropy is 0.056 nats": (
        a_log([0.06, 0.0565, 0.0562], [0.0562, 0.0561, 0.056], [0.0] * 3, "f1"),
        (UNKNOWN, NEVER),
        (0.99, 0.01),
    ),
    "a weighted loss": (
        a_log([0.7, 0.693, 0.693], [0.693, 0.693, 0.693], [0.95, 0.05, 0.95]),
        (UNKNOWN, NEVER),
        (0.95, 0.05),
    ),
    "overfitted, and right": (
        a_log([0.4, 0.1, 0.002], [0.38, 0.8, 1.31], [0.84, 0.862, 0.865]),
        (LEARNT, LEARNT),
        (0.5, 0.5),
    ),
    "a training loss that dev has nothing of": (
        a_log([0.65, 0.4, 0.2, 0.095], [0.7, 0.95, 1.4, 1.7], [0.527, 0.538, 0.52, 0.5235]),
        (MEMORISED, MEMORISED),
        (0.5271, 0.4729),
    ),
    "all words are O": (
        a_log([1.1, 0.72, 0.71], [0.7, 0.699, 0.699], [0.0] * 3, "overall_f1"),
        (NEVER, NEVER),
        (0.8, 0.1, 0.1),
    ),
    "one gradient that overflowed in the last step": (
        a_log([0.6, 0.3, 0.15], [0.5, 0.43], [0.75, 0.83], norms=[1.0, 2.0, np.inf]),
        (LEARNT, LEARNT),
        (0.5, 0.5),
    ),
    "a dev loss alone that is no number": (
        a_log([0.6, 0.3, 0.1], [0.5, nan], [0.75, 0.83]),
        (NO_NUMBER, NO_NUMBER),
        (0.5, 0.5),
    ),
    "one epoch, one mean over it": (
        a_log([2.1], [0.7], [0.75]),
        (LEARNT, LEARNT),
        (1 / 8,) * 8,
    ),
    "summed micro-batches, a little learnt": (
        a_log([2.77, 2.6, 2.36], [0.694, 0.693, 0.694], [0.41, 0.41, 0.406]),
        (NEVER, NEVER),
        (0.5, 0.5),
    ),
    "summed micro-batches, noisy": (
        a_log([2.7, 2.9, 2.75, 2.8], [0.75, 0.74, 0.73, 0.6935], [0.47, 0.47, 0.47, 0.527]),
        (NEVER, NEVER),
        (0.5, 0.5),
    ),
    "summed micro-batches, collapsed": (
        a_log([2.77, 1.5, 2.0, 2.77], [0.5, 0.7, 0.693], [0.76, 0.473, 0.527]),
        (UNKNOWN, COLLAPSED),
        (0.5, 0.5),
    ),
    "uneven labels by micro F1": (
        a_log([0.64, 0.63, 0.63], [0.627] * 3, [0.68] * 3, "f1_micro"),
        (NEVER, NEVER),
        (0.32, 0.68),
    ),
    "uneven labels, one example more or less": (
        a_log([0.65, 0.64, 0.62, 0.63], [0.655, 0.626, 0.627], [0.6838, 0.6863, 0.6838]),
        (UNKNOWN, NEVER),
        (0.32, 0.68),
    ),
    "little entropy": (
        a_log([0.2, 0.15, 0.1], [0.17, 0.18, 0.2], [0.953, 0.954, 0.954]),
        (LEARNT, MEMORISED),  # 4 of 50 on the way up
        (0.95, 0.05),
    ),
    "three classes, a mean over 500 steps first": (
        a_log([0.8, 0.68, 0.62, 0.6], [0.7, 0.7], [0.69, 0.7]),
        (LEARNT, LEARNT),
        (1 / 3,) * 3,
    ),
    "several labels an example": (
        a_log([0.3, 0.15, 0.1], [0.1, 0.09], [0.3, 0.32], "f1_weighted"),
        (UNKNOWN, UNKNOWN),
        (),
    ),
    "micro F1 of several labels an example": (
        a_log([0.3, 0.15, 0.11], [0.12, 0.1], [0.45, 0.58], "f1_micro"),
        (LEARNT, LEARNT),
        (),
    ),
    "too sure of itself, no training record": (
        a_log([], [0.42, 0.55, 0.75], [0.84, 0.86, 0.86]),
        (LEARNT, LEARNT),
        (0.5, 0.5),
    ),
    "a weak learner": (
        a_log([0.693, 0.685, 0.675], [0.69, 0.68, 0.664], [0.585, 0.593, 0.588]),
        (LEARNT, LEARNT),
        (0.5, 0.5),
    ),
    "an entity F1 of 0 at a loss of nearly 0": (
        a_log([0.5, 0.05, 0.02], [0.2, 0.05, 0.03], [0.0] * 3, "overall_f1"),
        (UNKNOWN, LIES),
        (0.8, 0.1, 0.1),
    ),
    "a correlation just above 0": (
        a_log([2.3, 2.25], [2.3, 2.25], [0.01, 0.021], "pearson"),
        (UNKNOWN, UNKNOWN),
        (),
    ),
    "nine to one, a weighted loss, its last record low": (
        a_log([0.70, 0.71, 0.68, 0.70, 0.64], [0.695, 0.694, 0.693], [0.9, 0.1, 0.9]),
        (UNKNOWN, NEVER),
        (0.1, 0.9),
    ),
    "CoLA's losses beside a score of an unknown name": (
        a_log([0.67, 0.61], [0.62, 0.619, 0.618], [0.7, 0.7, 0.7], "score"),
        (UNKNOWN, NEVER),
        (0.296, 0.704),
    ),
}


@pytest.mark.parametrize(
    "case", [*WITHOUT_SCORES.items(), *NEAR_CHANCE.items()], ids=lambda c: c[0]
)
def test_without_and_with_labels(case):
    log_, shapes, shares = case[1]
    found = [judge(log_, chance_of(log_)), judge(log_, chance_of(log_, shares, "given"))]
    assert tuple(verdict.shape for verdict in found) == shapes, [v.because for v in found]


def test_noise_of_small_batches_is_no_collapse():
    """One answer to 95 and 5 in 100: the means of ten batches of 16 are noisy, dev stands still."""
    draw = np.random.default_rng(1)
    rare = draw.binomial(160, 0.05, size=30) / 160
    losses = rare * -log(0.05) + (1 - rare) * -log(0.95)
    log_ = a_log(losses.tolist(), [0.199, 0.198, 0.199, 0.199], [0.95] * 4)
    found = judge(log_, chance_of(log_, (0.05, 0.95), "given"))
    assert losses.min() < 0.7 * 0.1985 and found.shape == NEVER, found.because


@pytest.mark.parametrize(
    ("log_", "shares", "said"),
    [
        (
            a_log([0.68, 0.6], [0.693, 0.799], [0.52, 0.54]),
            EVEN,
            "training has left chance and dev",
        ),
        (a_log([], [0.688, 0.697, 0.732]), EVEN, "the dev loss has risen"),
        (a_log([0.67, 0.61], [0.62, 0.619]), (), "uneven labels or to another number of them"),
    ],
)
def test_cannot_tell_says_why(log_, shares, said):
    found = judge(log_, chance_of(log_, shares))
    assert found.shape == UNKNOWN and said in " ".join(found.because)


def test_a_language_model_is_not_judged():
    """6.8 nats at the start would be 900 labels."""
    log_ = a_log([6.8, 3.0, 2.2], [2.3, 2.1])
    chance = chance_of(log_)
    assert np.isnan(chance.entropy) and "--classes" in chance.said
    assert judge(log_, chance).shape == UNKNOWN
    assert judge(log_, chance_of(log_, (1 / 900,) * 900)).shape == LEARNT


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    log_, shape = SHAPES[name]
    verdict = judge(log_, chance_of(log_, EVEN, "given"))
    assert verdict.shape == shape, verdict.because
    assert verdict.because
    assert verdict.failed == (shape in (NEVER, COLLAPSED, NO_NUMBER) or None) or shape in (
        LEARNT,
        UNKNOWN,
    )


def test_the_median_move_must_exceed_the_sampling_error():
    scores = [0.6, 0.7, 0.62, 0.7, 0.61, 0.69, 0.6, 0.7]
    log_ = a_log([0.4] * 8, [0.6] * 8, scores)
    assert judge(log_, chance_of(log_, EVEN)).shape == OSCILLATES
    log_.dev_examples = 50  # a standard error of 0.067
    assert judge(log_, chance_of(log_, EVEN)).shape == LEARNT


def test_a_regression_is_judged_by_its_correlation():
    log_ = a_log([2.3, 2.2], [2.3, 2.2], [0.0, 0.0], "pearson")
    assert judge(log_, chance_of(log_)).shape == NEVER
    log_ = a_log([2.3, 0.6], [2.3, 0.7], [0.3, 0.8], "pearson")
    assert judge(log_, chance_of(log_)).shape == LEARNT


@pytest.mark.parametrize(
    "first, labels", [(0.70, 2), (0.6925, 2), (0.5, 2), (1.11, 3), (1.39, 4), (1.80, 6), (2.08, 8)]
)
def test_the_number_of_labels_is_guessed_from_where_the_loss_begins(first, labels):
    chance = chance_of(a_log([first, 0.4], [0.5], [0.6]))
    assert chance.guessed and chance.entropy == pytest.approx(log(labels))
    assert chance.level == pytest.approx(1 / labels) and "guessed" in chance.said


def test_shares_are_guessed_from_a_score_that_never_moves():
    """CoLA's: 69 % acceptable, whose entropy is 0.62."""
    chance = chance_of(a_log([0.66, 0.62, 0.62], [0.62, 0.62], [0.69, 0.69]))
    assert chance.entropy == pytest.approx(entropy_of((0.31, 0.69))) and chance.level == 0.69
    f1 = 2 * 0.69 / 1.69
    chance = chance_of(a_log([0.66, 0.62, 0.62], [0.62, 0.62], [f1, f1], "f1"))
    assert chance.shares == pytest.approx((0.31, 0.69))


def test_a_calibrated_run_is_not_taken_for_one_at_chance():
    """95 % right at a loss of 0.2, twice the same score: that is learnt, not 95 % of one label."""
    log_ = a_log([0.68, 0.4, 0.2], [0.4, 0.21, 0.2], [0.8, 0.95, 0.95])
    assert judge(log_, chance_of(log_)).shape == LEARNT


@pytest.mark.parametrize(
    "metric, shares, level",
    [
        ("accuracy", (0.3, 0.7), 0.7),
        ("eval_f1", (0.32, 0.68), 2 * 0.68 / 1.68),
        ("eval_f1", (0.68, 0.32), 2 * 0.32 / 1.32),
        ("f1", (0.5, 0.3, 0.2), 2 * 0.5 / 1.5 / 3),
        ("f1_macro", (0.5, 0.3, 0.2), 2 * 0.5 / 1.5 / 3),
        ("balanced_accuracy", (0.5, 0.3, 0.2), 1 / 3),
        ("f1_micro", (0.5, 0.3, 0.2), 0.5),
        ("f1_weighted", (0.5, 0.3, 0.2), 0.5 * 2 * 0.5 / 1.5),
        ("roc_auc", (), 0.5),
        ("cohen_kappa", (0.5, 0.3, 0.2), 0),
        ("matthews_correlation", (0.3, 0.7), 0),
        ("eval_spearmanr", (), 0),
    ],
)
def test_the_best_constant_answer_as_scikit_learn_scores_it(metric, shares, level):
    assert constant_level(metric, shares) == pytest.approx(level)
    if not shares:
        return
    from sklearn import metrics

    labels = np.repeat(np.arange(len(shares)), np.round(100 * np.array(shares)).astype(int))
    name = metric.replace("eval_", "")
    average = "binary" if len(shares) == 2 else "macro"
    if "_" in name and name.startswith("f1"):
        average, name = name.removeprefix("f1_"), "f1"
    scorer = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "matthews_correlation": metrics.matthews_corrcoef,
        "cohen_kappa": metrics.cohen_kappa_score,
        "f1": lambda *pair: metrics.f1_score(*pair, average=average, zero_division=0),
    }[name]
    constant = [scorer(labels, np.full_like(labels, label)) for label in range(len(shares))]
    assert constant_level(metric, shares) == pytest.approx(max(constant))


def test_what_a_dev_loss_rules_out():
    """Whatever the answers are: drawn at random, 200 times."""
    from sklearn.metrics import f1_score, matthews_corrcoef

    random, tested = np.random.default_rng(1), 0
    for _ in range(200):
        labels = (np.arange(60) < 20).astype(int)
        sure = random.normal(random.uniform(0, 3), 1.5, 60) * np.where(labels == 1, 1, -1)
        loss = float(np.logaddexp(0, -sure * np.where(labels == 1, 1, -1)).mean())
        answers = (sure > 0).astype(int)
        for metric, score in (
            ("accuracy", (answers == labels).mean()),
            ("f1", f1_score(labels, answers, zero_division=0)),
            ("mcc", matthews_corrcoef(labels, answers)),
        ):
            log_ = a_log([], [loss], [score], metric)
            lowest = lowest_possible(log_, chance_of(log_, (2 / 3, 1 / 3)), loss)
            assert np.isnan(lowest) or score >= lowest - 1e-9
            tested += not np.isnan(lowest) and lowest > 0
    assert tested > 50


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.3), (0.5, 0.6), (1.0, 0.0), (-0.5, 1.5)])
def test_shares_that_are_none(shares):
    with pytest.raises(BadInput, match="--labels"):
        check_shares(shares)


def test_smoothing_keeps_the_mean():
    steps, values = np.arange(1.0, 101), np.arange(100.0)
    short, means = smoothed(steps, values, 30)
    assert len(short) == 30 and short[-1] == 100
    counts = np.diff(np.concatenate([[0], short]))
    assert (means * counts).sum() == pytest.approx(values.sum())


def test_a_loss_that_begins_beyond_all_labels():
    """The Trainer wrote one of 4,398 nats, then 0 in place of NaN."""
    log_ = a_log([4398.4, 0.0, 0.0], [], [], norms=[nan, nan, nan])
    chance = chance_of(log_)
    assert np.isnan(chance.entropy) and judge(log_, chance).shape == NO_NUMBER


def test_uneven_labels_at_chance_are_no_wrong_metric():
    """A failed run on labels of 81 %, whose entropy is 0.486, as the Trainer logged it."""
    log_ = a_log([0.6, 0.49], [0.49, 0.487, 0.486], [0.0] * 3, "matthews_correlation")
    assert judge(log_, chance_of(log_)).shape == NEVER
    lower = a_log([0.6, 0.4], [0.42, 0.41, 0.4], [0.0] * 3, "matthews_correlation")
    assert judge(lower, chance_of(lower)).shape == UNKNOWN
    assert judge(log_, chance_of(log_, (0.19, 0.81))).shape == NEVER


@pytest.mark.parametrize(
    "train, dev, score, metric, shape",
    [
        ([1.72, 1.71, 1.71], [1.7] * 3, 0.25, "accuracy", NEVER),
        ([1.72, 1.71, 1.71], [1.7] * 3, 2 * 0.25 / 1.25 / 6, "f1_macro", NEVER),
        ([1.72, 1.71, 1.71], [], 0.25, "accuracy", NEVER),
        # three labels, the commonest of 80 %, whose entropy is 0.61 to 0.64
        ([1.05, 0.63, 0.63], [0.63] * 3, 0.8, "accuracy", UNKNOWN),
        # one answer to labels of 60 % has a higher loss; of 97 % has not
        ([1.72, 1.0, 0.5], [1.3, 1.2, 1.3], 0.6, "accuracy", LEARNT),
        ([0.69, 0.1, 0.02], [0.2, 0.2, 0.2], 0.97, "accuracy", UNKNOWN),
        ([0.69, 0.5, 0.4], [0.5, 0.5, 0.5], 0.5, "matthews_correlation", LEARNT),
    ],
)
def test_a_score_that_never_moves_above_a_guessed_level(train, dev, score, metric, shape):
    log_ = a_log(train, dev, [score] * 3, metric)
    verdict = judge(log_, chance_of(log_))
    assert verdict.shape == shape, verdict.because
    assert (shape == LEARNT) == ("--labels" not in " ".join(verdict.because))
    two = a_log(train, dev[:2], [score] * 2, metric)
    assert judge(two, chance_of(two)).shape in (LEARNT, UNKNOWN)


def test_the_lowest_entropy_that_goes_with_a_constant_answers_score():
    """No shares drawn at random have a lower one, for accuracy and both F1."""
    random = np.random.default_rng(1)
    for _ in range(200):
        shares = tuple(random.dirichlet([1.0] * random.integers(2, 7)))
        for metric in ("accuracy", "f1_macro", "f1"):
            level = constant_level(metric, shares)
            lowest = lowest_entropy(metric, level, len(shares))
            assert np.isnan(lowest) or lowest <= entropy_of(shares) + 1e-9
    assert lowest_entropy("accuracy", 0.25, 6) == pytest.approx(log(4))
    assert lowest_entropy("accuracy", 0.7, 2) == pytest.approx(entropy_of((0.3, 0.7)))
    assert np.isnan(lowest_entropy("matthews_correlation", 0.0, 2))


# a first loss that a large head, or summed micro-batches, put too high for the number of labels
TOO_HIGH = {
    "two labels at chance, first loss 1.33": (
        [1.33, 0.9, 0.75, 0.75],
        [0.9, 0.85, 0.776],
        [0.473, 0.527, 0.503],
    ),
    "the same, no dev loss": ([1.33, 0.75, 0.70, 0.70], [], [0.473, 0.527, 0.473]),
    "two labels learnt by heart, first loss 0.85": (
        [0.85, 0.3, 0.01, 0.006],
        [0.9, 1.6, 2.1],
        [0.52, 0.51, 0.51],
    ),
    "four micro-batches summed, two labels at chance": (
        [2.80, 2.77, 2.76, 2.76],
        [],
        [0.527, 0.527, 0.527],
    ),
    "0.60, 0.25 and 0.15 of three labels, nearly one answer": (
        [1.1, 0.95, 0.94, 0.94],
        [0.94, 0.938, 0.938],
        [0.600, 0.600, 0.596],
    ),
}


@pytest.mark.parametrize("name", TOO_HIGH)
def test_a_first_loss_is_no_proof_of_many_labels(name):
    log_ = a_log(*TOO_HIGH[name])
    assert chance_of(log_).guessed and judge(log_, chance_of(log_)).shape == UNKNOWN


def test_many_labels_that_are_learnt_stay_learnt():
    """Six labels, ln 6 = 1.79: the score comes from far below a half, or the loss is below ln 2."""
    rises = a_log([1.79, 1.5, 1.3, 1.2], [1.5, 1.35, 1.3], [0.30, 0.42, 0.50])
    low = a_log([1.79, 0.8, 0.5, 0.4], [0.70, 0.60, 0.55], [0.55, 0.53, 0.52])
    three = a_log([1.1, 0.6, 0.5, 0.4], [0.60, 0.55, 0.549], [0.79, 0.794, 0.796])
    for log_ in (rises, low, three):
        assert judge(log_, chance_of(log_)).shape == LEARNT


def test_a_perfect_score_is_no_constant_answers():
    log_ = a_log([0.7, 0.2, 0.03], [0.01, 0.001, 0.0005], [1.0, 1.0, 1.0])
    assert judge(log_, chance_of(log_)).shape == LEARNT


@pytest.mark.parametrize(("before", "shape"), [(0.66, NEVER), (0.8, UNKNOWN)])
def test_an_f1_of_0_at_losses_that_stay_is_chance(before, shape):
    """Of words: nearly all are "O", and none is found; a loss that still falls may come to some."""
    log_ = a_log([1.6, 0.7, 0.65], [before + 0.1, before, 0.65], [0.0, 0.0, 0.0], "f1")
    assert judge(log_, chance_of(log_)).shape == shape


def test_a_score_that_fell_far_is_told_of():
    log_ = a_log([0.6, 0.3, 0.6], [0.3, 0.4, 0.65], [0.9, 0.85, 0.63])
    verdict = judge(log_, chance_of(log_))
    assert verdict.shape == LEARNT and "at step 100 the score was 0.9" in verdict.because[-1]
    kept = a_log([0.6, 0.3, 0.2], [0.3, 0.3, 0.32], [0.9, 0.91, 0.89])
    assert not any("at step" in said for said in judge(kept, chance_of(kept)).because)

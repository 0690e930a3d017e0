"""Tasks of every kind: logits, losses and gradients of the fast path against Hugging Face's own
heads, metrics against scikit-learn and scipy, answers by hand."""

import copy

import numpy as np
import pytest
import torch
from conftest import a_batch, small_model
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from experiments.finetuning.answers import answers_of, mean_loss, scores_of, scores_of_halves
from experiments.finetuning.glue import TASKS
from experiments.finetuning.histories import (
    HALVES,
    Recording,
    classes_from_text,
    half_scores,
    margins_from_text,
    selection_half,
)
from experiments.finetuning.metrics import all_metrics, constant_loss, majority_level
from experiments.finetuning.packing import PackedClassifier, pack

CLASSES = torch.tensor([0, 1, 2, 4, 2, 3])
NUMBERS = torch.tensor([0.0, 2.5, 5.0, 3.8, 1.0, 4.2])


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
@pytest.mark.parametrize(("labels", "outputs"), [(CLASSES, 5), (NUMBERS, 1)])
def test_the_fast_path_equals_hugging_faces_heads(architecture, labels, outputs):
    """Their loss is the one their own head computes from the labels."""
    plain = small_model(architecture, outputs).train()
    copied = copy.deepcopy(plain)
    fast = PackedClassifier(copied, dropout=0.0, dropout_seed=1)
    batch = a_batch(plain, 9)
    theirs = plain(**{name: torch.from_numpy(x) for name, x in batch.items()}, labels=labels)
    theirs.loss.backward()
    logits = fast(pack(batch, fast.config, fast.device), training=True)
    loss = mean_loss(logits, labels)
    loss.backward()
    assert logits.shape == (6, outputs) and theirs.logits.std() > 0
    torch.testing.assert_close(logits, theirs.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, theirs.loss, rtol=1e-5, atol=1e-6)
    seen = 0
    for (name, ours), other in zip(copied.named_parameters(), plain.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(ours.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)
            seen += 1
    assert seen > 30


def test_metrics_against_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    for classes in (2, 3, 7):
        labels, guesses = rng.integers(0, classes, (2, 200))
        scores = all_metrics(guesses, labels, classes)
        average = "binary" if classes == 2 else "macro"
        assert scores == pytest.approx(
            {
                "accuracy": accuracy_score(labels, guesses),
                "f1": f1_score(labels, guesses, average=average),
                "matthews_correlation": matthews_corrcoef(labels, guesses),
            }
        )
        constant = [all_metrics(np.full(200, c), labels, classes) for c in range(classes)]
        for metric in scores:
            best = max(score[metric] for score in constant)
            assert majority_level(metric, labels, classes) == pytest.approx(best)
    labels = rng.normal(size=200).round(1).astype(np.float32)  # with ties
    guesses = labels + rng.normal(size=200)
    assert all_metrics(guesses, labels) == pytest.approx(
        {
            "pearson": stats.pearsonr(guesses, labels)[0],
            "spearman": stats.spearmanr(guesses, labels)[0],
        }
    )
    assert majority_level("pearson", labels) == 0.0


def test_macro_f1_of_a_class_that_dev_lacks():
    """Three classes of which dev has two: still macro, over those that occur."""
    labels, guesses = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    assert all_metrics(guesses, labels, 3)["f1"] == pytest.approx((2 * 2 / 5 + 2 / 3) / 2)
    guesses = np.array([0, 1, 2, 0])
    assert all_metrics(guesses, labels, 3)["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)


@pytest.mark.parametrize("guesses", [np.zeros(4), np.array([1.0, np.nan, 2.0, 3.0])])
def test_constant_and_infinite_answers_do_not_correlate(guesses):
    labels = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
    assert all_metrics(guesses, labels) == {"pearson": 0.0, "spearman": 0.0}


def test_the_loss_of_the_best_constant_answer():
    assert constant_loss(np.array([0, 0, 1, 2])) == pytest.approx(1.5 * np.log(2))
    assert constant_loss(np.array([0.0, 4.0], dtype=np.float32)) == pytest.approx(4.0)


def test_answers_by_hand():
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.5, 0.0, -1.0]])
    answers = answers_of(logits, np.array([2, 0]))
    assert answers.predictions.tolist() == [1, 0]
    assert answers.margins.tolist() == [-1.0, 0.5]  # of the right label against the best other
    two = answers_of(logits[:, :2], np.array([0, 0]))
    assert two.predictions.tolist() == [1, 0] and two.margins.tolist() == [2.0, -0.5]
    one = answers_of(logits[:, :1], np.array([2.0, 0.0], dtype=np.float32))
    assert one.predictions.tolist() == one.margins.tolist() == [1.0, 0.5]


@pytest.mark.parametrize("outputs", [1, 2, 6])
def test_what_is_stored_of_1000_examples(outputs):
    """However many evaluations, 20 KB or less; dev's halves as if all were kept."""
    evaluations = 4
    rng = np.random.default_rng(1)
    labels = rng.integers(0, outputs, 1000) if outputs > 1 else rng.normal(size=1000)
    labels = labels.astype(np.int64 if outputs > 1 else np.float32)
    name = {1: "stsb", 2: "sst2", 6: "mnli"}[outputs]
    task, recorded, wanted = TASKS[name], Recording(), []
    for _ in range(evaluations):
        logits = torch.from_numpy(rng.normal(size=(1000, outputs)).astype(np.float32))
        answers = answers_of(logits, labels)
        halves = scores_of_halves(logits, labels, task.metric)
        recorded.evaluated(scores_of(logits, labels), answers, halves)
        chosen = selection_half(labels)
        wanted.append(scores_of(logits[~chosen], labels[~chosen])[task.metric])
    history = recorded.history(10, [], answers, task)
    kept = [text for text in history["dev_margins"] if text]
    assert len(history["dev_margins"]) == evaluations and len(kept) == 2
    assert sum(map(len, kept)) + len(history.get("dev_predictions", "")) <= 20_000
    np.testing.assert_allclose(margins_from_text(kept[1]), answers.margins, rtol=1e-3)
    if outputs > 2:
        assert (classes_from_text(history["dev_predictions"]) == answers.predictions).all()
    rows = half_scores({"history": history})
    assert [row["reporting_score"] for row in rows] == wanted and set(rows[0]) == set(HALVES)


def test_halves_of_numbers_are_halves():
    assert selection_half(np.arange(11, dtype=np.float32)).sum() == 5

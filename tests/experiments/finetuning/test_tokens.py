"""Sequence labelling: scores against seqeval and scikit-learn, heads against Hugging Face's, words
against their tokens."""

import copy

import numpy as np
import pytest
import torch
from conftest import a_batch, small_model
from sklearn.metrics import precision_recall_fscore_support
from transformers import AutoTokenizer

from experiments.finetuning import tokens
from experiments.finetuning.glue import UNREAD, Split, get_task
from experiments.finetuning.labels import NONE, entities, metric_of, ragged
from experiments.finetuning.loading import load, prepare
from experiments.finetuning.metrics import majority_level
from experiments.finetuning.packing import PackedClassifier, pack
from experiments.finetuning.tasks import load_splits
from experiments.finetuning.tokens import (
    count,
    counts_as_text,
    counts_from_text,
    scores,
    tokenize_words,
)
from experiments.finetuning.training import batch_loss, train

BIO = (NONE, "B-person", "I-person", "B-creative-work", "I-creative-work")
CLASSES = (NONE, "agent", "action", "place")


def sentences(names, number, seed=0, none=0.5):
    """Label ids of sentences of 1 to 12 words, about half of them of the none label."""
    random = np.random.default_rng(seed)
    shares = np.r_[none, np.full(len(names) - 1, (1 - none) / (len(names) - 1))]
    return [
        random.choice(len(names), random.integers(1, 13), p=shares).astype(np.int64)
        for _ in range(number)
    ]


def two_readings(names):
    """Labels, and answers that are right in about half of the words."""
    labels = sentences(names, 200)
    random = np.random.default_rng(1)
    answers = []
    for label in labels:
        other = random.integers(0, len(names), len(label))
        answers.append(np.where(random.random(len(label)) < 0.6, label, other))
    return answers, labels


def test_entities_by_hand():
    assert entities([]) == set()
    assert entities(["B-a", "I-a", "O", "B-a", "B-a"]) == {("a", 0, 1), ("a", 3, 3), ("a", 4, 4)}
    # an I- without its B- starts an entity, as the CoNLL script has it
    assert entities(["O", "I-a", "I-a", "I-b", "O"]) == {("a", 1, 2), ("b", 3, 3)}
    assert entities(["B-a", "I-b", "I-b"]) == {("a", 0, 0), ("b", 1, 2)}
    assert entities(["B-creative-work", "I-creative-work"]) == {("creative-work", 0, 1)}


def test_entities_and_scores_are_seqevals():
    seqeval = pytest.importorskip("seqeval.metrics")
    from seqeval.metrics.sequence_labeling import get_entities

    answers, labels = two_readings(BIO)
    named = [[[BIO[i] for i in sentence] for sentence in of] for of in (answers, labels)]
    for sentence in named[0]:
        assert entities(sentence) == set(get_entities(sentence))
    found = scores(count(answers, labels, BIO), "entity_f1")
    assert found == pytest.approx(
        {
            "precision": seqeval.precision_score(named[1], named[0]),
            "recall": seqeval.recall_score(named[1], named[0]),
            "entity_f1": seqeval.f1_score(named[1], named[0]),
        }
    )
    assert 0.05 < found["entity_f1"] < 0.9 and found["precision"] != found["recall"]


def test_words_are_scored_as_scikit_learn_does_without_the_none_label():
    answers, labels = two_readings(CLASSES)
    assert metric_of(CLASSES) == "token_f1" and metric_of(BIO) == "entity_f1"
    expected = precision_recall_fscore_support(
        np.concatenate(labels), np.concatenate(answers), labels=[1, 2, 3], average="micro"
    )
    found = scores(count(answers, labels, CLASSES), "token_f1")
    assert list(found.values()) == pytest.approx(expected[:3])


def test_nothing_answered_and_nothing_there_score_0():
    labels = [np.array([1, 0, 2])]
    nothing = [np.zeros(3, dtype=np.int64)]
    for names in (CLASSES, BIO[:3]):
        assert set(scores(count(nothing, labels, names), "f").values()) == {0.0}
        assert set(scores(count(nothing, nothing, names), "f").values()) == {0.0}


def test_the_best_constant_answer_by_trying_all():
    labels = sentences(CLASSES, 50)
    tried = []
    for label in range(len(CLASSES)):
        constant = [np.full(len(sentence), label) for sentence in labels]
        tried.append(scores(count(constant, labels, CLASSES), "token_f1")["token_f1"])
    level = tokens.constant_level(np.concatenate(labels), CLASSES, "token_f1")
    assert level == pytest.approx(max(tried)) and 0 < level < 1
    assert tokens.constant_level(np.concatenate(labels), BIO, "entity_f1") == 0
    assert majority_level("accuracy", np.array([0, 0, 1])) == pytest.approx(2 / 3)


def test_counts_survive_as_text_and_stay_small():
    answers, labels = two_readings(CLASSES)
    counts = count(answers, labels, CLASSES)
    text = counts_as_text(counts)
    assert (counts_from_text(text, counts[:, 0]) == counts).all()
    rare = np.zeros((1000, 3), dtype=np.int64)  # 1,000 sentences, a tenth of them wrong
    rare[::10] = (3, 1, 2)
    assert len(counts_as_text(rare)) < 200


# ---------------------------------------------------------------- words and tokens


def test_a_word_is_read_at_its_first_token_and_a_lost_one_is_answered_none(gte_small):
    tokenizer = AutoTokenizer.from_pretrained(gte_small)
    words = (("Empire", "unbelievably", "\u200b", "stands", "!"), ("yes",))
    labels = ragged([[1, 2, 3, 4, 1], [2]])
    split = tokenize_words(Split(list(words), labels), tokenizer, 64, BIO)
    pieces = tokenizer.convert_ids_to_tokens(split.input_ids[0])
    assert len(pieces) > 7  # "unbelievably" has several
    assert (split.labels[0] == UNREAD).sum() == len(pieces) - 4
    assert split.read[0].tolist() == [0, 1, 3, 4]  # of the third nothing is left
    assert [pieces[i] for i in np.flatnonzero(split.labels[0] != UNREAD)] == [
        "empire",
        pieces[2],
        "stands",
        "!",
    ]
    batch = split.batch(np.array([1, 0]))
    assert batch["labels"].shape == batch["input_ids"].shape
    assert batch["labels"][0, :3].tolist() == [UNREAD, 2, UNREAD]
    assert (batch["labels"][0, 3:] == UNREAD).all()
    answers = split.answers(np.array([2, 1, 2, 4, 1]), np.array([1, 0]))
    assert [a.tolist() for a in answers] == [[1, 2, 0, 4, 1], [2]]
    assert split.unread_share == pytest.approx(1 / 6)
    short = tokenize_words(Split(list(words), labels), tokenizer, 3, BIO)
    assert short.read[0].tolist() == [0] and short.unread_share == pytest.approx(4 / 6)


def test_words_that_are_not_read_are_no_hits_where_every_label_is_a_class(gte_small):
    """Of 26 words six are read: 30 answers, all right, of 130 words."""
    tokenizer = AutoTokenizer.from_pretrained(gte_small)
    sentence = tuple(["big"] * 26)
    labels = ragged([[1] * 6 + [0] * 20] * 5)
    split = tokenize_words(Split([sentence] * 5, labels), tokenizer, 8, ("ADJ", "NOUN"))
    found, answers, _ = split.scored(np.full(30, 1), np.arange(5))
    assert found["precision"] == 1 and found["recall"] == pytest.approx(30 / 130)
    assert len(answers) == 130 and (answers == UNREAD).sum() == 100


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_of_which_no_word_is_read_costs_nothing(tiny_run, packed):
    run = tiny_run(task="tagging", packed=packed, batch_size=1)
    model, drawn, _, train_set, _ = load(run)
    network, _ = prepare(model, run, drawn)
    batch = train_set.batch(np.array([0]))
    nothing = {**batch, "labels": np.full_like(batch["labels"], UNREAD)}
    loss = batch_loss(network, nothing, run)
    loss.backward()
    assert loss.item() == 0


def test_mini_tags_what_its_grammar_knows():
    task, splits = get_task("tagging"), load_splits("tagging", "mini")
    assert [len(splits[name].labels) for name in ("train", "dev")] == [1600, 300]
    for words, labels in zip(splits["dev"].texts, splits["dev"].labels, strict=True):
        roles = [task.labels[i] for i in labels]
        assert roles.count("action") == 1 and roles.count("agent") >= 2 and roles[-1] == NONE
        verb = roles.index("action")
        passive = "by" in words
        # active: who acts stands before the verb; passive: after it
        assert (roles.index("agent") > verb) == passive
        if "patient" in roles:
            assert (roles.index("patient") < verb) == passive
    noisy = load_splits("tagging", "mini-noisy")
    before, after = (np.concatenate(list(of["train"].labels)) for of in (splits, noisy))
    assert np.mean(before != after) == pytest.approx(0.1, abs=1e-3)
    assert splits["train"].texts == noisy["train"].texts
    for one, other in zip(splits["dev"].labels, noisy["dev"].labels, strict=True):
        assert one.tolist() == other.tolist()


# ---------------------------------------------------------------- heads


def labelled_batch(model, longest):
    """Six examples of which about half of the tokens are labelled."""
    batch, random = a_batch(model, longest), np.random.default_rng(2)
    labels = random.integers(0, 6, batch["input_ids"].shape)
    read = batch["attention_mask"].astype(bool) & (random.random(labels.shape) < 0.5)
    return {**batch, "labels": np.where(read, labels, UNREAD)}


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert"])
@pytest.mark.parametrize("longest", [9, 350])
def test_fast_token_logits_and_gradients_are_hugging_faces(architecture, longest):
    """HF's own forward gets the labels and computes its own loss."""
    plain = small_model(architecture, 6, "TokenClassification").train()
    copied = copy.deepcopy(plain)
    fast = PackedClassifier(copied, dropout=0.0, dropout_seed=1)
    batch = labelled_batch(plain, longest)
    theirs = plain(**{name: torch.from_numpy(x) for name, x in batch.items()})
    theirs.loss.backward()
    read = batch["labels"] != UNREAD
    ours = fast(pack(batch, fast.config, fast.device), training=True)
    loss = torch.nn.functional.cross_entropy(ours, torch.from_numpy(batch["labels"][read]))
    loss.backward()
    torch.testing.assert_close(ours, theirs.logits[torch.from_numpy(read)], rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, theirs.loss, rtol=1e-5, atol=1e-6)
    seen = 0
    for (name, one), other in zip(copied.named_parameters(), plain.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
            seen += 1
    assert seen > 20


def test_dropout_stands_before_the_token_classifier():
    """Mean and spread of the logits over many draws of the masks, against the plain path's own."""
    plain = small_model("bert", 6, "TokenClassification")
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    batch = labelled_batch(plain, 9)
    fast = PackedClassifier(copy.deepcopy(plain), dropout=0.1, dropout_seed=1)
    inputs = pack(batch, fast.config, fast.device)
    plain.train()
    tensors = {name: torch.from_numpy(x) for name, x in batch.items() if name != "labels"}
    read = torch.from_numpy(batch["labels"] != UNREAD)
    with torch.no_grad():
        theirs = torch.stack([plain(**tensors).logits[read] for _ in range(300)])
        ours = torch.stack([fast(inputs, training=True) for _ in range(300)])
    error = theirs.std(0) * (2 / 300) ** 0.5
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.35, atol=0)


@pytest.mark.slow
def test_a_run_of_tagging(tiny_run):
    """The fast path's ends as the plain one's; what it stores can be scored again."""
    fields = {"task": "tagging", "dropout": 0.0, "train_examples": 64, "epochs": 3}
    fields["evaluations_per_epoch"] = 1
    fast, plain = (train(tiny_run(**fields, packed=packed)) for packed in (True, False))
    np.testing.assert_allclose(
        fast["history"]["train_loss"], plain["history"]["train_loss"], atol=1e-5
    )
    outcome, history = fast["outcome"], fast["history"]
    assert [evaluation["step"] for evaluation in history["evaluations"]] == [0, 4, 8, 12]
    assert outcome["metric"] == "token_f1" and outcome["score"] == outcome["token_f1"]
    splits = load_splits("tagging", "mini")
    there = np.array([(labels != 0).sum() for labels in splits["dev"].labels])
    for text, evaluation in zip(history["dev_margins"], history["evaluations"], strict=True):
        again = scores(counts_from_text(text, there), "token_f1")
        assert again == pytest.approx({name: evaluation[name] for name in again})
    assert outcome["label_entropy"] == pytest.approx(1.72, abs=0.05)
    assert not outcome["constant_prediction"] and outcome["unread_words"] == 0
    assert outcome["failed"] == (outcome["score"] <= outcome["majority_level"])

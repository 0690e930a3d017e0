"""Sequence labelling: a label for every word, read at its first token; precision, recall and F1.

Where the labels are BIO they are scored by entity, by the rule of the CoNLL-2003 script (Tjong Kim
Sang and De Meulder 2003): type and both ends must be right, and an I- that follows another type or
none starts an entity, as a B- does. Other labels are scored by word, all classes together (micro)
without the none label. What is kept of an evaluation is counts a sentence, from which every part of
dev can be scored again.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.finetuning.errors import BadInput
from experiments.finetuning.glue import UNREAD, Split
from experiments.finetuning.labels import NONE, found_in, metric_of, ragged
from experiments.finetuning.tasks import TokenizedSplit


@dataclass(frozen=True)
class TaggedSplit(TokenizedSplit):
    """Training or dev set of a task with a label a word. `labels` [examples] are arrays with a
    label a token, UNREAD where it is not the first of a word."""

    words: np.ndarray  # [examples], arrays: the label of every word
    # [examples], arrays: which word each labelled token begins. A word beyond the longest input,
    # or one that the tokenizer makes nothing of, is missing there
    read: np.ndarray
    names: tuple[str, ...]  # of the labels, by id

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """As of any split, with labels [examples, tokens]."""
        padded = super().batch(indices)
        labels = np.full(padded["input_ids"].shape, UNREAD)
        labels[padded["attention_mask"].astype(bool)] = np.concatenate(list(self.labels[indices]))
        return {**padded, "labels": labels}

    def scored(
        self, chosen: np.ndarray, order: np.ndarray
    ) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
        """Precision, recall and F1 of the label ids chosen at the labelled tokens, whose examples
        come in `order`; the answers to all words [words]; and the counts [sentences, 3]."""
        answers = self.answers(chosen, order)
        counts = count(answers, self.words, self.names)
        found = scores(counts, metric_of(self.names))
        scored = {name: float(value) for name, value in found.items()}
        return scored, np.concatenate(answers), counts

    def answers(self, chosen: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
        """Label ids a word [examples][words] from those chosen at the labelled tokens, whose
        examples come in `order`. A word that was not read is answered with the none label, and
        where there is none with UNREAD, which is of no class."""
        none = self.names.index(NONE) if NONE in self.names else UNREAD
        answers = [np.full(len(words), none) for words in self.words]
        start = 0
        for example in order:
            read = self.read[example]
            answers[example][read] = chosen[start : start + len(read)]
            start += len(read)
        return answers

    @property
    def unread_share(self) -> float:
        """Share of the words that no token stands for, so that no answer is read."""
        return 1 - sum(map(len, self.read)) / sum(map(len, self.words))


def flat(labels: np.ndarray) -> np.ndarray:
    """The labels of a split [answers]: one an example, or one of each word that is read."""
    if labels.dtype != object:
        return labels
    joined = np.concatenate(list(labels))
    return joined[joined != UNREAD]


def tokenize_words(
    split: Split, tokenizer: Any, max_length: int, names: tuple[str, ...]
) -> TaggedSplit:
    """Token ids of sentences given as words, cut to max_length tokens. BadInput for a tokenizer
    that does not say which word a token is of."""
    if not tokenizer.is_fast:
        raise BadInput(
            "this model's tokenizer does not say which word a token is of; expected one with a"
            " tokenizer.json, which labels a word need"
        )
    encoded = tokenizer(
        [list(words) for words in split.texts],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        return_token_type_ids=True,
    )
    labels, read = [], []
    for i, of_words in enumerate(split.labels):
        words = encoded.word_ids(i)
        first = [j for j, word in enumerate(words) if word is not None and word != words[j - 1]]
        of_tokens = np.full(len(words), UNREAD)
        read.append([words[j] for j in first])
        of_tokens[first] = of_words[read[-1]]
        labels.append(of_tokens)
    return TaggedSplit(
        [np.array(ids) for ids in encoded["input_ids"]],
        [np.array(types) for types in encoded["token_type_ids"]],
        ragged(labels),
        tokenizer.pad_token_id,
        split.labels,
        ragged(read),
        names,
    )


# ---------------------------------------------------------------- scores


def count(
    answers: Sequence[np.ndarray], labels: Sequence[np.ndarray], names: Sequence[str]
) -> np.ndarray:
    """Of each sentence how many entities (or words of a class) there are, how many of them are
    missed, and how many others are answered: [sentences, 3]. Answers and labels are ids a word."""
    rows = []
    for answer, label in zip(answers, labels, strict=True):
        given, there = found_in(answer, names), found_in(label, names)
        rows.append((len(there), len(there - given), len(given - there)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def scores(counts: np.ndarray, metric: str) -> dict[str, Any]:
    """Precision, recall and F1 from counts [..., sentences, 3], over all sentences together
    (micro); 0 where there is nothing to divide by."""
    there, missed, others = np.moveaxis(counts.sum(axis=-2), -1, 0)
    right = there - missed

    def share(part: np.ndarray, whole: np.ndarray) -> Any:
        return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)[()]

    return {
        "precision": share(right, right + others),
        "recall": share(right, there),
        metric: share(2 * right, right + others + there),
    }


def constant_level(labels: np.ndarray, names: Sequence[str], metric: str) -> float:
    """F1 of the best answer that is the same for every word, from the labels [words]; of entities 0
    (the contract; a B- everywhere would find those of one word)."""
    if metric == "entity_f1":
        return 0.0
    shares = np.bincount(labels, minlength=len(names)).astype(float)
    classes = np.array([name != NONE for name in names])
    return float((2 * shares[classes] / (shares.sum() + shares[classes].sum())).max())


# ---------------------------------------------------------------- what is kept of an evaluation


def counts_as_text(counts: np.ndarray) -> str:
    """Missed and other answers [sentences, 3] of an evaluation, deflated: about 150 characters of
    300 sentences. More than 255 in a sentence count as 255."""
    small = np.minimum(counts[:, 1:], 255).astype(np.uint8).T
    return base64.b85encode(zlib.compress(small.tobytes(), 9)).decode()


def counts_from_text(text: str, there: np.ndarray) -> np.ndarray:
    """Counts [sentences, 3]; `there` [sentences] is how many entities each sentence has."""
    small = np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=np.uint8)
    missed, others = small.reshape(2, -1).astype(np.int64)
    return np.stack([there, missed, others], axis=-1)

"""Labels of words: as ids, by which scheme they are scored, and the entities that BIO spells."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.finetuning.glue import REGRESSION, UNREAD, Split, kind_of

NONE = "O"  # the label of a word that is of no class


def ragged(arrays: Sequence[Any]) -> np.ndarray:
    """Integer arrays of different lengths, as an array [examples] of arrays."""
    result = np.empty(len(arrays), dtype=object)
    for i, array in enumerate(arrays):
        result[i] = np.asarray(array, dtype=np.int64)
    return result


def with_labels(tagged: Sequence[Sequence[tuple[str, str]]], names: tuple[str, ...]) -> Split:
    """Sentences of words with their labels' names as a Split: arrays of label ids."""
    labels = []
    for sentence in tagged:
        labels.append([names.index(name) for _, name in sentence])
    return Split([tuple(word for word, _ in sentence) for sentence in tagged], ragged(labels))


def by_entity(names: Sequence[str]) -> bool:
    """Whether labels are BIO: all but the none label begin with B- or I-."""
    classes = [name for name in names if name != NONE]
    return bool(classes) and all(name.startswith(("B-", "I-")) for name in classes)


def metric_of(names: Sequence[str]) -> str:
    """What labels are scored by."""
    return "entity_f1" if by_entity(names) else "token_f1"


def entities(labels: Sequence[str]) -> set[tuple[str, int, int]]:
    """Type, first and last word of each entity of a sentence in BIO."""
    found, start, current = set(), 0, ""
    for i, label in enumerate([*labels, NONE]):
        place, _, kind = label.partition("-")
        if current and (place != "I" or kind != current):
            found.add((current, start, i - 1))
            current = ""
        if place != NONE and not current:
            start, current = i, kind
    return found


def found_in(labels: np.ndarray, names: Sequence[str]) -> set[tuple[str, int, int]]:
    """What is scored of a sentence: its entities, or its words of a class. UNREAD is of none."""
    named = [NONE if label == UNREAD else names[label] for label in labels]
    if by_entity(names):
        return entities(named)
    return {(name, i, i) for i, name in enumerate(named) if name != NONE}


def drawn_by_class(labels: np.ndarray, seed: int, size: Callable[[int], int]) -> np.ndarray:
    """Which examples [examples] are drawn: `size` of the number of a class from each class, always
    the same ones for a seed. Of numbers, and with a label a word, from all together."""
    random, chosen = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    if kind_of(labels) == REGRESSION or labels.dtype == object:
        labels = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        of_label = random.permutation(np.flatnonzero(labels == label))
        chosen[of_label[: size(len(of_label))]] = True
    return chosen

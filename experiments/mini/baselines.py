"""What a bag of words makes of mini's tasks: above it a run has learnt more than words.

Of tagging it is the most frequent label of each word in the training set (a word that is not there
has none).

Command : python -m experiments.mini.baselines
Writes  : analysis/published/mini_baselines.csv (always the same)

A logistic regression on the words of each sentence, on how many of the second's words stand in the
first and how many do not, and for single sentences on pairs of neighbouring words; fitted on the
training set, scored on dev.
"""

import csv
import io

import numpy as np
import sklearn
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from experiments.finetuning.files import REPOSITORY, write_atomically
from experiments.finetuning.glue import TASKS, TOKENS, Split
from experiments.finetuning.labels import NONE, metric_of
from experiments.finetuning.metrics import all_metrics
from experiments.finetuning.tasks import MINI, identify_data, load_splits
from experiments.finetuning.tokens import count, scores

TASKS_OF_MINI = ("rte", "mrpc", "cola", "qnli", "tagging")
PATH = REPOSITORY / "analysis" / "published" / "mini_baselines.csv"


def overlap(split: Split) -> np.ndarray:
    """Per example: words of the second sentence that stand in the first, and that do not [n, 2]."""
    counts = []
    for first, second in split.texts:
        words, others = set(first.split()), set(second.split())
        counts.append((len(others & words), len(others - words)))
    return np.array(counts, dtype=float)


def features(train: Split, dev: Split) -> tuple[np.ndarray, np.ndarray]:
    """Both sets as numbers [examples, features]: words of each sentence, and their overlap."""
    columns = list(zip(*train.texts, strict=True))
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(len(columns)):
        length = (1, 2) if len(columns) == 1 else (1, 1)
        words = CountVectorizer(ngram_range=length, token_pattern=r"\S+", binary=True)
        fitted = words.fit_transform([texts[i] for texts in train.texts]).toarray()
        parts.append((fitted, words.transform([texts[i] for texts in dev.texts]).toarray()))
    if len(columns) == 2:
        parts.append((overlap(train), overlap(dev)))
    return np.hstack([part[0] for part in parts]), np.hstack([part[1] for part in parts])


def most_frequent_labels(train: Split, dev: Split, names: tuple[str, ...]) -> tuple[float, int]:
    """F1 on dev of each word's most frequent label in the training set, of equal ones the lowest
    id; and how many words that are."""
    seen: dict[str, np.ndarray] = {}
    for words, labels in zip(train.texts, train.labels, strict=True):
        for word, label in zip(words, labels, strict=True):
            seen.setdefault(word, np.zeros(len(names)))[label] += 1
    answers = []
    for words in dev.texts:
        found = [seen[word].argmax() if word in seen else names.index(NONE) for word in words]
        answers.append(np.array(found))
    metric = metric_of(names)
    return float(scores(count(answers, dev.labels, names), metric)[metric]), len(seen)


def baseline(task: str, source: str) -> dict[str, str | float | int]:
    """The row of one task: its metric on dev."""
    splits = load_splits(task, source)
    if TASKS[task].kind == TOKENS:
        score, used = most_frequent_labels(splits["train"], splits["dev"], TASKS[task].labels)
    else:
        inputs, held_out = features(splits["train"], splits["dev"])
        model = LogisticRegression(max_iter=5000).fit(inputs, splits["train"].labels)
        score = all_metrics(model.predict(held_out), splits["dev"].labels)[TASKS[task].metric]
        used = inputs.shape[1]
    return {
        "task": task,
        "data": identify_data(task, source),
        "metric": TASKS[task].metric,
        "bag_of_words": round(score, 4),
        "features": used,
        "scikit_learn_version": sklearn.__version__,
    }


def table() -> str:
    """The CSV."""
    rows = []
    for source in MINI:
        rows += [baseline(task, source) for task in TASKS_OF_MINI]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    write_atomically(PATH, table())
    print(f"wrote {PATH}")

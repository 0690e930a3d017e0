"""Sequence labelling on somebody's own data: files in CoNLL's layout, or a column of lists of words
and one of lists of labels.

CoNLL: a word a line with its label in the last column, columns parted by a tab or by blanks, an
empty line after a sentence; lines -DOCSTART- and comments (# and a blank, without a tab; but "# O"
is a word) are left out. Decisions: labels are BIO where all but O begin with B- or I-, and then an
I- that follows no entity of its type starts one, as in the CoNLL script; labels of other schemes
(E-, S-, L-, U-) are refused, since they would be scored by word.
"""

from pathlib import Path
from typing import Any

from experiments.finetuning.errors import BadInput
from experiments.finetuning.tables import Table, train_and_dev, utf8

SUFFIXES = (".conll", ".bio", ".iob", ".iob2")
MOST_WORDS = 1000  # of a sentence; no model here reads half as many
OTHER_SCHEMES = ("E-", "S-", "L-", "U-", "M-")

Sentence = list[tuple[str, str]]  # words with their labels


def conll_files(data: Path) -> dict[str, Path]:
    """The file of each part, "train" and, where there is one, "dev"; {} where there is no file in
    CoNLL's layout by its name."""
    if data.is_file():
        return {"train": data} if data.suffix.lower() in SUFFIXES else {}
    if not data.is_dir():
        return {}
    return train_and_dev(data, SUFFIXES)[0]


def read_conll(path: Path) -> list[Sentence]:
    """The sentences of a file. BadInput names the first line that is none."""
    sentences: list[Sentence] = [[]]
    for number, line in enumerate(utf8(path).split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip() or line.startswith("-DOCSTART-"):
            if sentences[-1]:
                sentences.append([])
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        is_word = len(cells) == 2 and (cells[1] == "O" or cells[1].startswith(("B-", "I-")))
        if line.startswith("# ") and "\t" not in line and not is_word:
            continue
        cells = [cell.strip() for cell in cells]
        if len(cells) < 2 or not cells[0] or not cells[-1]:
            raise BadInput(
                f"{path} line {number}: {line[:60]!r}; expected a word and its label, with a tab or"
                " blanks between, or an empty line after a sentence"
            )
        sentences[-1].append((cells[0], cells[-1]))
        if len(sentences[-1]) > MOST_WORDS:
            raise BadInput(
                f"{path}: the sentence that ends after line {number} has more than"
                f" {MOST_WORDS:,} words; expected an empty line between sentences"
            )
    found = [sentence for sentence in sentences if sentence]
    if not found:
        raise BadInput(f"{path} has no words: expected sentences")
    return found


def has_lists(table: Table, words_column: str, labels_column: str) -> bool:
    """Whether a table holds lists of words and lists of labels, by its first row."""
    columns = table.columns[words_column], table.columns[labels_column]
    return all(bool(cells) and isinstance(cells[0], list | tuple) for cells in columns)


def read_lists(table: Table, words_column: str, labels_column: str) -> list[Sentence]:
    """The sentences of a table. BadInput names the first row whose lists do not fit together."""
    sentences = []
    rows = zip(table.columns[words_column], table.columns[labels_column], strict=True)
    for number, (words, labels) in enumerate(rows, start=1):
        where = f"{table.where} row {number}"
        for name, cell in ((words_column, words), (labels_column, labels)):
            if not isinstance(cell, list | tuple):
                raise BadInput(f"{where}: {name} is no list; expected a list in every row")
        if len(words) != len(labels):
            raise BadInput(
                f"{where}: {len(words)} in {words_column} and {len(labels)} in {labels_column};"
                " expected a label a word"
            )
        if not all(isinstance(word, str) and word.strip() for word in words):
            raise BadInput(f"{where}: {words_column} has an empty word; expected words")
        if words:
            names = [label_name(label, table.class_names, where) for label in labels]
            sentences.append(list(zip(words, names, strict=True)))
    if not sentences:
        raise BadInput(f"{table.where} has no words: expected sentences")
    return sentences


def label_name(label: Any, names: list[str] | None, where: str) -> str:
    """A label as text; a number by the names that the data has for them."""
    if names and isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    if label is None or not str(label).strip():
        raise BadInput(f"{where}: a word without a label; expected one for every word")
    return str(label).strip()


def label_names(parts: dict[str, list[Sentence]], where: str) -> tuple[str, ...]:
    """The labels of train, O first. BadInput for one alone, for such as dev has and train has not,
    and for schemes other than BIO."""
    known: dict[str, set[str]] = {}
    for part, sentences in parts.items():
        known[part] = set()
        for sentence in sentences:
            known[part] |= {label for _, label in sentence}
    names = sorted(known["train"], key=lambda name: (name != "O", name))
    if len(names) == 1:
        raise BadInput(f"{where}: all words of train are {names[0]!r}; expected two labels or more")
    if strange := sorted(known.get("dev", set()) - known["train"]):
        raise BadInput(
            f"{where}: dev has labels that train has not: {', '.join(strange)[:200]}; expected of"
            f" {', '.join(names)[:200]}"
        )
    begins = any(name.startswith("B-") for name in names)
    if begins and (other := [name for name in names if name.startswith(OTHER_SCHEMES)]):
        raise BadInput(
            f"{where}: labels such as {other[0]} beside B- are of another scheme than BIO; expected"
            " B-, I- and O: write E- as I-, S- as B-"
        )
    if len(names) == sum(map(len, parts["train"])):
        raise BadInput(
            f"{where}: {len(names):,} different labels; expected such as repeat: is the last column"
            " another one?"
        )
    return tuple(names)


def starts_without_b(sentences: list[Sentence]) -> int:
    """How many I- follow no B- or I- of their type."""
    found = 0
    for sentence in sentences:
        before = "O"
        for _, label in sentence:
            if label.startswith("I-") and before not in ("B-" + label[2:], label):
                found += 1
            before = label
    return found

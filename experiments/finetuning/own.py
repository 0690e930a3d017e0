"""A task of one's own: a table with one or two columns of text and one of labels.

Command : --data FILE_OR_DIR_OR_HUB_NAME --text-columns A [B] --label-column L [--metric M]

What is asked for stands in Run.data_source, as JSON, so that workers read the same; what was read
stands in Run.data, as a hash of texts, labels, columns' names and metric. Decisions:

- Without a dev part a fifth of the rows, 2,000 at most, is dev: drawn class by class, always the
  same ones.
- Labels are classes, unless the metric is a correlation: then they are numbers. Blanks around a
  label do not count, and 1.0 is 1. Of two classes the second, in alphabetical or numerical order,
  is the one that F1 counts.
- Rows without text and label are left out. An empty text, or a missing label, is refused.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.finetuning.cells import (
    as_number,
    as_numbers,
    class_names,
    odd_labels,
    read_part,
)
from experiments.finetuning.conll import (
    Sentence,
    conll_files,
    has_lists,
    label_names,
    read_conll,
    read_lists,
    starts_without_b,
)
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision, fingerprint
from experiments.finetuning.glue import CLASSIFICATION, REGRESSION, TOKENS, Split, Task
from experiments.finetuning.labels import NONE, by_entity, drawn_by_class, metric_of, with_labels
from experiments.finetuning.spellings import WARNING, check_labels
from experiments.finetuning.tables import (
    DEV_NAMES,
    Table,
    load_file,
    part_files,
    read_file,
    read_hub,
)

OWN = "own:"  # begins the name of such a task, and of its data
METRICS = {  # by kind; the first is taken where none is named
    CLASSIFICATION: ("accuracy", "f1", "matthews_correlation"),
    REGRESSION: ("pearson", "spearman"),
}
DEV_SHARE, MOST_DEV, SPLIT_SEED = 0.2, 2000, 1  # of a split without a dev part
FEWEST_NUMBERS = 10  # dev examples of a regression: a correlation of two is always 1 or -1
FEW_EXAMPLES = 200  # dev examples below which a line says how sure a score is
UNEVEN = 0.9  # share of a label from which on a line says what accuracy hides
MANY_CLASSES = 20  # different numbers as labels from which on a line asks whether they are scores
MANY_ROWS = 200_000  # from here on a line says what an epoch is


@dataclass(frozen=True)
class OwnData:
    """What was asked for."""

    data: str  # file, folder or hub name
    text_columns: tuple[str, ...]
    label_column: str
    metric: str | None = None

    def as_text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def kind(self) -> str:
        return REGRESSION if self.metric in METRICS[REGRESSION] else CLASSIFICATION

    @property
    def name(self) -> str:
        """The file's name, its folder's where it is called train, or the hub's without its
        namespace; of a folder its name."""
        path = Path(self.data.partition("@")[0])
        return path.parent.name if path.stem == "train" else path.stem


class Loaded(NamedTuple):
    """What was read."""

    task: Task
    splits: dict[str, Split]
    identity: str  # Run.data
    # what a person should know of it, a line each; after WARNING what is odd
    remarks: list[str]


def is_own(source: str) -> bool:
    """Whether a Run.data_source is an OwnData as text."""
    return source.startswith("{")


def asked_for(
    data: str | None, text_columns: Sequence[str], label_column: str | None, metric: str | None
) -> str:
    """Run.data_source for the flags. BadInput where one of them is missing."""
    data = os.path.expanduser(data or "")
    if data and not text_columns and not label_column and conll_files(Path(data)):
        return OwnData(str(Path(data).resolve()), (), "", metric).as_text()
    if not (data and text_columns and label_column):
        known = ""
        if data and Path(data).is_file():
            files = part_files(Path(data))
            columns = load_file(files["train"]).column_names
            known = f"; the columns of {data} are {', '.join(map(repr, columns))}"
        raise BadInput(
            "data of one's own needs --data FILE_OR_DIR --text-columns A [B] --label-column L"
            f" together{known}"
        )
    if len(text_columns) > 2 or label_column in text_columns:
        raise BadInput(
            f"--text-columns {' '.join(text_columns)}: expected one or two, none of them the label"
            " column"
        )
    where = Path(data)
    if where.exists():
        data = str(where.resolve())
    elif data.startswith((".", "/", "~")) or at_revision(data)[0].count("/") != 1:
        raise BadInput(
            f"no file or folder {data}: expected one, or a name on the data hub such as"
            " nyu-mll/glue"
        )
    return OwnData(data, tuple(text_columns), label_column, metric).as_text()


@lru_cache(maxsize=4)
def load(source: str) -> Loaded:
    """The task and the parts that a source means. BadInput for what cannot be trained on."""
    asked = OwnData(**json.loads(source))
    if not asked.text_columns:
        files = conll_files(Path(asked.data))
        words_of = {part: read_conll(path) for part, path in files.items()}
        return load_words(asked, words_of, test_as_dev(str(files.get("dev", ""))))
    wanted = [*asked.text_columns, asked.label_column]
    tables = read_tables(asked.data, wanted)
    remarks = test_as_dev(tables["dev"].where) if "dev" in tables else []
    words, labels = asked.text_columns[0], asked.label_column
    if has_lists(tables["train"], words, labels):
        sentences = {part: read_lists(table, words, labels) for part, table in tables.items()}
        return load_words(asked, sentences, remarks)
    names, splits = read_splits(asked, tables, remarks)
    drawn = "dev" not in splits
    if drawn:
        splits |= split_off(splits["train"], remarks)
        remarks += dev_beside(Path(asked.data))
    check_parts(splits, names, f"{asked.data}, dev drawn from it" if drawn else asked.data)
    task = task_from(asked, splits, names, asked.metric or METRICS[asked.kind][0], asked.kind)
    remarks += what_to_know(splits, task)
    if asked.kind == CLASSIFICATION and asked.metric is None:
        remarks += what_accuracy_hides(splits["dev"].labels, task)
    contents = [(split.texts, split.labels.tolist()) for split in splits.values()]
    read_as = [contents, wanted, names, task.metric]
    columns = f"{'+'.join(asked.text_columns)} to {asked.label_column}"
    identity = f"{task.name}@{fingerprint(repr(read_as).encode())} {columns}"
    return Loaded(task, splits, identity, remarks)


def dev_beside(data: Path) -> list[str]:
    """A remark where a dev part lies beside the file that was given alone."""
    if not data.is_file() or data.stem.lower() != "train":
        return []
    there = [path.name for path in sorted(data.parent.iterdir()) if path.stem.lower() in DEV_NAMES]
    return [f"{name} beside it is not read: --data {data.parent} reads both" for name in there]


def read_tables(data: str, wanted: list[str]) -> dict[str, Table]:
    """The wanted columns of each part, of files or of a data set on the hub."""
    if not Path(data).exists():
        return read_hub(data, wanted)
    return {part: read_file(path, wanted) for part, path in part_files(Path(data)).items()}


def read_splits(
    asked: OwnData, tables: dict[str, Table], remarks: list[str]
) -> tuple[list[str], dict[str, Split]]:
    """The names of the classes, none of a regression, and the parts that the tables hold."""
    read = {part: read_part(table, asked.text_columns, remarks) for part, table in tables.items()}
    splits = {}
    if asked.kind == REGRESSION:
        for part, (texts, labels) in read.items():
            splits[part] = Split(texts, as_numbers(labels, tables[part]))
        return [], splits
    names = class_names(read, tables)
    for table in tables.values():
        remarks += odd_labels(table)
    ids = {name: i for i, name in enumerate(names)}
    for part, (texts, labels) in read.items():
        splits[part] = Split(texts, np.array([ids[label] for label in labels]))
    return names, splits


def task_from(
    asked: OwnData, splits: dict[str, Split], names: Sequence[str], metric: str, kind: str
) -> Task:
    """The task that a model is trained on; with a label a word its runs store every evaluation."""
    return Task(
        name=OWN + asked.name,
        folder="",
        text_columns=tuple(asked.text_columns),
        labels=tuple(names),
        metric=metric,
        train_rows=len(splits["train"].labels),
        dev_rows=len(splits["dev"].labels),
        tsv_columns=(),
        tsv_text=(),
        tsv_label="",
        kind=kind,
        compact=kind != TOKENS,
    )


def test_as_dev(dev: str) -> list[str]:
    """A line where what is dev, a file or a part of a data set on the hub, is called test."""
    if Path(dev.split(" ")[-1]).stem.lower() != "test":
        return []
    return [
        f"no dev part: {dev} is dev, so checkpoints and settings are chosen on it; its scores are"
        " no longer those of a test"
    ]


def load_words(asked: OwnData, parts: dict[str, list[Sentence]], remarks: list[str]) -> Loaded:
    """The same of sentences with a label a word: scored by entity where the labels are BIO, else
    by word. BadInput for another metric, and for two columns of words."""
    if asked.metric or len(asked.text_columns) > 1:
        raise BadInput(
            f"{asked.data} has a label a word: expected one column of words and no --metric, since"
            " BIO labels are scored by entity and others by word"
        )
    names = label_names(parts, asked.data)
    splits = {}
    for part, sentences in parts.items():
        counts: Counter[str] = Counter()
        for sentence in sentences:
            counts.update(label for _, label in sentence)
        remarks += check_labels(counts, f"{asked.data} {part}", "words")
        splits[part] = with_labels(sentences, names)
        if by_entity(names) and (starts := starts_without_b(sentences)):
            remarks.append(f"{part} has {starts:,} I- without a B- before: each starts an entity")
    drawn = "dev" not in splits
    if drawn:
        splits |= split_off(splits["train"], remarks)
    check_words(splits, names, f"{asked.data}, dev drawn from it" if drawn else asked.data)
    if NONE not in names:
        remarks.append(f"no label {NONE}: every word counts, so F1 is the share of right words")
    task = task_from(asked, splits, names, metric_of(names), TOKENS)
    contents = []
    for split in splits.values():
        contents.append((split.texts, [labels.tolist() for labels in split.labels]))
    identity = f"{task.name}@{fingerprint(repr([contents, names]).encode())} words to labels"
    return Loaded(task, splits, identity, remarks)


def split_off(split: Split, remarks: list[str]) -> dict[str, Split]:
    """A part of the rows as dev, the others as train: class by class, drawn from SPLIT_SEED."""
    rows = len(split.labels)
    share = min(DEV_SHARE, MOST_DEV / rows)
    is_dev = drawn_by_class(split.labels, SPLIT_SEED, lambda count: round(count * share))
    of_classes = split.labels.dtype.kind == "i"
    by_class = " class by class" if of_classes else ""
    remarks.append(
        f"no dev part: {is_dev.sum():,} of the {rows:,} rows, drawn{by_class} with seed"
        f" {SPLIT_SEED}, are dev"
    )
    return {"train": part_of(split, ~is_dev), "dev": part_of(split, is_dev)}


def part_of(split: Split, chosen: np.ndarray) -> Split:
    """The chosen rows, in their order."""
    return Split([split.texts[i] for i in np.flatnonzero(chosen)], split.labels[chosen])


def check_parts(splits: dict[str, Split], names: list[str], where: str) -> None:
    """BadInput for a part on which every answer is the best one."""
    for part, split in splits.items():
        different = len(np.unique(split.labels))
        if different < 2:
            said = f"{len(split.labels):,} rows with {different} different labels"
            expected = "two classes or more" if names else "numbers that differ"
            raise BadInput(f"{where}: {part} has {said}; expected {expected} in each part")


def check_words(splits: dict[str, Split], names: tuple[str, ...], where: str) -> None:
    """The same with a label a word. Entities alone are enough: where they begin and end is still to
    be found."""
    for part, split in splits.items():
        there: set[int] = set()
        for labels in split.labels:
            there |= set(labels.tolist())
        found = [names[i] for i in there]
        if found in ([], [NONE]) or (len(found) == 1 and not by_entity(names)):
            said = f"all words {found[0]!r}" if found else "not one word"
            raise BadInput(
                f"{where}: {part} has {len(split.labels):,} sentences, {said}; expected words of"
                " different labels in each part: give more sentences, or another dev part"
            )


def what_to_know(splits: dict[str, Split], task: Task) -> list[str]:
    """What is odd about the data, or decided, a line each."""
    train, dev = splits["train"], splits["dev"]
    lines = []
    known = set(train.texts)
    if shared := sum(text in known for text in dev.texts):
        lines.append(f"{shared:,} of {len(dev.texts):,} dev texts stand in train too")
    if task.kind == REGRESSION:
        mean, spread = float(train.labels.mean()), float(train.labels.std())
        if abs(mean) > 20 or not 0.05 < spread < 20:
            lines.append(
                f"labels have mean {mean:.4g} and standard deviation {spread:.4g}; the head starts"
                " near 0 and fits numbers near 1: scale them"
            )
    elif missing := set(range(task.outputs)) - set(dev.labels.tolist()):
        names = ", ".join(task.labels[label] for label in sorted(missing))
        lines.append(f"dev has no example of {names[:200]}")
    if task.metric == "f1" and task.outputs == 2:
        lines.append(f"f1 is that of the class {task.labels[1]!r}")
    if len(train.labels) >= MANY_ROWS:
        steps = math.ceil(len(train.labels) / 16)
        lines.append(
            f"{len(train.labels):,} training examples are {steps:,} steps of 16 an epoch;"
            " --sample-size N trains on fewer"
        )
    return lines


def what_accuracy_hides(dev: np.ndarray, task: Task) -> list[str]:
    """Lines about labels that accuracy alone says little of, or that are scores."""
    lines = []
    shares = np.bincount(dev, minlength=task.outputs) / len(dev)
    if shares.max() >= UNEVEN:
        lines.append(
            f"{WARNING}{shares.max():.1%} of dev are {task.labels[shares.argmax()]!r}, which is the"
            " accuracy of answering that always; --metric f1 or matthews_correlation sees more"
        )
    if len(task.labels) > MANY_CLASSES and all(as_number(name) is not None for name in task.labels):
        lines.append(
            f"{WARNING}the labels are {len(task.labels)} different numbers, taken for classes; for"
            " scores give --metric pearson or spearman"
        )
    return lines


def check_dev_size(task: Task) -> list[str]:
    """A warning about a dev part on which scores are not sure. BadInput for one on which a
    correlation says nothing."""
    if task.kind == REGRESSION and task.dev_rows < FEWEST_NUMBERS:
        raise BadInput(
            f"{task.name}: dev has {task.dev_rows} rows; expected {FEWEST_NUMBERS} or more, as a"
            " correlation of so few says nothing"
        )
    if task.dev_rows >= FEW_EXAMPLES or task.kind == TOKENS:
        return []
    # 1.96 standard errors: of a share at a half, of a correlation near 0
    sure, what = 100 / math.sqrt(task.dev_rows), "a share of them"
    if task.kind == REGRESSION:
        sure, what = 2 * sure, "a correlation near 0"
    return [
        f"{task.name}: dev has {task.dev_rows} examples, so {what} is known to about {sure:.0f}"
        " points either way (95 %)"
    ]

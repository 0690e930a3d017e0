"""A task: its data from GLUE's TSV files, the hub or the mini language; its tokens; its batches.

Row counts are checked against GLUE's own, since a wrong number changes every statistic silently
(MRPC read with quoting on loses a row). A file called train_subset_<N>.tsv may stand for train.tsv;
it must hold N rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.finetuning import own
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision, fingerprint, may_be_on_hub
from experiments.finetuning.glue import REGRESSION, TOKENS, Split, Task, get_task
from experiments.finetuning.labels import with_labels
from experiments.finetuning.tsv import as_labels, check_classes, read_tsv, tsv_files

# the generated tasks, by name of the source: share of the training labels flipped
MINI = {"mini": 0.0, "mini-noisy": 0.1}


@dataclass(frozen=True)
class TokenizedSplit:
    """Training or dev set as tokens, unpadded."""

    input_ids: list[np.ndarray]  # one array of token ids an example, special tokens included
    token_type_ids: list[np.ndarray]  # 0 for the first sentence, 1 for the second
    labels: np.ndarray  # [examples], of Split.labels
    pad_id: int

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The chosen examples, padded to the longest of them: arrays [examples, tokens], labels
        [examples]."""
        lengths = np.array([len(self.input_ids[i]) for i in indices])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids, types = np.full(mask.shape, self.pad_id), np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate([self.input_ids[i] for i in indices])
        types[mask] = np.concatenate([self.token_type_ids[i] for i in indices])
        return {
            "input_ids": ids,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": types,
            "labels": self.labels[indices],
        }

    def batches(self, order: np.ndarray, size: int) -> Iterator[dict[str, np.ndarray]]:
        """The examples in the given order, `size` at a time; the last batch holds what is left."""
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size])


def _read_hub(task: Task, name: str) -> dict[str, Split]:
    from experiments.finetuning.hub import load_data  # not needed for local data

    source, configuration = hub_name(task, name), task.hub[1] if task.hub else task.name
    loaded = load_data(source, configuration)
    try:
        rows = {"train": loaded["train"], "dev": loaded[task.hub_dev]}
        splits = {}
        for split, part in rows.items():
            texts = [part[column] for column in task.text_columns]
            labels = [_label_id(task, label) for label in part[task.label_column]]
            splits[split] = Split(list(zip(*texts, strict=True)), as_labels(task, labels))
    except (ValueError, KeyError) as error:
        raise BadInput(
            f"cannot read {task.name} of the data hub's {source!r} ({type(error).__name__}:"
            f" {str(error)[:100]}); expected a data set in GLUE's format, or give a folder with"
            " --data"
        ) from None
    for split, expected in (("train", task.train_rows), ("dev", task.dev_rows)):
        if len(splits[split].labels) != expected:
            raise BadInput(
                f"{source} {task.name} {split}: {len(splits[split].labels):,} rows, expected"
                f" {expected:,}"
            )
        known = set(range(len(task.labels)))
        if task.kind != REGRESSION and not set(splits[split].labels.tolist()) <= known:
            raise BadInput(
                f"{source} {task.name} {split}: labels outside 0..{len(task.labels) - 1}"
            )
        check_classes(task, f"{source} {task.name} {split}", splits[split].labels.tolist())
    return splits


def _label_id(task: Task, label: float | str) -> float:
    """GLUE on the hub has numbers, SciTail words, one of them another than in its own files."""
    return (
        label
        if isinstance(label, int | float)
        else task.labels.index({"entailment": "entails"}.get(label, label))
    )


def task_of(name: str, source: str) -> Task:
    """The task of a run, from its name and Run.data_source."""
    return own.load(source).task if own.is_own(source) else get_task(name)


@lru_cache(maxsize=8)
def load_splits(task_name: str, source: str) -> dict[str, Split]:
    """The "train" and "dev" splits of a task from a name in MINI, a folder in GLUE's TSV layout,
    the hub, or data of one's own."""
    if own.is_own(source):
        return own.load(source).splits
    task = get_task(task_name)
    if source in MINI:
        from experiments.mini.tasks import GENERATORS, rows, tagged

        if task.kind == TOKENS:
            return {
                "train": with_labels(tagged("train", MINI[source]), task.labels),
                "dev": with_labels(tagged("dev"), task.labels),
            }
        if task_name not in GENERATORS:
            raise BadInput(f"mini has no task {task_name}: expected one of {', '.join(GENERATORS)}")
        parts = {"train": rows(task_name, "train", MINI[source]), "dev": rows(task_name, "dev")}
        splits = {}
        for split, part in parts.items():
            texts = [sentences(row, task.text_columns) for row in part]
            splits[split] = Split(texts, np.array([row["label"] for row in part]))
        return splits
    if Path(source).is_dir():
        return {
            split: read_tsv(task, path, expected)
            for split, (path, expected) in tsv_files(task, Path(source)).items()
        }
    return _read_hub(task, source)


def subset_rows(task_name: str, source: str) -> int | None:
    """Rows of the part of a training set that stands for it, train_subset_<rows>.tsv; None for the
    whole set."""
    if own.is_own(source) or source in MINI or not Path(source).is_dir():
        return None
    path, rows = tsv_files(get_task(task_name), Path(source))["train"]
    return rows if path.name.startswith("train_subset_") else None


def sentences(row: dict[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    """An example's one or two sentences."""
    return tuple(str(row[column]) for column in columns)


def sample(split: Split, size: int, seed: int) -> Split:
    """`size` examples drawn without replacement, in the order of the split: the same ones for
    every run (paper, 4.2)."""
    if size > len(split.labels):
        raise BadInput(
            f"a sample of {size:,} of {len(split.labels):,} training examples: expected at most as"
            " many"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(split.labels))[:size])
    return Split([split.texts[i] for i in chosen], split.labels[chosen])


def train_rows(task_name: str, source: str) -> int:
    """Number of training examples; for the hub GLUE's own number, so that a plan loads nothing."""
    if at_hand(source):
        return len(load_splits(task_name, source)["train"].labels)
    return get_task(task_name).train_rows


def dev_rows(task_name: str, source: str) -> int:
    """Likewise of dev examples."""
    if at_hand(source):
        return len(load_splits(task_name, source)["dev"].labels)
    return get_task(task_name).dev_rows


def at_hand(source: str) -> bool:
    """Whether data can be counted without the hub."""
    return own.is_own(source) or source in MINI or Path(source).is_dir()


@lru_cache(maxsize=8)
def identify_data(task_name: str, source: str) -> str:
    """Run.data: the hub's name, with @REVISION where one is asked for, or a name with a hash of
    what is read, so that other data gives other runs."""
    if own.is_own(source):
        return own.load(source).identity
    if source in MINI:
        splits = load_splits(task_name, source)
        contents = []
        for split in splits.values():
            contents.append((split.texts, [np.asarray(label).tolist() for label in split.labels]))
        return f"{source}@{fingerprint(repr(contents).encode())}"
    if Path(source).is_dir():
        files, name = tsv_files(get_task(task_name), Path(source)), Path(source).resolve().name
        if name in MINI:
            name = f"folder-{name}"
        return f"{name}@{fingerprint(*[path for path, _ in files.values()])}"
    if not may_be_on_hub(source):
        raise BadInput(
            f"no data folder {source}: expected mini, a folder in GLUE's TSV layout, or a name on"
            " the data hub such as nyu-mll/glue"
        )
    return hub_name(get_task(task_name), source)


def hub_name(task: Task, source: str) -> str:
    """The data set on the hub that a task is read from: SciTail's is another than GLUE's."""
    if task.hub is None or at_revision(source)[0] == task.hub[0]:
        return source
    return task.hub[0]


def pinned_data(task_name: str, source: str) -> str:
    """The source of a task's data, on the hub with its commit."""
    if source in MINI or Path(source).is_dir() or not may_be_on_hub(source):
        return source
    from experiments.finetuning.hub import pinned

    return pinned(hub_name(get_task(task_name), source), "dataset")


def tokenize(
    split: Split, tokenizer: Any, max_length: int, segment_ids: bool = True
) -> TokenizedSplit:
    """Token ids of all examples, cut to max_length tokens from the end of the longer sentence.
    Without `segment_ids` the token types are 0 everywhere."""
    columns = [list(column) for column in zip(*split.texts, strict=True)]
    encoded = tokenizer(
        *columns, truncation="longest_first", max_length=max_length, return_token_type_ids=True
    )
    types = [np.array(types) * int(segment_ids) for types in encoded["token_type_ids"]]
    return TokenizedSplit(
        [np.array(ids) for ids in encoded["input_ids"]], types, split.labels, tokenizer.pad_token_id
    )

"""A task: its data from GLUE's TSV files, the hub or the mini language; its tokens; its batches.

Row counts are checked against GLUE's own, since a wrong number changes every statistic silently
(MRPC read with quoting on loses a row). A file called train_subset_<N>.tsv may stand for train.tsv;
it must hold N rows.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import at_revision, fingerprint


@dataclass(frozen=True)
class Task:
    """What GLUE says of one of its tasks (Wang et al. 2019, Table 1); SciTail is Khot et al.'s
    (2018)."""

    name: str
    folder: str  # in GLUE's TSV layout
    text_columns: tuple[str, ...]  # one sentence or two
    labels: tuple[str, ...]  # as written in the TSV files; the position is the label id
    metric: str  # the paper's: a name in metrics.METRICS
    train_rows: int
    dev_rows: int
    tsv_columns: tuple[str, ...]  # of its TSV files, by name, in GLUE's order
    tsv_text: tuple[str, ...]  # those of them with the sentences
    tsv_label: str  # and with the label
    tsv_header: bool = True  # whether the files' first line names the columns
    hub: tuple[str, str] | None = None
    label_column: str = "label"  # on the hub


# the generated tasks, by name of the source: share of the training labels flipped
MINI = {"mini": 0.0, "mini-noisy": 0.1}

SENTENCES = ("sentence1", "sentence2")
ENTAILMENT = ("entailment", "not_entailment")
STRINGS = ("#1 String", "#2 String")
TASKS = {
    "rte": Task(
        "rte", "RTE", SENTENCES, ENTAILMENT, "accuracy", train_rows=2490, dev_rows=277,
        tsv_columns=("index", *SENTENCES, "label"), tsv_text=SENTENCES, tsv_label="label",
    ),
    "mrpc": Task(
        "mrpc", "MRPC", SENTENCES, ("0", "1"), "f1", train_rows=3668, dev_rows=408,
        tsv_columns=("Quality", "#1 ID", "#2 ID", *STRINGS), tsv_text=STRINGS, tsv_label="Quality",
    ),
    "cola": Task(
        "cola", "CoLA", ("sentence",), ("0", "1"), "matthews_correlation", train_rows=8551,
        dev_rows=1043, tsv_columns=("source", "label", "mark", "sentence"),
        tsv_text=("sentence",), tsv_label="label", tsv_header=False,
    ),
    "qnli": Task(
        "qnli", "QNLI", ("question", "sentence"), ENTAILMENT, "accuracy", train_rows=104743,
        dev_rows=5463, tsv_columns=("index", "question", "sentence", "label"),
        tsv_text=("question", "sentence"), tsv_label="label",
    ),
    "scitail": Task(
        "scitail", "SciTail", SENTENCES, ("entails", "neutral"), "accuracy", train_rows=23596,
        dev_rows=1304, tsv_columns=(*SENTENCES, "label"), tsv_text=SENTENCES, tsv_label="label",
        tsv_header=False, hub=("allenai/scitail", "snli_format"), label_column="gold_label",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Training or dev set as text."""

    texts: list[tuple[str, ...]]  # one or two sentences an example
    labels: np.ndarray  # [examples], int64


@dataclass(frozen=True)
class TokenizedSplit:
    """Training or dev set as tokens, unpadded."""

    input_ids: list[np.ndarray]  # one array of token ids an example, special tokens included
    token_type_ids: list[np.ndarray]  # 0 for the first sentence, 1 for the second
    labels: np.ndarray  # [examples], int64
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


def get_task(name: str) -> Task:
    if name not in TASKS:
        raise BadInput(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    return TASKS[name]


def _tsv_files(task: Task, folder: Path) -> dict[str, tuple[Path, int]]:
    """For each split its file and the number of rows it must have."""
    here = folder / task.folder
    if not here.is_dir():
        raise BadInput(
            f"no folder {here}: expected GLUE's TSV layout, {task.folder}/train.tsv and"
            f" {task.folder}/dev.tsv"
        )
    files = {
        "train": (here / "train.tsv", task.train_rows),
        "dev": (here / "dev.tsv", task.dev_rows),
    }
    subsets = sorted(here.glob("train_subset_*.tsv"))
    if not files["train"][0].exists() and subsets:
        rows = subsets[0].stem.removeprefix("train_subset_")
        if not rows.isdecimal():
            raise BadInput(
                f"{subsets[0]}: expected a name like train_subset_1000.tsv, with the number of rows"
            )
        files["train"] = (subsets[0], int(rows))
    for path, _ in files.values():
        if not path.is_file():
            raise BadInput(
                f"no file {path}: expected GLUE's TSV layout, {task.folder}/train.tsv and"
                f" {task.folder}/dev.tsv"
            )
    return files


def _read_tsv(task: Task, path: Path, expected_rows: int) -> Split:
    """A file in GLUE's layout. No quoting: a quotation mark in GLUE is only a quotation mark."""
    lines = _lines(path)
    columns = _header(task, path, lines[0] if lines else "")
    texts, labels = [], []
    for number, line in enumerate(lines[task.tsv_header :], start=1 + task.tsv_header):
        where = f"{path} line {number}"
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise BadInput(
                f"{where}: {len(cells)} columns, expected {len(columns)}, {', '.join(columns)}; is"
                " a tab inside a sentence? Get GLUE's own file again"
            )
        if any(QUOTED.fullmatch(cell) for cell in cells):
            raise BadInput(
                f"{where}: a cell in quotation marks with doubled ones inside, as spreadsheets"
                " write it; expected GLUE's own file, get it again"
            )
        row = dict(zip(columns, cells, strict=True))
        if row[task.tsv_label] not in task.labels:
            raise BadInput(
                f"{where}: label {row[task.tsv_label]!r}, expected {' or '.join(task.labels)}"
            )
        texts.append(tuple(row[name] for name in task.tsv_text))
        labels.append(task.labels.index(row[task.tsv_label]))
    if len(labels) != expected_rows or not labels:
        expected = f"{expected_rows:,}" if expected_rows else "some"
        raise BadInput(
            f"{path}: {len(labels):,} rows, expected {expected}; get GLUE's own file again,"
            " or name a part of the training set train_subset_<rows>.tsv"
        )
    check_classes(task, str(path), labels)
    return Split(texts, np.array(labels))


QUOTED = re.compile(r'"(?=.*"")(?:[^"]|"")*"')  # a cell as a spreadsheet saves one that has quotes


def _lines(path: Path) -> list[str]:
    """The lines of a text file, whatever ends them. BadInput for what is no text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: not UTF-8 at byte {error.start}; expected GLUE's own file, get it again"
        ) from None
    if "\0" in text:
        raise BadInput(f"{path}: NUL bytes; expected GLUE's own file, get it again")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _header(task: Task, path: Path, line: str) -> list[str]:
    """The names of a file's columns in its order. BadInput where its first line should name them
    and does not."""
    if not task.tsv_header:
        return list(task.tsv_columns)
    columns = line.split("\t")
    if sorted(columns) != sorted(task.tsv_columns):
        raise BadInput(
            f"{path} line 1: {', '.join(columns)[:80]!r}, expected a header with the columns"
            f" {', '.join(task.tsv_columns)}; get GLUE's own file again"
        )
    return columns


def check_classes(task: Task, where: str, labels: Sequence[int]) -> None:
    """BadInput unless every label occurs: with one class only, every answer is the best one."""
    if missing := set(range(len(task.labels))) - set(labels):
        names = " or ".join(task.labels[label] for label in sorted(missing))
        raise BadInput(f"{where}: no example is labelled {names}; expected examples of every label")


def _load_hub(source: str, configuration: str) -> Any:
    """The splits of a data set on the hub. BadInput for another commit than the one asked for: out
    of reach of the hub `datasets` takes whatever its cache has."""
    import datasets  # heavy, and not needed for local data
    import huggingface_hub

    # a failed download is reported once, by the caller
    huggingface_hub.utils.logging.set_verbosity_error()
    name, revision = at_revision(source)
    loaded = datasets.load_dataset(name, configuration, revision=revision)
    files: list[str] = []
    for of_split in loaded.cache_files.values():
        files += [file["filename"] for file in of_split]
    if (
        revision
        and re.fullmatch("[0-9a-f]{40}", revision)
        and not all(revision in file for file in files)
    ):
        raise BadInput(
            f"{source}: found another revision in the cache; expected that one, or a connection to"
            " the data hub"
        )
    return loaded


def _read_hub(task: Task, name: str) -> dict[str, Split]:
    source, configuration = task.hub or (name, task.name)
    try:
        loaded = _load_hub(source, configuration)
        rows = {"train": loaded["train"], "dev": loaded["validation"]}
        splits = {}
        for split, part in rows.items():
            texts = [part[column] for column in task.text_columns]
            labels = [_label_id(task, label) for label in part[task.label_column]]
            splits[split] = Split(list(zip(*texts, strict=True)), np.array(labels))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadInput(
            f"cannot load {task.name} from the data hub's {source!r} ({type(error).__name__});"
            " expected a data set in GLUE's format and a connection, or give a folder with --data"
        ) from None
    for split, expected in (("train", task.train_rows), ("dev", task.dev_rows)):
        if len(splits[split].labels) != expected:
            raise BadInput(
                f"{source} {task.name} {split}: {len(splits[split].labels):,} rows, expected"
                f" {expected:,}"
            )
        if not set(splits[split].labels.tolist()) <= set(range(len(task.labels))):
            raise BadInput(
                f"{source} {task.name} {split}: labels outside 0..{len(task.labels) - 1}"
            )
        check_classes(task, f"{source} {task.name} {split}", splits[split].labels.tolist())
    return splits


def _label_id(task: Task, label: int | str) -> int:
    """GLUE on the hub has numbers, SciTail words, one of them another than in its own files."""
    return (
        label
        if isinstance(label, int)
        else task.labels.index({"entailment": "entails"}.get(label, label))
    )


@lru_cache(maxsize=8)
def load_splits(task_name: str, source: str) -> dict[str, Split]:
    """The "train" and "dev" splits of a task from a name in MINI, a folder in GLUE's TSV layout,
    or the hub."""
    task = get_task(task_name)
    if source in MINI:
        from experiments.mini.tasks import GENERATORS, rows

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
            split: _read_tsv(task, path, expected)
            for split, (path, expected) in _tsv_files(task, Path(source)).items()
        }
    return _read_hub(task, source)


def subset_rows(task_name: str, source: str) -> int | None:
    """Rows of the part of a training set that stands for it, train_subset_<rows>.tsv; None for the
    whole set."""
    if source in MINI or not Path(source).is_dir():
        return None
    path, rows = _tsv_files(get_task(task_name), Path(source))["train"]
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
    if source in MINI or Path(source).is_dir():
        return len(load_splits(task_name, source)["train"].labels)
    return get_task(task_name).train_rows


@lru_cache(maxsize=8)
def identify_data(task_name: str, source: str) -> str:
    """Run.data: the hub's name, with @REVISION where one is asked for, or a name with a hash of
    what is read, so that other data gives other runs."""
    if source in MINI:
        splits = load_splits(task_name, source)
        contents = [(split.texts, split.labels.tolist()) for split in splits.values()]
        return f"{source}@{fingerprint(repr(contents).encode())}"
    if Path(source).is_dir():
        files, name = _tsv_files(get_task(task_name), Path(source)), Path(source).resolve().name
        if name in MINI:
            name = f"folder-{name}"
        return f"{name}@{fingerprint(*[path for path, _ in files.values()])}"
    if not _may_be_on_hub(source):
        raise BadInput(
            f"no data folder {source}: expected mini, a folder in GLUE's TSV layout, or a name on"
            " the data hub such as nyu-mll/glue"
        )
    hub = get_task(task_name).hub
    return hub[0] if hub else source


def _may_be_on_hub(source: str) -> bool:
    """Whether a source reads as NAMESPACE/NAME on the data hub, or NAMESPACE/NAME@REVISION."""
    return not source.startswith((".", "/", "~")) and at_revision(source)[0].count("/") == 1


def check_text(source: str, validation: bool = False) -> None:
    """Whether load_text can find what it is asked for, as far as that can be told without the
    hub."""
    if validation and Path(source).is_dir() and not (Path(source) / "wiki.valid.raw").is_file():
        raise BadInput(
            f"no file {Path(source) / 'wiki.valid.raw'}: expected WikiText-2's validation text, to"
            " fit a masked-LM head on"
        )
    if source != "mini" and not _may_be_on_hub(source):
        path = Path(source) / "wiki.test.raw"
        if not path.is_file():
            raise BadInput(
                f"no file {path}: expected mini, a folder with WikiText-2's test text as"
                " wiki.test.raw, or a name on the data hub such as Salesforce/wikitext"
            )


def load_text(source: str, validation: bool = False) -> str:
    """Running text that masked-LM perplexity is measured on: the mini language's held-out documents
    ("mini"), a folder with wiki.test.raw, or the test set of WikiText-2 on the hub (paper, section
    4.1). With `validation` other text of the same kind."""
    if source == "mini":
        from experiments.mini.tasks import held_out_text

        # 1,800 predicted tokens; all 600 would
        documents = held_out_text()[200:] if validation else held_out_text(documents=200)
        # take three times as long for each k
        return " ".join(" ".join(document) for document in documents)
    if Path(source).is_dir():
        path = Path(source) / ("wiki.valid.raw" if validation else "wiki.test.raw")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path}: not UTF-8 at byte {error.start}; expected running text in UTF-8"
            ) from None
    try:
        return "\n".join(
            _load_hub(source, "wikitext-2-raw-v1")["validation" if validation else "test"]["text"]
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadInput(
            f"cannot load text from the data hub's {source!r} ({type(error).__name__}); expected"
            " WikiText-2 and a connection, or give a folder with wiki.test.raw, --text"
        ) from None


def identify_text(source: str) -> str:
    """What load_text reads: the hub's name and revision, so that what is finished needs no
    network, else a hash."""
    if source == "mini":
        return fingerprint(load_text(source).encode())
    return fingerprint(Path(source) / "wiki.test.raw") if Path(source).is_dir() else source


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

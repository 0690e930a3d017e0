"""GLUE's tasks, and SciTail, as data."""

from dataclasses import dataclass

import numpy as np

from experiments.finetuning.errors import BadInput


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


def get_task(name: str) -> Task:
    if name not in TASKS:
        raise BadInput(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    return TASKS[name]

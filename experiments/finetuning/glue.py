"""GLUE's tasks, and SciTail, as data."""

from dataclasses import dataclass

import numpy as np

from experiments.finetuning.errors import BadInput

# kinds of task: labels are class ids (int64), or numbers (float32), or TOKENS: a class id a word
CLASSIFICATION, REGRESSION, TOKENS = "classification", "regression", "tokens"
UNREAD = -100  # the label of a token that no answer is read at: only a word's first has its label


@dataclass(frozen=True)
class Task:
    """What GLUE says of one of its tasks (Wang et al. 2019, Table 1); SciTail is Khot et al.'s
    (2018)."""

    name: str
    folder: str  # in GLUE's TSV layout
    text_columns: tuple[str, ...]  # one sentence or two
    # as written in the TSV files; the position is the label id. () for regression
    labels: tuple[str, ...]
    metric: str  # the paper's: a name in metrics.METRICS of its kind
    train_rows: int
    dev_rows: int
    tsv_columns: tuple[str, ...]  # of its TSV files, by name, in GLUE's order
    tsv_text: tuple[str, ...]  # those of them with the sentences
    tsv_label: str  # and with the label
    tsv_header: bool = True  # whether the files' first line names the columns
    hub: tuple[str, str] | None = None
    label_column: str = "label"  # on the hub
    kind: str = CLASSIFICATION
    dev_file: str = "dev.tsv"
    dev_columns: tuple[str, ...] = ()  # of dev_file, where they are others than tsv_columns
    hub_dev: str = "validation"  # the dev part's name on the hub
    # lines of GLUE's own train.tsv that lack cells: left out, as on the hub
    cut_rows: int = 0
    # of dev's answers a run stores the first and the last only
    compact: bool = False

    @property
    def outputs(self) -> int:
        """Columns of the logits: one a class, or one number."""
        return 1 if self.kind == REGRESSION else len(self.labels)


def kind_of(labels: np.ndarray) -> str:
    """The kind of task that labels [examples] are of: numbers of a regression are float32."""
    return REGRESSION if np.issubdtype(labels.dtype, np.floating) else CLASSIFICATION


SENTENCES = ("sentence1", "sentence2")


ENTAILMENT = ("entailment", "not_entailment")


STRINGS = ("#1 String", "#2 String")


QUESTIONS = ("question1", "question2")


MNLI = (
    *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", *SENTENCES),
)


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
    "stsb": Task(
        "stsb", "STS-B", SENTENCES, (), "spearman", train_rows=5749, dev_rows=1500,
        tsv_columns=("index", "genre", "filename", "year", "old_index", "source1", "source2",
                     *SENTENCES, "score"),
        tsv_text=SENTENCES, tsv_label="score", kind=REGRESSION, compact=True,
    ),
    "sst2": Task(
        "sst2", "SST-2", ("sentence",), ("0", "1"), "accuracy", train_rows=67349, dev_rows=872,
        tsv_columns=("sentence", "label"), tsv_text=("sentence",), tsv_label="label", compact=True,
    ),
    "qqp": Task(
        "qqp", "QQP", QUESTIONS, ("0", "1"), "f1", train_rows=363846, dev_rows=40430,
        tsv_columns=("id", "qid1", "qid2", *QUESTIONS, "is_duplicate"), tsv_text=QUESTIONS,
        tsv_label="is_duplicate", cut_rows=3, compact=True,
    ),
    "mnli": Task(
        "mnli", "MNLI", ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"),
        "accuracy", train_rows=392702, dev_rows=9815, tsv_columns=(*MNLI, "label1", "gold_label"),
        tsv_text=SENTENCES, tsv_label="gold_label", dev_file="dev_matched.tsv",
        dev_columns=(*MNLI, *[f"label{i}" for i in range(1, 6)], "gold_label"),
        hub_dev="validation_matched", compact=True,
    ),
    "wnli": Task(
        "wnli", "WNLI", SENTENCES, ("0", "1"), "accuracy", train_rows=635, dev_rows=71,
        tsv_columns=("index", *SENTENCES, "label"), tsv_text=SENTENCES, tsv_label="label",
        compact=True,
    ),
    "tagging": Task(
        "tagging", "", (), ("O", "agent", "action", "patient", "place", "time"), "token_f1",
        train_rows=1600, dev_rows=300, tsv_columns=(), tsv_text=(), tsv_label="", kind=TOKENS,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Training or dev set as text."""

    texts: list[tuple[str, ...]]  # one or two sentences an example; with a label a word its words
    # [examples], int64 class ids, or float32 numbers of a regression; with a label a word arrays of
    # class ids (labels.ragged)
    labels: np.ndarray


def get_task(name: str) -> Task:
    if name not in TASKS:
        raise BadInput(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    return TASKS[name]

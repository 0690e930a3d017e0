"""How models, tasks, rates and numbers are called in figures and tables."""

from collections.abc import Iterable

import pandas as pd

PAPER_MODELS = ("bert-large-uncased", "roberta-large", "albert-large-v2")


METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "token_f1": "F1 of words",
    "entity_f1": "F1 of entities",
}


TASK_NAMES = {"rte": "RTE", "mrpc": "MRPC", "cola": "CoLA", "qnli": "QNLI", "scitail": "SciTail"}


# of which the paper has no run
FURTHER_TASK_NAMES = {
    "stsb": "STS-B",
    "sst2": "SST-2",
    "qqp": "QQP",
    "mnli": "MNLI",
    "wnli": "WNLI",
}


MINI_TASK_NAMES = {
    "rte": "entailment (mini's RTE)",
    "mrpc": "paraphrase (mini's MRPC)",
    "cola": "acceptability (mini's CoLA)",
    "qnli": "question answering (mini's QNLI)",
    "tagging": "tagging (mini's own)",
}


OWN = "own:"  # begins the name of a task that somebody brought, and of its data


def is_mini(data: str) -> bool:
    """Whether Run.data names mini's generated tasks: "mini@hash", or "mini-noisy@hash"."""
    return data.split("@")[0] in ("mini", "mini-noisy")


def task_name(task: str, data: str) -> str:
    """A task as a person says it; of mini its own name, and whether training labels are flipped; of
    somebody's own data the name of the file or folder."""
    names = MINI_TASK_NAMES if is_mini(data) else {**TASK_NAMES, **FURTHER_TASK_NAMES}
    name = names.get(task, task.removeprefix(OWN))
    return f"{name}, 10 % of labels flipped" if data.startswith("mini-noisy@") else name


def by_task(groups: Iterable[tuple[tuple, pd.DataFrame]]) -> list[tuple[tuple, pd.DataFrame]]:
    """Groups whose keys begin with the task, in the order in which the paper names the tasks:
    RTE, MRPC, CoLA, QNLI."""
    tasks = list(TASK_NAMES)
    return sorted(
        groups, key=lambda group: tasks.index(group[0][0]) if group[0][0] in tasks else len(tasks)
    )


def model_name(model: str, data: str) -> str:
    """Run.model without its hash or revision; the mini model by its name, not its folder's."""
    return (
        "mini"
        if is_mini(data) and model.startswith("checkpoint@")
        else model.split("@")[0].split("/")[-1]
    )


def rate_name(rate: float) -> str:
    """2e-05 as a person writes it: 2e-5; 1.5e-4 stays 1.5e-4."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def setting_name(model: str, data: str, dtype: str, pretrained: bool, *more: str) -> str:
    """What a panel's second line says: the model, what `more` adds, and what is unusual about
    the runs."""
    return ", ".join(
        [
            model_name(model, data),
            *more,
            *([dtype] if dtype != "float32" else []),
            *([] if pretrained else ["random weights"]),
        ]
    )


def p_name(p: float) -> str:
    """A p value for a table: two digits, or - where the test is not defined."""
    return f"{p:.2g}" if p == p else "-"


def number(x: float) -> str:
    """Four digits that count, whatever the size: 0.6931, 9.374, 1.4e-05; "-" where there is no
    value."""
    return f"{x:.4g}" if x == x else "-"

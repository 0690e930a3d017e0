"""What may stand in the CSVs of experiments: checked once, on reading, for every script.

A value that does not fit is refused in one line with file, line, column, value and what was
expected. Columns that are not named here are taken as they are. What rows must be together is in
together.py.
"""

import csv
from collections.abc import Callable
from functools import partial
from math import inf, isfinite
from pathlib import Path

import pandas as pd

ROUNDING = 1e-9  # of a score in a CSV
LONGEST = 60  # characters of a value in a message
TRUTH = {"true": True, "1": True, "false": False, "0": False}
GRADIENTS = (
    *("first_layer_gradient", "first_layer_gradient_at_start", "first_layer_gradient_at_end"),
    *("classifier_gradient", "classifier_gradient_at_start", "classifier_gradient_at_end"),
)
# of oscillating_scores
GAINS = ("gain_there", "gain_held_out", "halves_together", "precision_with_recall")
SPREADS = (
    *("late_mean", "late_std", "late_range", "last_std", "deepest_dip", "dev_std", "jump"),
    *("late_precision_std", "late_recall_std", "dev_jump"),
)
REGRESSIONS = ("pearson", "spearman")
CORRELATIONS = ("matthews_correlation", *REGRESSIONS)
SHARES = ("accuracy", "f1", "token_f1", "entity_f1")  # metrics from 0 to 1
METRICS = (*SHARES, *CORRELATIONS)
MATRICES = ("output", "key", "query", "value", "pooler", "classifier")  # of vanishing_gradients
PATHS = ("plain", "fast", "fast, bfloat16")  # of fast_path
MOVED = ("nothing", "head", "order", "dropout", "all seeds", "rounding")  # sources_of_randomness
LINES = ("pre-trained to failed", "pre-trained to successful", "failed to successful")


def _number(text: str, low: float = -inf, high: float = inf) -> bool:
    """Whether `text` is a finite number from low to high."""
    try:
        value = float(text)
    except ValueError:
        return False
    return isfinite(value) and low <= value <= high


def _whole(low: float, text: str, high: float = 1e15) -> bool:
    return _number(text, low, high) and float(text).is_integer()


def _seed(text: str) -> bool:
    """A seed, or where its parts differ head/order/dropout."""
    return text.count("/") in (0, 2) and all(_whole(0, part) for part in text.split("/"))


def _labels(text: str) -> bool:
    return bool(text) and not text.strip("01")


def _one_of(names: tuple[str, ...], text: str) -> bool:
    return text in names


def _from(low: float, text: str) -> bool:
    """A number from low on, inf, NaN or nothing: the losses of a diverged run are data."""
    try:
        return not float(text or "nan") < low
    except ValueError:
        return False


def _or_none(low: float, text: str) -> bool:
    """A number from low to 1, NaN or nothing: a correlation of equal values is not defined."""
    return text in ("", "nan") or _number(text, low - ROUNDING, 1 + ROUNDING)


def _truth(text: str) -> bool:
    return text.lower() in TRUTH


def _name(text: str) -> bool:
    return bool(text.strip())


def _between(low: float, high: float, text: str) -> bool:
    return _number(text) and low < float(text) < high


# kind -> (whether a text is of it, what to say is expected)
KINDS: dict[str, tuple[Callable[[str], bool], str]] = {
    "truth": (_truth, "True or False"),
    "name": (_name, "a name"),
    "metric": (partial(_one_of, METRICS), " or ".join(METRICS)),
    "matrix": (partial(_one_of, MATRICES), ", ".join(MATRICES)),
    "line": (partial(_one_of, LINES), ", ".join(LINES)),
    "labels": (_labels, "the digits 0 and 1, one a dev example"),
    "seed": (_seed, "a whole number from 0 on, or three such with / between them"),
    "rate": (partial(_between, 0, inf), "a finite number above 0"),
    "share": (partial(_number, low=0, high=1), "a number from 0 to 1"),
    "score": (partial(_number, low=-1, high=1), "a number from -1 to 1"),
    "score or none": (partial(_or_none, -1), "a number from -1 to 1, nan or nothing"),
    "share or none": (partial(_or_none, 0), "a number from 0 to 1, nan or nothing"),
    "number": (_number, "a finite number"),
    "amount": (partial(_number, low=0), "a finite number from 0 on"),
    "count": (partial(_whole, 0), "a whole number from 0 on"),
    "some": (partial(_whole, 1), "a whole number from 1 on"),
    # all of them are computed
    "steps": (partial(_whole, 1, high=1e9), "a whole number from 1 to 1e9"),
    "path": (partial(_one_of, PATHS), ", ".join(map(repr, PATHS))),
    "moved": (partial(_one_of, MOVED), ", ".join(MOVED)),
    # of the training before, and of a moment: below 1
    "part": (partial(_between, 0, 1), "a number above 0 and below 1"),
    "loss": (partial(_from, 0), "a number from 0 on, inf or nothing"),
    "perplexity": (partial(_from, 1), "a number from 1 on, inf or nothing"),
}
# what a run is trained with and is no whole number; compared as equal or not
REAL_SETTINGS = (
    *("learning_rate", "layerwise_decay", "warmup_ratio", "dropout", "mixout", "adam_beta1"),
    *("adam_beta2", "adam_epsilon", "weight_decay", "max_gradient_norm", "component_clipping"),
    *("start_noise", "lora_alpha"),
)
COLUMNS = {
    **dict.fromkeys(("failed", "diverged", "constant_prediction", "bias_correction"), "truth"),
    **dict.fromkeys(("pretrained", "decay_to_pretrained", "packed", "segment_ids"), "truth"),
    **dict.fromkeys(("run", "task", "model", "data", "dtype"), "name"),
    **dict.fromkeys(("condition", "method", "recipe", "embeddings"), "name"),
    **{name: name for name in ("metric", "matrix", "line", "labels", "path", "moved")},
    **dict.fromkeys(("seed", "failed_seed", "successful_seed"), "seed"),
    **dict.fromkeys(("learning_rate", "layerwise_decay"), "rate"),
    **dict.fromkeys((*SHARES, "precision", "recall", "majority_level"), "share"),
    **dict.fromkeys(("warmup_ratio", "dropout", "mixout"), "share"),
    **dict.fromkeys(("share", "adam_beta1", "adam_beta2"), "part"),
    **dict.fromkeys(("position", "scheduled", "unknown_tokens", "unread_words"), "share"),
    **dict.fromkeys(("score", "final_score", *CORRELATIONS), "score"),
    **dict.fromkeys(("untrained_score", "selection_score", "reporting_score"), "score or none"),
    **dict.fromkeys(GAINS, "score or none"),
    **dict.fromkeys(SPREADS, "share or none"),
    **dict.fromkeys(("a", "b"), "number"),
    **dict.fromkeys(("adam_epsilon", "weight_decay", "start_noise", "lora_alpha"), "amount"),
    **dict.fromkeys(("max_gradient_norm", "component_clipping", "seconds", "load"), "amount"),
    **dict.fromkeys(("without", "with", "unigram_perplexity", "plateau_epoch"), "amount"),
    **dict.fromkeys(("step", "layer", "layers_put_back", "reinitialized_layers"), "count"),
    **dict.fromkeys(("frozen_layers", "lora_rank", "head_epochs"), "count"),
    **dict.fromkeys(("head_seed", "order_seed", "dropout_seed", "sampling_seed"), "count"),
    **dict.fromkeys(("start_noise_seed", "base_seed"), "count"),
    **dict.fromkeys(("steps", "total_steps"), "steps"),
    **dict.fromkeys(("epochs", "batch_size", "max_length"), "some"),
    **dict.fromkeys(("train_examples", "train_subset", "examples", "layers", "words"), "some"),
    **dict.fromkeys(("evaluations_per_epoch", "threads", "cores", "runs", "round"), "some"),
    **dict.fromkeys(("train_loss", "dev_loss", "label_entropy", "loss", "norm"), "loss"),
    **dict.fromkeys(("first_loss", "last_loss", "highest_loss"), "loss"),
    **dict.fromkeys(("first_dev_loss", "last_dev_loss", "lowest_dev_loss"), "loss"),
    **dict.fromkeys(("selection_loss", "reporting_loss"), "loss"),
    **dict.fromkeys(("margin_change", "margin_spread", "gradient_norm"), "loss"),
    **dict.fromkeys(GRADIENTS, "loss"),
    **dict.fromkeys(("perplexity", "pretrained_perplexity"), "perplexity"),
}
# scores that a row may lack: a curve has steps without an evaluation, a task one metric or more;
# settings that a run may have none of, or that older runs lack
MAY_BE_BLANK = {
    *(*METRICS, "precision", "recall", "plateau_epoch"),
    *("condition", "method", "recipe", "path", "moved", "embeddings"),
    *("train_examples", "train_subset", "max_gradient_norm", "component_clipping"),
    *("sampling_seed", "mixout", "decay_to_pretrained", "layerwise_decay", "packed"),
    *("segment_ids", "start_noise", "start_noise_seed", "frozen_layers", "lora_rank"),
    *("lora_alpha", "head_epochs", "reinitialized_layers", "evaluations_per_epoch"),
    *("unknown_tokens", "unread_words"),
}
# what tells one row from another, as far as a table has it
KEY = (
    "run",
    "failed_run",
    "successful_run",
    "method",
    "recipe",
    "condition",
    "path",
    "step",
    "share",
    "matrix",
    "layer",
    "layers_put_back",
    "embeddings",
    "a",
    "b",
    "line",
    "position",
)


def header(path: Path) -> list[str]:
    """The names of a CSV's columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def check(path: Path) -> str:
    """What is wrong with a CSV, or "" if nothing is. Lines count from 1, the header's."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        for name in names:
            if names.count(name) > 1:
                return f"{path} has the column {name} twice; keep one"
        seen: dict[tuple[str, ...], int] = {}
        for cells in reader:
            if not cells:
                continue
            line = reader.line_num
            if len(cells) != len(names):
                return (
                    f"{path} line {line} has {len(cells)} columns, expected {len(names)}, as in "
                    "its header; is a comma the decimal sign, or a line cut?"
                )
            row = dict(zip(names, cells, strict=True))
            if problem := _check_row(row):
                return f"{path} line {line}: {problem}"
            key = _key(path, row)
            if key and key in seen:
                what = f"run {row['run']} stands" if "run" in row else "the same row stands"
                return (
                    f"{path}: {what} twice (lines {seen[key]} and {line}); was the file joined "
                    "from two machines? keep each once"
                )
            seen[key] = line
    return ""


def _check_row(row: dict[str, str]) -> str:
    """The first value of a row that does not fit, in words."""
    for column, text in row.items():
        kind = COLUMNS.get(column, "")
        if not kind or (not text and _may_be_blank(column, row)):
            continue
        if column == "score" and row.get("metric") in SHARES:
            kind = "share"
        fits, expected = KINDS[kind]
        if not fits(text):
            shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
            return f"{column} is {shown!r}, expected {expected}"
    return _contradiction(row) or _other_score(row) or _beyond(row)


def _may_be_blank(column: str, row: dict[str, str]) -> bool:
    """Whether a row may lack a value. The parts of a benchmark have different columns."""
    return (
        column in MAY_BE_BLANK
        or (column == "score" and "step" in row)
        or ("part" in row and COLUMNS[column] != "name")
    )


def _contradiction(row: dict[str, str]) -> str:
    """Where a run's `failed` is not what its score says: at or below the majority level, or
    diverged. A curve does not say whether its run diverged, and has its last score as another
    column."""
    score = "final_score" if "final_score" in row else "score"
    if not {"failed", score, "majority_level"} <= set(row) or ("step" in row and score == "score"):
        return ""
    low = float(row[score]) <= float(row["majority_level"]) + ROUNDING
    failed = TRUTH[row["failed"].lower()]
    # without the column a failed run may have diverged
    diverged = TRUTH[row["diverged"].lower()] if "diverged" in row else failed
    if failed == (low or diverged):
        return ""
    return (
        f"failed is {row['failed']!r} at a score of {row[score]} and a majority level of"
        f" {row['majority_level']}; which of them was changed?"
    )


def _other_score(row: dict[str, str]) -> str:
    """Where the score of a run is not the one that its metric names."""
    named = row.get(row.get("metric", ""), "")
    if not named or "score" not in row or "step" in row:
        return ""
    if abs(float(row["score"]) - float(named)) <= ROUNDING:
        return ""
    return (
        f"score is {row['score']} and {row['metric']}, which is its metric, {named}; which of them"
        " was changed?"
    )


def _beyond(row: dict[str, str]) -> str:
    """A layer or step beyond the last one."""
    for part, whole in (("layers_put_back", "layers"), ("step", "total_steps")):
        if {part, whole} <= set(row) and float(row[part]) > float(row[whole]):
            return f"{part} is {row[part]} and {whole} {row[whole]}: expected at most that"
    return ""


def _key(path: Path, row: dict[str, str]) -> tuple[str, ...]:
    """What no other row may have; () where no column holds the id of a stored run, as in a table
    that somebody numbers by seed. The curves of convergence_pitfalls have rows of one step that
    differ in which values they hold, so there it is the whole row."""
    run = row.get("run", row.get("failed_run", ""))
    if len(run) != 16:
        return ()
    if path.stem == "convergence_pitfalls_curves":
        return tuple(row.values())
    return tuple(row[column] for column in KEY if column in row)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """A checked table with true and false as such however written, and 3.0 epochs as 3."""
    for column in table.columns.intersection(list(COLUMNS)):
        if table[column].isna().any():
            continue
        if COLUMNS[column] == "truth":
            table[column] = table[column].astype(str).str.lower().map(TRUTH).astype(bool)
        elif COLUMNS[column] in ("count", "some", "steps"):
            table[column] = table[column].astype(int)
    # other tools write 3e-4 as 0.000300000009: one setting, not two
    for column in table.columns.intersection(list(REAL_SETTINGS)):
        table[column] = table[column].map(lambda value: float(f"{value:.6e}"))
    return table

"""Whether a stored record can be what a run's training returned: whole, of that run, and possible.

A record is trusted for years, by whoever copies a store; an edited or damaged one must not become a
row. So what follows from other things it says is checked against them.
"""

import base64
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from experiments.finetuning.glue import TASKS
from experiments.finetuning.histories import HALVES
from experiments.finetuning.own import METRICS, OwnData, is_own
from experiments.finetuning.run import SCHEMA, Run

BY_ENTITY_OR_WORD = ("entity_f1", "token_f1")
LOWEST = {  # score that a metric can have; the highest is 1
    **dict.fromkeys(("accuracy", "f1", "precision", "recall", *BY_ENTITY_OR_WORD), 0.0),
    **dict.fromkeys(("matthews_correlation", "pearson", "spearman"), -1.0),
}
# of the best constant answer
LEVEL_OF_ZERO = ("matthews_correlation", "pearson", "spearman", "entity_f1")
FLAGS = ("failed", "diverged", "constant_prediction")
NUMBERS = ("score", "majority_level", "dev_loss", "train_loss", "label_entropy", "steps", "seconds")
TEXTS = (
    *("metric", "device", "git_commit", "drawn_from_head_seed"),
    *("python_version", "torch_version", "transformers_version"),
)
# NaN where a model has no such matrix
NORMS = ("first_layer_gradient", "classifier_gradient")
ROUNDING = 1e-6


def problem_of(record: dict[str, Any], run_id: str) -> str:
    """Why a record is not the finished run of this id, in a few words; "" where it is. KeyError and
    TypeError for one that lacks whole parts."""
    outcome, history = record["outcome"], record["history"]
    run = Run(**record["run"])
    if record["schema"] != SCHEMA or run.id != run_id:
        return "it does not hold the run its name says"
    return (
        _wrong_kinds(outcome)
        or _wrong_names(outcome)
        or _wrong_score(run, outcome)
        or _wrong_losses(run, outcome, history)
        or _wrong_evaluations(outcome, history["evaluations"])
        or _wrong_answers(outcome, history)
        or _wrong_norms(outcome, history)
    )


def _wrong_kinds(outcome: dict[str, Any]) -> str:
    """Values of another type than training gives them."""
    for name in NUMBERS + NORMS:
        if not _is_number(outcome[name]):
            return f"its {name} is {str(outcome[name])[:20]!r} and no number"
    for name in FLAGS:
        if not isinstance(outcome[name], bool):
            return f"its {name} is {str(outcome[name])[:20]!r} and not true or false"
    for name, low in (("steps", 1), ("trained_parameters", 1)):
        count = outcome.get(name, low)
        if not isinstance(count, int) or isinstance(count, bool) or count < low:
            return f"its {name} is {str(count)[:20]!r}"
    if not 0 <= outcome["seconds"] < math.inf:
        return f"it took {outcome['seconds']} seconds"
    return ""


def _wrong_names(outcome: dict[str, Any]) -> str:
    """Texts that are none, lists, and names that would replace a field of the run in its row."""
    for name, value in outcome.items():
        if name in TEXTS and not (isinstance(value, str) and value.isprintable()):
            return f"its {name} is {str(value)[:20]!r} and no text"
        if not isinstance(value, str | bool | int | float):
            return f"its {name} is no single value"
        # the run's device is cpu or cuda, the outcome's names the GPU
        if name in Run.__dataclass_fields__ and name not in ("device", "git_commit"):
            return f"its outcome has {name}, which is the run's"
    return ""


def _wrong_score(run: Run, outcome: dict[str, Any]) -> str:
    """A metric that is not the task's, scores out of range, or a failure that does not follow."""
    metric, score, level = outcome["metric"], outcome["score"], outcome["majority_level"]
    if metric not in possible_metrics(run):
        return f"its metric is {str(metric)[:20]!r} and not {run.task}'s"
    if score != outcome[metric]:
        return f"its score is {score} and its {metric} {outcome[metric]}"
    for name, low in {**LOWEST, "unknown_tokens": 0.0, "unread_words": 0.0}.items():
        if name in outcome and not _is_share(outcome[name], low):
            return f"its {name} is {outcome[name]}"
    task = TASKS.get(run.task)
    low = LOWEST[metric]
    if metric == "accuracy":  # the most frequent of so many classes has no smaller share
        low = 1 / task.outputs if task else 0.0
    if not _is_share(level, low) or (metric in LEVEL_OF_ZERO and level != 0):
        return f"its majority_level is {level}"
    if outcome["failed"] != (outcome["diverged"] or score <= level):
        return f"its failed is {outcome['failed']} with a score of {score}, level {level}"
    return ""


def possible_metrics(run: Run) -> tuple[str, ...]:
    """By which metrics a run's task may be scored: its own one, or of data of one's own, which may
    lie elsewhere, what was asked for."""
    if run.task in TASKS:
        return (TASKS[run.task].metric,)
    if is_own(run.data_source):
        asked = OwnData(**json.loads(run.data_source))
        if asked.metric:
            return (asked.metric,)
        return (METRICS[asked.kind][0], *BY_ENTITY_OR_WORD)
    return tuple(LOWEST)


def _wrong_losses(run: Run, outcome: dict[str, Any], history: dict[str, Any]) -> str:
    """Losses that cannot be, or a divergence that they do not show: it ends a run at once."""
    losses = history["train_loss"]
    if len(losses) != outcome["steps"]:
        return f"it has {len(losses)} training losses of {outcome['steps']} steps"
    ends = [outcome["train_loss"], outcome["dev_loss"], outcome["label_entropy"]]
    dev = [evaluation["dev_loss"] for evaluation in history["evaluations"]]
    for loss in (*losses, *ends, *dev):
        if not _is_number(loss) or loss < 0:
            return f"a loss is {str(loss)[:20]!r}"
    if not _all_finite([*losses[:-1], outcome["label_entropy"]]):
        return "its losses are not finite before its end"
    if outcome["diverged"] == _all_finite([losses[-1], outcome["dev_loss"]]):
        return f"its diverged is {outcome['diverged']} with a last loss of {losses[-1]}"
    if outcome["diverged"]:
        return ""
    if len(losses) % run.epochs:
        return f"it has {len(losses)} steps in {run.epochs} epochs"
    epoch = losses[-(len(losses) // run.epochs) :]
    if not _alike(outcome["train_loss"], sum(epoch) / len(epoch)):
        return f"its train_loss is {outcome['train_loss']} and not its last epoch's mean"
    return ""


def _wrong_evaluations(outcome: dict[str, Any], evaluations: list[dict[str, Any]]) -> str:
    """Evaluations that are not those from the first step to the last, or end otherwise."""
    steps = [evaluation["step"] for evaluation in evaluations]
    if not steps or steps != sorted(steps) or steps[0] != 0 or steps[-1] != outcome["steps"]:
        return f"its evaluations do not go from step 0 to step {outcome['steps']}"
    halves = HALVES if HALVES[0] in evaluations[0] else ()
    for evaluation in evaluations:
        for name in (outcome["metric"], *halves):
            if not _is_number(evaluation[name]):
                return f"an evaluation's {name} is {str(evaluation[name])[:20]!r} and no number"
        for name, low in {**LOWEST, **dict.fromkeys(HALVES, LOWEST[outcome["metric"]])}.items():
            value, high = evaluation.get(name, low), math.inf if name.endswith("loss") else 1.0
            # a half of dev whose answers are not finite has no score
            if not _is_share(value, low, high) and not (name in HALVES and math.isnan(value)):
                return f"an evaluation's {name} is {str(value)[:20]!r}"
    for name in (outcome["metric"], "dev_loss"):
        if str(outcome[name]) != str(evaluations[-1][name]):  # NaN is not itself
            return f"its {name} is {outcome[name]}, its last evaluation's {evaluations[-1][name]}"
    return ""


def _wrong_answers(outcome: dict[str, Any], history: dict[str, Any]) -> str:
    """Answers that cannot be read, or an accuracy that so many answers cannot have."""
    texts = history["dev_margins"]
    if len(texts) != len(history["evaluations"]) or not (texts[0] and texts[-1]):
        return "it lacks answers of its evaluations"
    kept = [text for text in texts if text]  # of large dev sets the first and the last only
    if outcome["metric"] in BY_ENTITY_OR_WORD:
        sizes = {len(zlib.decompress(base64.b85decode(text))) for text in kept}
    else:
        kept += [history["dev_predictions"]] if "dev_predictions" in history else []
        sizes = {len(base64.b64decode(text, validate=True)) for text in kept}
    answers = max(sizes) / 2  # 2 bytes each, or a sentence's two counts
    if len(sizes) > 1 or not answers.is_integer():
        return "it has answers of different numbers of examples"
    if outcome["metric"] == "accuracy":
        for name in ("score", "majority_level"):
            right = outcome[name] * answers
            if abs(right - round(right)) > ROUNDING * answers:
                return f"its {name} is {outcome[name]}, which is no share of {answers:g} examples"
    return ""


def _wrong_norms(outcome: dict[str, Any], history: dict[str, Any]) -> str:
    """Gradient norms that are not of the named matrices, every so many steps."""
    matrices, every = history["gradient_norm_of"], history["gradient_norm_every"]
    if not isinstance(every, int) or every < 1:
        return f"its gradient norms are of every {str(every)[:20]!r} steps"
    expected = math.ceil(outcome["steps"] / every) if matrices else 0
    records = history["gradient_norms"]
    # a step that ends in no finite loss has no gradients
    if not expected - outcome["diverged"] <= len(records) <= expected:
        return f"it has {len(records)} records of gradient norms, expected {expected}"
    for norms in records:
        if len(norms) != len(matrices):
            return f"it has {len(norms)} gradient norms of {len(matrices)} matrices"
        if not all(_is_number(norm) and not norm < 0 for norm in norms):
            return "a gradient norm is no number or negative"
    if any(outcome[name] < 0 for name in NORMS):
        return "a gradient norm is negative"
    return ""


def holds_numbers(row: Any, lowest: Mapping[Any, float]) -> bool:
    """Whether a row has a number by each name, or at each place, that is not below the lowest."""
    return all(_is_number(row[name]) and not row[name] < low for name, low in lowest.items())


def _is_number(value: Any) -> bool:
    """A float or an int that a float can hold; NaN is one."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_share(value: Any, low: float, high: float = 1.0) -> bool:
    """A number from `low` to `high`, but for rounding."""
    return _is_number(value) and low - ROUNDING <= value <= high + ROUNDING


def _all_finite(values: Iterable[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING)

"""Which columns of a log are what, by anybody's names for them, and the records they make."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from analysis.diagnosis import cells, kept, scale, sets
from analysis.diagnosis.records import Log, Records, chosen, in_order, records_of
from analysis.shared.reading import BadInput

TRAIN_LOSS = (
    *("loss", "train_loss", "training_loss", "train/loss"),
    *("train_loss_step", "train_loss_epoch"),  # Lightning's
)
DEV_LOSS = (
    *("eval_loss", "dev_loss", "val_loss", "valid_loss", "validation_loss", "eval/loss"),
    "test_loss",
)
NORM = ("grad_norm", "gradient_norm", "train/grad_norm")
STEP = ("step", "global_step", "train/global_step", "steps", "iteration")
# a score whose name ends so, the first that is there: those whose best constant answer is known
# whatever the labels come first
SCORES = (
    *("matthews_correlation", "matthews_corrcoef", "mcc", "matthews"),
    *("pearson", "pearsonr", "spearmanr", "spearman"),
    *("overall_f1", "entity_f1"),  # seqeval's
    *("roc_auc", "auc"),
    *("accuracy", "acc", "accur", "binary_accuracy", "categorical_accuracy"),
    "sparse_categorical_accuracy",
    *("f1_macro", "macro_f1", "f1", "f1_micro", "micro_f1", "f1_weighted", "weighted_f1"),
    *("balanced_accuracy", "kappa", "score"),
)
NO_SCORES = (*NORM, *STEP, "epoch", "runtime", "learning_rate", "time", "model_preparation_time")
RATE = ("learning_rate", "train/learning_rate", "lr")
NO_WORD = 0.02  # an F1 below it: nothing is found
LOWEST_RATE = 1e-7  # of a peak, as in callback.py: at a lower one nothing is learnt
RATIO = ("first_to_classifier_grad", "train/first_to_classifier_grad")  # callback.py's
VANISHED = 3e-3  # of that ratio, as in callback.py
OF_FAIRSEQ = ("train_wps", "valid_wps", "wps")  # words a second
# of what is judged otherwise than classes: language models and answers in words; regression
OF_WORDS = re.compile(r"perplexity|ppl|exact_match|bleu|sacrebleu|rouge\w*|wer|cer")
OF_REGRESSION = re.compile(r"mse|rmse|mae|r2|r_squared")
OF_OTHER_TASKS = re.compile(rf"{OF_REGRESSION.pattern}|{OF_WORDS.pattern}")


def is_loss(key: str) -> bool:
    return key in TRAIN_LOSS or key in DEV_LOSS


def is_read(key: str) -> bool:
    """Whether a column may be read."""
    return is_loss(key) or key in (*NORM, *STEP, "epoch") or plain(key) in SCORES


def from_records(records: Iterable[Mapping[str, Any]], name: str, metric: str | None) -> Log:
    """A list of dicts as in the Trainer's log_history."""
    columns: dict[str, list[Any]] = {}
    count = 0
    for record in records:
        for key, value in record.items():
            if isinstance(value, dict) and len(value) == 1:  # evaluate's {"accuracy": 0.5}
                (value,) = value.values()
            column = columns.setdefault(key, [])
            column += [cells.MISSING] * (count - len(column)) + [value]
        count += 1
    for column in columns.values():
        column += [cells.MISSING] * (count - len(column))
    # the Trainer's closing record: the mean over the whole run, no record of a step
    closing = math.nan
    if "train_runtime" in columns and "train_loss" in columns:
        closes = [not cells.is_blank(runtime) for runtime in columns["train_runtime"]]
        for i in np.flatnonzero(closes):
            mean = cells.as_number(columns["train_loss"][i])
            closing, columns["train_loss"][i] = math.nan if mean is None else mean, cells.MISSING
    log = from_columns(columns, count, name, metric, table=False)
    log.mean_loss = closing
    if closing < -cells.ROUNDING:
        raise BadInput(f"{name}: train_loss is {closing:g}: expected a number from 0 on")
    log.dev_examples = evaluated(columns)
    return log


def evaluated(columns: Mapping[str, list[Any]]) -> int | None:
    """Dev examples, from the Trainer's seconds and examples per second; a pasted log may have one
    of the two, or neither."""
    seconds_of, speed_of = (
        columns.get(name, []) for name in ("eval_runtime", "eval_samples_per_second")
    )
    for pair in zip(seconds_of, speed_of, strict=False):
        seconds, speed = map(cells.as_number, pair)
        if seconds and speed and math.isfinite(seconds * speed):
            return round(seconds * speed)
    return None


def from_columns(
    columns: Mapping[str, list[Any]],
    count: int,
    name: str,
    metric: str | None,
    table: bool = True,
) -> Log:
    """A log from columns of cells, None where nothing stands. `table`: not what a run printed."""
    notes: list[str] = []
    score = chosen_score(columns, name, metric)
    if score and not metric and of_training(columns, score):
        notes.append(
            f"{score} is taken for training's, as it stands beside {TRAIN_LOSS[0]} and nothing is"
            f" of an evaluation: not read; --score {score} reads it"
        )
        score = None
    dev_losses: Sequence[str] = DEV_LOSS
    if not first_of(columns, DEV_LOSS, []) and (score is None or plain(score) not in SCORES):
        dev_loss_of_set, score = sets.of_one_set(columns, SCORES, score, notes)
        dev_losses = (dev_loss_of_set,)

    def losses(names: Sequence[str]) -> cells.Numbers:
        column = first_of(columns, names, notes)
        return cells.losses(column, columns[column], name, notes) if column else [None] * count

    loss, norm, dev_loss = losses(TRAIN_LOSS), losses(NORM), losses(dev_losses)
    scores: cells.Numbers = [None] * count
    if score:
        scores = cells.scores(score, columns[score], name, notes)
        scores = cells.constant_answers(score, scores, dev_loss, table, notes)
    if any(name in columns for name in OF_FAIRSEQ):
        notes.append("warning: fairseq logs losses in bits: read in nats, times ln 2")
        loss, dev_loss = ([x and x * math.log(2) for x in part] for part in (loss, dev_loss))
    trained = [i for i in range(count) if loss[i] is not None]
    judged = [i for i in range(count) if dev_loss[i] is not None or scores[i] is not None]
    step = steps_of(columns, sorted({*trained, *judged}), count, name, notes)
    training = records_of(
        [step[i] for i in trained], [loss[i] for i in trained], [norm[i] for i in trained]
    )
    evaluations = records_of(
        [step[i] for i in judged],
        [dev_loss[i] for i in judged],
        [scores[i] for i in judged],
        norm=False,
    )
    after = np.array(judged, dtype=int) > kept.end_of_training(columns, count)
    parts = (getattr(evaluations, part.name) for part in fields(Records))
    left_out = kept.is_kept(parts, after, notes)
    evaluations = chosen(evaluations, ~left_out)
    training, evaluations = in_order(training, evaluations, table, notes)
    training, factor = scale.comparable(training, evaluations, notes)
    if score is None:
        note_unknown(columns, notes)
    of_others = OF_OTHER_TASKS if score is None else OF_WORDS
    other_task = [plain(column) for column in columns if of_others.fullmatch(plain(column))]
    rates = numbers_of(columns.get(first_of(columns, RATE, []), ()))
    if rates and max(rates) <= LOWEST_RATE:
        notes.append(
            f"warning: the learning rate in the log is never above {max(rates):.1g}: nothing can be"
            " learnt at it, so raise it first"
        )
    log = Log(name, training, evaluations, score, divided_by=factor, notes=notes)
    if ratios := numbers_of(columns.get(first_of(columns, RATIO, []), ())):
        log.gradient_ratio = ratios[-1]
        vanished = "it has vanished" if ratios[-1] < VANISHED else "it has not vanished"
        notes.append(
            f"the first layer's gradient ends at {ratios[-1]:.1e} of the classifier's: {vanished}"
        )
    log.other_task = "".join(other_task[:1])
    return log


def note_unknown(columns: Mapping[str, list[Any]], notes: list[str]) -> None:
    """Say which scores are there that are not known."""
    unknown = []
    for column, values in columns.items():
        evaluated = plain(column) != column.lower() and not is_loss(column)
        if evaluated and "per_second" not in column and numbers_of(values):
            unknown.append(column)
    unknown = [column for column in unknown if plain(column) not in NO_SCORES]
    others = [column for column in unknown if OF_REGRESSION.fullmatch(plain(column))]
    unknown = [column for column in unknown if column not in others]
    if others:
        notes.append(f"it has {', '.join(others[:5])}, of a regression: log pearson or spearman")
    if unknown:
        shown = ", ".join(unknown[:5])
        notes.append(f"it has no score that is known, but {shown}: --score NAME looks at one")


def of_training(columns: Mapping[str, list[Any]], score: str) -> bool:
    """Whether an accuracy is the training's own, as Keras logs it without validation: it has no
    word for an evaluation, a training loss beside it in each row, and no steps."""
    if plain(score) != score.lower() or [name for name in columns if is_loss(name)] != ["loss"]:
        return False
    if "acc" not in score.lower() or any(name in columns for name in STEP):
        return False
    pairs = zip(columns[score], columns["loss"], strict=True)
    return all(cells.is_blank(value) or not cells.is_blank(loss) for value, loss in pairs)


def first_of(columns: Mapping[str, list[Any]], names: Sequence[str], notes: list[str]) -> str:
    """The first of these columns that holds anything, "" if none does; noted where another one
    holds something else in the same row."""
    there = []
    for name in names:
        if not all(cells.is_blank(cell) for cell in columns.get(name, ())):
            there.append(name)
    for other in there[1:]:
        pairs = zip(columns[there[0]], columns[other], strict=True)
        if any(a != b and not cells.is_blank(a) and not cells.is_blank(b) for a, b in pairs):
            notes.append(f"warning: it has both {there[0]} and {other}: {there[0]} is read")
    return there[0] if there else ""


def steps_of(
    columns: Mapping[str, list[Any]], used: Sequence[int], count: int, name: str, notes: list[str]
) -> list[Any]:
    """The step of each record, else its epoch, else, where one of those that are used has neither,
    its place: pasted lines often lack both."""
    for names in (STEP, ("epoch", "train/epoch")):
        column = first_of(columns, names, [])
        if not column:
            continue
        found = cells.steps(column, [columns[column][i] for i in used], name, notes)
        if all(x is None for x in found):
            continue
        if any(x is None for x in found):
            break
        step: list[Any] = [None] * count
        for i, x in zip(used, found, strict=True):
            step[i] = x
        return step
    return list(range(1, count + 1))


def plain(column: str) -> str:
    """The name of a score without what says that it is of an evaluation."""
    return re.sub(r"^(eval|dev|val|valid|validation|test)[_/]", "", column.lower())


def chosen_score(columns: Mapping[str, list[Any]], name: str, metric: str | None) -> str | None:
    """The column of the score: the one asked for, or the first of SCORES that is there, of an
    evaluation rather than of training, and one that moves rather than one that does not. An F1 that
    ends near 0 comes first: whatever the accuracy, every answer is "no", or of entities "none"."""
    known = list(columns)
    if metric:
        return asked_for(known, name, metric)
    of_evaluations = sorted(known, key=lambda column: plain(column) == column.lower())
    for column in of_evaluations:
        numbers = numbers_of(columns[column])
        if plain(column) in ("f1", "overall_f1", "entity_f1") and numbers and numbers[-1] < NO_WORD:
            return column
    found = [column for ending in SCORES for column in of_evaluations if plain(column) == ending]
    named = [column for column in found if plain(column) != column.lower()]
    found = named or found
    moving = [column for column in found if len(set(numbers_of(columns[column]))) > 1]
    return next(iter(moving or found), None)


def numbers_of(values: Sequence[Any]) -> list[float]:
    return [x for x in map(cells.as_number, values) if x is not None]


def asked_for(known: Sequence[str], name: str, metric: str) -> str:
    """The column of the score that a person named."""
    for spelled in (str.lower, plain):
        for column in known:
            if spelled(column) in (metric.lower(), f"eval_{metric}".lower()):
                if is_loss(column) or plain(column) in NO_SCORES:
                    raise BadInput(f"--score {metric}: {column} is no score of the model's answers")
                if OF_REGRESSION.fullmatch(plain(column)):
                    raise BadInput(
                        f"--score {metric}: {column} is no score of classes: expected one, or of a"
                        " regression pearson or spearman"
                    )
                return column
    raise BadInput(f"{name} has no score {metric!r}: it has {', '.join(known)}")

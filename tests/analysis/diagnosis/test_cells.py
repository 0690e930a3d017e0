"""Cells of logs that are no plain numbers: read rightly and told, or refused in one line."""

import json
import math
import os

import pytest
from builders import a_result

from analysis.diagnosis.chance import chance_of
from analysis.diagnosis.folders import read_logs
from analysis.diagnosis.logs import read_text
from analysis.diagnosis.rule import judge
from analysis.diagnosis.verdict import NEVER
from analysis.shared.reading import BadInput

LOSSES, SCORES = (0.72, 0.70, 0.69, 0.693), (0.5271, 0.4729, 0.5271, 0.5271)


def table(loss=LOSSES, score=SCORES, step=(10, 20, 30, 40), header="step,loss,eval_loss,accuracy"):
    rows = zip(step, loss, loss, score, strict=True)
    return "\n".join([header, *(",".join(f'"{x}"' for x in row) for row in rows)]) + "\n"


def lines(text):
    """A table as the Trainer prints it."""
    names, *rows = (line.split(",") for line in text.replace('"', "").splitlines())
    printed = []
    for row in rows:
        pairs = [f"'{name}': {cell}" for name, cell in zip(names, row, strict=True)]
        printed.append("{" + ", ".join(pairs) + "}")
    return "\n".join(printed)


PERCENT = tuple(100 * score for score in SCORES)
RIGHT = {
    "as it is": (table(), ""),
    "percent": (table(score=PERCENT), "accuracy goes to 52.71, so it is in percent"),
    "percent signs": (table(score=[f"{x:.2f}%" for x in PERCENT]), "has percent signs"),
    "percent signs, spaced": (table(score=[f"{x:.2f} %" for x in PERCENT]), "percent signs"),
    "printed": (lines(table()), "no closing line"),
    "printed in percent": (lines(table(score=PERCENT)), "in percent"),
    "printed with signs": (lines(table(score=[f"{x}%" for x in PERCENT])), "percent signs"),
    "numpy's": (lines(table(score=[f"np.float64({x})" for x in SCORES])), "no closing line"),
    "downwards": ("\n".join([table().split()[0], *table().split()[:0:-1]]), "sorted"),
    "by text": (table(LOSSES[:1] + LOSSES[3:] + LOSSES[1:3],
                      SCORES[:1] + SCORES[3:] + SCORES[1:3], (1, 10, 2, 3)), "sorted"),
    "thousands": (table(step=("1,000", "1,001", "1,002", "1,003")), "counted by their place"),
    "a line of text": (table().replace('"20","0.7",', '"20","later",'), "1 of 4 cells of loss"),
    "in capitals": (table().replace("step,loss", "Step,Loss").replace("acc", "Acc"), ""),
    "separators at the end": (table().replace("\n", ",\n"), ""),
    "old line ends": (table().replace("\n", "\r"), ""),
    "in no order": ("\n".join(table().split()[i] for i in (0, 3, 1, 4, 2)), "sorted"),
    "lists": (json.dumps({"loss": LOSSES, "eval_loss": LOSSES, "accuracy": SCORES}), ""),
    "two names": (table(header="step,loss,train_loss,accuracy").replace('0.7",', '0.8",', 1),
                  "both loss and train_loss"),
    "of training too": (json.dumps({"accuracy": [0.9] * 4, "loss": LOSSES, "val_loss": LOSSES,
                                    "val_accuracy": SCORES}), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_read_rightly_and_told(name):
    text, said = RIGHT[name]
    log = read_text(text, "a log")
    assert log.evaluations.other.tolist() == pytest.approx(SCORES)
    assert log.training.loss[-1] == 0.693
    assert said in " ".join(log.notes) and (said or not log.notes)
    assert (log.training.step[1:] > log.training.step[:-1]).all()
    verdict = judge(log, chance_of(log, (0.4729, 0.5271), "as given"))
    assert verdict.shape == NEVER and verdict.failed


def with_step(value):
    return table(step=(value, 20, 30, 40))


REFUSED = {
    "decimal commas": (table(["0,72", "0,7", "0,69", "0,693"]), "loss is '0,72'.* decimal sign"),
    "commas between commas": (
        table(["0,72"] * 4).replace('"', ""),
        "6 columns in row 2, expected 4",
    ),
    "an underscore": (table(["0_7"] * 4), "loss is '0_7': expected a number"),
    "a loss in two cases": ("loss,Loss\n0.7,0.5\n", "the column loss twice"),
    "a score twice in a record": ('{"loss": 0.7, "acc": 0.7, "acc": 0.5}', "acc twice in one rec"),
    "a negative mean": ("{'loss': 0.7}\n{'train_runtime': 1.0, 'train_loss': -5.0}", "is -5"),
    "a comma in a score": (table(score=(0.5, "0,6", 0.6, 0.7)), "accuracy is '0,6'"),
    "printed with commas": (lines(table()).replace("0.72", "0,72"), "loss is '0,72'"),
    "fractions and percent": (table(score=(0.5, 60, 70, 80)), "accuracy is 0.5 in one .* and 80"),
    "beyond percent": (table(score=(5271, 6000, 7000, 8000)), "accuracy is 8000: expected 0 to 1"),
    "below 0": (table(score=(-0.5, 0.5, 0.5, 0.5)), "accuracy is -0.5: expected 0 to 1"),
    "a correlation": (
        table(score=(-130, 2, 3, 4), header="step,loss,eval_loss,mcc"),
        "mcc is -130: expected -1 to 1, or -100 to 100",
    ),
    "negative losses": (table([-x for x in LOSSES]), "loss is -0.72: .*log-likelihood"),
    "one negative": (table((0.7, 0.6, 0.5, -0.1)), "loss is -0.1"),
    "a negative norm": ('{"loss": 0.7, "grad_norm": -1.0}', "grad_norm is -1"),
    "NaN steps": (table(step=["nan"] * 4), "step is nan: expected numbers from 0"),
    "one NaN step": (with_step("nan"), "step is nan"),
    "negative steps": (table(step=(0, -1, -2, -3)), "step is -1"),
    "an endless step": (with_step("inf"), "step is inf"),
    "a step of 400 digits": (with_step("1" + "0" * 400), "step is inf"),
    "the same in JSON": ('{"loss": 0.7, "step": 1' + 400 * "0" + "}", "step is inf"),
    "an absurd step": (with_step("1e300"), r"step is 1e\+300"),
    "a column twice": (table(header="step,loss,loss,accuracy"), "the column loss twice"),
    "a score twice": (table(header="acc,loss,eval_loss,acc"), "the column acc twice"),
    "a loss twice in a record": ('{"loss": 0.7, "loss": 0.5}', "loss twice in one record"),
    "the same, printed": ("{'loss': 0.7, 'loss': 0.5}\n" * 2, "loss twice in one record"),
    "a header only": ("step,loss,accuracy\n", "has a header and no rows"),
    "lists of two lengths": ('{"loss": [0.7, 0.6], "accuracy": [0.5]}', "different lengths"),
    "words for losses": (table(["low"] * 4), "loss is 'low': expected a number"),
    "a nested list": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    text, said = REFUSED[name]
    with pytest.raises(BadInput, match=said) as refusal:
        read_text(text, "a log")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400


def test_what_a_run_printed_twice_is_not_sorted():
    """Two runs in one file, whose epochs differ: nobody can tell which record is of which."""
    losses = [(0.6, 0.69), (1.2, 0.69), (1.8, 0.69), (1.0, "nan"), (1.1, "nan")]
    log = read_text("\n".join(f"{{'loss': {x}, 'epoch': {e}}}" for e, x in losses), "a log")
    assert log.training.step.tolist() == [0.6, 1.2, 1.8, 1.0, 1.1] and "go back" in log.notes[0]


def test_a_score_that_may_be_anything_stays_as_it_is():
    text = table(score=(3.0, 12.0, 15.5, 0.2), header="step,loss,eval_loss,rouge")
    log = read_text(text, "a log", "rouge")
    assert log.evaluations.other.tolist() == [3.0, 12.0, 15.5, 0.2] and not log.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accuracy": 5.0}, "accuracy is 5.0"),
        ({"dev_loss": -1.0}, "a loss is -1.0"),
        ({"accuracy": "0.5"}, "looks like a run of a store"),
    ],
)
def test_a_stored_run_with_a_number_that_cannot_be(change, said):
    record = {"schema": 4, "run": {"task": "rte", "head_seed": 3}, **a_result(0.5)}
    row = {"step": 2, "accuracy": 0.5, "dev_loss": 0.7, **change}
    record["history"]["evaluations"].append(row)
    with pytest.raises(BadInput, match=said):
        read_text(json.dumps(record), "a run")


def test_a_pipe_is_no_file(tmp_path):
    """Reading one nobody writes to would have no end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is no file but a pipe"):
        read_logs(tmp_path / "pipe")
    (tmp_path / "runs").mkdir()
    os.mkfifo(tmp_path / "runs" / "a.json")
    with pytest.raises(BadInput, match="is no file but a pipe"):
        read_logs(tmp_path)
    with pytest.raises(BadInput, match="is no file but a pipe"):
        read_logs(type(tmp_path)("/dev/zero"))


def test_a_correlation_of_one_constant_answer():
    """scipy's is nan there: 0, but where the dev loss is no number either, or a cell is missing."""
    rows = [(0.6, 0.9), (0.6, "nan"), ("nan", "nan")]
    printed = "\n".join(f"{{'eval_loss': {loss}, 'eval_pearson': {x}}}" for loss, x in rows)
    log = read_text(f"{{'loss': 0.7}}\n{printed}\n{{'train_runtime': 1.0}}", "a log")
    assert log.evaluations.other[:2].tolist() == [0.9, 0.0]
    assert math.isnan(log.evaluations.other[2]) and log.evaluations.broken.tolist()[2]
    assert "is no number (nan) in 1 of 3 evaluations, which is what one constant" in log.notes[0]
    text = "step,loss,eval_loss,pearson\n1,0.7,nan,nan\n2,nan,0.6,nan\n3,nan,0.6,nan\n"
    log = read_text(text, "a table")
    assert log.evaluations.known("other")[1].tolist() == [0.0, 0.0]
    assert judge(log, chance_of(log)).shape == NEVER
    log = read_text(text.replace("pearson", "accuracy"), "a table")
    assert not len(log.evaluations.known("other")[0]) and not log.notes


def test_the_step_that_is_shown_has_the_comma():
    log = read_text(table(step=("500", "1,000", "1,500", "2,000")), "a log")
    assert "such as '1,000':" in log.notes[0]

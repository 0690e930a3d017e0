"""A stored record that cannot be what training returned is set aside with a line and its run
trained again; status does not count it. Each row is what somebody, or a damaged disk, might make
of a right record."""

import json
import math
import os

import pytest
from builders import a_result

from experiments.finetuning.errors import BadInput
from experiments.finetuning.own import OwnData
from experiments.finetuning.run import Run
from experiments.sweeps import store
from experiments.sweeps.locks import Locks
from experiments.sweeps.possible_records import possible_metrics
from experiments.sweeps.status import status

RUN = Run("m", "d", "rte", learning_rate=2e-5, bias_correction=False)
RUNS = {
    "accuracy": RUN,
    "matthews_correlation": Run("m", "d", "cola", 2e-5, False),
    "f1": Run("m", "d", "mrpc", 2e-5, False, epochs=1),
}


def outcome(**changed):
    return lambda record: record["outcome"].update(changed)


def without(part, name):
    return lambda record: record[part].pop(name)


def both(**changed):
    """In the outcome and at the last evaluation."""

    def change(record):
        record["outcome"].update(changed)
        record["history"]["evaluations"][-1].update(changed)

    return change


def evaluation(place, **changed):
    return lambda record: record["history"]["evaluations"][place].update(changed)


def history(name, *path):
    """Set an element of a list of the history: indices, then the value."""

    def change(record):
        part = record["history"]
        for key in (name, *path[:-2]):
            part = part[key]
        part[path[-2]] = path[-1]

    return change


def replaced(name, value):
    return lambda record: record["history"].update({name: value})


IMPOSSIBLE = {
    "score above 1": (both(score=5.0, accuracy=5.0), "its accuracy is 5.0"),
    "score below 0": (both(score=-0.5, accuracy=-0.5, failed=True), "its accuracy is -0.5"),
    "score as text": (both(score="0.5", accuracy="0.5"), "its score is '0.5' and no number"),
    "score true": (both(score=True, accuracy=True), "its score is 'True' and no number"),
    "score NaN": (both(score=math.nan, accuracy=math.nan), "its score is nan"),
    "score null": (outcome(score=None), "its score is 'None' and no number"),
    "score endless": (both(score=10**400, accuracy=10**400), "no number"),
    "another score": (outcome(score=0.8), "its score is 0.8 and its accuracy 0.75"),
    "another score everywhere": (
        both(score=0.76, accuracy=0.76), "its score is 0.76, which is no share of 40 examples",
    ),
    "another last evaluation": (
        evaluation(-1, accuracy=0.8), "its accuracy is 0.75, its last evaluation's 0.8",
    ),
    "failed turned round": (outcome(failed=True), "its failed is True with a score of 0.75"),
    "failed as a number": (outcome(failed=0), "its failed is '0' and not true or false"),
    "diverged turned round": (
        outcome(diverged=True, failed=True), "its diverged is True with a last loss of 0.7",
    ),
    "level too low for two classes": (outcome(majority_level=0.2), "its majority_level is 0.2"),
    "level of no share": (outcome(majority_level=0.66), "its majority_level is 0.66, which is no"),
    "level above 1": (outcome(majority_level=52.7, failed=True), "its majority_level is 52.7"),
    "another metric": (both(metric="f1", f1=0.75), "its metric is 'f1' and not rte's"),
    "no metric": (outcome(metric="bleu"), "its metric is 'bleu'"),
    "another metric out of range": (both(f1=1.5), "its f1 is 1.5"),
    "dev loss below 0": (both(dev_loss=-1.0), "a loss is '-1.0'"),
    "dev loss as text": (both(dev_loss="0.7"), "its dev_loss is '0.7' and no number"),
    "dev loss infinite": (both(dev_loss=math.inf), "its diverged is False"),
    "a training loss below 0": (history("train_loss", 2, -0.1), "a loss is '-0.1'"),
    "a training loss NaN": (history("train_loss", 2, math.nan), "not finite before its end"),
    "a training loss null": (history("train_loss", 2, None), "a loss is 'None'"),
    "no train_loss": (without("outcome", "train_loss"), "it lacks 'train_loss'"),
    "another train_loss": (outcome(train_loss=0.1), "its train_loss is 0.1 and not its last epoch"),
    "no level": (without("outcome", "majority_level"), "it lacks 'majority_level'"),
    "no entropy": (without("outcome", "label_entropy"), "it lacks 'label_entropy'"),
    "no accuracy": (without("outcome", "accuracy"), "it lacks 'accuracy'"),
    "no seconds": (without("outcome", "seconds"), "it lacks 'seconds'"),
    "no history": (lambda record: record.pop("history"), "it lacks 'history'"),
    "seconds below 0": (outcome(seconds=-5), "it took -5 seconds"),
    "seconds without end": (outcome(seconds=math.inf), "it took inf seconds"),
    "parameters as text": (outcome(trained_parameters="many"), "its trained_parameters is 'many'"),
    "a number as device": (outcome(device=3), "its device is '3' and no text"),
    "lines as version": (outcome(torch_version="2\n3"), "and no text"),
    "seconds as text": (outcome(seconds="5"), "its seconds is '5' and no number"),
    "steps below 0": (outcome(steps=-1), "its steps is '-1'"),
    "half a step": (outcome(steps=6.0), "its steps is '6.0'"),
    "fewer steps": (outcome(steps=5), "it has 6 training losses of 5 steps"),
    "no whole epochs": (
        lambda record: (
            record["outcome"].update(steps=5),
            record["history"]["train_loss"].pop(),
            record["history"]["evaluations"][-1].update(step=5),
        ),
        "it has 5 steps in 3 epochs",
    ),
    "a share above 1": (outcome(unknown_tokens=26.0), "its unknown_tokens is 26.0"),
    "a field of the run": (outcome(learning_rate=1.0), "its outcome has learning_rate"),
    "a list": (outcome(note=[1]), "its note is no single value"),
    "evaluations in another order": (
        lambda record: record["history"]["evaluations"].reverse(), "do not go from step 0 to step",
    ),
    "no first evaluation": (
        lambda record: (
            record["history"]["evaluations"].pop(0), record["history"]["dev_margins"].pop(0),
        ),
        "do not go from step 0",
    ),
    "an evaluation out of range": (evaluation(0, accuracy=1.2), "an evaluation's accuracy is '1.2"),
    "an evaluation as text": (evaluation(0, accuracy="0.5"), "an evaluation's accuracy is '0.5'"),
    "a half out of range": (
        lambda record: [
            each.update(
                selection_score=9.0, selection_loss=0.7, reporting_score=0.5, reporting_loss=0.7
            )
            for each in record["history"]["evaluations"]
        ],
        "an evaluation's selection_score is '9.0'",
    ),
    "no answers": (replaced("dev_margins", ["", ""]), "it lacks answers of its evaluations"),
    "answers cut": (history("dev_margins", 1, "AAAA"), "answers of different numbers of examples"),
    "answers of no base64": (history("dev_margins", 1, "!" * 40), "it cannot be read (Error)"),
    "no gradient norms": (
        replaced("gradient_norm_of", ["classifier"]), "0 records of gradient norms, expected 1",
    ),
    "a gradient norm below 0": (
        lambda record: record["history"].update(
            gradient_norm_of=["classifier"], gradient_norms=[[-1.0]]
        ),
        "a gradient norm is no number or negative",
    ),
    "norms never": (replaced("gradient_norm_every", 0), "of every '0' steps"),
    "another rate": (
        lambda record: record["run"].update(learning_rate=1e-3), "not hold the run its name says",
    ),
    "another schema": (lambda record: record.update(schema=3), "not hold the run its name says"),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_impossible_record_is_set_aside(case, tmp_path, capsys):
    change, said = IMPOSSIBLE[case]
    store.save(tmp_path, RUN, a_result())
    path = tmp_path / "runs" / f"{RUN.id}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    assert store.stored(tmp_path) == []
    assert store.load(tmp_path, RUN) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and line.endswith("; the run is trained again"), line
    assert not path.exists() and path.with_suffix(".set-aside").exists()


def test_a_record_with_a_field_that_is_unknown_here_is_left_alone(tmp_path):
    """A later version's: fields come without another schema."""
    store.save(tmp_path, RUN, a_result())
    path = tmp_path / "runs" / f"{RUN.id}.json"
    record = json.loads(path.read_text())
    record["run"]["rank_of_tomorrow"] = 0
    path.write_text(json.dumps(record))
    with pytest.raises(BadInput, match="another version of this code .its run has a rank_of_tom"):
        store.load(tmp_path, RUN)
    assert json.loads(path.read_text()) == record


@pytest.mark.parametrize("diverged", [False, True])
@pytest.mark.parametrize("metric", RUNS)
def test_a_possible_record_is_kept(metric, diverged, tmp_path, capsys):
    for score in (0.0, 0.5, 0.75, 1.0):
        store.save(tmp_path, RUNS[metric], a_result(score, diverged=diverged, metric=metric))
        found = store.load(tmp_path, RUNS[metric])
        assert found["outcome"]["failed"] == (
            diverged or score <= found["outcome"]["majority_level"]
        )
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "metrics"),
    [
        (None, ("accuracy", "entity_f1", "token_f1")),
        ("f1", ("f1",)),
        ("spearman", ("spearman",)),
    ],
)
def test_metrics_of_data_of_ones_own(asked, metrics):
    source = OwnData("/elsewhere.csv", ("text",), "label", asked).as_text()
    run = Run("m", "d", "own:elsewhere", 1e-3, True, data_source=source)
    assert possible_metrics(run) == metrics


UNREADABLE = {
    "nested": (lambda path: path.write_text("[" * 200_000), "(nested too deeply)"),
    "nested objects": (lambda path: path.write_text('{"a":' * 100_000), "(nested too deeply)"),
    "a pipe": (os.mkfifo, "(no regular file)"),
    "a folder": (lambda path: path.mkdir(), "(no regular file)"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "(no regular file)"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), "(UnicodeDecodeError)"),
    "cut": (lambda path: path.write_text('{"run": '), "(JSONDecodeError)"),
    "a long number": (lambda path: path.write_text("1" * 5000), "(Exceeds the limit"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read(case, tmp_path, capsys):
    """As a run, as what was measured, as a crash, a lock or the commits: never waited for."""
    make, said = UNREADABLE[case]
    for folder in ("runs", "crashed", "locks"):
        (tmp_path / folder).mkdir()
    path, measured = tmp_path / "runs" / f"{RUN.id}.json", tmp_path / "measured.json"
    for there in (path, measured, tmp_path / "crashed" / "a.json", tmp_path / "commits.json"):
        make(there)
    assert status(tmp_path)["unused"] == ["1 files, damaged or of another version of this code"]
    assert status(tmp_path)["crashed"] == ["a: its file cannot be read"]
    assert store.moved(tmp_path, [RUN], keep=False) == []
    assert store.load(tmp_path, RUN) is None and store.read_measured(measured) is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(said in line for line in lines), lines
    assert not path.exists() and not measured.exists()


@pytest.mark.parametrize("content", ["[1]", "3", "null", '{"nyu-mll/glue": 5}'])
def test_commits_that_are_none(content, tmp_path):
    (tmp_path / "commits.json").write_text(content)
    run = Run("m", "nyu-mll/glue@" + "a" * 40, "rte", 1e-3, True)
    warnings = store.moved(tmp_path, [run], keep=True)
    assert len(warnings) == ("5" in content)
    assert store.moved(tmp_path, [run], keep=True) == []


def test_a_lock_whose_holder_cannot_be_read(tmp_path):
    with Locks(tmp_path) as locks:
        assert locks.claim("mine")
        (tmp_path / "locks" / "mine").write_text("[" * 200_000)
        assert Locks(tmp_path).held_elsewhere() == {"mine": "somebody"}

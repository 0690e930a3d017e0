"""Data of one's own with a label a word: what is read, and one line for what cannot be."""

import json

import numpy as np
import pytest
from conftest import SHARED, options

from experiments import oscillating_scores
from experiments.finetuning import own
from experiments.finetuning.errors import BadInput
from experiments.finetuning.tasks import load_splits, task_of

TRAIN = (
    "-DOCSTART- -X- O\n\nEmpire NNP B-place\nState NNP I-place\nstands VBZ O\n\t\n"
    "# a comment\nShe\tB-person\n#wow\tO\nleft\tO\n"
)


def folder(tmp_path, train=TRAIN, dev="He B-person\nleft O\n\nState I-place\n"):
    (tmp_path / "train.conll").write_text(train, encoding="utf-8")
    if dev:
        (tmp_path / "dev.conll").write_text(dev, encoding="utf-8")
    return tmp_path


def loaded(path, *columns):
    return own.load(own.asked_for(str(path), columns[:-1], columns[-1] if columns else None, None))


def test_a_word_that_is_a_number_sign(tmp_path):
    _, splits, _, _ = loaded(
        folder(tmp_path, "# a comment\n# text\n# O\nBerlin B-place\nis O\n\n" * 6, "")
    )
    assert ("#", "Berlin", "is") in splits["train"].texts + splits["dev"].texts


def test_conll_by_hand(tmp_path):
    task, splits, identity, remarks = loaded(folder(tmp_path))
    assert task.labels == ("O", "B-person", "B-place", "I-place") and task.metric == "entity_f1"
    assert splits["train"].texts == [("Empire", "State", "stands"), ("She", "#wow", "left")]
    assert [labels.tolist() for labels in splits["train"].labels] == [[2, 3, 0], [1, 0, 0]]
    assert splits["dev"].texts == [("He", "left"), ("State",)]
    assert remarks == ["dev has 1 I- without a B- before: each starts an entity"]
    own.load.cache_clear()
    assert identity != loaded(folder(tmp_path, dev="He B-person\n"))[2]


def test_lists_of_words_and_labels(tmp_path):
    rows = [{"words": ["a", "b c"], "tags": ["x", "y"]}, {"words": ["d"], "tags": ["y"]}] * 5
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    task, splits, _, remarks = loaded(tmp_path, "words", "tags")
    assert task.labels == ("x", "y") and task.metric == "token_f1"
    assert len(splits["train"].labels) == 8 and len(splits["dev"].labels) == 2
    assert any("no dev part" in remark for remark in remarks)
    assert any("no label O" in remark for remark in remarks)
    assert ("a", "b c") in splits["train"].texts


BAD = {
    "a word alone": ("State\n", "line 1: 'State'; expected a word and its label"),
    "no word": ("a O\n\tB-x\n", "line 2"),
    "one enormous sentence": ("word O\n" * 1001, "more than 1,000 words; expected an empty line"),
    "no words": ("\n\n", "has no words"),
    "one label": ("a O\nb O\n", "all words of train are 'O'"),
    "another scheme": (
        "State I-place\na B-person\nb E-x\nc O\n" * 3,
        "E-x beside B-",
    ),
    "dev knows more": ("a O\nb B-person\n" * 3, "dev has labels that train has not: I-place"),
    "a missing value": ("a O\nb B-person\nc I-place\nd null\n" * 3, "'null' (3 words) is the name"),
    "an invisible letter": (
        "a O\nb B-person\nc I-place\nd B-person\u200b\n" * 3,
        "'B-person' (3 words) and 'B-person\\u200b' (3 words) look the same",
    ),
    "labels do not repeat": ("a I-place\nb O\nc B-person\n", "3 different labels"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_in_one_line(tmp_path, name):
    train, said = BAD[name]
    with pytest.raises(BadInput) as error:
        loaded(folder(tmp_path, train))
    assert said in str(error.value) and "\n" not in str(error.value)


ONE = "Bonn B-place\nis O\n"
WORDS = "a X\nb O\n\n" * 3


@pytest.mark.parametrize(
    ("train", "dev", "said"),
    [
        (f"{ONE}\n{ONE}", "", "dev drawn from it: dev has 0 sentences, not one word"),
        (f"{ONE}\n{ONE}", "is O\n\nwas O\n", "dev has 2 sentences, all words 'O'"),
        (WORDS, "b O\n", "dev has 1 sentences, all words 'O'"),
        (WORDS, "a X\n", "dev has 1 sentences, all words 'X'"),  # X for every word is perfect
    ],
)
def test_a_part_on_which_every_run_would_fail(tmp_path, train, dev, said):
    with pytest.raises(BadInput, match=said):
        loaded(folder(tmp_path, train, dev))


def test_labels_that_differ_in_case_only_are_said(tmp_path):
    train = "a O\nb B-person\nc I-place\nd b-person\n" * 3
    remarks = loaded(folder(tmp_path, train))[3]
    said = "the labels 'B-person' (3 words) and 'b-person' (3 words) are two classes"
    assert any(line.startswith("warning: ") and said in line for line in remarks)


def test_no_utf_8(tmp_path):
    folder(tmp_path)
    (tmp_path / "train.conll").write_bytes("caf\xe9 O\n".encode("latin-1"))
    with pytest.raises(BadInput, match="not UTF-8 at byte 3"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"words": ["a", "b"], "tags": ["x"]}, "row 2: 2 in words and 1 in tags"),
        ({"words": ["a", " "], "tags": ["x", "x"]}, "row 2: words has an empty word"),
        ({"words": ["a"], "tags": [""]}, "row 2: a word without a label"),
    ],
)
def test_bad_lists_in_one_line(tmp_path, row, said):
    rows = [{"words": ["a", "b"], "tags": ["x", "y"]}, row]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(BadInput, match=said):
        loaded(tmp_path, "words", "tags")


def test_a_metric_is_not_asked_for(tmp_path):
    source = own.asked_for(str(folder(tmp_path)), (), None, "accuracy")
    with pytest.raises(BadInput, match="no --metric"):
        own.load(source)


def test_planned_by_flags(tmp_path, capsys):
    """Both schedules on one's own data; what has no label a word is left out with a line."""
    arguments = ["--data", str(folder(tmp_path)), "--epochs", "2", "--seeds", "1"]
    runs = oscillating_scores.planned(options(oscillating_scores.EXPERIMENT, *arguments))
    assert [
        (run.task, run.schedule, run.warmup_ratio, run.evaluations_per_epoch) for run in runs
    ] == [(f"own:{tmp_path.name}", schedule, 0.0, 1) for schedule in ("linear", "constant")]
    assert task_of(runs[0].task, runs[0].data_source).kind == "tokens"
    assert capsys.readouterr().err == ""
    assert (
        oscillating_scores.planned(options(oscillating_scores.EXPERIMENT, "--tasks", "rte")) == []
    )
    assert "no task with a label a word" in capsys.readouterr().err


def test_wnut17_is_read():
    data = SHARED / "own" / "wnut17"
    if not data.is_dir():
        pytest.skip(f"{data} is not on this machine")
    task, splits, *_ = loaded(data)
    assert [len(splits[part].labels) for part in ("train", "dev")] == [3394, 1009]
    assert len(np.concatenate(list(splits["train"].labels))) == 62730
    assert len(task.labels) == 13 and task.metric == "entity_f1"
    assert load_splits(task.name, own.asked_for(str(data), (), None, None)) is splits

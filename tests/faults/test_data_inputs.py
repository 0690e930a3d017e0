"""Data, stores and commands: what each input leads to. The ids are those of a list of inputs that
once ended wrong."""

import json

import numpy as np
import pytest
from builders import a_result

from experiments import catastrophic_forgetting
from experiments.finetuning import loading
from experiments.finetuning.errors import BadInput
from experiments.finetuning.metrics import all_metrics, majority_level
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import load_splits, subset_rows
from experiments.finetuning.texts import load_text
from experiments.sweeps import store
from experiments.sweeps.command import parse
from experiments.sweeps.flags import parser
from experiments.sweeps.rows import row, write_csv

HEADER = "index\tsentence1\tsentence2\tlabel\n"
ROW = "0\tA cat sat.\tIt sat.\tentailment\n"
OTHER = "1\tA cat sat.\tIt ran.\tnot_entailment\n"


@pytest.fixture
def rte(tmp_path):
    """A function that writes a training set and a dev set and reads them; dev is GLUE's number of
    rows."""

    def read(train, dev="", name="train_subset_2.tsv"):
        folder = tmp_path / "RTE"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(train)
        (folder / "dev.tsv").write_text(dev or HEADER + ROW + OTHER * 276)
        load_splits.cache_clear()
        return load_splits("rte", str(tmp_path))

    return read


REFUSED = {
    "S9": (HEADER + ROW.replace("cat sat", "cat\tsat") + OTHER, "line 2: 5 columns, expected 4"),
    "S9 spreadsheet": (
        HEADER + ROW.replace("It sat.", '"It ""sat""."') + OTHER,
        "line 2: a cell in quotation marks",
    ),
    "S11 no header": (ROW + OTHER, "line 1: .* expected a header"),
    "S11 another header": (HEADER.replace("label", "gold") + ROW + OTHER, "line 1: .* expected a"),
    "S15 train": (HEADER + ROW * 2, "no example is labelled not_entailment"),
    "rows": (HEADER + ROW, "1 rows, expected 2"),
    "NUL": (HEADER + ROW.replace("cat", "c\0t") + OTHER, "NUL bytes"),
    "blank line": (HEADER + ROW + "\n" + OTHER, "line 3: 1 columns, expected 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, rte):
    text, said = REFUSED[case]
    with pytest.raises(BadInput, match=said) as refusal:
        rte(text)
    assert "\n" not in str(refusal.value)


def test_an_empty_sentence_is_said(rte, tmp_path, tiny_run):
    empty = ROW.replace("A cat sat.", " ")
    rte(HEADER + empty + OTHER)
    run = tiny_run(data="d", data_source=str(tmp_path))
    assert "1 of 2 train examples of rte lack a text" in inspect_inputs_of(run)


def inspect_inputs_of(run):
    """Its warnings, whatever the vocabulary makes of the words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "check_vocabulary", lambda *_: [])
        return loading.inspect_inputs(run)


def test_t2_an_empty_part(rte):
    with pytest.raises(BadInput, match="0 rows, expected some"):
        rte(HEADER, name="train_subset_0.tsv")


def test_s15_one_class_in_dev(rte):
    with pytest.raises(BadInput, match="dev.tsv: no example is labelled entailment"):
        rte(HEADER + ROW + OTHER, dev=HEADER + OTHER * 277)


def test_s11_columns_are_found_by_their_names(rte):
    swapped = "index\tsentence2\tsentence1\tlabel\n0\tsecond\tfirst\tentailment\n"
    train = rte(swapped + "1\tb\ta\tnot_entailment\n")["train"]
    assert train.texts == [("first", "second"), ("a", "b")]


def test_s12_a_part_says_so_in_its_rows(rte, tmp_path):
    rte(HEADER + ROW + OTHER)
    assert subset_rows("rte", str(tmp_path)) == 2
    assert subset_rows("rte", "mini") is None
    run = Run("m", "d", "rte", 1e-3, True, data_source=str(tmp_path))
    record = {"run": {**vars(run)}, **a_result()}
    assert row(record)["train_subset"] == 2
    whole = {"run": {**vars(Run("m", "d", "rte", 1e-3, True, data_source="mini"))}, **a_result()}
    assert "train_subset" not in row(whole)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews_correlation"])
@pytest.mark.parametrize("ones", [3, 10, 17])
def test_s14_the_level_is_the_best_constant_answer(metric, ones):
    labels = np.array([1] * ones + [0] * (20 - ones))
    constant = [all_metrics(np.full(20, answer), labels)[metric] for answer in (0, 1)]
    assert majority_level(metric, labels) == max(constant)


def test_t4_measurements_that_cannot_be_trusted_are_set_aside(tmp_path, capsys):
    for content in ("", "[", "{}", "[]", "[[1]]"):
        path = tmp_path / "a.json"
        path.write_text(content)
        assert store.read_measured(path, rows=2) is None
        assert not path.exists()
        assert "measured again" in capsys.readouterr().err
    path.write_text("[1, 2]")
    assert store.read_measured(path, rows=2) == [1, 2]
    assert store.read_measured(tmp_path / "nowhere.json") is None


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([{"loss": 0.5}, {"loss": 0}], True),
        ([{"loss": float("nan")}], True),
        ([{"loss": 0.5}, {"loss": -0.5}], False),
        ([{"loss": "0.5"}], False),
        ([{"loss": None}], False),
        ([{"los": 0.5}], False),
        ([[0.5]], False),
        ([0.5], False),
    ],
)
def test_measurements_that_cannot_be(rows, kept, tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    assert (store.read_measured(path, lowest={"loss": 0.0}) is not None) == kept == path.exists()
    assert len(capsys.readouterr().err.splitlines()) == (not kept)


def test_u9_text_that_is_none(tmp_path, tiny_model):
    (tmp_path / "wiki.test.raw").write_bytes(b"\xff\xfe x")
    with pytest.raises(BadInput, match="not UTF-8 at byte 0"):
        load_text(str(tmp_path))
    (tmp_path / "wiki.test.raw").write_text("zqx " * 500)  # none of mini's words
    p = parser("")
    catastrophic_forgetting.add_flags(p)
    arguments = ["--model", str(tiny_model), "--text", str(tmp_path), "--results", str(tmp_path)]
    with pytest.raises(BadInput, match="no token that can be predicted"):
        catastrophic_forgetting.planned(parse(p, arguments))


@pytest.mark.parametrize("kind", ["distilbert", "electra", "modernbert"])
def test_t3_a_head_that_could_not_be_used_is_refused_before_training(kind, tmp_path, tiny_model):
    """And without --fit-head the text does not say that the model has no head."""
    config = json.loads((tiny_model / "config.json").read_text())
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    p = parser("")
    catastrophic_forgetting.add_flags(p)
    flags = ["--model", str(tmp_path), "--plain", "--fit-head", "--results", str(tmp_path / "r")]
    with pytest.raises(BadInput, match=f"--fit-head: .* of type {kind}"):
        catastrophic_forgetting.planned(parse(p, flags))
    flags.remove("--fit-head")
    reason = catastrophic_forgetting.unmeasured(parse(p, flags))
    assert f"is of type {kind}" in reason and "no masked-LM head" not in reason


def test_l3_a_tilde_is_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(parser(""), ["--results=~/x"]).results == tmp_path / "x"


def test_l6_a_csv_that_gets_shorter_says_so(tmp_path, capsys):
    path = tmp_path / "a.csv"
    write_csv(path, [{"run": i, "seed": i} for i in range(3)])
    assert not capsys.readouterr().err
    write_csv(path, [{"run": 1, "seed": 1}])
    assert "1 rows, 3 before" in capsys.readouterr().err

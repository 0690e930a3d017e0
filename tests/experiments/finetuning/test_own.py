"""Data of one's own: every format gives the same task, labels and classes as decided, and what
cannot be trained on ends in one line."""

import json
import os
from dataclasses import replace
from functools import partial

import datasets
import numpy as np
import pandas as pd
import pytest
from conftest import options

from analysis.shared import names
from experiments import bias_correction
from experiments.finetuning import metrics, own
from experiments.finetuning.errors import BadInput
from experiments.finetuning.tasks import identify_data, load_splits, task_of, train_rows
from experiments.finetuning.training import train
from experiments.sweeps.rows import row
from experiments.sweeps.sweep import sweep

WORDS = ("the dog", "a cat", "two ships", "an old bird", "every sailor", "some cook")
LABELS = ("low", "middle", "high")


def rows_of(count):
    """Rows of three classes in turn."""
    return [
        {"text": f"{WORDS[i % 6]}, seen {i}", "label": LABELS[i % 3], "id": i} for i in range(count)
    ]


def asked(data, text=("text",), label="label", metric=None):
    return own.asked_for(str(data), text, label, metric)


def written(folder, rows):
    """The rows in each format: name -> path."""
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "table.csv", index=False)
    (folder / "table.tsv").write_text(
        "\n".join(["\t".join(frame)] + ["\t".join(map(str, line)) for line in frame.to_numpy()])
    )
    frame.to_json(folder / "table.jsonl", orient="records", lines=True)
    frame.to_json(folder / "table.json", orient="records")
    frame.to_parquet(folder / "table.parquet")
    return {path.suffix: path for path in folder.glob("table.*")}


def test_every_format_is_the_same_task(tmp_path):
    files = written(tmp_path, rows_of(30))
    loaded = {suffix: own.load(asked(path)) for suffix, path in files.items()}
    assert len(loaded) == 5 and len({one.identity for one in loaded.values()}) == 1
    one = loaded[".csv"]
    assert one.task.labels == ("high", "low", "middle") and one.task.metric == "accuracy"
    assert one.task.outputs == 3 and one.task.name == "own:table"
    source = asked(files[".csv"])
    assert identify_data("own:table", source) == one.identity
    assert one.identity.startswith("own:table@") and one.identity.endswith(" text to label")
    assert train_rows("own:table", source) == 24 and task_of("own:table", source) == one.task
    splits = load_splits("own:table", source)
    for split in splits.values():
        for (text,), label in zip(split.texts, split.labels, strict=True):
            assert one.task.labels[label] == LABELS[int(text.split()[-1]) % 3]
    assert [len(split.labels) for split in splits.values()] == [24, 6]
    assert np.bincount(splits["dev"].labels).tolist() == [2, 2, 2]  # class by class
    assert "no dev part: 6 of the 30 rows" in one.remarks[0]
    assert names.task_name(one.task.name, one.identity) == "table"
    assert not names.is_mini(one.identity)


def test_other_columns_labels_and_metrics_are_other_runs(tmp_path):
    path = written(tmp_path, rows_of(30))[".csv"]
    other = written(tmp_path / "..", rows_of(33))[".csv"]
    sources = [
        asked(path),
        asked(path, metric="f1"),
        asked(path, text=("text", "id")),
        asked(other),
    ]
    assert len({own.load(source).identity for source in sources}) == 4


@pytest.mark.parametrize("dev", ["dev", "validation", "val", "eval", "test"])
def test_a_folder(tmp_path, dev):
    pd.DataFrame(rows_of(12)).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame(rows_of(9)).to_json(tmp_path / f"{dev}.jsonl", orient="records", lines=True)
    if dev != "test":
        pd.DataFrame(rows_of(3)).to_csv(tmp_path / "test.csv", index=False)
    loaded = own.load(asked(tmp_path))
    assert [len(split.labels) for split in loaded.splits.values()] == [12, 9]
    assert loaded.task.name == f"own:{tmp_path.name}"
    assert loaded.remarks[-1] == "9 of 9 dev texts stand in train too"
    assert len(loaded.remarks) == 1 + (dev == "test")


def test_the_hub_likewise(tmp_path, monkeypatch):
    """A label that is a number with a name there is called by it."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    table = {"text": [f"text {i}" for i in range(8)], "label": [0, 1] * 4}
    part = datasets.Dataset.from_dict(table, features=features)
    loaded = datasets.DatasetDict({"train": part, "validation": part})
    calls = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *names, **more: calls.append((names, more)) or loaded
    )
    found = own.load(asked("somebody/reviews:english@v2", metric="f1"))
    assert calls == [(("somebody/reviews", "english"), {"revision": "v2"})]
    assert found.task.labels == ("no", "yes") and len(found.splits["dev"].labels) == 8
    assert "f1 is that of the class 'yes'" in found.remarks


def test_numbers(tmp_path):
    """A regression; whole numbers as classes in their order, however written."""
    frame = pd.DataFrame({"a": ["x"] * 30, "b": ["y"] * 30, "score": np.arange(30) / 10})
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    loaded = own.load(asked(tmp_path / "pairs.csv", ("a", "b"), "score", "spearman"))
    assert loaded.task.outputs == 1 and loaded.task.labels == ()
    assert loaded.splits["train"].labels.dtype == np.float32
    assert loaded.splits["train"].texts[0] == ("x", "y") and len(loaded.splits["dev"].labels) == 6
    frame.assign(score=[2.0, 10.0] * 15).to_csv(tmp_path / "whole.csv", index=False)
    assert own.load(asked(tmp_path / "whole.csv", ("a",), "score")).task.labels == ("2", "10")
    frame.assign(score=1000 * frame["score"]).to_csv(tmp_path / "large.csv", index=False)
    far = own.load(asked(tmp_path / "large.csv", ("a",), "score", "pearson"))
    assert any("scale them" in remark for remark in far.remarks)


def test_labels_longer_than_a_float_and_a_header_below_blank_cells(tmp_path):
    long = [9007199254740992, 9007199254740993]
    rows = [json.dumps({"text": f"{i}", "label": long[i % 2]}) for i in range(30)]
    (tmp_path / "long.jsonl").write_text("\n".join(rows))
    assert own.load(asked(tmp_path / "long.jsonl")).task.labels == tuple(map(str, long))
    lines = ["", ",", " ,", "text,label", *[f"{i},{'yes' if i % 2 else 'no'}" for i in range(30)]]
    (tmp_path / "below.csv").write_text("\n".join(lines))
    below = own.load(asked(tmp_path / "below.csv"))
    assert sum(len(split.texts) for split in below.splits.values()) == 30
    numbers = pd.DataFrame({"text": ["x"] * 30, "score": [*range(29), 1e39]})
    numbers.to_csv(tmp_path / "huge.csv", index=False)
    with pytest.raises(BadInput, match="1e[+]39.*expected a finite number"):
        own.load(asked(tmp_path / "huge.csv", label="score", metric="pearson"))


def test_what_is_read_as_it_stands(tmp_path):
    """NA and null are words; quotation marks, commas and line breaks inside quoted cells; blanks
    around names, labels and separators; a byte-order mark; brackets in the name."""
    path = tmp_path / "odd [1].csv"
    lines = ["\ufefftext , label", '"NA, he said ""no""', 'then", yes ', "null,no", "", '"b",yes']
    lines += ["None,no", "c,yes\r", "d,no\r", ", ", "c,yes", "d,no", " ,", ""]
    path.write_bytes("\n".join(lines).encode())
    loaded = own.load(asked(path))
    texts = sorted(text for split in loaded.splits.values() for (text,) in split.texts)
    assert texts[:2] == ['NA, he said "no"\nthen', "None"] and "null" in texts and len(texts) == 8
    assert loaded.task.labels == ("no", "yes")
    assert any("2 rows without text and label are left out" in line for line in loaded.remarks)


def test_a_large_table(tmp_path, monkeypatch):
    """Dev has 2,000 rows at most, and a line says what an epoch is."""
    monkeypatch.setattr(own, "MANY_ROWS", 10_000)
    rows = [f"text {i},{i % 2}" for i in range(14_000)]
    (tmp_path / "large.csv").write_text("\n".join(["text,label", *rows]))
    loaded = own.load(asked(tmp_path / "large.csv"))
    assert [len(split.labels) for split in loaded.splits.values()] == [12_000, 2_000]
    assert "12,000 training examples are 750 steps of 16 an epoch" in loaded.remarks[-1]


HEAD, GOOD = "text,label\n", "text,label\na,x\nb,y\nc,x\nd,y\n"
BAD = {  # files by name, what else is asked for, what the line says
    "an unknown column": ({"t.csv": GOOD}, {"text": ["body"]}, "no column 'body': expected of 'te"),
    "another separator": ({"t.csv": "text;label\na;x\nb;y\n"}, {}, "its separator is no comma"),
    "tabs in .csv": ({"t.csv": "text\tlabel\na\tx\nb\ty\n"}, {}, "its separator is no comma"),
    "a cell too many": ({"t.csv": GOOD + "e, and f,x\n"}, {}, "line 6: 3 cells, expected 2"),
    "a cell too many everywhere": ({"t.csv": HEAD + "a,x,1\nb,y,2\n"}, {}, "line 2: 3 cells"),
    "a cell too few": ({"t.csv": GOOD + "e\n"}, {}, "line 6: 1 cells, expected 2"),
    "an open quotation mark": ({"t.csv": GOOD + '"e,x\n'}, {}, "unexpected end of data"),
    "a quoted .tsv": ({"t.tsv": 'text\tlabel\n"a ""b"" c"\tx\n'}, {}, "save the table as .csv"),
    "a column twice": ({"t.csv": "text,label,text\na,x,b\n"}, {}, "has the column 'text' twice"),
    "no UTF-8": ({"t.csv": b"text,label\ncaf\xe9,x\n"}, {}, "not UTF-8 at byte 14"),
    "no UTF-8 in JSON": ({"t.jsonl": b'{"text": "caf\xe9"}\n'}, {}, "not UTF-8 at byte 13"),
    "UTF-16": ({"t.csv": GOOD.encode("utf-16")}, {}, "not UTF-8 at byte 0"),
    "NUL": ({"t.csv": GOOD + "e\0,x\n"}, {}, "NUL bytes"),
    "an empty file": ({"t.csv": ""}, {}, "is empty: expected columns and rows"),
    "blank lines only": ({"t.csv": "\n \n"}, {}, "is empty: expected columns and rows"),
    "an empty JSON file": ({"t.jsonl": ""}, {}, "is empty"),
    "a header only": ({"t.csv": HEAD}, {}, "has no rows"),
    "broken JSON": ({"t.jsonl": '{"text": "a", "label"\n'}, {}, "cannot read"),
    "JSON nested deeply": (
        {"t.jsonl": '{"text": "a", "label": ' + "[" * 9000 + "]" * 9000 + "}"}, {}, "nested too",
    ),
    "JSON nested without end": ({"t.json": "[" * 100_000}, {}, "cannot read"),
    "JSON nested line by line": (
        {"t.json": '{"text": "a",\n"label":\n' + '{"a":\n' * 9000 + "1" + "}" * 9001}, {}, "nested",
    ),
    "broken Parquet": ({"t.parquet": b"PAR1 and more"}, {}, "expected an undamaged Parquet file"),
    "a list as text": (
        {"t.jsonl": '{"text": ["a"], "label": "x"}\n' * 4}, {}, "row 1: list where text was expect",
    ),
    "one class": ({"t.csv": HEAD + "a,x\nb,x\n"}, {}, "all 2 labels of"),
    "a number each": ({"t.csv": HEAD + "a,1\nb,2\nc,3\n"}, {}, "3 different labels in 3 rows"),
    "floats": ({"t.csv": HEAD + "a,1\nb,2.5\nc,1\n"}, {}, "a fraction (2.5 in row 2): expected c"),
    "words as numbers": ({"t.csv": GOOD}, {"metric": "pearson"}, "label 'x' in row 1: expected"),
    "nan as a number": (
        {"t.csv": HEAD + "a,1\nb,nan\n"}, {"metric": "spearman"}, "label 'nan' in row 2",
    ),
    "one number": ({"t.csv": HEAD + "a,2\n" * 9}, {"metric": "pearson"}, "expected numbers"),
    "an empty text": ({"t.csv": GOOD + " ,x\n"}, {}, "row 5: text empty; expected a text"),
    "a null text": (
        {"t.jsonl": '{"text": "a", "label": "x"}\n{"text": null, "label": "y"}\n'}, {},
        "row 2: text empty",
    ),
    "no label": ({"t.csv": GOOD + "e,\n"}, {}, "row 5: label is empty; expected a label"),
    "a label of dev only": (
        {"train.csv": GOOD, "dev.csv": GOOD + "e,z\n"}, {}, "labels that train has not: z",
    ),
    "dev without rows": ({"train.csv": GOOD, "dev.csv": HEAD}, {}, "dev.csv has no rows"),
    "an empty dev": ({"train.csv": GOOD, "dev.csv": ""}, {}, "dev.csv is empty"),
    "one class in dev": ({"train.csv": GOOD, "dev.csv": HEAD + "a,x\n"}, {}, "dev has 1 rows with"),
    "too few rows to split": ({"t.csv": HEAD + "a,x\nb,y\nc,x\nd,y\n"}, {}, "dev has 0 rows"),
    "dev lacks the column": (
        {"train.csv": GOOD, "dev.csv": "text,gold\na,x\n"}, {}, "dev.csv has no column 'label'",
    ),
    "no train": ({"dev.csv": GOOD}, {}, "has dev.csv: expected train and dev"),
    "nothing there": ({"notes.txt": "hello"}, {}, "has no table: expected train and dev"),
    "two trains": ({"train.csv": GOOD, "train.tsv": GOOD}, {}, "train.csv and train.tsv: expected"),
    "another ending": ({"t.xlsx": b"PK"}, {}, "expected a file that ends in .csv"),
    "the header again": (
        {"t.csv": GOOD + GOOD}, {}, "t.csv row 5 is the header again (text, label), as joining",
    ),
    "the header again in dev": (
        {"train.csv": GOOD, "dev.csv": GOOD + " text , label \n"}, {}, "dev.csv row 5 is the",
    ),
    "the label as text": ({"t.csv": GOOD}, {"text": ["text", "label"]}, "none of them"),
    "three texts": ({"t.csv": GOOD}, {"text": ["a", "b", "c"]}, "expected one or two"),
    "no label column": ({"t.csv": GOOD}, {"label": None}, "the columns of"),
}  # fmt: skip


BAD |= {
    f"{name!r} as a class": ({"t.csv": f"{GOOD}e,{name}\nf,{name}\n"}, {}, said)
    for name, said in {
        "NaN": "'NaN' (2 rows) is the name of a missing value; expected a label: leave",
        "nan": "'nan' (2 rows) is the name of a missing value",
        "NULL": "'NULL' (2 rows) is the name of a missing value",
        "N/A": "'N/A' (2 rows) is the name of a missing value",
        "<NA>": "'<NA>' (2 rows) is the name of a missing value",
        "#REF!": "'#REF!' (2 rows) is the name of a missing value",
        "\u200b": "'\\u200b' (2 rows) is the name of a missing value",
        "x\u200b": "the labels 'x' (2 rows) and 'x\\u200b' (2 rows) look the same and are not",
        "x\u2060": "'x\\u2060' (2 rows) look the same",
        "\ufeffx": "'\\ufeffx' (2 rows) look the same",
    }.items()
}
BAD |= {
    "a letter in two pieces": (
        {"t.csv": HEAD + "a,\u00e9\nb,e\u0301\n" * 2}, {}, "(2 rows) and 'e\\u0301' (2 rows) look",
    ),
    "true beside 1": (
        {"t.jsonl": '{"text": "a", "label": true}\n{"text": "b", "label": 1}\n' * 3}, {},
        "'True' (3 rows) beside '1' (3 rows) as labels; expected one of the two",
    ),
    "false beside 0": ({"t.csv": HEAD + "a,FALSE\nb,0\n" * 3}, {}, "'FALSE' (3 rows) beside '0'"),
    "NaN in JSON": (
        {"t.jsonl": '{"text": "a", "label": "x"}\n{"text": "b", "label": "NaN"}\n' * 3}, {},
        "'NaN' (3 rows) is the name of a missing value",
    ),
    "dev with an invisible letter": (
        {"train.csv": GOOD, "dev.csv": GOOD + "e,x\u200b\n"}, {}, "train has not: 'x\\u200b'; exp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_one_line(tmp_path, case):
    files, more, expected = BAD[case]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    alone = len(files) == 1 and not {"dev.csv", "notes.txt"} & set(files)
    with pytest.raises(BadInput) as found:
        own.load(asked(tmp_path / next(iter(files)) if alone else tmp_path, **more))
    text = str(found.value)
    assert expected in text and "\n" not in text and len(text) < 500, text


ODD = {  # labels of rows, as they stand in a CSV, and what is said of them
    "case": (["yes", "no", "YES"], "the labels 'yes' (4 rows) and 'YES' (4 rows) are two classes"),
    "a capital": (["Good", "good", "bad"], "'Good' (4 rows) and 'good' (4 rows) are two classes"),
    "an underscore": (["not_x", "x", "not x"], "'not_x' (4 rows) and 'not x' (4 rows) are two"),
    "width": (["x", "y", "\uff58"], "'x' (4 rows) and '\uff58' (4 rows) are two classes"),
    "a full stop": (["no", "yes", "no."], "'no' (4 rows) and 'no.' (4 rows) are two classes"),
    "quotation marks": (["no", "yes", "'no'"], "are two classes"),
    "infinite": (["0", "1", "inf"], "'inf' (4 rows) is a class"),
    "alphabet": (["no", "yes", "n\u043e"], "and 'n\u043e' (4 rows) are two classes"),
    "None": (["None", "x", "y"], "'None' (4 rows) is a class; if it stands for a missing label"),
    "a question mark": (["?", "x", "y"], "'?' (4 rows) is a class"),
    "a minus": (["-", "x", "y"], "'-' (4 rows) is a class"),
    "NA": (["NA", "x", "y"], "'NA' (4 rows) is a class"),
    "a point": (["1", "0", "1.0"], "'1' (4 rows) and '1.0' (4 rows) are taken for one label, 1"),
    "a zero before": (["7", "0", "07"], "'7' (4 rows) and '07' (4 rows) are taken for one"),
    "marks": (["!", "!!", "."], None),
    "plus and minus": (["+", "-", "+"], None),
    "GLUE's -1": (["-1", "1", "0"], "'-1' (4 rows) is a class beside '0' and '1'; GLUE on"),
    "numbers": (["-1", "1", "2"], None),
    "codes": (["1_0", "10", "1_1"], None),
    "other words": (["nanny", "none of these", "null hypothesis"], None),
    "other letters": (["é", "e", "ë"], None),
}


def warnings_of(loaded):
    return [remark for remark in loaded.remarks if remark.startswith("warning: ")]


@pytest.mark.parametrize("case", ODD)
def test_odd_labels_are_said(tmp_path, case):
    labels, said = ODD[case]
    lines = [f"text {i},{labels[i % 3]}" for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]))
    warnings = warnings_of(own.load(asked(tmp_path / "t.csv")))
    assert len(warnings) == (said is not None), warnings
    assert case != "codes" or own.load(asked(tmp_path / "t.csv")).task.outputs == 3
    assert said is None or said in warnings[0]


@pytest.mark.parametrize(
    ("labels", "metric", "said"),
    [
        (["yes"] * 95 + ["no"] * 5, None, "warning: 95.0% of dev are 'yes'"),
        (["yes"] * 95 + ["no"] * 5, "accuracy", ""),  # asked for
        (["yes"] * 95 + ["no"] * 5, "f1", ""),
        (["yes"] * 80 + ["no"] * 20, None, ""),
        ([*map(str, range(25))] * 10, None, "25 different numbers, taken for classes"),
        ([*map(str, range(25))] * 10, "accuracy", ""),
        ([*map(str, range(20))] * 10, None, ""),
        (["[MASK]", "[CLS]", "word"] * 10, None, ""),  # no lists
    ],
)
def test_what_accuracy_hides_is_said(tmp_path, labels, metric, said):
    lines = [f"text {i},{label}" for i, label in enumerate(labels)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]))
    warnings = warnings_of(own.load(asked(tmp_path / "t.csv", metric=metric)))
    assert len(warnings) == bool(said) and said in " ".join(warnings)


def test_lists_as_text_are_no_classes(tmp_path):
    rows = [f"\"['a', 'b']\",\"['{'O' if i % 3 else 'B-x'}', 'O']\"" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    with pytest.raises(BadInput, match="lists written as text.*need .jsonl or .parquet"):
        own.load(asked(tmp_path / "t.csv"))


def test_the_row_of_a_label_counts_blank_ones(tmp_path):
    rows = "text,label\na,1\n,\nb,2\n" + "c,3.5\n" * 5
    (tmp_path / "t.csv").write_text(rows + "d,x\n")
    with pytest.raises(BadInput, match="label 'x' in row 9"):
        own.load(asked(tmp_path / "t.csv", metric="pearson"))
    (tmp_path / "numbers.csv").write_text(rows)
    with pytest.raises(BadInput, match="a fraction \\(3.5 in row 4\\)"):
        own.load(asked(tmp_path / "numbers.csv", metric="accuracy"))


def test_another_separator_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("text;label\nthe dog, it barks;yes\na cat;no\n" * 5)
    with pytest.raises(BadInput, match="'text;label' is parted by ';'; expected commas"):
        own.load(asked(tmp_path / "t.csv"))


def test_a_dev_part_with_one_of_a_class_is_trained_on(tmp_path, tiny_model):
    """No half of it can choose a checkpoint: those columns are empty."""
    pd.DataFrame(rows_of(15)).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame(rows_of(3)).to_csv(tmp_path / "dev.csv", index=False)
    flags = ["--data", str(tmp_path), "--text-columns", "text", "--label-column", "label"]
    flags += ["--model", str(tiny_model), "--seeds", "1", "--epochs", "1", "--engine", "serial"]
    flags += ["--max-length", "32"]
    sweep([bias_correction.EXPERIMENT], [*flags, "--results", str(tmp_path / "results")])
    table = pd.read_csv(tmp_path / "results" / "bias_correction.csv")
    assert len(table) > 0 and table["score"].between(0, 1).all()


def test_a_small_dev_part_is_said_before_training(tmp_path):
    def task_of_rows(count, metric):
        texts, labels = [f"a {i}" for i in range(count)], [i % 7 for i in range(count)]
        pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "t.csv", index=False)
        own.load.cache_clear()
        return own.load(asked(tmp_path / "t.csv", metric=metric)).task

    (said,) = own.check_dev_size(task_of_rows(500, "pearson"))
    assert "dev has 100 examples, so a correlation near 0 is known to about 20 points" in said
    (said,) = own.check_dev_size(task_of_rows(500, "accuracy"))
    assert "so a share of them is known to about 10 points" in said
    assert not own.check_dev_size(task_of_rows(1000, "pearson"))
    with pytest.raises(BadInput, match="dev has 8 rows; expected 10 or more, as a correlation"):
        own.check_dev_size(task_of_rows(40, "pearson"))
    assert "7 examples" in own.check_dev_size(task_of_rows(40, "accuracy"))[0]


def test_odd_labels_are_a_warning_of_the_command(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("text,label\n" + "a,yes\nb,YES\nc,no\nd,No\n" * 5)
    flags = ["--data", str(tmp_path / "t.csv"), "--text-columns", "text", "--label-column", "label"]
    options(bias_correction.EXPERIMENT, *flags)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("warning: ") for line in lines)
    many = [f"a,{case}{i}" for case in ("c", "C") for i in range(20)] * 5
    (tmp_path / "many.csv").write_text("\n".join(["text,label", *many]))
    warnings = warnings_of(own.load(asked(tmp_path / "many.csv")))
    assert len(warnings) == 6 and warnings[-1] == "warning: and 15 more labels likewise"


def test_texts_that_are_a_missing_values_name_are_said(tmp_path):
    texts = ["nan", "None", "NaN", "nan", "none of it", "Nancy", "a null"]
    rows = [f"{text},{'xy'[i % 2]}" for i, text in enumerate(texts * 2)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    (line,) = warnings_of(own.load(asked(tmp_path / "t.csv")))
    said = "whole texts are the name of a missing value: 'nan' (4 rows), 'None' (2 rows), 'NaN' (2"
    assert said in line
    pairs = [f"{i},{'null' if i < 3 else ''},{'xy'[i % 2]}" for i in range(12)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,label", *pairs]))
    (line,) = warnings_of(own.load(asked(tmp_path / "pairs.csv", ("a", "b"))))
    assert "'null' (3 rows);" in line


def test_a_test_part_that_is_dev_is_said(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(GOOD)
    said = f"no dev part: {tmp_path / 'test.csv'} is dev, so checkpoints and settings are chosen"
    assert [said in line for line in own.load(asked(tmp_path)).remarks] == [True, False]
    (tmp_path / "test.csv").rename(tmp_path / "dev.csv")
    own.load.cache_clear()
    assert "no dev part" not in " ".join(own.load(asked(tmp_path)).remarks)
    words = tmp_path / "words"
    words.mkdir()
    for name in ("train", "test"):
        (words / f"{name}.conll").write_text("a O\nb B-X\n\nc O\nd B-X\n")
    assert "test.conll is dev" in own.load(asked(words, (), None)).remarks[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            [],
            "needs --data FILE_OR_DIR --text-columns A [B] --label-column L together; the",
        ),
        (["--text-columns", "text"], "needs --data"),
        (["--text-columns", "text", "--label-column", "label", "--tasks", "rte"], "leave --tasks"),
        (["--text-columns", "text", "--label-column", "label", "--metric", "bleu"], "one of accur"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, arguments, expected):
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    with pytest.raises(BadInput) as found:
        options(bias_correction.EXPERIMENT, "--data", str(path), *arguments)
    assert expected in str(found.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder" / "train.csv", tmp_path / "alone.csv"):
        os.mkfifo(path)
        with pytest.raises(BadInput, match=f"{path} is no regular file: expected one"):
            own.load(asked(path.parent if path.stem == "train" else path))


def test_no_such_file():
    for name in ("/no/such/file.csv", "nofile.csv", "a/b/c"):
        with pytest.raises(BadInput, match="no file or folder"):
            asked(name)


def test_metrics_by_kind_are_those_of_metrics():
    assert {kind: tuple(known) for kind, known in metrics.METRICS.items()} == own.METRICS


@pytest.fixture
def own_run(tiny_run, tmp_path):
    def make(frame, metric=None, **fields):
        frame.to_csv(tmp_path / "mine.csv", index=False)
        source = asked(tmp_path / "mine.csv", metric=metric)
        task = own.load(source).task.name
        data = identify_data(task, source)
        return replace(tiny_run(**fields), task=task, data=data, data_source=source)

    return make


def test_a_run_of_three_classes(own_run):
    """A word decides, so that some of it is learnt; the plain path trains the same."""
    frame = pd.DataFrame(rows_of(120)).assign(text=lambda t: [WORDS[i % 3] for i in t["id"]])
    run = partial(own_run, frame, "f1", epochs=8, learning_rate=5e-3, dropout=0.0)
    fast = train(run())
    plain = train(run(packed=False))
    outcome = fast["outcome"]
    assert outcome["metric"] == "f1" and outcome["score"] > 0.4 and not outcome["failed"]
    assert outcome["majority_level"] == pytest.approx((2 * (1 / 3) / (4 / 3)) / 3)
    assert outcome["label_entropy"] == pytest.approx(np.log(3))
    np.testing.assert_allclose(
        fast["history"]["train_loss"][:20], plain["history"]["train_loss"][:20], atol=1e-4
    )
    stored = row({"run": vars(run()), "outcome": outcome, "history": fast["history"]})
    assert stored["task"] == "own:mine" and "pearson" not in stored


def test_a_run_of_a_regression(own_run):
    frame = pd.DataFrame(rows_of(120)).assign(text=lambda t: [WORDS[i % 6] for i in t["id"]])
    frame["label"] = [0.25 * (i % 6) for i in frame["id"]]
    result = train(own_run(frame, "pearson", epochs=12, learning_rate=5e-3))
    outcome = result["outcome"]
    assert outcome["score"] == outcome["pearson"] > 0.8 and not outcome["failed"]
    assert outcome["majority_level"] == 0 and outcome["train_loss"] < outcome["label_entropy"]
    assert outcome["label_entropy"] == pytest.approx(frame["label"].var(ddof=0), rel=0.05)


def test_a_regression_that_answers_the_same_has_failed(own_run):
    """Rate 0 but for the head's start: constant texts give constant answers."""
    frame = pd.DataFrame({"text": ["the dog"] * 60, "label": np.arange(60) / 10})
    outcome = train(own_run(frame, "spearman"))["outcome"]
    assert outcome["failed"] and outcome["score"] == 0 and outcome["constant_prediction"]


def test_an_experiment_on_a_file(tiny_model, tmp_path, capsys):
    """From the command line to the CSV; a sample of the training set; the paper's rates for a model
    of one's own."""
    pd.DataFrame(rows_of(60)).to_csv(tmp_path / "mine.csv", index=False)
    sweep(
        [bias_correction.EXPERIMENT],
        [
            *("--data", str(tmp_path / "mine.csv"), "--text-columns", "text", "--seeds", "1"),
            *("--label-column", "label", "--model", str(tiny_model), "--max-length", "16"),
            *("--engine", "serial", "--results", str(tmp_path), "--sample-size", "32"),
        ],
    )
    table = pd.read_csv(tmp_path / "bias_correction.csv")
    assert set(table["task"]) == {"own:mine"} and len(table) == 6
    assert set(table["steps"]) == {6} and set(table["train_examples"]) == {32}
    assert sorted(set(table["learning_rate"])) == [1e-5, 2e-5, 3e-5]
    said = capsys.readouterr().out
    assert "own:mine: 3 classes, accuracy, 48 training and 12 dev examples" in said
    assert "own:mine: no dev part: 12 of the 60 rows" in said
    for path in (tmp_path / "runs").glob("*.json"):
        assert json.loads(path.read_text())["run"]["task"] == "own:mine"


def test_a_dev_file_beside_the_one_that_was_given_is_named(tmp_path):
    frame = pd.DataFrame(rows_of(60))
    for name in ("train", "dev"):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    said = f"dev.csv beside it is not read: --data {tmp_path} reads both"
    assert said in own.load(asked(tmp_path / "train.csv")).remarks
    assert not any("beside it" in remark for remark in own.load(asked(tmp_path)).remarks)


def test_several_labels_an_example_are_refused_by_name(tmp_path):
    rows = [{**row, "label": [row["label"], "more"]} for row in rows_of(30)]
    pd.DataFrame(rows).to_json(tmp_path / "several.jsonl", orient="records", lines=True)
    with pytest.raises(BadInput, match="several labels an example are not supported"):
        own.load(asked(tmp_path / "several.jsonl"))


def test_conll_files_of_another_name_are_told_theirs(tmp_path):
    (tmp_path / "train.txt").write_text("Kim B-PER\nleft O\n")
    with pytest.raises(BadInput, match="name the files train.conll and dev.conll"):
        load_splits("rte", str(tmp_path))

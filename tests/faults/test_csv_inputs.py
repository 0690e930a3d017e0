"""CSVs that a person may bring: what each change of a good one leads to."""

from pathlib import Path

import pytest

from analysis.__main__ import draw
from analysis.shared.reading import BadInput, read_csv

HEADER = "run,task,model,data,learning_rate,bias_correction,epochs,metric,score,failed,train_loss"
FIRST = "00000000000000a1,rte,m@1,d@2,0.0003,True,3,accuracy,0.7,False,0.5"
SECOND = "00000000000000a2,rte,m@1,d@2,0.0003,True,3,accuracy,0.5,True,0.7"
GOOD = "\n".join((HEADER, FIRST, SECOND, ""))

REFUSED = [
    ("failed in another language", ("0.5,True", "0.5,wahr"), "line 3: failed is 'wahr'"),
    ("failed blank", ("0.5,True", "0.5,"), "line 3: failed is ''"),
    ("decimal comma", ("0.5,True", "0,5,True"), "line 3 has 12 columns"),
    ("quoted decimal comma", ("0.5,True", '"0,5",True'), "line 3: score is '0,5'"),
    ("a total row", (SECOND, "total,,,,,,,,0.6,,"), "line 3: task is ''"),
    ("header twice", (SECOND, HEADER), "line 3: learning_rate is 'learning_rate'"),
    ("text as score", ("0.5,True", "good,True"), "line 3: score is 'good'"),
    ("infinite score", ("0.5,True", "inf,True"), "line 3: score is 'inf'"),
    ("percent as score", ("0.5,True", "50,True"), "line 3: score is '50'"),
    ("unknown metric", ("3,accuracy,0.5", "3,bleu,0.5"), "line 3: metric is 'bleu'"),
    ("blank model", ("a2,rte,m@1", "a2,rte, "), "line 3: model is ' '"),
    (
        "NaN rate",
        ("0.0003,True,3,accuracy,0.5", "nan,True,3,accuracy,0.5"),
        "learning_rate is 'nan'",
    ),
    ("yes and no", ("0.0003,True,3,accuracy,0.5", "0.0003,yes,3,accuracy,0.5"), "is 'yes'"),
    ("a run twice", (SECOND, FIRST), "stands twice (lines 2 and 3)"),
    ("semicolons", (GOOD, GOOD.replace(",", ";")), "lacks the column run"),
]
READ = [
    ("as it is", ("", "")),
    ("1 and 0", ("0.5,True", "0.5,1")),
    ("lower case", ("0.5,True", "0.5,true")),
    ("byte order mark", (HEADER, "\ufeff" + HEADER)),
    ("CRLF", ("\n", "\r\n")),
    ("3.0 epochs", (",3,", ",3.0,")),
    ("diverged loss", ("True,0.7", "True,inf")),
]


def written(folder: Path, change: tuple[str, str]) -> Path:
    path = folder / "bias_correction.csv"
    path.write_text(GOOD.replace(*change), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("change", "line"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_refused_in_one_line(tmp_path, change, line):
    with pytest.raises(BadInput) as refusal:
        read_csv(written(tmp_path, change), ["run", "failed"])
    assert line in str(refusal.value) and "bias_correction.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("change", [case[1] for case in READ], ids=[c[0] for c in READ])
def test_read_right(tmp_path, change):
    table = read_csv(written(tmp_path, change), ["run", "failed"])
    assert table["failed"].tolist() == [False, True] and table["failed"].dtype == bool
    assert table["epochs"].tolist() == [3, 3] and table["epochs"].dtype == int


def test_an_exception_costs_one_figure_only(tmp_path, monkeypatch, capsys):
    drawn = []

    def fails():
        raise KeyError("x")

    monkeypatch.setattr("analysis.bias_correction.main", fails)
    monkeypatch.setattr("analysis.small_datasets.main", lambda: drawn.append("small_datasets"))
    monkeypatch.setattr("sys.argv", ["analysis"])
    assert draw(["bias_correction", "small_datasets"], []) == 2
    assert drawn == ["small_datasets"]
    error = capsys.readouterr().err
    assert "bias_correction is not drawn: KeyError" in error and error.count("\n") == 1

"""CSVs that a person may bring: what each change of a good one leads to."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis import convergence_pitfalls
from analysis.__main__ import draw, scripts
from analysis.published.evidence import read_runs
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
    ("semicolons", (GOOD, GOOD.replace(",", ";")), "has semicolons between its columns"),
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


REFERENCE = REPOSITORY / "results" / "reference" / "mini"


def cut(folder: Path, name: str, lines: slice) -> None:
    """The CSVs of an analysis with the header and some lines of the reference's."""
    for path in sorted(REFERENCE.glob(f"{name}*.csv")):
        header, *rows = path.read_text().splitlines(keepends=True)
        (folder / path.name).write_text(header + "".join(rows[lines]))


# what the first row alone leads to, and the last: what is said, or "" where it is drawn
ONE_ROW = {
    "bias_correction": (
        "has 1 steps of the schedule of cola",
        "has 1 steps of the schedule of rte",
    ),
    "catastrophic_forgetting": ("with 1 of 24 layers put back", "with 0 of 24 layers put back"),
    "checkpoint_selection": ("of 0.66 at its last step 0 and 0.92 as its final one", ""),
    "convergence_pitfalls": ("of 0.66 at its last step 0 and 0.546667 as its final one", ""),
    "early_signs": ("", ""),
    "generalization": (
        "of 0.66 at its last step 0 and 0.986667 as its final one",
        "which generalization.csv lacks",
    ),
    "instability_measures": ("", ""),
    "loss_surfaces": ("lacks points of the line", "lacks points of the line"),
    "vanishing_gradients": ("", "lacks layer 1 of the run"),
    "benchmark": ("", "has no measurement of a step"),
}
CUTS = []
for of, (first, last) in ONE_ROW.items():
    CUTS += [(of, slice(0), "has no rows"), (of, slice(1), first), (of, slice(-1, None), last)]


@pytest.mark.parametrize(("name", "lines", "said"), CUTS)
def test_t12_a_csv_of_one_row_is_drawn_or_refused_in_one_line(
    name, lines, said, tmp_path, monkeypatch
):
    cut(tmp_path, name, lines)
    figures = tmp_path / "f"
    monkeypatch.setattr("sys.argv", ["x", "--results", str(tmp_path), "--figures", str(figures)])
    main = importlib.import_module(scripts()[name]).main
    if not said:
        main()
        assert (figures / f"{name}.png").stat().st_size > 10_000
        return
    with pytest.raises(BadInput, match=said) as refusal:
        main()
    assert "\n" not in str(refusal.value) and ".csv" in str(refusal.value)
    assert not figures.exists()


@pytest.mark.parametrize("name", ["loss_surfaces", "vanishing_gradients"])
def test_t12_rows_that_stand_twice_are_refused(name, tmp_path, monkeypatch):
    cut(tmp_path, name, slice(None))
    path = tmp_path / f"{name}.csv"
    path.write_text(path.read_text() + path.read_text().split("\n", 1)[1])
    monkeypatch.setattr("sys.argv", ["x", "--results", str(tmp_path)])
    with pytest.raises(BadInput, match="stands twice"):
        importlib.import_module(scripts()[name]).main()


def test_u11_pitfalls_of_a_model_without_first_layer_norms(tmp_path, monkeypatch):
    """DistilBERT, MPNet and ModernBERT, whose layers have other names, lack these columns."""
    cut(tmp_path, "convergence_pitfalls", slice(None))
    for path in tmp_path.glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        kept = [name for name in table if not name.startswith("first_layer")]
        assert len(kept) < len(table.columns)
        table[kept].to_csv(path, index=False)
    figures = tmp_path / "f"
    monkeypatch.setattr("sys.argv", ["x", "--results", str(tmp_path), "--figures", str(figures)])
    convergence_pitfalls.main()
    assert (figures / "convergence_pitfalls.png").stat().st_size > 10_000
    told_apart = pd.read_csv(figures / "convergence_pitfalls.csv")
    assert len(told_apart)


def test_s12_runs_on_a_part_of_the_training_set_are_no_evidence(tmp_path, capsys):
    whole = (REFERENCE / "bias_correction.csv").read_text().splitlines()
    lines = [f"{whole[0]},train_subset", f"{whole[1]},48", *(f"{line}," for line in whole[2:])]
    (tmp_path / "bias_correction.csv").write_text("\n".join(lines) + "\n")
    assert len(read_runs(tmp_path / "bias_correction.csv")) == len(whole) - 2
    assert "1 runs on a part of their training data" in capsys.readouterr().err


@pytest.mark.parametrize(
    "environment",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"MATPLOTLIBRC": "usetex"},
    ],
    ids=["T1 a notebook's backend", "T8 a matplotlibrc"],
)
def test_matplotlib_settings_of_the_caller_change_nothing(environment, tmp_path):
    if "MATPLOTLIBRC" in environment:
        (tmp_path / "matplotlibrc").write_text(
            "text.usetex: True\naxes.formatter.use_locale: True\n"
        )
        environment = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "LC_ALL": "xx_YY"}
    cut(tmp_path, "generalization", slice(None))
    arguments = ["--results", str(tmp_path), "--figures", str(tmp_path / "f")]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "analysis.generalization", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = REPOSITORY / "figures" / "reference" / "mini" / "generalization.png"
    assert (tmp_path / "f" / "generalization.png").read_bytes() == expected.read_bytes()


def test_failed_that_contradicts_the_score_is_refused(tmp_path):
    path = written(tmp_path, ("", ""))
    header, *rows = path.read_text().splitlines()
    text = "\n".join([f"{header},majority_level,diverged", *(f"{row},0.5,False" for row in rows)])
    path.write_text(text)
    assert len(read_csv(path, ["run"])) == 2
    path.write_text(text.replace("0.7,False", "0.7,True"))
    with pytest.raises(BadInput, match="line 2: failed is 'True' at a score of 0.7"):
        read_csv(path, ["run"])


def test_a_perplexity_below_1_is_refused(tmp_path):
    cut(tmp_path, "catastrophic_forgetting", slice(None))
    path = tmp_path / "catastrophic_forgetting.csv"
    table = pd.read_csv(path)
    table.loc[3, "perplexity"] = 0.5
    table.to_csv(path, index=False)
    with pytest.raises(BadInput, match="line 5: perplexity is '0.5', expected a number from 1 on"):
        read_csv(path, ["run"])

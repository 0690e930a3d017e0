"""CSVs whose rows do not fit together, or two of an experiment that do not: refused in one line
where a mean or a surface would look as good as any other."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis import vanishing_gradients
from analysis.__main__ import scripts
from analysis.shared import style, together
from analysis.shared.reading import BadInput, NothingToDraw, read_csv
from analysis.shared.schema import LINES

REFERENCE = REPOSITORY / "results" / "reference" / "mini"
Rows = Callable[[pd.DataFrame], pd.Series]


def every(step: int) -> Rows:
    return lambda table: pd.Series(range(len(table)), table.index) % step == 0


def having(**values: object) -> Rows:
    """The rows with these values, as the CSV has them."""
    return lambda table: (table[list(values)] == pd.Series(values, dtype=object)).all(axis=1)


def first(count: int) -> Rows:
    return lambda table: pd.Series(range(len(table)), table.index) < count


SAME = dict.fromkeys(("head_seed", "order_seed", "dropout_seed"), "1")
# what was done, to which CSV, to which of its rows, column and value (none: the rows are deleted),
# what is said
CHANGED = [
    ("tasks in capitals", "bias_correction", having(task="rte"), {"task": "RTE"}, "'RTE'"),
    ("a task in capitals", "mitigations", every(1), {"task": "RTE"}, "expected 'rte'"),
    ("a blank after a task", "mitigations", every(1), {"task": "rte "}, "expected 'rte'"),
    ("no width", "mitigations", every(3), {"task": "rte\u200b"}, "expected 'rte'"),
    ("a model in capitals", "mitigations", every(3), {"model": "Checkpoint@6ba7558e"}, "one spell"),
    ("no method", "mitigations", having(method="none"), {"method": ""}, "without a met"),
    ("two dtypes that are one", "mitigations", every(3), {"dtype": "Float32"}, "one spelling"),
    ("another metric", "bias_correction", every(3), {"metric": "f1"}, "which is its metric"),
    ("metric of half", "early_signs", every(2), {"score": "0.1"}, "of the run"),
    (
        "another best constant",
        "training_length",
        first(5),
        {"majority_level": "0.4"},
        "on the same",
    ),
    (
        "losses that are lost",
        "bias_correction",
        every(3),
        {"train_loss": ""},
        "no train_loss in 100",
    ),
    ("a curve's metric", "generalization_curves", every(2), {"metric": "f1"}, "the metric"),
    ("a curve's seed", "generalization_curves", every(2), {"seed": "7"}, "the seed"),
    ("a curve cut", "generalization_curves", having(step="2000"), {}, "as its final one"),
    (
        "a curve with a hole",
        "generalization_curves",
        having(step="1000"),
        {},
        "lacks an evaluation",
    ),
    ("one evaluation", "checkpoint_selection", having(step="33"), {}, "lacks an evaluation"),
    ("steps between", "vanishing_gradients", having(step="100"), {}, "lacks steps of the run"),
    ("no layer 3", "vanishing_gradients", having(layer="3"), {}, "lacks layer 3"),
    (
        "a layer 999999",
        "vanishing_gradients",
        first(1),
        {"layer": "999999", "matrix": "key"},
        "lac",
    ),
    ("rows of a layer", "vanishing_gradients", having(layer="5", step="10"), {}, "of each matrix"),
    ("no keys", "vanishing_gradients", having(matrix="key"), {}, "lacks the matrix key"),
    ("unknown matrix", "vanishing_gradients", first(1), {"matrix": "Output"}, "matrix is 'Output'"),
    ("a hole in k", "catastrophic_forgetting", having(layers_put_back="4"), {}, "with 4 of 24"),
    ("k above all", "catastrophic_forgetting", first(1), {"layers_put_back": "25"}, "at most that"),
    ("holes in a surface", "loss_surfaces", every(7), {}, "expected 361"),
    ("a surface's last row", "loss_surfaces", having(a="1.5"), {}, "same equally spaced"),
    ("a surface's middle", "loss_surfaces", having(a="0.0"), {}, "same equally spaced"),
    ("a line cut", "loss_surfaces_lines", having(position="1.0"), {}, "positions from 0 to 1"),
    ("a hole in a line", "loss_surfaces_lines", having(position="0.5"), {}, "equally spaced"),
    ("unknown line", "loss_surfaces_lines", first(1), {"line": "to and fro"}, "line is 'to and"),
    (
        "no first line",
        "loss_surfaces_lines",
        having(line=LINES[0]),
        {},
        "lacks the line pre-trained",
    ),
    ("a pair's seed", "loss_surfaces", every(5), {"failed_seed": "9"}, "the failed_seed"),
    ("steps of a schedule", "bias_correction_learning_rate", every(7), {}, "from 1 to 300 once"),
    (
        "a shorter schedule",
        "bias_correction_learning_rate",
        every(1),
        {"total_steps": "5"},
        "step is",
    ),
    ("seeds all alike", "training_length", every(1), SAME, "with the same settings and the seed 1"),
    ("layers that differ", "catastrophic_forgetting", every(5), {"layers": "25"}, "the layers"),
    ("words that differ", "catastrophic_forgetting", every(5), {"words": "5"}, "the words"),
    (
        "lengths that differ",
        "checkpoint_selection",
        every(9),
        {"total_steps": "900"},
        "total_steps",
    ),
    ("unknown path", "fast_path", every(3), {"path": "Fast"}, "path is 'Fast'"),
    ("share 0", "early_signs", having(share="0.1"), {"share": "0"}, "share is '0'"),
    ("a beta of 1", "bias_correction", first(1), {"adam_beta1": "1.0"}, "adam_beta1 is '1.0'"),
    ("steps without end", "bias_correction", first(1), {"steps": "1e11"}, "steps is '1e11'"),
    ("epochs without end", "bias_correction", first(1), {"epochs": "1e300"}, "epochs is '1e300'"),
    ("a deviation of 7", "oscillating_scores", first(1), {"late_std": "7"}, "late_std is '7'"),
    ("a share of a run", "early_signs", first(1), {}, "of its training"),
    ("negative layers", "reinitialization", first(3), {"reinitialized_layers": "-3"}, "is '-3'"),
    ("negative seed", "bias_correction", first(1), {"order_seed": "-1"}, "order_seed is '-1'"),
    ("half a seed", "bias_correction", first(1), {"head_seed": "1.5"}, "head_seed is '1.5'"),
    ("no steps", "bias_correction", first(1), {"steps": "0"}, "steps is '0'"),
    ("a batch of 0", "bias_correction", first(1), {"batch_size": "0"}, "batch_size is '0'"),
    ("negative seconds", "bias_correction", first(1), {"seconds": "-5"}, "seconds is '-5'"),
    ("dropout of 10", "bias_correction", first(1), {"dropout": "10"}, "dropout is '10'"),
    ("a surface's seed", "loss_surfaces", first(1), {"failed_seed": "-2"}, "failed_seed is '-2'"),
    ("negative gradient", "loss_surfaces", first(1), {"gradient_norm": "-1"}, "is '-1'"),
    ("two parts of a seed", "early_signs", first(1), {"seed": "1/2"}, "seed is '1/2'"),
    ("letters", "instability_measures_labels", first(1), {"labels": "x" * 99}, "labels is 'xxx"),
    ("label 2", "instability_measures_labels", first(1), {"labels": "0102"}, "the digits 0 and 1"),
]


def changed(folder: Path, name: str, rows: Rows, values: dict[str, str]) -> Path:
    """A CSV of the reference with some of its rows changed, or deleted."""
    table = pd.read_csv(REFERENCE / f"{name}.csv", dtype=str, keep_default_na=False)
    chosen = rows(table)
    assert chosen.any()
    for column, value in values.items():
        table.loc[chosen, column] = value
    path = folder / f"{name}.csv"
    (table if values else table[~chosen]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("value", ["nan", "", "-0.9999999999999998", "1.0000000000000002"])
def test_a_correlation_may_be_undefined(tmp_path, value):
    values = dict.fromkeys(("precision_with_recall", "halves_together"), value)
    assert len(read_csv(changed(tmp_path, "oscillating_scores", first(2), values), [])) == 10


@pytest.mark.parametrize(
    ("name", "rows", "values", "line"), [c[1:] for c in CHANGED], ids=[c[0] for c in CHANGED]
)
def test_rows_that_do_not_fit_are_refused(tmp_path, name, rows, values, line):
    with pytest.raises(BadInput, match=line) as refusal:
        read_csv(changed(tmp_path, name, rows, values), [])
    assert f"{name}.csv" in str(refusal.value) and "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


# the CSVs of a script, which of them is changed, how, what is said
APART = [
    ("generalization", "", first(179), {}, "which generalization.csv lacks"),
    ("generalization", "_curves", first(2), {"failed": "True"}, "the failed"),
    ("generalization", "", every(1), {"score": "0.9", "accuracy": "0.9", "failed": "False"}, "end"),
    ("oscillating_scores", "_curves", first(61), {}, "which oscillating_scores_curves.csv lacks"),
    ("oscillating_scores", "", first(1), {}, "which oscillating_scores.csv lacks"),
    ("convergence_pitfalls", "", first(9), {}, "which convergence_pitfalls.csv lacks"),
    (
        "loss_surfaces",
        "_lines",
        every(1),
        {"failed_run": "00000000000000ff"},
        "loss_surfaces_lines",
    ),
    ("bias_correction", "", having(task="cola"), {}, "task cola, epochs 3, which bias_correction"),
    ("catastrophic_forgetting", "", every(1), {"score": "0.2"}, "catastrophic_forgetting_curves"),
    (
        "instability_measures",
        "_labels",
        every(1),
        {"labels": "01" * 150},
        "with an accuracy of 0.8",
    ),
    ("benchmark", "", every(9), {"name": "zzz"}, "the name 'zzz'"),
]


@pytest.mark.parametrize(("name", "end", "rows", "values", "line"), APART)
def test_two_csvs_that_are_of_two_calls(tmp_path, monkeypatch, name, end, rows, values, line):
    for path in REFERENCE.glob(f"{name}*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed(tmp_path, f"{name}{end}", rows, values)
    monkeypatch.setattr("sys.argv", ["x", "--results", str(tmp_path)])
    with pytest.raises(BadInput, match=line) as refusal:
        importlib.import_module(scripts()[name]).main()
    assert "\n" not in str(refusal.value)


# runs of one method, recipe or condition that are not alike: of which rows, in what
POOLED = [
    ("strong_baseline", having(recipe="default"), "learning_rate", "0.0004"),
    ("strong_baseline", having(recipe="paper's recipe"), "epochs", "3"),
    ("mitigations", having(method="none"), "learning_rate", "0.0004"),
    ("mitigations", having(method="no dropout"), "epochs", "20"),
    ("mitigations", having(method="none"), "schedule", "constant"),
    ("instability_measures", having(condition="default"), "learning_rate", "0.0004"),
    ("instability_measures", having(condition="default"), "epochs", "20"),
    ("small_datasets", having(condition="sample, same epochs"), "train_examples", "200"),
    ("small_datasets", having(condition="sample, same iterations"), "epochs", "24"),
]


@pytest.mark.parametrize(("name", "rows", "column", "value"), POOLED)
def test_runs_of_two_settings_are_not_counted_together(
    tmp_path, monkeypatch, name, rows, column, value
):
    for path in REFERENCE.glob(f"{name}*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed(
        tmp_path, name, lambda table: rows(table) & (table["head_seed"] == "7"), {column: value}
    )
    folders = ["--results", str(tmp_path), "--figures", str(tmp_path / "f")]
    monkeypatch.setattr("sys.argv", ["x", *folders])
    with pytest.raises(BadInput, match=f"with the {column} .* and .*: expected one") as refusal:
        importlib.import_module(scripts()[name]).main()
    assert "\n" not in str(refusal.value) and f"experiments/{name}.py" in str(refusal.value)


@pytest.mark.parametrize(
    ("table", "setting", "value", "written", "all_there"),
    [
        ("training_length", "learning_rate", "0.0003", "0.000300000009", [2e-4, 3e-4, 4e-4]),
        ("effective_learning_rate", "adam_beta2", "0.98", "0.9800000190734863", [0.98, 0.999]),
        ("effective_learning_rate", "warmup_ratio", "0.3", "0.30000001192", [0.1, 0.3, 0.5, 0.9]),
    ],
)
def test_a_setting_as_another_tool_writes_it_is_the_same(
    tmp_path, table, setting, value, written, all_there
):
    """A float32 among doubles: some 1e-8 more."""
    path = changed(tmp_path, table, having(**{setting: value}), {setting: written})
    assert sorted(read_csv(path, [])[setting].unique()) == all_there


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(tmp_path, separator, name):
    text = (REFERENCE / "bias_correction.csv").read_text(encoding="utf-8")
    path = tmp_path / "bias_correction.csv"
    path.write_text(text.replace(",", separator), encoding="utf-8")
    with pytest.raises(BadInput, match=f"has {name} between its columns; expected commas"):
        read_csv(path, ["task", "score"])


def test_every_csv_of_the_reference_fits():
    for path in sorted(REFERENCE.parent.glob("*/*.csv")):
        assert len(read_csv(path, []))


def test_an_empty_file_is_an_outcome_of_some_experiments_only(tmp_path):
    (tmp_path / "bias_correction.csv").write_bytes(b"")
    with pytest.raises(BadInput, match="is an empty file") as refusal:
        read_csv(tmp_path / "bias_correction.csv", [])
    assert not isinstance(refusal.value, NothingToDraw)
    (tmp_path / "loss_surfaces_lines.csv").write_bytes(b"")
    with pytest.raises(NothingToDraw):
        read_csv(tmp_path / "loss_surfaces_lines.csv", [])


def test_a_message_names_the_experiment_that_writes_the_file():
    assert together.experiment_of(Path("a_curves.csv")) == "experiments/a.py"
    for path in REFERENCE.parent.glob("*/*.csv"):
        assert (REPOSITORY / together.experiment_of(path)).is_file(), path


def test_the_names_of_tasks_are_known():
    """A spelling of one of these is refused; a task of another name is somebody's own."""
    from experiments.finetuning.glue import TASKS

    assert set(TASKS) <= together.TASKS


def test_the_settings_of_a_run_are_known():
    """By which two runs of one seed are found; the names of a folder or a machine are none."""
    from experiments.finetuning.run import Run

    a_run = Run("model", "data", "rte", 1e-5, True)
    assert set(a_run.hashed_fields()) <= set(together.SETTINGS)


@pytest.mark.parametrize("name", ["$20_vs_$30", r"$\frac{$", "$x^2$", "one $"])
def test_a_dollar_in_a_name_begins_no_formula(tmp_path, name):
    figure, (axes,) = style.panels(1, 1, 3)
    axes.plot([1, 2], [1e-3, 1e3], label=name)
    axes.set(title=name, yscale="log")
    axes.set_xticks([1, 2], [name, name])
    axes.legend()
    style.save(figure, tmp_path / "figure")
    texts = [axes.title, axes.legend_.texts[0], *axes.get_xticklabels()]
    assert [text.get_text() for text in texts] == 4 * [name]
    assert not any(text.get_parse_math() for text in texts)
    # the powers of ten at the axis stay formulas
    powers = [text for text in axes.get_yticklabels() if "10^" in text.get_text()]
    assert powers and all(text.get_parse_math() for text in powers)


@pytest.mark.filterwarnings("error")
def test_gradients_of_0_are_said_in_the_figure(tmp_path):
    path = changed(tmp_path, "vanishing_gradients", every(1), {"norm": "0.0"})
    runs = read_csv(path, vanishing_gradients.NEEDED)
    figure = vanishing_gradients.draw(runs[runs["step"] <= 20], "output")
    style.save(figure, tmp_path / "figure")
    panels = [part.axes[0] for part in figure.subfigs]
    assert all("no norm above 0" in [text.get_text() for text in axes.texts] for axes in panels)


@pytest.mark.parametrize("value", ["abc", "1700000000"])
def test_a_build_systems_date_changes_nothing(value):
    code = "import analysis, os, scipy.stats; assert 'SOURCE_DATE_EPOCH' not in os.environ"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": value, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=True)

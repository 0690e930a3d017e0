"""The figure and table of oscillating_scores, from a made-up CSV of two schedules."""

import numpy as np
import pandas as pd
import pytest

from analysis.oscillating_scores import MEASURES, NEEDED, draw, lowest_shown, table
from analysis.shared.reading import read_csv

EPOCHS = 8


@pytest.fixture
def tables(a_run):
    """Three seeds a schedule; the constant ones jump."""
    random = np.random.default_rng(0)
    runs, curves = [], []
    for number, schedule in enumerate(["constant", "linear"] * 3):
        name = f"{number:016x}"
        common = {
            "run": name,
            "task": "tagging",
            "metric": "token_f1",
            "schedule": schedule,
            "train_examples": 48.0,
            "epochs": EPOCHS,
            "bias_correction": True,
        }
        width = 0.02 if schedule == "constant" else 0.002
        scores = 0.9 + width * random.standard_normal(EPOCHS)
        measures = dict.fromkeys(MEASURES, width)
        runs.append({**a_run(scores[-1], **common), **measures, "late_mean": 0.9})
        for epoch, score in enumerate([0.1, *scores]):
            curves.append(
                {
                    **a_run(scores[-1], **common),
                    "seed": 1 + number // 2,
                    "step": 3 * epoch,
                    "score": score,
                    "precision": score,
                    "recall": score,
                }
            )
    return pd.DataFrame(runs), pd.DataFrame(curves)


def test_the_command_draws_the_same_twice(run_twice, tables, tmp_path):
    for name, rows in zip(("", "_curves"), tables, strict=True):
        rows.to_csv(tmp_path / f"oscillating_scores{name}.csv", index=False)
    names = {f"oscillating_scores.{suffix}" for suffix in ("png", "pdf", "md", "csv")}
    assert run_twice("oscillating_scores", tmp_path) == names


def test_runs_without_a_plateau_are_read_and_left_out_of_its_mean(tables, tmp_path):
    runs, _ = tables
    runs["plateau_epoch"] = [4, None, 6, None, None, None]
    runs.to_csv(tmp_path / "oscillating_scores.csv", index=False)
    found = table(read_csv(tmp_path / "oscillating_scores.csv", NEEDED)).set_index("schedule")
    assert found.loc["constant", "plateau from epoch"] == 5
    assert np.isnan(found.loc["linear", "plateau from epoch"])


def test_the_table_is_in_points_but_for_what_has_no_unit(tables):
    runs, _ = tables
    found = table(runs).set_index("schedule")
    assert found["n"].tolist() == [3, 3]
    assert found.loc["constant", "late std"] == pytest.approx(2)
    assert found.loc["linear", "halves' correlation"] == pytest.approx(0.002)
    assert found.loc["constant", "last epoch, mean"] == pytest.approx(
        100 * runs.loc[runs["schedule"] == "constant", "score"].mean()
    )


def test_panels_show_every_run_and_leave_out_the_rise(tables):
    runs, curves = tables
    figure = draw(runs, curves)
    left, right, widths, gains = figure.axes
    assert "constant rate, n = 3" in left.get_title() and "linear" in right.get_title()
    lines = [line for line in left.lines if len(line.get_xdata())]
    assert len(lines) == 3 + 2  # F1 of each, precision and recall of the first
    assert lines[0].get_xdata()[-1] == EPOCHS
    late = curves[curves["step"] > 12]["score"].min()
    assert 0 < lowest_shown(curves) < 100 * late
    assert left.get_ylim() == right.get_ylim()
    assert len(widths.get_xticks()) == 5 and len(gains.get_xticks()) == 2


def test_one_schedule_alone_is_drawn(tables):
    runs, curves = tables
    one = runs[runs["schedule"] == "linear"]
    figure = draw(one, curves[curves["run"].isin(one["run"])])
    assert figure.axes[0].texts[0].get_text() == "no such run"

"""The figures and the table, from small CSVs, without torch, byte for byte."""

import pandas as pd
import pytest

from analysis.bias_correction import draw, draw_learning_rate, main
from analysis.shared.reading import BadInput


@pytest.fixture
def results(tmp_path, a_run):
    """Three seeds a setting at two learning rates; one run diverged, so its loss is missing."""
    rows = [
        a_run(
            score,
            learning_rate=rate,
            bias_correction=corrected,
            majority_level=0.53,
            failed=score <= 0.53,
            diverged=score == 0.47,
            train_loss=None if score == 0.47 else 0.69,
            first_layer_gradient=1e-5 if score <= 0.53 else 0.1,
        )
        for rate in (1e-4, 2e-4)
        for corrected in (False, True)
        for score in ((0.47, 0.53, 0.8) if not corrected else (0.75, 0.8, 0.85))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "bias_correction.csv", index=False)
    return tmp_path


@pytest.fixture
def steps():
    """40 steps, the first 4 of them warm-up from 0, and Adam's b1 = 0.9, b2 = 0.999."""
    steps = pd.DataFrame(
        {
            "model": "checkpoint@1",
            "task": "rte",
            "epochs": 3,
            "total_steps": 40,
            "step": range(1, 41),
        }
    )
    scheduled = [(t - 1) / 4 if t <= 4 else (41 - t) / 36 for t in steps["step"]]
    factor = (1 - 0.999 ** steps["step"]) ** 0.5 / (1 - 0.9 ** steps["step"])
    return steps.assign(scheduled=scheduled, without=scheduled, **{"with": scheduled * factor})


def test_figure_and_table(results, run_twice):
    assert run_twice("bias_correction", results) == {
        f"bias_correction.{kind}" for kind in ("png", "pdf", "md", "csv")
    }
    table = pd.read_csv(results / "first" / "bias_correction.csv")
    assert len(table) == 4
    without = table[~table["bias_correction"]].iloc[0]
    assert (without["n"], without["failed"], without["diverged"]) == (3, 2, 1)
    assert without["mean"] == pytest.approx(60) and without["median"] == pytest.approx(53)
    assert without["failure_rate_low"] < 2 / 3 < without["failure_rate_high"]
    assert "1e-4" in (results / "first" / "bias_correction.md").read_text()


@pytest.mark.parametrize(
    ("tasks", "lines"),
    [
        ({"rte": 3, "cola": 1, "qnli": 1}, [["rte"], ["cola", "qnli"]]),
        ({"rte": 1, "mrpc": 1}, [["rte", "mrpc"]]),
        ({"rte": 2, "cola": 2, "mrpc": 2}, [["rte", "mrpc"], ["cola"]]),
    ],
    ids=str,
)
def test_tasks_at_one_rate_share_a_line_under_those_with_several(a_run, tasks, lines):
    figure = draw(
        pd.DataFrame(
            [
                a_run(0.8, task=task, learning_rate=rate * 1e-4)
                for task, rates in tasks.items()
                for rate in range(1, 1 + rates)
            ]
        )
    )
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_visible()]
    placed: dict[float, list[str]] = {}
    for axes in sorted(
        panels, key=lambda axes: (-round(axes.get_position().y0, 2), axes.get_position().x0)
    ):
        placed.setdefault(round(axes.get_position().y0, 2), []).append(
            axes.get_title().split("mini's ")[1][:4].strip(")").lower()
        )
    assert list(placed.values()) == lines


@pytest.mark.parametrize("tasks", [["rte"], ["rte", "cola"], ["rte", "cola", "mrpc", "qnli"]])
def test_the_legend_is_inside_the_figure(a_run, tasks):
    figure = draw(pd.DataFrame([a_run(0.8, task=task) for task in tasks]))
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_the_learning_rate_that_takes_effect(results, steps):
    left, right = draw_learning_rate(steps, pd.read_csv(results / "bias_correction.csv")).axes[:2]
    assert left.get_title() == "entailment (mini's RTE)\nmini, 3 epochs, 40 steps"
    assert right.get_title() == "largest bias ratio: 6.57 at step 12\n(factor 0.152)"
    t, factor = right.lines[0].get_data()
    assert t[0] == 2 and factor[0] == pytest.approx((1 - 0.999**2) ** 0.5 / (1 - 0.9**2))


def test_the_second_figure_is_drawn_where_its_csv_is(results, steps, run_twice, monkeypatch):
    steps.to_csv(results / "bias_correction_learning_rate.csv", index=False)
    assert {"bias_correction_learning_rate.png", "bias_correction_learning_rate.pdf"} < run_twice(
        "bias_correction", results
    )
    steps.drop(columns="with").to_csv(results / "bias_correction_learning_rate.csv", index=False)
    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(results), "--figures", str(results / "third")]
    )
    with pytest.raises(BadInput, match="lacks the column with"):
        main()

"""Length of training: the table's counts, the grid of panels, and the command."""

import pandas as pd
import pytest

from analysis.shared.reading import BadInput
from analysis.training_length import draw, main, table


@pytest.fixture
def runs(a_run):
    """Three lengths x two rates x two optimisers, two seeds each; without correction the first
    seed fails at 3 epochs."""
    return pd.DataFrame(
        [
            a_run(score, epochs=epochs, learning_rate=rate, bias_correction=corrected)
            for epochs in (3, 10, 20)
            for rate in (1e-4, 3e-4)
            for corrected in (False, True)
            for score in ((0.5 if epochs == 3 and not corrected else 0.8), 0.9)
        ]
    )


def test_scores_of_each_setting(runs):
    rows = table(runs).set_index(["epochs", "learning_rate", "bias_correction"])
    assert len(rows) == 12 and (rows["n"] == 2).all()
    without = rows.loc[(3, "1e-4", False)]
    assert (
        without["failed"] == 1
        and without["mean"] == pytest.approx(70)
        and without["std"] == pytest.approx(20)
    )
    z = 1.959963985  # Wilson's interval of 1 of 2, by hand: centred at 1/2
    assert without["failure_rate_high"] == pytest.approx(
        0.5 + z * (1 / 8 + z**2 / 16) ** 0.5 / (1 + z**2 / 2)
    )
    assert rows.loc[(20, "3e-4", True), "failed"] == 0


def test_a_line_of_panels_for_each_task_and_a_panel_for_each_length(runs):
    short = runs[runs["epochs"] == 3].assign(task="cola", metric="matthews_correlation")
    panels = [axes for axes in draw(pd.concat([runs, short])).axes if axes.get_visible()]
    titles = [axes.get_title().split(", ")[-1] for axes in panels]
    assert titles == ["3 epochs", "10 epochs", "20 epochs", "3 epochs"]  # RTE first
    counts = [text.get_text() for text in panels[0].texts]
    assert counts == ["1/2", "0/2", "1/2", "0/2"]
    assert all(axes.get_ylim() == panels[0].get_ylim() for axes in panels[:3])


def test_one_run(a_run):
    alone = pd.DataFrame([a_run(0.5)])
    draw(alone)
    assert (table(alone)[["n", "failed", "std"]] == [1, 1, 0]).all(axis=None)


def test_command(runs, run_twice, tmp_path, monkeypatch):
    runs.to_csv(tmp_path / "training_length.csv", index=False)
    assert run_twice("training_length", tmp_path) == {
        f"training_length.{kind}" for kind in ("png", "pdf", "md", "csv")
    }
    assert (
        "| 3 | 1e-4 | without | 2 | 70.00 |"
        in (tmp_path / "first" / "training_length.md").read_text()
    )

    runs.drop(columns="epochs").to_csv(tmp_path / "training_length.csv", index=False)
    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    with pytest.raises(BadInput, match="lacks the column epochs"):
        main()

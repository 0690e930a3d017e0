"""Training loss and dev score: bins and rank correlation by hand, the choice of curves, and what
has no loss."""

import pandas as pd
import pytest

from analysis.generalization import correlate, draw, main, table, with_bins
from analysis.shared.reading import BadInput

# training loss: dev score
LOSSES = {1e-5: 0.7, 5e-4: 0.8, 6e-4: 0.6, 0.3: 0.75, 0.69: 0.5, float("nan"): 0.48}


@pytest.fixture
def runs(a_run):
    return pd.DataFrame(
        [
            a_run(
                score,
                run=f"{i}",
                train_loss=loss,
                diverged=loss != loss,
                epochs=20,
                bias_correction=i > 0,
            )
            for i, (loss, score) in enumerate(LOSSES.items())
        ]
    )


@pytest.fixture
def curves(runs):
    return pd.concat(
        [runs.assign(step=step, score=score) for step, score in ((0, 0.5), (10, runs["score"]))]
    )


def test_bins_of_the_training_loss(runs):
    rows = table(with_bins(runs)).set_index("train_loss")
    assert list(rows.index) == ["< 1e-4", "1e-4 to 1e-3", "0.1 to 0.5", "> 0.65", "none: diverged"]
    assert list(rows["n"]) == [1, 2, 1, 1, 1] and list(rows["failed"]) == [0, 0, 0, 1, 1]
    assert rows.loc["1e-4 to 1e-3", "mean"] == pytest.approx(70) and rows.loc[
        "1e-4 to 1e-3", "std"
    ] == pytest.approx(10)


def test_rank_correlation_of_the_runs_that_did_not_fail(runs):
    row = correlate(with_bins(runs)).iloc[0]
    # ranks of the loss 1 2 3 4, of the score 2 4 1 3: 1 - 6 (1 + 4 + 4 + 1) / (4 (16 - 1)) = 0
    assert (row["runs not failed"], row["of"], row["Spearman rho"], row["p"]) == (4, 6, "0.00", "1")


def test_curves_are_of_the_successful_runs_of_one_recipe(runs, curves):
    left, right = draw(with_bins(runs), curves).axes[:2]
    assert "20 epochs, 3e-4, with bias correction\nthe 3 successful of 5 runs" in left.get_title()
    mean = next(line for line in left.lines if line.get_label() == "mean of the runs")
    assert list(mean.get_xdata()) == [0, 10] and list(mean.get_ydata()) == pytest.approx(
        [50, 100 * (0.8 + 0.6 + 0.75) / 3]
    )
    assert right.get_title() == "6 runs, 2 failed\n1 of them diverged: no loss, not drawn"


def test_a_loss_without_end_is_said_not_to_be_drawn(runs, curves):
    endless = runs.assign(train_loss=runs["train_loss"].replace(0.69, float("inf")))
    right = draw(with_bins(endless), curves).axes[1]
    assert right.get_title() == "6 runs, 2 failed\n2 of them diverged: no loss, not drawn"


def test_a_sample_of_the_data_is_kept_apart(runs):
    both = with_bins(pd.concat([runs, runs.assign(train_examples=400)]))
    assert set(correlate(both)["train_examples"]) == {"all", "400"} and list(
        correlate(both)["of"]
    ) == [6, 6]


@pytest.mark.parametrize(
    "chosen", [slice(0, 1), slice(4, 5), slice(5, 6)], ids=["one run", "one failed", "one diverged"]
)
def test_too_few_runs(runs, curves, chosen):
    few = with_bins(runs[chosen])
    draw(few, curves[curves["run"].isin(few["run"])])
    draw(few, curves[:0])
    assert len(table(few)) == 1 and list(correlate(few).iloc[0][["Spearman rho", "p"]]) == [
        "-",
        "-",
    ]


def test_command(runs, curves, run_twice, tmp_path, monkeypatch):
    runs.to_csv(tmp_path / "generalization.csv", index=False)
    curves.to_csv(tmp_path / "generalization_curves.csv", index=False)
    assert run_twice("generalization", tmp_path) == {
        f"generalization.{kind}" for kind in ("png", "pdf", "md", "csv")
    } | {"generalization_tests.md", "generalization_tests.csv"}
    assert (
        "| all | 1e-4 to 1e-3 | 2 | 70.00 |"
        in (tmp_path / "first" / "generalization.md").read_text()
    )

    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    curves.drop(columns="step").to_csv(tmp_path / "generalization_curves.csv", index=False)
    with pytest.raises(BadInput, match="lacks the column step"):
        main()

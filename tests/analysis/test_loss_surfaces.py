"""Points and barriers by hand, values that are not finite, and byte-equal output without torch."""

import numpy as np
import pandas as pd
import pytest

from analysis.loss_surfaces import main
from analysis.shared.reading import BadInput

LINES = {"pre-trained to failed": [0.8, 0.75, 0.7], "pre-trained to successful": [0.8, 0.9, 0.2]}


def write(folder, to_successful, loss=lambda a, b: 1 + a * a + b * b):
    """Two files for one pair of runs; `to_successful`: the loss on the line from the failed to
    the successful run."""
    common = {
        "task": "rte",
        "model": "checkpoint@1",
        "data": "mini@1",
        "failed_run": "f",
        "successful_run": "s",
        "learning_rate": 2e-4,
    }
    axis = np.linspace(-1.5, 1.5, 7)
    pd.DataFrame(
        [
            {
                **common,
                "failed_seed": 3,
                "successful_seed": 5,
                "classifier": "failed",
                "examples": 128,
                "a": a,
                "b": b,
                "loss": loss(a, b),
                "gradient_norm": 2.0,
            }
            for a in axis
            for b in axis
        ],
    ).to_csv(folder / "loss_surfaces.csv", index=False)
    pd.DataFrame(
        [
            {**common, "line": line, "position": i / 2, "loss": loss, "gradient_norm": 10 * loss}
            for line, losses in {**LINES, "failed to successful": to_successful}.items()
            for i, loss in enumerate(losses)
        ],
    ).to_csv(folder / "loss_surfaces_lines.csv", index=False)


def test_figures_and_table(tmp_path, run_twice):
    write(tmp_path, [0.7, 0.75, 0.2])
    assert len(run_twice("loss_surfaces", tmp_path)) == 8
    row = pd.read_csv(tmp_path / "first" / "loss_surfaces.csv").iloc[0]
    assert [
        row[f"loss_{point}"] for point in ("pre-trained", "failed", "successful")
    ] == pytest.approx([0.8, 0.7, 0.2])
    assert row["gradient_norm_failed"] == pytest.approx(7)
    assert row["barrier_pre-trained_to_failed"] == 0 and row[
        "barrier_pre-trained_to_successful"
    ] == pytest.approx(0.1)
    assert (
        row["barrier_failed_to_successful"] == pytest.approx(0.05) and row["basin"] == "separated"
    )
    assert (row["lowest_loss"], row["highest_loss"]) == pytest.approx((1, 5.5))


@pytest.mark.parametrize(
    "losses, basin",
    [
        ([0.7, 0.705, 0.2], "not separated"),
        ([0.7, np.inf, 0.2], "separated"),
        ([np.nan, 0.7, 0.2], "-"),
        ([], "-"),
    ],
)
def test_basin(tmp_path, draw_here, losses, basin):
    # a plateau with an edge
    write(tmp_path, losses, loss=lambda a, b: np.inf if a + b > 1 else 0.7)
    assert len(draw_here(main)) == 8
    assert pd.read_csv(tmp_path / "first" / "loss_surfaces.csv")["basin"].item() == basin


def test_further_pairs_have_the_line_between_them_only(tmp_path, draw_here):
    """Barriers of 0.05, 0 and 0.3 nats: two of three pairs are separated."""
    write(tmp_path, [0.7, 0.75, 0.2])
    path = tmp_path / "loss_surfaces_lines.csv"
    first = pd.read_csv(path)
    line = first[first["line"] == "failed to successful"]
    further = [
        line.assign(failed_run=f"f{i}", successful_run=f"s{i}", loss=losses)
        for i, losses in enumerate(([0.7, 0.6, 0.3], [0.7, 1.0, 0.2]))
    ]
    pd.concat([first, *further]).to_csv(path, index=False)
    assert (
        len(draw_here(main)) == 8
        and len(pd.read_csv(tmp_path / "first" / "loss_surfaces.csv")) == 1
    )
    row = pd.read_csv(tmp_path / "first" / "loss_surfaces_lines.csv").iloc[0]
    assert (row["pairs"], row["separated"], row["low"]) == (3, 2, pytest.approx(0.2077, abs=5e-5))
    assert row[["lowest_barrier", "median_barrier", "highest_barrier"]].tolist() == pytest.approx(
        [0, 0.05, 0.3]
    )


def test_missing_column(tmp_path, draw_here):
    write(tmp_path, [0.7, 0.7, 0.2])
    pd.read_csv(path := tmp_path / "loss_surfaces_lines.csv").drop(columns="position").to_csv(
        path, index=False
    )
    with pytest.raises(BadInput, match="lacks the column position"):
        draw_here(main)

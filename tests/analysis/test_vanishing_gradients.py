"""Norms and ratios by hand, panels without a run of a kind, and byte-equal output without torch."""

import numpy as np
import pandas as pd
import pytest

from analysis.shared.reading import BadInput
from analysis.vanishing_gradients import depths, main

MATRICES = [
    (matrix, layer) for matrix in ("output", "key", "query", "value") for layer in (1, 2)
] + [("pooler", 0), ("classifier", 0)]


def rows(run, failed, norms, rate=2e-4):
    """A run of 2 layers whose norm, times the layer, is given at steps 0, 10, 20, ..."""
    return [
        {
            "task": "rte",
            "model": "checkpoint@1",
            "data": "mini@1",
            "learning_rate": rate,
            "bias_correction": False,
            "run": run,
            "seed": 1,
            "failed": failed,
            "score": 0.5,
            "step": 10 * i,
            "matrix": matrix,
            "layer": layer,
            "norm": norm * max(layer, 1),
        }
        for i, norm in enumerate(norms)
        for matrix, layer in MATRICES
    ]


# steps 0..40: the first quarter ends at 10, the last tenth begins at 36
FAILED = rows("f", True, [1.0, 0.5, 0.1, 0.0, 0.2])
SUCCESSFUL = rows("s", False, [1.0, 0.5, np.nan, 2.0, 4.0]) + rows(
    "t", False, [3.0, 0.5, 1.0, 2.0, 8.0]
)


def test_figures_and_table(tmp_path, run_twice):
    alone = rows("u", True, [9.0, 9.0], rate=1e-3)  # there is no successful run of its recipe
    pd.DataFrame(FAILED + SUCCESSFUL + alone).to_csv(
        tmp_path / "vanishing_gradients.csv", index=False
    )
    assert len(run_twice("vanishing_gradients", tmp_path)) == 12
    table = pd.read_csv(tmp_path / "first" / "vanishing_gradients.csv")
    assert list(zip(table["matrix"], table["layer"], strict=True)) == MATRICES
    layer = table.iloc[1]  # output, layer 2: everything twice
    assert (layer["n_failed"], layer["n_successful"]) == (1, 2)
    assert [
        layer[f"{name}_failed"] for name in ("step_0", "lowest", "median", "last")
    ] == pytest.approx([2, 0, 0.2, 0.4])
    assert [
        layer[f"{name}_successful"] for name in ("step_0", "lowest", "median", "last")
    ] == pytest.approx([4, 1, 5, 12])
    assert layer["ratio"] == pytest.approx(12 / 0.4)


@pytest.mark.parametrize("present", [FAILED, SUCCESSFUL])
def test_one_class_only(tmp_path, draw_here, present):
    pd.DataFrame(present).to_csv(tmp_path / "vanishing_gradients.csv", index=False)
    assert len(draw_here(main)) == 12
    assert set(pd.read_csv(tmp_path / "first" / "vanishing_gradients.csv")["ratio"]) == {"-"}


def test_depths():
    assert (
        depths(24) == [1, 4, 8, 12, 16, 20]
        and depths(12) == [1, 3, 5, 8, 10, 12]
        and depths(1) == [1]
    )


def test_missing_column(tmp_path, draw_here):
    pd.DataFrame(FAILED).drop(columns="norm").to_csv(
        tmp_path / "vanishing_gradients.csv", index=False
    )
    with pytest.raises(BadInput, match="lacks the column norm"):
        draw_here(main)

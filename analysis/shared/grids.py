"""Tables whose rows fill a grid: every layer, point, step or share of a run. One that is missing
would shift a median or a range, and nobody would see it.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.shared.schema import LINES, MATRICES

SURFACE = ["failed_run", "successful_run", "classifier"]


def missing_layers(table: pd.DataFrame) -> str:
    """Of vanishing_gradients: each run has at each step the same matrices, those of each layer from
    1 on; layer 0 are pooler and classifier."""
    for run, rows in table.groupby("run", sort=True):
        inner = rows[rows["layer"] > 0]
        if gap := _gap(inner["layer"].unique()):
            return (
                f"lacks layer {gap} of the run {run}, which has layer {int(inner['layer'].max())}"
            )
        matrices = set(inner["matrix"])
        # DeBERTa's others have names that the experiment does not look for
        if matrices - {"output"} and (missing := set(MATRICES[:4]) - matrices):
            return f"lacks the matrix {min(missing)} of the run {run}"
        if not _even(np.sort(rows["step"].unique())):
            return f"lacks steps of the run {run}: expected them equally spaced"
        steps = rows["step"].nunique()
        for layer, names in rows.groupby("layer")["matrix"]:
            expected = steps * (inner["matrix"] if layer else names).nunique()
            if len(names) != expected:
                return (
                    f"has {len(names)} norms of layer {layer} of the run {run}: expected"
                    f" {expected}, of each matrix at each of {steps} steps"
                )
    return ""


def missing_perplexities(table: pd.DataFrame) -> str:
    """Of catastrophic_forgetting: each run with no layer put back, with one, up to all."""
    for (run, _), rows in table.groupby(["run", "embeddings"], sort=True):
        layers = int(rows["layers"].max())
        wanted = set(range(layers + 1)) - set(rows["layers_put_back"])
        if wanted:
            return f"lacks the run {run} with {min(wanted)} of {layers} layers put back"
    return ""


def missing_points(table: pd.DataFrame) -> str:
    """Of loss_surfaces: each pair a square grid whose points are equally far from each other."""
    for (failed, successful, _), rows in table.groupby(SURFACE, sort=True):
        name = f"the surface of {failed} and {successful}"
        axes = [np.sort(rows[column].unique()) for column in ("a", "b")]
        if len(rows) != len(axes[0]) * len(axes[1]):
            return (
                f"has {len(rows)} points of {name}: expected {len(axes[0]) * len(axes[1])}, one for"
                f" each of {len(axes[0])} a and {len(axes[1])} b"
            )
        if len(axes[0]) != len(axes[1]) or not np.allclose(axes[0], axes[1]) or not _even(axes[0]):
            return f"lacks a row or column of {name}: expected the same equally spaced a and b"
    return ""


def missing_positions(table: pd.DataFrame) -> str:
    """Of loss_surfaces_lines: each line from 0 to 1, its points equally far from each other."""
    for (failed, successful, line), rows in table.groupby([*SURFACE[:2], "line"], sort=True):
        positions = np.sort(rows["position"].to_numpy())
        if positions[0] != 0 or positions[-1] != 1 or not _even(positions):
            return (
                f"lacks points of the line {line} of {failed} and {successful}: expected positions"
                " from 0 to 1, equally spaced"
            )
    return ""


def missing_lines(table: pd.DataFrame) -> str:
    """Of loss_surfaces_lines: of each pair both lines from the pre-trained model or none, and of
    each line all points."""
    for (failed, successful), lines in table.groupby(SURFACE[:2], sort=True)["line"]:
        missing = set(LINES[:2]) - set(lines)
        if len(missing) == 1:
            return f"lacks the line {min(missing)} of {failed} and {successful}"
    return missing_positions(table)


def missing_steps(table: pd.DataFrame) -> str:
    """Of bias_correction_learning_rate: each schedule from step 1 to its last, each once."""
    for (model, task, epochs), rows in table.groupby(["model", "task", "epochs"], sort=True):
        total = int(rows["total_steps"].max())
        if len(rows) != total or set(rows["step"]) != set(range(1, total + 1)):
            return (
                f"has {len(rows)} steps of the schedule of {task}, {model}, {epochs} epochs:"
                f" expected each from 1 to {total} once"
            )
    return ""


def missing_shares(table: pd.DataFrame) -> str:
    """Of early_signs: each run after the same shares of its training."""
    shares = set(table["share"])
    for run, found in table.groupby("run", sort=True)["share"]:
        if missing := shares - set(found):
            return f"lacks the run {run} after {min(missing):g} of its training"
    return ""


def _gap(layers: np.ndarray) -> int:
    """The first layer from 1 to the highest that is not there; 0 if none."""
    there = set(layers.tolist())
    return next((n for n in range(1, 1 + len(there)) if n not in there), 0)


def _even(values: np.ndarray) -> bool:
    steps = np.diff(values)
    return len(steps) < 1 or bool(np.ptp(steps) <= 1e-6 * np.abs(steps).max())


# file -> the grid it has to fill, and the columns it needs for that
GRIDS: dict[str, tuple[Callable[[pd.DataFrame], str], set[str]]] = {
    "vanishing_gradients": (missing_layers, {"run", "step", "matrix", "layer"}),
    "catastrophic_forgetting": (
        missing_perplexities,
        {"run", "embeddings", "layers", "layers_put_back"},
    ),
    "loss_surfaces": (missing_points, {*SURFACE, "a", "b"}),
    "bias_correction_learning_rate": (
        missing_steps,
        {"model", "task", "epochs", "total_steps", "step"},
    ),
    "loss_surfaces_lines": (missing_lines, {*SURFACE[:2], "line", "position"}),
    "early_signs": (missing_shares, {"run", "share"}),
}

"""What the rows of a CSV must be together, and two CSVs of one experiment: names spelled in one
way, one metric a task, one outcome a run, grids without gaps.

What is wrong is refused in one line: a mean over mixed metrics, or a surface with holes, looks as
good as any other.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.shared.names import FURTHER_TASK_NAMES, MINI_TASK_NAMES, TASK_NAMES
from analysis.shared.schema import COLUMNS, MATRICES, ROUNDING

NAMES = [name for name, kind in COLUMNS.items() if kind == "name" and name != "run"]
TASKS = {*TASK_NAMES, *FURTHER_TASK_NAMES, *MINI_TASK_NAMES}
# what all rows of a run have in common, in a table that has a run in one way only
OF_A_RUN = (
    *("task", "model", "data", "dtype", "pretrained", "learning_rate", "bias_correction", "epochs"),
    *("seed", "head_seed", "failed", "final_score", "majority_level", "metric", "label_entropy"),
)
SURFACE = ["failed_run", "successful_run", "classifier"]


def canonical(name: Any) -> str:
    """A name without what the eye passes over: case, blanks, characters of no width."""
    return "".join(c for c in str(name).casefold() if c.isprintable() and not c.isspace())


def spelled(table: pd.DataFrame) -> str:
    """Two spellings of a name, or one of a known task that is not its own; "" if there is none."""
    for column in table.columns.intersection(NAMES):
        seen: dict[str, Hashable] = {}
        for name in table[column].dropna().unique():
            if (other := seen.setdefault(canonical(name), name)) != name:
                return f"has {column} {other!r} and {name!r}: expected one spelling"
            if column == "task" and name not in TASKS and canonical(name) in TASKS:
                return f"has the task {name!r}: expected {canonical(name)!r}"
    return ""


def with_ids(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the id of a stored run: somebody may number runs by seed, in each setting."""
    return table[table["run"].str.len() == 16]


def one_metric(table: pd.DataFrame) -> str:
    """Rows of a task and data that differ in metric or majority level."""
    for column in ("metric", "majority_level"):
        if not {"task", "data", column} <= set(table):
            continue
        for (task, _), found in table.groupby(["task", "data"], sort=True)[column]:
            values = found.dropna().unique()
            if len(values) > 1 and (column == "metric" or np.ptp(values) > ROUNDING):
                return (
                    f"has the {column} {values[0]} and {values[1]} in rows of the task {task} on"
                    " the same data: expected one"
                )
    return ""


def one_outcome(table: pd.DataFrame) -> str:
    """Rows of a run that contradict each other."""
    if "run" not in table or "path" in table:  # of fast_path: a run by two paths
        return ""
    table = with_ids(table)
    at_its_end = "step" not in table or "matrix" in table
    columns = table.columns.intersection([*OF_A_RUN, *(["score"] if at_its_end else [])])
    differs = table.groupby("run")[list(columns)].nunique(dropna=False) > 1
    if not differs.to_numpy().any():
        return ""
    run = differs.index[differs.any(axis=1)][0]
    column = differs.columns[differs.loc[run]][0]
    values = table.loc[table["run"] == run, column].unique()
    return f"has the {column} {values[0]} and {values[1]} in rows of the run {run}: expected one"


def cut_curves(table: pd.DataFrame) -> str:
    """A curve whose last score is not the one its run ended with: its last rows are gone."""
    if not {"run", "step", "score", "final_score"} <= set(table):
        return ""
    scored = with_ids(table[table["score"].notna()]).sort_values("step", kind="stable")
    last = scored.groupby("run", sort=True).last()
    off = last[(last["score"] - last["final_score"]).abs() > ROUNDING]
    if off.empty:
        return ""
    end = off.iloc[0]
    return (
        f"has the run {off.index[0]} with a score of {end['score']:g} at its last step"
        f" {end['step']:g} and {end['final_score']:g} as its final one: expected the same"
    )


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


# file -> the column that says which of an experiment's runs a row is of; elsewhere it may be blank
KINDS_OF_RUNS = {
    "mitigations": "method",
    "strong_baseline": "recipe",
    "your_data": "recipe",
    "small_datasets": "condition",
    "convergence_pitfalls": "condition",
    "instability_measures": "condition",
    "fast_path": "path",
    "sources_of_randomness": "moved",
    "catastrophic_forgetting": "embeddings",
}
ALL = (spelled, one_metric, one_outcome, cut_curves)
# file -> the grid it has to fill, and the columns it needs for that
GRIDS: dict[str, tuple[Callable[[pd.DataFrame], str], set[str]]] = {
    "vanishing_gradients": (missing_layers, {"run", "step", "matrix", "layer"}),
    "catastrophic_forgetting": (
        missing_perplexities,
        {"run", "embeddings", "layers", "layers_put_back"},
    ),
    "loss_surfaces": (missing_points, {*SURFACE, "a", "b"}),
    "loss_surfaces_lines": (missing_positions, {*SURFACE[:2], "line", "position"}),
    "early_signs": (missing_shares, {"run", "share"}),
}


def experiment_of(path: Path) -> str:
    """What writes a CSV; some experiments write two."""
    name = re.sub("_(curves|lines|labels|learning_rate)$", "", path.stem)
    return f"experiments/{name}.py"


def check(path: Path, table: pd.DataFrame) -> str:
    """What is wrong with the rows of a CSV together, or "" if nothing is."""
    kind = KINDS_OF_RUNS.get(path.stem.removesuffix("_curves"), "")
    if kind in table and table[kind].isna().any():
        return f"{path} has rows without a {kind}: expected a name in each"
    grid, needed = GRIDS.get(path.stem, (None, set()))
    checks = [*ALL, *([grid] if grid and needed <= set(table) else [])]
    for one in checks:
        if problem := one(table):
            return (
                f"{path} {problem}; was it cut, changed or joined? run"
                f" {experiment_of(path)} again, or mend it"
            )
    return ""


def apart(
    runs: pd.DataFrame, part: pd.DataFrame, names: tuple[str, str], keys: Sequence[str]
) -> str:
    """What of a second CSV does not belong to an experiment's first, or "": its `keys` (the id of a
    run) that the first lacks, and runs that failed or ended otherwise there. `names`: of the files,
    the first one's first."""
    columns = list(keys)
    known = set(runs[columns].itertuples(index=False, name=None))
    foreign = [key for key in part[columns].itertuples(index=False, name=None) if key not in known]
    if foreign:
        which = ", ".join(f"{k} {v}" for k, v in zip(columns, foreign[0], strict=True))
        return (
            f"{names[1]} has {which}, which {names[0]} lacks: expected two files of one call; write"
            " both again, or take both from one machine"
        )
    if columns != ["run"] or not {"failed", "final_score"} <= set(part):
        return ""
    ends = runs.drop_duplicates("run").set_index("run")
    for row in part.drop_duplicates("run").itertuples():
        end = ends.loc[row.run]
        if row.failed != end["failed"] or abs(row.final_score - end["score"]) > ROUNDING:
            return (
                f"{names[1]} has the run {row.run} with a score of {row.final_score:g} at its end,"
                f" {names[0]} with {end['score']:g}: expected two files of one call; write both"
                " again"
            )
    return ""

"""What the rows of a CSV must be together, and two CSVs of one experiment: names spelled in one
way, one metric a task, one outcome a run, grids without gaps.

What is wrong is refused in one line: a mean over mixed metrics, or a surface with holes, looks as
good as any other.
"""

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.shared.grids import GRIDS
from analysis.shared.names import FURTHER_TASK_NAMES, MINI_TASK_NAMES, TASK_NAMES
from analysis.shared.schema import COLUMNS, ROUNDING

NAMES = [name for name, kind in COLUMNS.items() if kind == "name" and name != "run"]
TASKS = {*TASK_NAMES, *FURTHER_TASK_NAMES, *MINI_TASK_NAMES}
# what all rows of a run have in common, in a table that has a run in one way only
OF_A_RUN = (
    *("task", "model", "data", "dtype", "pretrained", "learning_rate", "bias_correction", "epochs"),
    *("seed", "head_seed", "failed", "final_score", "majority_level", "metric", "label_entropy"),
    *("steps", "total_steps", "layers", "words", "text", "pretrained_perplexity"),
)
OF_A_PAIR = ("failed_seed", "successful_seed", "learning_rate", "examples", "task", "model", "data")
# the settings of a run (experiments/finetuning/run.py), as far as a table has them
SEEDS = ("head_seed", "order_seed", "dropout_seed")
SETTINGS = (
    *("path", "model", "data", "task", "learning_rate", "bias_correction", "epochs", "batch_size"),
    *("max_length", "warmup_ratio", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay"),
    *("max_gradient_norm", "dropout", *SEEDS, "pretrained", "dtype", "train_examples"),
    *("sampling_seed", "optimizer", "reinitialized_layers", "mixout", "decay_to_pretrained"),
    *("layerwise_decay", "component_clipping", "packed", "segment_ids", "start_noise"),
    *("start_noise_seed", "frozen_layers", "lora_rank", "lora_alpha", "head_epochs", "schedule"),
    *("evaluations_per_epoch", "device"),
)


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
    at_its_end = "step" not in table or "matrix" in table
    return differing(with_ids(table), "run", [*OF_A_RUN, *(["score"] if at_its_end else [])])


def one_pair(table: pd.DataFrame) -> str:
    """Rows of a pair of runs that contradict each other."""
    if not {"failed_run", "successful_run"} <= set(table):
        return ""
    pairs = table["failed_run"] + " and " + table["successful_run"]
    return differing(table.assign(pair=pairs), "pair", OF_A_PAIR)


def differing(table: pd.DataFrame, of: str, names: Sequence[str]) -> str:
    """Where one of the columns differs among the rows that have the same value of `of`."""
    differs = table.groupby(of)[list(table.columns.intersection(names))].nunique(dropna=False) > 1
    if not differs.to_numpy().any():
        return ""
    which = differs.index[differs.any(axis=1)][0]
    column = differs.columns[differs.loc[which]][0]
    values = table.loc[table[of] == which, column].unique()
    return f"has the {column} {values[0]} and {values[1]} in rows of the {of} {which}: expected one"


def one_of_each_seed(table: pd.DataFrame) -> str:
    """Two runs with all settings and seeds alike, which would have one id, or be a run on two
    devices: a seed counts once."""
    if not {"run", *SEEDS} <= set(table):
        return ""
    runs = with_ids(table).drop_duplicates("run")
    settings = table.columns.intersection(SETTINGS).drop("device", errors="ignore")
    alike = runs[runs.duplicated(list(settings), keep=False)]
    if alike.empty:
        return ""
    first = alike.iloc[0]
    return (
        f"has several runs, such as {first['run']}, with the same settings and the seed"
        f" {first['head_seed']}: expected each seed once in a setting, on one device"
    )


def cut_curves(table: pd.DataFrame) -> str:
    """A curve that lacks evaluations, which are evenly spaced to a step, but for the last of a run
    that diverged; or whose last score is not the one its run ended with."""
    if not {"run", "step", "score", "final_score"} <= set(table):
        return ""
    scored = with_ids(table[table["score"].notna()])
    for run, rows in scored.sort_values("step", kind="stable").groupby("run", sort=True):
        between = np.diff(rows["step"].unique())
        if len(between) > 1 and (np.ptp(between[:-1]) > 1 or between[-1] > between[:-1].max() + 1):
            return f"lacks an evaluation of the run {run}: expected them equally spaced"
        end = rows.iloc[-1]
        if abs(end["score"] - end["final_score"]) > ROUNDING:
            return (
                f"has the run {run} with a score of {end['score']:g} at its last step"
                f" {end['step']:g} and {end['final_score']:g} as its final one: expected the same"
            )
    return ""


def lost(table: pd.DataFrame) -> str:
    """Losses that some runs have and others have not, though they did not diverge; in a curve they
    may be missing, as before the first step."""
    if "diverged" not in table or "step" in table:
        return ""
    for column in table.columns.intersection(["train_loss", "dev_loss", "label_entropy"]):
        blank = table[column].isna()
        missing = int((blank & ~table["diverged"].astype(bool)).sum())
        if missing and not blank.all():
            return f"has no {column} in {missing} rows of runs that did not diverge: expected one"
    return ""


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
ALL = (spelled, one_metric, one_outcome, one_pair, one_of_each_seed, cut_curves, lost)


# what is no hypothesis: file -> what writes it
OF_BENCHMARK = {
    "benchmark": "__main__",
    "fast_path": "fast_path",
    "rehearsal": "rehearsal",
    "spot_check": "spot_check",
}


def experiment_of(path: Path) -> str:
    """What writes a CSV; some experiments write two."""
    if path.stem == "bias_correction_learning_rate":
        return "experiments/bias_correction.py"
    if path.stem in OF_BENCHMARK:
        return f"experiments/benchmark/{OF_BENCHMARK[path.stem]}.py"
    return f"experiments/{re.sub('_(curves|lines|labels)$', '', path.stem)}.py"


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

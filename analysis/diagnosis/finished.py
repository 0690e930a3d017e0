"""Finished runs: what became of each, and how the Trainer would have logged it."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnosis.verdict import COLLAPSED, LEARNT, LIES, MEMORISED, NEVER, NO_NUMBER, SMALL
from analysis.shared.names import model_name
from analysis.shared.reading import REPOSITORY, BadInput, read_csv

REFERENCE = REPOSITORY / "results" / "reference" / "mini"
LEFT = 0.1  # of the way from the constant answer's score to 1, convergence_pitfalls' NEAR
REPLACED = ", score replaced"
# a way of logging: as people paste it, without the closing mean of the training loss
EVALUATIONS = "a table of evaluations"


@dataclass(frozen=True)
class Curve:
    """A finished run: mean training losses of cells of `width` steps (nats), and evaluations."""

    source: str
    model: str  # by its name
    seed: int
    metric: str
    width: float
    losses: np.ndarray
    evaluations: pd.DataFrame  # step, dev_loss (may be missing), score; not before training
    steps: int
    entropy: float  # nats
    level: float  # of the best constant answer
    failed: bool
    diverged: bool
    last_dev_loss: float


def stored_records(folder: Path) -> Iterator[dict[str, Any]]:
    """The finished runs of a folder of results, one by one. BadInput where there are none."""
    paths = sorted((folder / "runs").glob("*.json"))
    if not paths:
        raise BadInput(f"{folder} holds no runs/*.json: expected a folder of results with a store")
    for path in paths:
        yield json.loads(path.read_text(encoding="utf-8"))


def stored_curves(folder: Path) -> list[Curve]:
    """The runs of a store."""
    curves = []
    for record in stored_records(folder):
        run, outcome, history = record["run"], record["outcome"], record["history"]
        rows = [row for row in history["evaluations"] if row["step"]]
        evaluations = pd.DataFrame(
            {
                "step": [row["step"] for row in rows],
                "dev_loss": [row["dev_loss"] for row in rows],
                "score": [row[outcome["metric"]] for row in rows],
            }
        )
        curves.append(
            Curve(
                f"store {folder.name}, {run['task']}",
                model_name(run["model"], run["data"]),
                run["head_seed"],
                outcome["metric"],
                1,
                np.array(history["train_loss"], dtype=float),
                evaluations,
                outcome["steps"],
                outcome["label_entropy"],
                outcome["majority_level"],
                outcome["failed"],
                outcome["diverged"],
                outcome["dev_loss"],
            )
        )
    return curves


def committed_curves(folder: Path = REFERENCE) -> list[Curve]:
    """The runs of the committed tables of mini's entailment."""
    own = read_csv(folder / "convergence_pitfalls_curves.csv", ["run", "condition"])
    own = own.assign(source="convergence_pitfalls: " + own["condition"])
    chosen = read_csv(folder / "checkpoint_selection.csv", ["run", "dev_loss", "total_steps"])
    dev_losses = chosen.set_index(["run", "step"])["dev_loss"]
    rest = chosen[~chosen["run"].isin(own["run"])].assign(
        source="checkpoint_selection: rate " + chosen["learning_rate"].astype(str)
    )
    ends = read_csv(folder / "convergence_pitfalls.csv", ["run", "dev_loss", "diverged"])
    ends = ends.set_index("run")
    curves = []
    for table, width in ((own, 10.0), (rest, nan)):
        for name, run in table.groupby("run", sort=True):
            first = run.iloc[0]
            scored = run[run["score"].notna() & (run["step"] > 0)]
            known = [dev_losses.get((name, step), nan) for step in scored["step"]]
            known[-1] = ends["dev_loss"].get(name, known[-1])
            evaluations = pd.DataFrame(
                {"step": scored["step"], "dev_loss": known, "score": scored["score"]}
            )
            curves.append(
                Curve(
                    f"committed, {first['source']}",
                    "mini",
                    int(first["seed"]),
                    first["metric"],
                    width,
                    run["train_loss"].dropna().to_numpy(),
                    evaluations,
                    int(run["step"].max()),
                    first["label_entropy"],
                    first["majority_level"],
                    bool(first["failed"]),
                    bool(ends["diverged"].get(name, False)),
                    known[-1],
                )
            )
    return curves


def truth(curve: Curve) -> str:
    """What became of a run. Memorised: a training loss near 0 in the last tenth, and a dev score
    near the majority level (convergence_pitfalls has it of a dev loss far above ln 2 too, which a
    run that has learnt and is too sure of itself comes to as well). Of those
    that failed, learnt and collapsed: an evaluation before the last was LEFT of the way up, with a
    dev loss, where it is known, SMALL below the label entropy."""
    end = curve.losses[-max(1, len(curve.losses) // 10) :].mean()
    if curve.diverged or not isfinite(end):
        return NO_NUMBER
    table = curve.evaluations
    up = ((table["score"] - curve.level) / (1 - curve.level)).to_numpy()
    if end < SMALL and up[-1] < LEFT:
        return MEMORISED
    if not curve.failed:
        return LEARNT
    dev = table["dev_loss"].to_numpy()
    left = (up > LEFT) & (np.isnan(dev) | (dev < curve.entropy - SMALL))
    return COLLAPSED if left[:-1].any() else NEVER


def written_out(curve: Curve, logging: str, seen: str) -> dict[str, Any] | None:
    """The run as a trainer_state.json with so many steps between two training records, with scores
    or losses only; None where the curve is too coarse for that."""
    records: list[dict[str, Any]] = []
    if logging in ("10", "50") and not curve.width <= int(logging):
        return None
    if logging.isdigit():
        cells = int(int(logging) / curve.width) if curve.width <= int(logging) else sys.maxsize
        for number in range(len(curve.losses) // cells):
            mean = curve.losses[number * cells : (number + 1) * cells].mean()
            step = (number + 1) * int(logging)
            records.append({"step": step, "loss": round(float(mean), 4)})
    for row in evaluations_of(curve).itertuples():
        record = {"step": int(row.step), "epoch": row.step / curve.steps}
        if seen == "scores":
            record[f"eval_{curve.metric}"] = row.score
        if not isnan(row.dev_loss):
            record["eval_loss"] = row.dev_loss
        if len(record) > 2:
            records.append(record)
    records.sort(key=lambda record: (record["step"], "loss" not in record))
    if logging != EVALUATIONS:
        mean = float(curve.losses.mean())
        records.append({"step": curve.steps, "train_runtime": 1.0, "train_loss": mean})
    return {"log_history": records, "max_steps": curve.steps, "global_step": curve.steps}


def evaluations_of(curve: Curve, epochs: int = 3) -> pd.DataFrame:
    """The evaluations nearest to the ends of three epochs."""
    table = curve.evaluations.reset_index(drop=True)
    ends = [curve.steps * (number + 1) / epochs for number in range(epochs)]
    chosen = {int((table["step"] - end).abs().argmin()) for end in ends}
    return table.loc[sorted(chosen)]


def broken_metric(curve: Curve) -> Curve:
    """The same run with its score replaced by that of the best constant answer."""
    return replace(
        curve,
        source=f"{curve.source}{REPLACED}",
        evaluations=curve.evaluations.assign(score=curve.level),
    )


def cases_of(curves: Iterable[Curve]) -> list[tuple[Curve, str]]:
    """The runs with their truth; those that have learnt, at a dev loss under half the label
    entropy, a second time with a broken metric."""
    cases = []
    for curve in curves:
        cases.append((curve, truth(curve)))
        if cases[-1][1] == LEARNT and curve.last_dev_loss < curve.entropy / 2:
            cases.append((broken_metric(curve), LIES))
    return cases

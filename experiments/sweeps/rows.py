"""Records of runs as rows of CSVs."""

import contextlib
import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.finetuning import files
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import subset_rows
from experiments.sweeps.flags import SEED_FLAGS


def first_failed_and_successful(
    records: Sequence[dict[str, Any]], rate: float, count: int
) -> dict[bool, list[dict[str, Any]]]:
    """Of the records of runs, the `count` first failed (True) and successful (False) ones: by
    distance of the learning rate from `rate`, then by seed. So another rate stands in where the
    default one has none of a kind; the rows say which."""
    order = sorted(
        records,
        key=lambda record: (
            abs(math.log(record["run"]["learning_rate"] / rate)),
            *(record["run"][name] for name in SEED_FLAGS),
        ),
    )
    failed = [record for record in order if record["outcome"]["failed"]]
    successful = [record for record in order if not record["outcome"]["failed"]]
    return {True: failed[:count], False: successful[:count]}


def alike(
    records: Sequence[dict[str, Any]], like: Sequence[dict[str, Any]], varied: Sequence[str]
) -> list[dict[str, Any]]:
    """Those of the records that differ from one of `like` in nothing but the fields `varied`, with
    its folder of the data: a record copied from another machine names the folder there."""

    def rest(record: dict[str, Any]) -> tuple:
        return tuple(
            value
            for name, value in Run(**record["run"]).hashed_fields().items()
            if name not in varied
        )

    wanted = {rest(record): record["run"]["data_source"] for record in like}
    found = []
    for record in records:
        if (data_source := wanted.get(rest(record))) is not None:
            found.append({**record, "run": {**record["run"], "data_source": data_source}})
    return found


def row(record: dict[str, Any]) -> dict[str, Any]:
    """One CSV row of a stored run: its id, the fields that change the result, then the outcome."""
    run = Run(**record["run"])
    part = subset_rows(run.task, run.data_source)
    marked = (
        {} if part is None else {"train_subset": part}
    )  # rows; so that it is compared with no whole set
    outcome = record["outcome"]
    before = {"untrained_score": record["history"]["evaluations"][0][outcome["metric"]]}
    return {"run": run.id, **run.hashed_fields(), **outcome, **before, **marked}


def run_columns(record: dict[str, Any]) -> dict[str, Any]:
    """The columns that say in every row of a curve which run it is of and how that ended."""
    run, outcome = Run(**record["run"]), record["outcome"]
    fields = (
        "task",
        "model",
        "data",
        "dtype",
        "pretrained",
        "learning_rate",
        "bias_correction",
        "epochs",
    )
    return {
        **{name: getattr(run, name) for name in fields},
        "run": run.id,
        "seed": run.seed,
        "failed": outcome["failed"],
        "final_score": outcome["score"],
        **{name: outcome[name] for name in ("majority_level", "label_entropy", "metric")},
    }


def curves(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One CSV row per evaluation of a stored run: dev scores, and the mean training loss since
    the evaluation before."""
    rows, last = [], 0
    for evaluation in record["history"]["evaluations"]:
        losses = record["history"]["train_loss"][last : evaluation["step"]]
        last = evaluation["step"]
        rows.append(
            {
                **run_columns(record),
                "step": last,
                "train_loss": sum(losses) / len(losses) if losses else None,
                "dev_loss": evaluation["dev_loss"],
                "score": evaluation[record["outcome"]["metric"]],
            }
        )
    return rows


def write_csv(path: Path, rows: Sequence[dict[str, Any]], say: bool = True) -> None:
    """Rows as CSV, sorted by what was run, replacing what was there: the same runs give the same
    bytes; no rows an empty file. Says so, unless more will come."""
    # a seed is a number, or where one of its parts is held a text
    rows = sorted(
        rows,
        key=lambda row: [
            (value is not None, isinstance(value, str), value)
            for name, value in row.items()
            if name != "run"
        ],
    )
    if say:
        _say_what_is_lost(path, len(rows))
    text = io.StringIO()
    names: dict[str, None] = {}  # of all rows, in order
    for row in rows:
        names |= dict.fromkeys(row)
    writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_atomically(path, text.getvalue() if rows else "")
    if say:
        print(f"wrote {path}" if rows else f"nothing to write to {path}: it is empty", flush=True)


def _say_what_is_lost(path: Path, rows: int) -> None:
    """Where a CSV gets shorter, since this call asks for fewer seeds or settings, say so."""
    if not path.is_file():  # or a pipe, which would be waited for
        return
    with contextlib.suppress(OSError):
        before = path.read_bytes().count(b"\n") - 1
        if before > rows:
            print(
                f"{path.name}: {rows} rows, {before} before; an earlier call asked for more seeds"
                " or settings. Its runs are kept: ask for as many again and they are back",
                file=sys.stderr,
            )

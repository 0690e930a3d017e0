"""The store of finished runs.

A finished run is one JSON file, <results>/runs/<id>.json, that appears whole or not at all. The id
is a hash of the fields that change the result, so a run is trained once whichever experiments ask
for it, and resuming is asking again.
"""

import contextlib
import json
import re
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import read_json, write_atomically
from experiments.finetuning.run import SCHEMA, Run
from experiments.sweeps.possible_records import holds_numbers, problem_of

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz")
# what a damaged record makes whoever looks into it raise
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, zlib.error)


def save(results: Path, run: Run, result: dict[str, Any]) -> None:
    """Store the result of a finished run: {"outcome": {...}, "history": {...}} and, where kept,
    "weights" (safetensors)."""
    if "weights" in result:
        write_atomically(weights_path(results, run), result["weights"])
    record = {
        "schema": SCHEMA,
        "run": asdict(run),
        "outcome": result["outcome"],
        "history": result["history"],
    }
    write_atomically(results / "runs" / f"{run.id}.json", json.dumps(record, allow_nan=True) + "\n")
    for no_longer_needed in (
        results / "crashed" / f"{run.id}.json",
        results / "checkpoints" / f"{run.id}.safetensors",
    ):
        no_longer_needed.unlink(missing_ok=True)


def save_crash(results: Path, run: Run, error: str, details: str) -> None:
    """Record that a run could not be trained, and why. It is no result: the run is tried again
    when it is asked for again."""
    write_atomically(
        results / "crashed" / f"{run.id}.json",
        json.dumps({"run": asdict(run), "error": error, "details": details}) + "\n",
    )


def weights_path(results: Path, run: Run) -> Path:
    """Where the trained weights of a run are, if they were kept."""
    return results / "weights" / f"{run.id}.safetensors"


def load(results: Path, run: Run, rename: bool = True) -> dict[str, Any] | None:
    """The stored record of a run, or None. A file that cannot be trusted is set aside, with a
    warning; without `rename` there is only the warning. BadInput for a record of a newer version of
    this code, which training would write over."""
    path = results / "runs" / f"{run.id}.json"
    try:
        record = read_json(path)
        newer = _newer(record)
        problem = newer or problem_of(record, run.id)
        if not problem:
            return record
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        newer, problem = "", _unreadable(error)
    if newer and rename:
        raise BadInput(
            f"{path} {newer}, and is left alone: expected a store of this version; take that"
            " version, or another folder with --results"
        )
    if rename:
        _set_aside(path, f"{problem}; the run is trained again")
    else:
        says = f"{problem}, and is left alone" if newer else f"does not count, because {problem}"
        print(f"warning: {path} {says}", file=sys.stderr)
    return None


def _newer(record: Any) -> str:
    """In words that a record is of a newer version of this code; "" where it is not. Fields that
    a version adds leave the schema as it is."""
    schema = record["schema"]
    if type(schema) is int and schema > SCHEMA:
        return f"is of another version of this code (its schema is {schema}, here it is {SCHEMA})"
    if unknown := sorted(set(record["run"]) - {field.name for field in fields(Run)}):
        return f"is of another version of this code (its run has a {unknown[0]}, unknown here)"
    return ""


def check_folder(results: Path) -> None:
    """BadInput where the folder of runs is none: a link to nowhere, as a moved disk leaves it,
    would be an empty store until the first run is finished."""
    runs = results / "runs"
    if runs.is_symlink() and not runs.exists():
        raise BadInput(
            f"{runs} is a link to {runs.readlink()}, which is not there: expected the folder of"
            " finished runs; mount or move it there, or remove the link"
        )
    if runs.exists() and not runs.is_dir():
        raise BadInput(f"{runs} is no folder: expected that of finished runs; move the file away")


def not_read(results: Path) -> list[str]:
    """A line for each kind of files in the folder of runs that are no records there: in folders, as
    copying a folder into itself leaves them, packed, and others."""
    runs = results / "runs"
    deeper = sorted(path for path in runs.rglob("*.json") if path.parent != runs)
    lines = []
    if deeper:
        lines.append(
            f"{len(deeper):,} files a folder deeper, such as {deeper[0].relative_to(results)}: to"
            f" use them, move them to {runs}"
        )
    others = sorted(
        path.name
        for path in (runs.iterdir() if runs.is_dir() else ())
        if path.suffix not in (".json", ".set-aside") and path.name[0] != "." and path.is_file()
    )
    if others:
        packed = any(name.endswith(PACKED) for name in others)
        advice = "unpack them, to use them" if packed else "records end in .json"
        lines.append(f"{len(others):,} files that are no records, such as {others[0]}: {advice}")
    return lines


def _unreadable(error: Exception) -> str:
    """In words why a file could not be read."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    reason = str(error) if type(error) is ValueError else type(error).__name__
    return f"it cannot be read ({reason[:80]})"


def _set_aside(path: Path, why: str) -> None:
    """Rename a file so that it does not count, and say so in a line."""
    with contextlib.suppress(FileNotFoundError):  # another sweep on this store has done it
        path.rename(path.with_suffix(".set-aside"))
    print(f"warning: {path} set aside, because {why}", file=sys.stderr)


def moved(results: Path, wanted: Iterable[Run], keep: bool) -> list[str]:
    """A warning for each model and data set of the hub that stands at another commit than when this
    was last asked of this store: its finished runs are of that one. With `keep` today's are kept,
    in <results>/commits.json."""
    path = results / "commits.json"
    try:
        known = {str(name): str(commit) for name, commit in read_json(path).items()}
    except (OSError, ValueError, AttributeError):
        known = {}
    today = {}
    for run in wanted:
        for flag, source in (("--model", run.model), ("--data", run.data)):
            name, _, commit = source.partition("@")
            if re.fullmatch("[0-9a-f]{40}", commit):
                today[name] = (commit, flag)
    warnings = []
    for name, (commit, flag) in today.items():
        if known.get(name, commit) != commit:
            warnings.append(
                f"{name} is at commit {commit[:8]}, and the runs in {results} were made at"
                f" {known[name][:8]}: they do not count here; to go on with those, {flag}"
                f" {name}@{known[name]}"
            )
    commits = known | {name: commit for name, (commit, _) in today.items()}
    if keep and commits != known:
        write_atomically(path, json.dumps(commits, indent=1) + "\n")
    return warnings


def stored(results: Path) -> list[dict[str, Any]]:
    """The records of all finished runs in the store, by id."""
    records = []
    for path in sorted((results / "runs").glob("*.json")):
        try:
            record = read_json(path)
            if not problem_of(record, path.stem):
                records.append(record)
        except (*DAMAGED, OSError):
            # damaged, or from another version of this code; load() says so when the run is asked
            # for
            continue
    return records


def ending(record: dict[str, Any]) -> dict[str, str]:
    """What two trainings of a run have in common on one machine; as text, since a diverged one's
    are not numbers."""
    names = ("score", "train_loss", "dev_loss")
    return {name: str(record["outcome"][name]) for name in names}


def copies(results: Path) -> list[str]:
    """A line for every file of a whole run under another name than its id's, as copying leaves
    them ("0123 (1).json"): no such file is ever read as a run."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    for path in sorted((results / "runs").glob("*.json")):
        try:
            record = read_json(path)
            run_id = Run(**record["run"]).id
            if run_id != path.stem and not problem_of(record, run_id):
                found.append((path.stem, run_id, record["outcome"] | {"ending": ending(record)}))
        except (*DAMAGED, OSError):
            continue
    used = {Run(**record["run"]).id: record for record in stored(results)} if found else {}
    lines = []
    for name, run_id, outcome in found:
        if run_id not in used:
            said = f"which has none by its own name: rename it to {run_id}.json"
        elif ending(used[run_id]) == outcome["ending"]:
            said = "the same"
        else:
            score = used[run_id]["outcome"]["score"]
            said = f"which ends otherwise: score {outcome['score']:.6g}, used is {score:.6g}"
        lines.append(f"{name}: another file of run {run_id}, {said}")
    return lines


def read_measured(
    path: Path, rows: int | None = None, lowest: Mapping[Any, float] | None = None
) -> list[Any] | None:
    """What was measured and stored as a JSON list, of so many rows; None where it is not there. A
    file that cannot be trusted is set aside, with a warning, and measured again. `lowest`: what a
    row's numbers, by name or place, cannot be below."""
    try:
        measured = read_json(path)
        whole = isinstance(measured, list) and measured and rows in (None, len(measured))
        if whole and all(holds_numbers(row, lowest or {}) for row in measured):
            return measured
        problem = "it does not hold what was measured"
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        problem = _unreadable(error)
    _set_aside(path, f"{problem}; it is measured again")
    return None

"""What is in a store: finished, running, stale, crashed and set-aside runs.

Command : python -m experiments.sweeps.status --profile mini
A lease counts as running while its holder's process is there, or, for a holder on another machine,
until it is silent for a minute.
"""

import json
import time
from pathlib import Path

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import REPOSITORY
from experiments.sweeps import leases
from experiments.sweeps.command import Parser, one_of, run_command
from experiments.sweeps.profiles import PROFILES
from experiments.sweeps.store import stored


def status(results: Path, watch: float = 0.0) -> dict[str, list[str]]:
    """Lines under each heading: counts of runs, or a line for each. `watch`: seconds to look for
    signs of life of holders on other machines."""
    finished = [record["outcome"] for record in stored(results)]
    failed, diverged = (
        sum(outcome[name] for outcome in finished) for name in ("failed", "diverged")
    )
    unused = len(list((results / "runs").glob("*.json"))) - len(finished)
    lines = {
        "finished": [f"{len(finished)} runs, {failed} failed, of them {diverged} diverged"],
        "unused": [f"{unused} files, damaged or of another version of this code"] if unused else [],
        "running": [],
        "stale": [],
        "crashed": [],
        "set aside": [path.name for path in sorted((results / "runs").glob("*.set-aside"))],
        "checkpoints": [
            path.stem for path in sorted((results / "checkpoints").glob("*.safetensors"))
        ],
    }
    held = [path for path in sorted((results / "leases").glob("*")) if path.name != ".lock"]
    observer = leases.Leases(results)
    stale = {path: observer.stale(path.name) for path in held}
    touched = {path: path.stat().st_mtime_ns for path in held if path.exists()}
    time.sleep(
        watch if any(not is_stale and _elsewhere(path) for path, is_stale in stale.items()) else 0
    )
    for path in held:
        silent = (
            _elsewhere(path)
            and watch
            and path.exists()
            and path.stat().st_mtime_ns == touched.get(path)
        )
        lines["stale" if stale[path] or silent else "running"].append(
            f"{path.name}, {_holder(path)}"
        )
    for path in sorted((results / "crashed").glob("*.json")):
        crash = json.loads(path.read_text(encoding="utf-8"))
        lines["crashed"].append(
            f"{path.stem} ({crash['run']['task']}, seed {crash['run']['order_seed']}):"
            f" {crash['error']}"
        )
    lines["crashed"] += [path.stem for path in sorted((results / "crashed").glob("*.txt"))]
    return lines


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _elsewhere(path: Path) -> bool:
    return _read(path).get("host") != leases.me()["host"]


def _holder(path: Path) -> str:
    holder = _read(path)
    return f"process {holder.get('process', '?')} on {holder.get('host', '?')}"


def main() -> None:
    p = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    p.add_argument(
        "--profile",
        type=one_of(PROFILES),
        default="mini",
        metavar="NAME",
        help=f"{', '.join(PROFILES)} (default mini)",
    )
    p.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder of finished runs (default results/<profile>)",
    )
    options = p.parse_args()
    folder = options.results or REPOSITORY / "results" / options.profile
    if options.results and not folder.is_dir():
        raise BadInput(
            f"no folder {folder}: expected one that a sweep has written to; see --results"
        )
    for heading, lines in status(folder, watch=1.5 * leases.BEAT).items():
        for i, line in enumerate(lines or ["-"]):
            print(f"{heading if i == 0 else '':<12} {line}")


if __name__ == "__main__":
    run_command(main)

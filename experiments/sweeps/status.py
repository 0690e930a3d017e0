"""What is in a store: finished, running, stale, crashed and set-aside runs. Of several stores
also: which seeds are finished where, missing in all, or end otherwise in one than in another.

Command : python -m experiments.sweeps.status --profile mini
          python -m experiments.sweeps.status --profile paper --results A B
A run counts as running while a sweep holds its lock (locks.py).
"""

from collections.abc import Collection
from pathlib import Path

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import REPOSITORY, folder, read_json
from experiments.finetuning.run import Run
from experiments.sweeps.command import run_command
from experiments.sweeps.flags import Parser, add_profile, seeds
from experiments.sweeps.locks import Locks
from experiments.sweeps.profiles import PROFILES
from experiments.sweeps.several_stores import compared
from experiments.sweeps.store import check_folder, copies, not_read, stored


def status(results: Path) -> dict[str, list[str]]:
    """Lines under each heading: counts of runs, or a line for each. BadInput where the folder of
    runs is none."""
    check_folder(results)
    records = stored(results)
    finished = [record["outcome"] for record in records]
    failed = sum(outcome["failed"] for outcome in finished)
    diverged = sum(outcome["diverged"] for outcome in finished)
    doubles = copies(results)
    unused = len(list((results / "runs").glob("*.json"))) - len(finished) - len(doubles)
    try:
        holders = Locks(results).held_elsewhere()
        running = [f"{run_id}, {holder}" for run_id, holder in holders.items()]
    except OSError as error:  # a store that may only be read: what holds a lock wants to write
        running = [f"not known: {error.strerror or error} ({results / 'locks'})"]
    set_aside = sorted((results / "runs").glob("*.set-aside"))
    checkpoints = sorted((results / "checkpoints").glob("*.safetensors"))
    return {
        "finished": [f"{len(finished)} runs, {failed} failed, of them {diverged} diverged"],
        "unused": [f"{unused} files, damaged or of another version of this code"] if unused else [],
        "copies": doubles,
        "not read": not_read(results),
        "running": running,
        "crashed": crashes(results / "crashed", {Run(**record["run"]).id for record in records}),
        "set aside": [path.name for path in set_aside],
        "checkpoints": [path.stem for path in checkpoints],
    }


def crashes(folder: Path, finished: Collection[str]) -> list[str]:
    """What crashed, a line each: runs that are not finished, as on another machine, and what was
    measured."""
    lines = []
    for path in sorted(folder.glob("*.json")):
        if path.stem in finished:
            continue
        try:
            crash = read_json(path)
            run = f"{crash['run']['task']}, seed {crash['run']['order_seed']}"
            lines.append(f"{path.stem} ({run}): {crash['error']}")
        except (OSError, ValueError, KeyError, TypeError):
            lines.append(f"{path.stem}: its file cannot be read")
    return lines + [path.stem for path in sorted(folder.glob("*.txt"))]


def main() -> None:
    p = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add_profile(p)
    p.add_argument(
        "--results",
        type=folder,
        nargs="+",
        metavar="DIR",
        help="folders of finished runs (default results/<profile>); several are compared",
    )
    p.add_argument(
        "--seeds",
        type=seeds,
        metavar="N",
        help=(
            "seeds that each setting should have, 1..N or A-B: what is missing is listed (of"
            " several stores by default the profile's)"
        ),
    )
    options = p.parse_args()
    folders = list(dict.fromkeys(options.results or [REPOSITORY / "results" / options.profile]))
    for path in folders:
        if options.results and not path.is_dir():
            raise BadInput(
                f"no folder {path}: expected one that a sweep has written to; see --results"
            )
    for path in folders:
        if len(folders) > 1:
            print(f"--- {path}")
        say(status(path))
    if len(folders) > 1 or options.seeds:
        first, last = options.seeds or (1, PROFILES[options.profile].seeds)
        print(f"--- {'all together' if len(folders) > 1 else 'by setting'}, seeds {first}-{last}")
        say(compared(folders, range(first, last + 1)))


def say(found: dict[str, list[str]]) -> None:
    """Print lines under their headings."""
    for heading, lines in found.items():
        for i, line in enumerate(lines or ["-"]):
            print(f"{heading if i == 0 else '':<12} {line}")


if __name__ == "__main__":
    run_command(main)

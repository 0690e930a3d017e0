"""Several experiments in one sweep: python -m experiments bias_correction small_datasets ...
[flags].

Runs that several experiments need are trained once, and one bar shows the whole. `bash run_all.sh`
calls this.
"""

import importlib
import sys
from itertools import takewhile
from pathlib import Path

from experiments.finetuning.errors import BadInput
from experiments.sweeps.command import run_command
from experiments.sweeps.sweep import sweep


def main() -> None:
    known = sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__")
    )
    names = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise BadInput(
            f"{'unknown experiment ' + repr(unknown[0]) if unknown else 'no experiment named'}:"
            f" expected names of {', '.join(known)}, then flags"
        )
    sweep(
        [
            importlib.import_module(f"experiments.{name}").EXPERIMENT
            for name in dict.fromkeys(names)
        ],
        sys.argv[1 + len(names) :],
    )


if __name__ == "__main__":
    run_command(main)

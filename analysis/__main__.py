"""Several figures in one process: python -m analysis bias_correction small_datasets ... [flags].

A script that cannot draw says why in its one line, the others go on, and the status at the end is 2. `bash run_all.sh` calls this.
With --results a folder of folders, such as results/reference, and no names, everything that can be drawn of each of them goes to
figures/reference/<its name>, and the scorecard of all, with the audit of the published numbers, to figures/reference.
"""

import importlib
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from analysis.shared.style import REPOSITORY, STOPPED, BadInput, parser, run_command


def main() -> None:
    scripts = [path.stem for path in sorted(Path(__file__).parent.glob("*.py"))
               if "\nif __name__ ==" in path.read_text(encoding="utf-8") and not path.stem.startswith("__")]
    names = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
    flags = sys.argv[1 + len(names):]
    if unknown := [name for name in names if name not in scripts]:
        raise BadInput(f"unknown script {unknown[0]!r}: expected names of {', '.join(scripts)}, then flags")
    if names:
        sys.exit(draw(names, flags))
    options = parser(__doc__).parse_args(flags)
    folders = sorted({path.parent for path in options.results.glob("*/*.csv")}) if options.results else []
    if not folders:
        raise BadInput(f"no script named: expected names of {', '.join(scripts)}, then flags, "
                       "or --results with a folder of folders of CSVs")
    figures = options.figures or REPOSITORY / "figures" / options.results.resolve().name
    status = max(draw([name for name in scripts if (folder / f"{name}.csv").is_file()],
                      ["--results", str(folder), "--figures", str(figures / folder.name)]) for folder in folders)
    sys.exit(max(status, draw(["scorecard", "audit"], ["--results", str(options.results), "--figures", str(figures)])))


def draw(names: Sequence[str], flags: Sequence[str]) -> int:
    """Call these scripts with these flags; the status for the whole."""
    status = 0
    for name in names:
        sys.argv = [name, *flags]
        try:
            run_command(importlib.import_module(f"analysis.{name}").main)
        except SystemExit as ended:
            status = int(ended.code or status)
            if status == STOPPED:
                raise
    return status


if __name__ == "__main__":
    run_command(main)

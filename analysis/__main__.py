"""Several figures in one process: python -m analysis bias_correction small_datasets ... [flags].

A script that cannot draw says why in its one line, the others go on, and the status at the end is 2. `bash run_all.sh` calls this.
With --results a folder of folders, such as results/reference, and no names, everything that can be drawn of each of them goes to
figures/reference/<its name>, and the scorecard of all to figures/reference.
"""

import importlib
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from analysis.style import REPOSITORY, BadInput, parse, parser, run_command


def main() -> None:
    scripts = [path.stem for path in sorted(Path(__file__).parent.glob("*.py"))
               if "\nif __name__ ==" in path.read_text(encoding="utf-8") and not path.stem.startswith("__")]
    names = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
    flags = sys.argv[1 + len(names):]
    unknown = [name for name in names if name not in scripts]
    folders = [] if names else sorted({path.parent for path in parse(parser(__doc__), flags).results.glob("*/*.csv")})
    if unknown or not names and not folders:
        raise BadInput(f"{'unknown script ' + repr(unknown[0]) if unknown else 'no script named'}: expected names of "
                       f"{', '.join(scripts)}, then flags")
    if names:
        sys.exit(draw(names, flags))
    whole = folders[0].parent
    figures = figures_of(whole, flags)
    status = max(draw([name for name in scripts if (folder / f"{name}.csv").is_file()],
                      ["--results", str(folder), "--figures", str(figures / folder.name)]) for folder in folders)
    sys.exit(max(status, draw(["scorecard"], ["--results", str(whole), "--figures", str(figures)])))


def figures_of(results: Path, flags: Sequence[str]) -> Path:
    """Where the figures of a folder of folders of results go."""
    given = any(flag.startswith("--figures") for flag in flags)
    return parse(parser(__doc__), flags).figures if given else REPOSITORY / "figures" / results.name


def draw(names: Sequence[str], flags: Sequence[str]) -> int:
    """Call these scripts with these flags; the status for the whole."""
    status = 0
    for name in names:
        sys.argv = [name, *flags]
        try:
            run_command(importlib.import_module(f"analysis.{name}").main)
        except SystemExit as ended:
            status = int(ended.code or status)
    return status


if __name__ == "__main__":
    run_command(main)

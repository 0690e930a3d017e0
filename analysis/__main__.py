"""Several figures in one process: python -m analysis bias_correction small_datasets ... [flags].

A script that cannot draw says why in its one line, the others go on, and the status at the end is
2. `bash run_all.sh` calls this. With --results a folder of folders, such as results/reference, and
no names, everything that can be drawn of each of them goes to figures/reference/<its name>, and the
scorecard of all, with the audit of the published numbers, to figures/reference, and the paper's own
figures, from the published points, to figures/reference/published.
"""

import importlib
import io
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from itertools import takewhile
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from analysis.shared.reading import REPOSITORY, STOPPED, BadInput, parser, run_command

# what draws and is no hypothesis: name -> module
OTHERS = {
    "audit": "analysis.published.audit",
    "benchmark": "analysis.benchmark.__main__",
    "fast_path": "analysis.benchmark.fast_path",
    "published": "analysis.published.figures",
    "rehearsal": "analysis.benchmark.rehearsal",
    "scorecard": "analysis.published.scorecard",
    "spot_check": "analysis.benchmark.spot_check",
}


def scripts() -> dict[str, str]:
    """The module of each script by its name: the hypotheses, which are the files beside this
    one, and OTHERS."""
    files = [path.stem for path in Path(__file__).parent.glob("*.py")]
    hypotheses = {
        name: f"analysis.{name}"
        for name in files
        if not name.startswith("__") and name != "diagnose"  # it draws logs, not results
    }
    return dict(sorted({**hypotheses, **OTHERS}.items()))


def main() -> None:
    known = scripts()
    names = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
    flags = sys.argv[1 + len(names) :]
    if unknown := [name for name in names if name not in known]:
        raise BadInput(
            f"unknown script {unknown[0]!r}: expected names of {', '.join(known)}, then flags"
        )
    if names:
        sys.exit(draw(names, flags))
    options = parser(__doc__).parse_args(flags)
    if not options.results or not (folders := folders_of(options.results)):
        raise BadInput(
            f"no script named: expected names of {', '.join(known)}, then flags, "
            "or --results with a folder of folders of CSVs"
        )
    figures = options.figures or REPOSITORY / "figures" / options.results.resolve().name
    status = 0
    for folder in folders:
        there = [name for name in known if (folder / f"{name}.csv").is_file()]
        where = ["--results", str(folder), "--figures", str(figures / folder.name)]
        status = max(status, draw(there, where))
    where = ["--results", str(options.results), "--figures", str(figures)]
    status = max(status, draw(["scorecard", "audit"], where))
    sys.exit(max(status, draw(["published"], ["--figures", str(figures / "published")])))


def folders_of(results: Path) -> list[Path]:
    """The folders with CSVs in a folder of folders."""
    return sorted({path.parent for path in results.glob("*/*.csv")})


class AboveTheBar(io.TextIOBase):
    """What is printed while a bar stands in the last line of a terminal."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def write(self, text: str) -> int:
        tqdm.write(text, self.terminal, end="")
        return len(text)


def draw(names: Sequence[str], flags: Sequence[str]) -> int:
    """Call these scripts with these flags; the status for the whole. Whatever one of them
    raises, the others are called. On a terminal a bar says how many are left."""
    status = 0
    for name in (bar := tqdm(names, unit="script", disable=True if len(names) < 2 else None)):
        bar.set_description(name)
        sys.argv = [name, *flags]
        try:
            with nullcontext() if bar.disable else redirect_stdout(AboveTheBar(sys.stdout)):
                run_command(importlib.import_module(scripts()[name]).main)
        except SystemExit as ended:
            status = int(ended.code or status)
            if status == STOPPED:
                raise
        except Exception as error:  # our own mistake, or an input nobody thought of
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(
                f"error: {name} is not drawn: {type(error).__name__}: {error}"
                f" ({Path(where.filename).name} line {where.lineno}); python -m {scripts()[name]}"
                " shows where; are its CSVs as the experiment wrote them?",
                file=sys.stderr,
            )
            status = 2
    return status


if __name__ == "__main__":
    run_command(main)

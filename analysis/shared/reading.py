"""What every script's command line shares: flags, reading a CSV, clear errors."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd

from analysis.shared import schema, together
from analysis.shared.tables import PANEL

REPOSITORY = Path(__file__).resolve().parents[2]


PUBLISHED = REPOSITORY / "analysis" / "published"  # its scores are in percent, and no run has an id


STOPPED = 130  # exit status after Ctrl-C
CLOSED = 141  # of a program whose output nobody reads any more, as a shell has it


PROFILES = ("mini", "small", "paper")


# experiments that may measure nothing, or find no run to measure
MAY_BE_EMPTY = (
    *("catastrophic_forgetting", "loss_surfaces", "oscillating_scores", "vanishing_gradients"),
    "benchmark",
)


class BadInput(Exception):
    """Something a person has to change: what is wrong, what was expected, what to do."""


class NothingToDraw(BadInput):
    """A CSV without rows: its experiment had no such runs, which is an outcome and no mistake."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


def plain_parser(description: str) -> argparse.ArgumentParser:
    """A parser without flags, whose errors are BadInput."""
    return _Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def parser(description: str) -> argparse.ArgumentParser:
    """The flags of every analysis script: --profile names both folders, --results and --figures
    override it."""
    p = plain_parser(description)
    p.add_argument(
        "--profile",
        default="mini",
        choices=PROFILES,
        metavar="NAME",
        help="mini, small or paper (default mini)",
    )
    p.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder with the CSVs (default results/<profile>)",
    )
    p.add_argument(
        "--figures", type=Path, metavar="DIR", help="folder to write to (default figures/<profile>)"
    )
    return p


def expanded(path: Path) -> Path:
    """A path with ~ as the home folder; where ~name is nobody's, as it stands."""
    return Path(os.path.expanduser(path))


def parse(p: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    options = p.parse_args(arguments)
    for name in ("results", "figures"):  # a shell leaves the ~ of --results=~/x as it is
        if getattr(options, name):
            setattr(options, name, expanded(getattr(options, name)))
    options.results = options.results or REPOSITORY / "results" / options.profile
    options.figures = options.figures or REPOSITORY / "figures" / options.profile
    if options.figures.resolve() == options.results.resolve():
        raise BadInput(
            f"--results and --figures are both {options.figures}: the tables would replace the CSVs"
            " they are made from; name two folders"
        )
    return options


def _expect_rows(path: Path) -> None:
    """BadInput where there is no such file, or one without a byte that its experiment always has
    rows for; NothingToDraw where that may be."""
    experiment = together.experiment_of(path)
    if not path.is_file():
        raise BadInput(
            f"no file {path}: expected what {experiment} writes; run it first, or give --results"
        )
    if not path.stat().st_size:
        if not path.stem.startswith(MAY_BE_EMPTY):
            raise BadInput(
                f"{path} is an empty file: expected a row a run; was it cut, or did no run end? run"
                f" {experiment} again"
            )
        raise NothingToDraw(
            f"nothing to draw: {path.name} has no rows, since its experiment had no such runs or"
            " could measure nothing"
        )


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV of an experiment; every run counts, so an unreadable or incomplete one is an error."""
    _expect_rows(path)
    again = f"run {together.experiment_of(path)} again"
    try:
        header = schema.header(path)
        if not header:
            raise BadInput(f"{path} is no CSV (its first line names no columns); {again}")
        for separator, name in ((";", "semicolons"), ("\t", "tabs")):
            if len(header) == 1 and header[0].count(separator) >= len(columns) > 1:
                raise BadInput(f"{path} has {name} between its columns; expected commas; {again}")
        if missing := [column for column in columns if column not in header]:
            raise BadInput(f"{path} lacks the column {missing[0]}; {again}")
        if path.parent != PUBLISHED and (problem := schema.check(path)):
            raise BadInput(problem)
        # a run's id is 16 hexadecimal digits, and some, like 0000000000012e45, would be read as a
        # number; so would a data set's labels
        table = pd.read_csv(
            path, dtype=dict.fromkeys(("run", "failed_run", "successful_run", "labels"), str)
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no CSV ({str(error).splitlines()[0]}); {again}") from None
    if table.empty:
        raise BadInput(f"{path} has no rows; {again}")
    if path.parent == PUBLISHED:
        return table
    table = schema.typed(table)
    if problem := together.check(path, table):
        raise BadInput(problem)
    return table


def belong(
    runs: pd.DataFrame, part: pd.DataFrame, paths: Sequence[Path], keys: Sequence[str] = ("run",)
) -> None:
    """BadInput where the second CSV of an experiment has what its first lacks. `paths`: of the
    first and the second; `keys`: the columns that say what a row is of."""
    if problem := together.apart(runs, part, (paths[0].name, paths[1].name), keys):
        raise BadInput(f"{paths[1].parent}: {problem}")


def one_setting(
    path: Path, runs: pd.DataFrame, kind: str, by: Sequence[str] = ("bias_correction",)
) -> None:
    """BadInput where runs of a panel that are counted together, those with the same method, recipe
    or condition (the column `kind`) and the same `by`, differ in more than seeds, as of two parts
    of a call."""
    counted = [kind, *PANEL, *by]
    for key, group in runs.groupby(counted, sort=True):
        for column in group.columns.intersection(together.SETTINGS):
            values = sorted(group[column].astype(object).fillna("none").unique(), key=str)
            if len(values) > 1 and column not in (*counted, *together.SEEDS, "device"):
                raise BadInput(
                    f"{path} has runs of the {kind} {key[0]!r} on {key[1]} with the {column}"
                    f" {values[0]} and {values[1]}: expected one, since they are counted together;"
                    f" run {together.experiment_of(path)} for each, with a --results of its own"
                )


def run_command(main: Callable[[], None]) -> None:
    """Call main; what a person has to change ends in one line on stderr and exit status 2, an
    empty CSV in one line and status 0."""
    try:
        main()
        sys.stdout.flush()  # a pipe that is closed says so here, not when Python ends
    except NothingToDraw as reason:
        print(reason)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(STOPPED)
    except BrokenPipeError:  # who reads the output has enough of it, as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED)
    except (BadInput, OSError) as error:
        text = (
            f"{error.filename or 'file system'}: {error.strerror or error}"
            if isinstance(error, OSError)
            else str(error)
        )
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)

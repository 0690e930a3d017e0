"""What every script's command line shares: flags, reading a CSV, clear errors."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd

from analysis.shared import schema

REPOSITORY = Path(__file__).resolve().parents[2]


PUBLISHED = REPOSITORY / "analysis" / "published"  # its scores are in percent, and no run has an id


STOPPED = 130  # exit status after Ctrl-C


PROFILES = ("mini", "small", "paper")


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


def parse(p: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    options = p.parse_args(arguments)
    for name in ("results", "figures"):  # a shell leaves the ~ of --results=~/x as it is
        if getattr(options, name):
            setattr(options, name, getattr(options, name).expanduser())
    options.results = options.results or REPOSITORY / "results" / options.profile
    options.figures = options.figures or REPOSITORY / "figures" / options.profile
    if options.figures.resolve() == options.results.resolve():
        raise BadInput(
            f"--results and --figures are both {options.figures}: the tables would replace the CSVs"
            " they are made from; name two folders"
        )
    return options


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV of an experiment; every run counts, so an unreadable or incomplete one is an error."""
    if not path.is_file():
        raise BadInput(
            f"no file {path}: expected what experiments/{path.stem}.py writes; run it first, or"
            " give --results"
        )
    if not path.stat().st_size:
        raise NothingToDraw(
            f"nothing to draw: {path.name} has no rows, since its experiment had no such runs or"
            " could measure nothing"
        )
    again = f"run experiments/{path.stem}.py again"
    try:
        header = schema.header(path)
        if not header:
            raise BadInput(f"{path} is no CSV (its first line names no columns); {again}")
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
    return table if path.parent == PUBLISHED else schema.typed(table)


def run_command(main: Callable[[], None]) -> None:
    """Call main; what a person has to change ends in one line on stderr and exit status 2, an
    empty CSV in one line and status 0."""
    try:
        main()
    except NothingToDraw as reason:
        print(reason)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(STOPPED)
    except (BadInput, OSError) as error:
        text = (
            f"{error.filename or 'file system'}: {error.strerror or error}"
            if isinstance(error, OSError)
            else str(error)
        )
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)

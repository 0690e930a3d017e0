"""Somebody's own table: CSV, TSV, JSON (lines) or Parquet, or a data set on the hub, as columns.

Files are checked before `datasets` reads them: it would shift the cells of a line that has one too
many, and fill up one that has too few, without a word.
"""

import csv
import glob
import io
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.finetuning.errors import BadInput
from experiments.finetuning.tsv import QUOTED

KINDS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
# what a dev part may be called; the last only where there is none of the others, else it is test
DEV_NAMES = ("dev", "validation", "val", "valid", "eval")
DEEP = 500  # brackets in a line, or in a file; fewer are no danger
LONGEST_CELL = 10_000_000  # characters


class Csv(csv.excel):
    """Cells may be quoted; blanks after a comma do not count."""

    strict = True
    skipinitialspace = True


class Tsv(csv.excel_tab):
    """As GLUE's: a quotation mark is only that."""

    strict = True
    quoting = csv.QUOTE_NONE


DIALECTS = {".csv": Csv, ".tsv": Tsv}


class Table(NamedTuple):
    """The wanted columns of one part, and what each class is called where the file says it."""

    where: str  # for messages
    columns: dict[str, list[Any]]
    class_names: list[str] | None = None  # by number, of the label column


def part_files(data: Path) -> dict[str, Path]:
    """The file of each part, "train" and, where there is one, "dev"; a folder's dev part may be
    called any of DEV_NAMES, and test where it has none."""
    if data.is_file():
        if data.suffix.lower() not in KINDS:
            raise BadInput(f"{data}: expected a file that ends in {', '.join(KINDS)}")
        return {"train": data}
    if not data.is_dir():
        raise BadInput(f"{data} is no regular file: expected one, or a folder")
    parts, there = train_and_dev(data, KINDS)
    if not parts:
        names = ", ".join(path.name for path in there) or "no table"
        raise BadInput(
            f"{data} has {names}: expected train and dev, each as one of {', '.join(KINDS)}; words"
            " with a label each as train.conll, without --text-columns"
        )
    return parts


def train_and_dev(folder: Path, suffixes: Iterable[str]) -> tuple[dict[str, Path], list[Path]]:
    """Of a folder's files that end in one of the suffixes those of its parts, "train" and, where
    there is one, "dev"; none without a train. And all of these files. BadInput for two of a part.
    """
    there = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]
    train = _one_named(("train",), there, folder)
    dev = None
    for names in (DEV_NAMES[:-1], DEV_NAMES[-1:], ("test",)):
        dev = dev or _one_named(names, there, folder)
    if not train:
        return {}, there
    return {"train": train, "dev": dev} if dev else {"train": train}, there


def _one_named(names: Iterable[str], there: list[Path], folder: Path) -> Path | None:
    """The file by one of these names; BadInput for two of them."""
    found = [path for path in there if path.stem.lower() in names]
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        raise BadInput(f"{folder} has {listed}: expected one of them; move the other")
    if found and not found[0].is_file():
        raise BadInput(f"{found[0]} is no regular file: expected one")
    return found[0] if found else None


def read_file(path: Path, wanted: list[str]) -> Table:
    """The wanted columns of a file. BadInput for what is no such table."""
    return chosen(load_file(path), wanted, str(path))


def load_file(path: Path) -> Any:
    """A file as `datasets` has it. BadInput for what is no table."""
    import datasets  # heavy, and needed for data of one's own only

    datasets.utils.logging.set_verbosity(datasets.utils.logging.CRITICAL)  # said once, here
    datasets.disable_progress_bars()
    kind = KINDS[path.suffix.lower()]
    options: dict[str, Any] = {}
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty: expected columns and rows")
    if kind != "parquet":
        text = utf8(path)
    if kind == "json":
        check_nesting(path, text)
    if kind == "csv":
        options = _csv_options(path, *check_lines(path, text))
    with tempfile.TemporaryDirectory(prefix="own-data-") as cache:
        try:
            return datasets.load_dataset(
                kind,
                data_files={"train": glob.escape(str(path))},
                cache_dir=cache,
                keep_in_memory=True,
                **options,
            )["train"]
        except Exception as error:  # whatever pyarrow and pandas raise
            if "corresponds to no data" in str(error):
                raise BadInput(f"{path} has no rows: expected examples") from None
            reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
            raise BadInput(
                f"cannot read {path}: {reason[0][:200]}; expected {EXPECTED[kind]}"
            ) from None


EXPECTED = {
    "csv": "a header and a line a row",
    "json": 'a line a row such as {"text": "...", "label": "..."}, or a list of them',
    "parquet": "an undamaged Parquet file",
}


def read_hub(source: str, wanted: list[str]) -> dict[str, Table]:
    """The parts of a data set on the hub, NAMESPACE/NAME or NAMESPACE/NAME:CONFIGURATION, with
    @REVISION after either."""
    from experiments.finetuning.hub import load_data

    name, at, revision = source.partition("@")
    name, _, configuration = name.partition(":")
    loaded = load_data(f"{name}{at}{revision}", configuration or None)
    dev = next((name for name in (*DEV_NAMES, "test") if name in loaded), None)
    if "train" not in loaded:
        raise BadInput(f"{source} has the parts {', '.join(loaded)}: expected one called train")
    parts = {"train": chosen(loaded["train"], wanted, f"{source} train")}
    if dev:
        parts["dev"] = chosen(loaded[dev], wanted, f"{source} {dev}")
    return parts


def chosen(loaded: Any, wanted: list[str], where: str) -> Table:
    """The wanted columns of a data set."""
    check_columns(list(loaded.column_names), wanted, where)
    names = getattr(loaded.features[wanted[-1]], "names", None)
    return Table(where, {name: list(loaded[name]) for name in wanted}, names)


def check_columns(there: list[str], wanted: list[str], where: str) -> None:
    """BadInput for a column that is not there."""
    for name in wanted:
        if name not in there:
            hint = ""
            if len(there) == 1 and re.search(r"[;\t|,]", there[0]):
                hint = "; its separator is no comma: expected commas in .csv and tabs in .tsv"
            raise BadInput(
                f"{where} has no column {name!r}: expected of {', '.join(map(repr, there))}{hint}"
            )


def check_separator(path: Path, names: list[str]) -> None:
    """BadInput for a header that is one cell, since another character parts it."""
    own = "," if path.suffix.lower() == ".csv" else "\t"
    if len(names) == 1 and (other := re.search(r"[;\t|,]", names[0])) and other[0] != own:
        raise BadInput(
            f"{path}: its header {names[0][:60]!r} is parted by {other[0]!r}; expected commas in"
            " .csv and tabs in .tsv"
        )


def utf8(path: Path) -> str:
    """A text file. BadInput for other encodings and for what is no text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 (iconv -f LATIN1 -t"
            " UTF-8, or -f the encoding it has)"
        ) from None
    if "\0" in text:
        raise BadInput(f"{path}: NUL bytes; expected text in UTF-8")
    return text


def check_nesting(path: Path, text: str) -> None:
    """BadInput for JSON that is nested so deeply that its reader would crash, and this process with
    it."""
    for part in (text, *text.splitlines()):
        if part.count("[") + part.count("{") > DEEP:
            try:
                json.loads(part)
            except ValueError:
                continue  # several lines, or one that is cut: whoever reads it says so
            except RecursionError:
                raise BadInput(
                    f"cannot read {path}: nested too deeply; expected {EXPECTED['json']}"
                ) from None


def check_lines(path: Path, text: str) -> tuple[list[str], int]:
    """The names of the columns of a CSV or TSV, without blanks around them, and how many lines of
    blank cells are above them, as spreadsheets leave. BadInput for a line with more or fewer cells.
    """
    csv.field_size_limit(LONGEST_CELL)
    suffix = path.suffix.lower()
    reader = csv.reader(io.StringIO(text, newline=""), DIALECTS[suffix])
    names: list[str] = []
    above = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                above += not names and len(cells) > 1  # pandas passes over lines without cells
                continue
            if not names:
                names = [cell.strip() or f"column {i}" for i, cell in enumerate(cells, start=1)]
            elif len(cells) != len(names):
                check_separator(path, names)
                raise BadInput(
                    f"{path} line {reader.line_num}: {len(cells)} cells, expected {len(names)}"
                    f" ({', '.join(names)}); is a separator inside a text? Quote such cells in"
                    " .csv"
                )
            elif suffix == ".tsv" and any(QUOTED.fullmatch(cell) for cell in cells):
                raise BadInput(
                    f"{path} line {reader.line_num}: a cell in quotation marks with doubled ones"
                    " inside; expected no quoting in .tsv: save the table as .csv"
                )
    except csv.Error as error:
        raise BadInput(
            f"{path} line {reader.line_num}: {error}; expected quotation marks around whole cells,"
            " doubled inside"
        ) from None
    if repeated := {name for name in names if names.count(name) > 1}:
        raise BadInput(f"{path} has the column {sorted(repeated)[0]!r} twice; keep one")
    if not names:
        raise BadInput(f"{path} is empty: expected columns and rows")
    return names, above


def _csv_options(path: Path, names: list[str], above: int) -> dict[str, Any]:
    """How `datasets` is to read a checked CSV or TSV: every cell as text, NA and null too."""
    import datasets

    dialect = DIALECTS[path.suffix.lower()]
    return {
        "sep": dialect.delimiter,
        "names": names,
        "header": above,
        "encoding": "utf-8-sig",
        "quoting": dialect.quoting,
        "skipinitialspace": dialect.skipinitialspace,
        "keep_default_na": False,
        "na_filter": False,
        "features": datasets.Features(dict.fromkeys(names, datasets.Value("string"))),
    }

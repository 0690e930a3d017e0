"""Tables and lines as people paste them: of notebooks, model cards, fastai and W&B; of Keras."""

import csv
import re
from collections.abc import Callable

from analysis.diagnosis.cells import as_number
from analysis.diagnosis.columns import is_loss, is_read

LOOKED_AT = 50  # lines in which a header may stand
# names of two words, in tables whose columns are parted by blanks
TWO_WORDS = re.compile(
    r"(?:train(?:ing)?|val(?:id(?:ation)?)?\.?|eval(?:uation)?|dev|test) (?:loss|accuracy)|no log"
    r"|matthews correlation",
    re.IGNORECASE,
)
COLORS = re.compile(r"\x1b\[[0-9;]*m")
PAIR = re.compile(  # loss: 0.69 or dev acc = 0.53
    r"((?:(?:train(?:ing)?|val(?:id(?:ation)?)?\.?|eval|dev|test)[ _/])?[A-Za-z]\w*)\s*[:=]\s*"
    r"([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))(?![\w.:])",
    re.IGNORECASE,
)
# a progress bar of Keras', of which many stand for one epoch
BAR = re.compile(r"\d+/\d+ *(?:\[[=>.]|\S*[━]|.*(?:ETA|s/step|s/epoch))")
NEW_EPOCH = re.compile(r"\s*Epoch \d")
Row = list[str]


def spelled(key: str) -> str:
    """The name of a column as it is read elsewhere: "Validation Loss" is validation_loss, W&B's
    "run 1 - eval/loss" is eval/loss; as it stands where that is not read."""
    name = re.sub(r"[ -]+", "_", re.sub(r"^.* - ", "", key.strip()).lower().replace(".", ""))
    return name if is_read(name) else key.strip()


def by_bars(line: str) -> Row:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def by_blanks(line: str) -> Row:
    return TWO_WORDS.sub(lambda found: found[0].replace(" ", "_"), line).split()


def by_marks(line: str) -> Row:
    """Parted by commas, semicolons or tabs, the most frequent."""
    separator = max(",;\t", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]


def header_of(text: str) -> tuple[int, Callable[[str], Row]] | None:
    """The number of the first line that names columns, among them a loss, and how it is parted;
    None where there is none. Bars make a table anywhere, as in a model card."""
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), 0)
    for number, line in enumerate(lines):
        if "{" in line or not line.strip() or (number >= LOOKED_AT and "|" not in line):
            continue
        ruled = number + 1 < len(lines) and bool(re.fullmatch(r"[|:\- ]+", lines[number + 1]))
        for parted in (by_bars,) if "|" in line else (by_marks, by_blanks):
            names = [spelled(cell) for cell in parted(line)]
            read = sum(is_read(name) for name in names)  # prose has the word loss too
            enough = read > 1 or ruled or (number == first and parted is by_marks)
            numbers = any(as_number(name) is not None for name in names)
            if any(map(is_loss, names)) and enough and not numbers:
                return number, parted
    return None


def rows_of(text: str, number: int, parted: Callable[[str], Row]) -> tuple[Row, list[Row], int]:
    """Header and rows of a table that is no CSV, where header_of found it, and how many lines under
    the header are none of its rows."""
    lines = text.split("\n")
    header = parted(lines[number])
    rows, others = [], 0
    for line in lines[number + 1 :]:
        if not line.strip(" |:-"):
            continue
        row = [cell.replace("_", " ") if cell == "No_log" else cell for cell in parted(line)]
        if len(row) == len(header) + 1 and row[0].isdigit():  # pandas' index has no name
            row = row[1:]
        if len(row) == len(header):
            rows.append(row)
        else:
            others += 1
    return header, rows, others


def lines_of(text: str) -> list[dict[str, str]]:
    """A record a line that says "loss: 0.69" or the like; of Keras' progress bars the last of each
    epoch, or that with a validation."""
    found: list[dict[str, str]] = []
    bar: dict[str, str] = {}  # the last of an epoch, so far
    for line in COLORS.sub("", text).split("\n"):
        pairs = {spelled(key): value for key, value in PAIR.findall(line)}
        has_loss = any(is_loss(key) for key in pairs)
        if not has_loss and not NEW_EPOCH.match(line):
            continue
        if has_loss and BAR.search(line):
            bar = {} if "val_loss" in pairs else pairs
            if bar:
                continue
        if bar:
            found.append(bar)
            bar = {}
        if has_loss:
            found.append(pairs)
    return [*found, bar] if bar else found

"""Labels of somebody's data that are one class to a person and two to a computer, or no class.

What cannot be meant is refused: a missing value's name as a class, two classes that look the same
on a screen, true beside 1. What may be meant is a warning: yes beside YES, a class called none,
-1 beside 0 and 1, a text that is only nan.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from experiments.finetuning.errors import BadInput

# as pandas, SQL, R and spreadsheets write what is not there, in any case
MISSING = ("", "nan", "-nan", "null", "n/a", "#n/a", "<na>", "<null>", "nat", "nil", "(null)")
# the same, where a class may be called so: stance and relations have NONE and NA
PERHAPS_MISSING = ("none", "na", "-", "--", "?", "undefined", "missing", "inf")
TEXTS_MISSING = frozenset((*MISSING[1:], "none", "na"))
ERRORS = re.compile(r"#(ref|value|name\?|num|div/0|null|n/a)!?", re.IGNORECASE)  # of spreadsheets
TRUTHS = (("true", "1"), ("false", "0"))
WARNING = "warning: "
MARKS = " '\"`.,;:!*"  # around a word
MOST_WARNINGS = 5  # of a kind, about a part
# Cyrillic and Greek letters that look as Latin ones
LATIN = str.maketrans("аеорсухіјѕԁһνοα", "aeopcyxijsdhvoa")
INVISIBLE = ("Cc", "Cf")  # Unicode's categories: control and format characters
SELECTORS = "\ufe0e\ufe0f"  # text or picture, of an emoji


def check_labels(counts: Mapping[str, int], where: str, unit: str = "rows") -> list[str]:
    """Warnings about the labels of a part, from the number of rows (or words, `unit`) of each.
    BadInput for labels that cannot be meant as the classes they would be."""
    for label in counts:
        name = seen(label).lower()
        if name in MISSING or ERRORS.fullmatch(name):
            raise BadInput(
                f"{where}: {_said(label, counts, unit)} is the name of a missing value; expected a"
                " label: leave the rows out, or give the class another name"
            )
    for one, other in _alike(counts, seen):
        raise BadInput(
            f"{where}: the labels {_said(one, counts, unit)} and {_said(other, counts, unit)} look"
            " the same and are not; expected one spelling of each"
        )
    by_lower = {label.lower(): label for label in counts}
    for truth, number in TRUTHS:
        if truth in by_lower and number in by_lower:
            raise BadInput(
                f"{where}: {_said(by_lower[truth], counts, unit)} beside"
                f" {_said(number, counts, unit)} as labels; expected one of the two"
            )
    warnings = []
    for one, other in _alike(counts, folded):
        warnings.append(
            f"{where}: the labels {_said(one, counts, unit)} and {_said(other, counts, unit)} are"
            " two classes and differ in their writing only; write them alike if they are one"
        )
    for label in counts:
        if seen(label).lower() in PERHAPS_MISSING and not (label == "-" and "+" in counts):
            warnings.append(
                f"{where}: {_said(label, counts, unit)} is a class; if it stands for a missing"
                " label, leave the rows out"
            )
    if unit == "rows" and {"-1", "0", "1"} <= set(counts):
        warnings.append(
            f"{where}: {_said('-1', counts, unit)} is a class beside '0' and '1'; GLUE on the"
            " hub writes it where there is no label: if yours is such, leave the rows out"
        )
    return _first(warnings)


def check_texts(texts: Iterable[tuple[str, ...]], where: str) -> list[str]:
    """A warning for texts of a part that are nothing but the name of a missing value."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({cell.strip() for cell in text if cell.strip().lower() in TEXTS_MISSING})
    if not counts:
        return []
    listed = ", ".join(_said(name, counts, "rows") for name, _ in counts.most_common(5))
    return [
        f"{WARNING}{where}: whole texts are the name of a missing value: {listed}; if they stand"
        " for none, leave the rows out"
    ]


def check_writing(labels: Iterable[str], written: Iterable[str], where: str) -> list[str]:
    """A warning for each label that is written in several ways and was taken for one: 1 and 1.0.
    `written`: each row's own writing."""
    ways: dict[str, Counter[str]] = {}
    for label, text in zip(labels, written, strict=True):
        ways.setdefault(label, Counter())[text] += 1
    warnings = []
    for label, counts in ways.items():
        if len(counts) > 1:
            listed = " and ".join(_said(text, counts, "rows") for text in counts)
            warnings.append(f"{where}: {listed[:300]} are taken for one label, {label}")
    return _first(warnings)


def _first(warnings: list[str]) -> list[str]:
    """The first few of many, and how many more there are."""
    lines = [WARNING + warning for warning in warnings[:MOST_WARNINGS]]
    if (more := len(warnings) - MOST_WARNINGS) > 0:
        lines.append(f"{WARNING}and {more} more labels likewise")
    return lines


def seen(label: str) -> str:
    """A label as a screen shows it: composed letters, no invisible characters, no blanks around."""
    visible = [
        letter
        for letter in unicodedata.normalize("NFC", label)
        if unicodedata.category(letter) not in INVISIBLE and letter not in SELECTORS
    ]
    return " ".join("".join(visible).split())


def folded(label: str) -> str:
    """A label without what a person may write in one way or another: case, width, alphabet, marks
    around it, and what parts its words."""
    text = unicodedata.normalize("NFKC", seen(label)).casefold().translate(LATIN)
    text = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text)
    return text.strip(MARKS) or text


def _alike(counts: Mapping[str, int], form: Callable[[str], str]) -> list[tuple[str, str]]:
    """Each label with an earlier one of the same form."""
    first: dict[str, str] = {}
    pairs = []
    for label in counts:
        key = form(label)
        if key in first:
            pairs.append((first[key], label))
        first.setdefault(key, label)
    return pairs


def _said(label: str, counts: Mapping[str, int], unit: str) -> str:
    """A label with its number; letters beyond ASCII as escapes, where that tells it from what it
    looks like."""
    shown = repr(label) if seen(label) == label else ascii(label)
    return f"{shown[:80]} ({counts[label]:,} {unit})"

"""Several evaluation sets in one log: of a dict of them the Trainer logs eval_NAME_loss each."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.diagnosis import cells

LOSS = re.compile(r"((?:eval|dev|val|valid|validation)[_/](.+)_)loss", re.IGNORECASE)


def of_one_set(
    columns: Mapping[str, Sequence[Any]], known: Sequence[str], score: str | None, notes: list[str]
) -> tuple[str, str | None]:
    """Loss and score of one evaluation set, as a note says: that of `score`, else the first that
    has one of the `known` scores. "" and `score` where the log has no such sets."""
    sets: dict[str, str] = {}  # name by how its columns begin
    for column, values in columns.items():
        found = LOSS.fullmatch(column)
        if found and not all(cells.is_blank(cell) for cell in values):
            sets[found[1]] = found[2]
    pairs = []
    for start in sets:
        names = [score] if score else [start + ending for ending in known]
        pairs += [(start, name) for name in names if name in columns and name.startswith(start)]
    if not sets or (score and not pairs):
        return "", score
    start, name = pairs[0] if pairs else (next(iter(sets)), None)
    if len(sets) > 1:
        others = ", ".join(other for begin, other in sets.items() if begin != start)
        notes.append(
            f"warning: it has {len(sets)} evaluation sets: {name or start + 'loss'} is read, not"
            f" {others}; --score with the name of another one's score reads that"
        )
    return start + "loss", name

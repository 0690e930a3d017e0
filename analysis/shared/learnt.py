"""A second definition of success, stated where the paper's is weak.

On mini's tasks a run that has not failed may have learnt little: untrained models are often above
the majority level, and a bag of words scores far above it. A run has *learnt* if it ends above the
bag of words and above its own score before training. Claims are judged by the paper's definition.
"""

from functools import cache

import numpy as np
import pandas as pd

from analysis.shared.reading import PUBLISHED


@cache
def levels() -> dict[tuple[str, str], float]:
    """What a bag of words scores, by task and data (experiments/mini/baselines.py)."""
    table = pd.read_csv(PUBLISHED / "mini_baselines.csv")
    keys = zip(table["task"], table["data"], strict=True)
    return dict(zip(keys, table["bag_of_words"], strict=True))


def has_learnt(runs: pd.DataFrame) -> pd.Series | None:
    """Whether each run has learnt; None for runs that are not mini's, or whose table does not say
    on what they were trained. Older tables lack the score before training."""
    if not {"task", "data"} <= set(runs):
        return None
    known = [levels().get(pair, np.nan) for pair in zip(runs["task"], runs["data"], strict=True)]
    level = np.array(known, dtype=float)
    if not np.isfinite(level).all():
        return None
    if "untrained_score" in runs:
        level = np.fmax(level, runs["untrained_score"].to_numpy(dtype=float))
    return runs["score"] > level

"""The axes that a published figure and ours share, so that the two can be compared by eye.

A range for each unit, wide enough for the published points and for the committed results alike;
where runs lie outside, the range grows, so that no point is cut off and only that figure has other
limits than the published one. Not shared: steps and rates, which differ by design.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

Limits = tuple[float, float]
SCORES: dict[str, Limits] = {  # %, of runs at the end of training, by metric
    "accuracy": (44, 102),  # two classes: nobody's majority level is below 50
    "f1": (78, 102),  # of MRPC, whose constant answer has 81
    "matthews_correlation": (-5, 102),
}
# during training, where a new classifier may be anywhere; of the others no curve is published
SCORES_OVER_STEPS: dict[str, Limits] = {"accuracy": (0, 102)}
PERPLEXITY: Limits = (2, 3e9)
GRADIENT: Limits = (8e-6, 10)  # L2 norm
LOSS: Limits = (5e-6, 1.2)  # nats, mean of the last epoch


def holding(limits: Limits, values: pd.Series, log: bool = False) -> Limits:
    """`limits`, with a margin further where a finite value lies outside. On a log axis values of
    0 and below have no place and are left out."""
    values = values[np.isfinite(values)]
    if log:
        values = values[values > 0]
    low, high = limits
    if values.empty:
        return limits
    least, most = float(values.min()), float(values.max())
    margin = 0.03 * (max(high, most) - min(low, least))
    if least < low:
        low = least / 1.5 if log else least - margin
    if most > high:
        high = most * 1.5 if log else most + margin
    return low, high


def share_scores(axes: Axes, runs: pd.DataFrame, ranges: dict[str, Limits] = SCORES) -> None:
    """Give the scores of `runs` and their majority level the range of their metric; a metric
    without one is left as it is."""
    if limits := ranges.get(runs["metric"].iloc[0]):
        values = 100 * pd.concat([runs["score"], runs["majority_level"]])
        axes.set_ylim(holding(limits, values))

"""The rule by which a run is stopped early: a sign that it is failing, as a risk, and a threshold.

A sign is turned into a risk, higher for a run that looks worse: less the logarithm of the first
layer's gradient norm, or the training loss less the label entropy. A value that is not finite (the
run has diverged) is the highest risk.
"""

import numpy as np
import pandas as pd

SIGNS = {
    "low first-layer gradient": "first_layer_gradient",
    "training loss near or above the label entropy": "train_loss",
}


def risk(runs: pd.DataFrame, column: str) -> np.ndarray:
    """How much each run looks like failing, by one sign; infinite where the value is not finite."""
    value = runs[column].where(np.isfinite(runs[column])).to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        value = (
            -np.log(value)
            if column == "first_layer_gradient"
            else value - runs["label_entropy"].to_numpy()
        )
    return np.where(np.isnan(value), np.inf, value)


def threshold(risks: np.ndarray, failed: np.ndarray) -> float:
    """The risk from which on to stop runs: the highest Youden index (failed runs caught less others
    lost, as shares), halfway between two runs; of equal ones the one that stops fewest. nan, which
    stops none, where no index is above 0 or a class is missing."""
    values = np.unique(risks)[::-1]
    cuts = (values[:-1] + values[1:]) / 2
    if failed.all() or not failed.any() or not len(cuts):
        return np.nan
    stopped = risks >= cuts[:, None]
    youden = stopped[:, failed].mean(axis=1) - stopped[:, ~failed].mean(axis=1)
    return cuts[youden.argmax()] if youden.max() > 1e-9 else np.nan

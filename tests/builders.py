"""Made-up pieces that several tests start from."""

import base64
from typing import Any

DEV = 40  # examples of a_result's dev set, as many of each class


def a_result(
    score: float | None = None,
    failed: bool = False,
    diverged: bool = False,
    metric: str = "accuracy",
    steps: int = 6,
) -> dict[str, Any]:
    """What train() returns, of a run of 1, 2 or 3 epochs on a task of two classes, without weights.
    A score at the level and less is a failure, as is a divergence."""
    if score is None:
        score = 0.75
    level = 0.0 if metric == "matthews_correlation" else 0.5
    if failed:
        score = level
    last = float("nan") if diverged else 0.7
    outcome = {
        "metric": metric,
        "score": score,
        metric: score,
        "majority_level": level,
        "failed": diverged or score <= level,
        "diverged": diverged,
        "constant_prediction": False,
        "train_loss": last,
        "dev_loss": 0.7,
        "label_entropy": 0.69,
        "first_layer_gradient": 0.1,
        "classifier_gradient": 0.1,
        "steps": steps,
        "seconds": 1.5,
    }
    evaluations = [{"step": step, metric: score, "dev_loss": 0.7} for step in (0, steps)]
    history = {
        "train_loss": [0.7] * (steps - 1) + [last],
        "evaluations": evaluations,
        "dev_margins": [base64.b64encode(bytes(2 * DEV)).decode()] * 2,
        "gradient_norm_every": 10,
        "gradient_norm_of": [],
        "gradient_norms": [],
    }
    return {"outcome": outcome, "history": history}

"""Made-up pieces that several tests start from."""

from typing import Any


def a_result(score: float = 0.5, failed: bool = False, diverged: bool = False) -> dict[str, Any]:
    """What train() returns, of a run of two steps, without weights."""
    outcome = {
        "metric": "accuracy",
        "score": score,
        "majority_level": 0.5,
        "failed": failed,
        "diverged": diverged,
        "train_loss": 0.7,
        "dev_loss": 0.7,
        "steps": 2,
    }
    history = {
        "train_loss": [0.7, 0.7],
        "evaluations": [{"step": 0, "accuracy": score, "dev_loss": 0.7}],
        "dev_margins": [""],
        "gradient_norm_of": [],
        "gradient_norms": [],
    }
    return {"outcome": outcome, "history": history}

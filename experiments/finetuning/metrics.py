"""The three metrics of the paper's tasks, as local `evaluate` metrics: evaluate.load() would
need the hub."""

import tempfile

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

# evaluate makes a folder for each metric, in HOME unless it is told where, and puts nothing in it
_SCRATCH = tempfile.TemporaryDirectory(prefix="metrics-")


class _Metric(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description="labels and predictions, one integer an example",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )


class Accuracy(_Metric):
    """Share of right predictions."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class F1(_Metric):
    """Harmonic mean of precision and recall of label 1; 0 when nothing is predicted to be 1."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"f1": float(f1_score(references, predictions, zero_division=0))}


class MatthewsCorrelation(_Metric):
    """Correlation of predictions and labels; 0 for constant predictions."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}


METRICS: dict[str, type[_Metric]] = {
    "accuracy": Accuracy,
    "f1": F1,
    "matthews_correlation": MatthewsCorrelation,
}


def all_metrics(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric of predictions [examples] against labels [examples]."""
    scores: dict[str, float] = {}
    for metric in METRICS.values():
        scores |= metric(keep_in_memory=True, cache_dir=_SCRATCH.name).compute(
            predictions=predictions, references=labels
        )
    return scores


def majority_level(metric: str, labels: np.ndarray) -> float:
    """The score of the best constant answer: a run at or below it has failed (paper, section 3). It
    is that of the most frequent label for accuracy, of label 1 for F1, and 0 for Matthews'."""
    scores = [
        all_metrics(np.full_like(labels, label), labels)[metric] for label in np.unique(labels)
    ]
    return max(scores)

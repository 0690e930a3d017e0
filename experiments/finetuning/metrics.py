"""The metrics, as local `evaluate` metrics: evaluate.load() would need the hub.

Classification is scored by all of the first three, regression by both correlations.
"""

import tempfile
import warnings
from collections.abc import Callable

import datasets
import evaluate
import numpy as np
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from experiments.finetuning.glue import CLASSIFICATION, REGRESSION, kind_of

# evaluate makes a folder for each metric, in HOME unless it is told where, and puts nothing in it
_SCRATCH = tempfile.TemporaryDirectory(prefix="metrics-")


class _Metric(evaluate.Metric):
    value = "int64"  # of a label or prediction

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description="labels and predictions, one number an example",
            features=datasets.Features(
                dict.fromkeys(("predictions", "references"), datasets.Value(self.value))
            ),
        )


class Accuracy(_Metric):
    """Share of right predictions."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class F1(_Metric):
    """Of two classes the harmonic mean of precision and recall of label 1, 0 when nothing is
    predicted to be 1; of more the mean of that over the classes that occur (macro)."""

    def _compute(
        self, predictions: list[int], references: list[int], classes: int
    ) -> dict[str, float]:
        average = "binary" if classes == 2 else "macro"
        return {"f1": float(f1_score(references, predictions, average=average, zero_division=0))}


class MatthewsCorrelation(_Metric):
    """Correlation of predictions and labels; 0 for constant predictions."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}


class Pearson(_Metric):
    """Linear correlation of predictions and labels; 0 for constant predictions, and for such as are
    not finite."""

    value = "float64"

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"pearson": correlation(stats.pearsonr, predictions, references)}


class Spearman(_Metric):
    """Correlation of the ranks of predictions and labels, ties with their mean rank; 0 as
    Pearson's."""

    value = "float64"

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"spearman": correlation(stats.spearmanr, predictions, references)}


def correlation(of: Callable, predictions: list[float], references: list[float]) -> float:
    """A correlation of scipy's, 0 where it is not defined."""
    if not np.isfinite(predictions).all() or np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0
    return float(of(predictions, references).statistic)


# by the kind of task; the first is what is taken where none is named
METRICS: dict[str, dict[str, type[_Metric]]] = {
    CLASSIFICATION: {
        "accuracy": Accuracy,
        "f1": F1,
        "matthews_correlation": MatthewsCorrelation,
    },
    REGRESSION: {"pearson": Pearson, "spearman": Spearman},
}


def scored(
    metric: type[_Metric], predictions: np.ndarray, labels: np.ndarray, classes: int
) -> dict[str, float]:
    """One metric by its name, of predictions [examples] against labels [examples]."""
    further = {"classes": classes} if metric is F1 else {}
    with warnings.catch_warnings():  # labels and answers all of one class are no news here
        warnings.filterwarnings("ignore", message="A single label was found")
        return metric(keep_in_memory=True, cache_dir=_SCRATCH.name).compute(
            predictions=predictions, references=labels, **further
        )


def all_metrics(predictions: np.ndarray, labels: np.ndarray, classes: int = 2) -> dict[str, float]:
    """Every metric of the labels' kind; `classes`: of the task, whether dev has them all or not."""
    scores: dict[str, float] = {}
    for metric in METRICS[kind_of(labels)].values():
        scores |= scored(metric, predictions, labels, classes)
    return scores


def majority_level(metric: str, labels: np.ndarray, classes: int = 2) -> float:
    """The score of the best constant answer: a run at or below it has failed (paper, section 3). It
    is that of the most frequent label for accuracy and macro F1, of label 1 for F1 of two classes,
    and 0 for Matthews' and the other correlations."""
    if kind_of(labels) == REGRESSION:
        return 0.0
    of_kind = METRICS[CLASSIFICATION][metric]
    found = []
    for label in np.unique(labels):
        answers = np.full_like(labels, label)
        found.append(scored(of_kind, answers, labels, classes)[metric])
    return max(found)


def constant_loss(labels: np.ndarray) -> float:
    """The loss of the best answer that does not look at the input, from the labels [examples]: the
    entropy of their shares (nats), or for a regression their variance (of the mean as the
    answer)."""
    if kind_of(labels) == REGRESSION:
        return float(labels.astype(np.float64).var())
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    return float(0.0 - (shares * np.log(shares)).sum())

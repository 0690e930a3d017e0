"""What a run's history tells afterwards: dev predictions at every evaluation, in all or in halves
of the dev set.

The margin of a dev example is the logit of label 1 minus that of label 0: above 0 the prediction is
1 (answers.py says what it is for other tasks). A run stores its margins at every evaluation as
base64 of little-endian float16, 2 bytes an example. Of a compact task it stores the first and the
last only, so that it takes 20 KB or less for 1,000 examples; what is asked of the others, the
scores of dev's halves, stands in its evaluations. More than two classes: `dev_predictions` has the
last answers.
"""

import base64
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from experiments.finetuning.glue import CLASSIFICATION, Task
from experiments.finetuning.labels import drawn_by_class
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import load_splits
from experiments.finetuning.tokens import counts_as_text

HALVES = ("selection_score", "selection_loss", "reporting_score", "reporting_loss")
HALVES_SEED = 1  # shuffles each class before it is cut in two


class Answers(NamedTuple):
    """The answers to all dev examples."""

    predictions: np.ndarray  # [examples]: class ids, or numbers
    # [examples]: of two classes the logit of label 1 less that of label 0; of more that of the
    # right label less the largest other (above 0: right); of a regression the prediction; with a
    # label a word counts [sentences, 3] (tokens.py), and the predictions are those of all words
    margins: np.ndarray


@dataclass
class Recording:
    """What is recorded while a run trains."""

    losses: list[float] = field(default_factory=list)  # [steps], nats
    norms: list[list[float]] = field(default_factory=list)  # [records][matrices], L2
    evaluations: list[dict[str, float]] = field(default_factory=list)  # step, metrics, dev_loss
    # of each evaluation, as text; with a label a word tokens.counts_as_text
    margins: list[str] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps so far."""
        return len(self.losses)

    def stepped(self, loss: float, norms: list[float]) -> None:
        """One more step, with its loss before the update and, where they were probed, norms."""
        self.losses.append(loss)
        if norms:
            self.norms.append(norms)

    def evaluated(
        self, scores: dict[str, float], answers: Answers, halves: dict[str, float]
    ) -> None:
        """An evaluation on dev after the steps so far."""
        self.evaluations.append({"step": self.steps, **scores, **halves})
        as_text = margins_as_text if answers.margins.ndim == 1 else counts_as_text
        self.margins.append(as_text(answers.margins))

    def history(self, every: int, matrices: list[str], last: Answers, task: Task) -> dict[str, Any]:
        """What is stored of it; norms of `matrices` every so many steps; `last` answers."""
        margins = self.margins
        if task.compact:
            margins = [margins[0], *[""] * (len(margins) - 2), margins[-1]]
        further = {}
        if task.kind == CLASSIFICATION and task.outputs > 2:
            further = {"dev_predictions": classes_as_text(last.predictions)}
        return {
            "train_loss": self.losses,
            "evaluations": self.evaluations,
            "dev_margins": margins,
            **further,
            "gradient_norm_every": every,
            "gradient_norm_of": matrices,
            "gradient_norms": self.norms,
        }


# what a checkpoint must hold of a Recording
RECORDED = tuple(recorded.name for recorded in fields(Recording))


def margins_as_text(margins: np.ndarray) -> str:
    """Margins [examples], differences of logits, as base64 of little-endian float16."""
    return base64.b64encode(margins.astype("<f2").tobytes()).decode()


def margins_from_text(text: str) -> np.ndarray:
    """Margins [examples], float64."""
    return np.frombuffer(base64.b64decode(text), dtype="<f2").astype(float)


def classes_as_text(classes: np.ndarray) -> str:
    """Class ids [examples] as base64 of little-endian 16-bit integers."""
    return base64.b64encode(classes.astype("<u2").tobytes()).decode()


def classes_from_text(text: str) -> np.ndarray:
    """Class ids [examples], int64."""
    return np.frombuffer(base64.b64decode(text), dtype="<u2").astype(np.int64)


def gradient_norms_of(record: dict[str, Any], name: str) -> list[float]:
    """The recorded norms of one weight matrix (probes.probed_matrices), in order; none where the
    model has no such matrix."""
    names = record["history"]["gradient_norm_of"]
    if name not in names:
        return []
    return [norms[names.index(name)] for norms in record["history"]["gradient_norms"]]


def dev_labels(run: Run) -> np.ndarray:
    """The labels of the run's dev set [examples]: class ids, or numbers."""
    return load_splits(run.task, run.data_source)["dev"].labels


def selection_half(labels: np.ndarray) -> np.ndarray:
    """Which dev examples [examples] choose between models; the others report. Half of each class,
    the smaller half where its number is odd, always the same ones (after Zhang et al. 2021, section
    3; not their very examples, since generators differ). Of numbers half of all."""
    return drawn_by_class(labels, HALVES_SEED, lambda count: count // 2)


def score_and_loss(margins: np.ndarray, labels: np.ndarray, metric: str) -> tuple[float, float]:
    """A metric of the predictions, and their mean cross-entropy in nats; NaN for both where a
    margin is not finite."""
    from experiments.finetuning.metrics import all_metrics  # seconds that planning spares

    if not np.isfinite(margins).all():
        return np.nan, np.nan
    return (
        all_metrics((margins > 0).astype(np.int64), labels)[metric],
        float(np.mean(np.logaddexp(0, margins) - labels * margins)),
    )


def half_scores(record: dict[str, Any]) -> list[dict[str, float]]:
    """For each evaluation of a stored run: score and loss on the selection half and on the
    reporting half of dev."""
    evaluations = record["history"]["evaluations"]
    if HALVES[0] in evaluations[0]:
        return [{name: evaluation[name] for name in HALVES} for evaluation in evaluations]
    labels = dev_labels(Run(**record["run"]))
    chosen = selection_half(labels)
    rows = []
    for text in record["history"]["dev_margins"]:
        margins = margins_from_text(text)
        row: dict[str, float] = {}
        for name, half in (("selection", chosen), ("reporting", ~chosen)):
            score, loss = score_and_loss(margins[half], labels[half], record["outcome"]["metric"])
            row |= {f"{name}_score": score, f"{name}_loss": loss}
        rows.append(row)
    return rows

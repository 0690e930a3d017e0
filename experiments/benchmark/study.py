"""The study's plan as the rehearsal needs it: which kinds of runs there are, and what each
experiment costs when a step of each kind is known."""

import argparse
import importlib
import math
from collections.abc import Iterable
from dataclasses import fields
from types import ModuleType
from typing import Any, NamedTuple

from experiments.finetuning.files import REPOSITORY
from experiments.finetuning.run import Run
from experiments.finetuning.sources import architecture
from experiments.finetuning.tasks import dev_rows
from experiments.finetuning.training import LOG_EVERY, evaluation_steps
from experiments.sweeps.profiles import MODEL_RECIPES
from experiments.sweeps.sweep import steps
from experiments.sweeps.training_runs import unique

# what a run has otherwise than Run's default -> the kind of its steps; the first that fits
KINDS = {
    "optimizer": "SGD",
    "mixout": "Mixout",
    "reinitialized_layers": "re-initialised",
    "layerwise_decay": "layer-wise rates",
    "component_clipping": "component clipping",
    "decay_to_pretrained": "decay to pre-trained",
    "frozen_layers": "lower layers frozen",
    "lora_rank": "LoRA",
    "head_epochs": "classifier first",
}
BASE = ("default", "corrected")  # any task's own seconds are those of one of these
PERPLEXITY, SURFACE = "perplexity", "surface"  # kinds of what is measured afterwards
DIGITS = 21  # bytes of a number in a stored record

Rows = list[dict[str, Any]]


class Trial(NamedTuple):
    """What is tried: a run whose steps stand for all of its kind."""

    kind: str
    run: Run


def modules() -> dict[str, ModuleType]:
    """The hypotheses by name: the files of experiments/."""
    found = {}
    for path in sorted((REPOSITORY / "experiments").glob("*.py")):
        if not path.stem.startswith("__"):
            found[path.stem] = importlib.import_module(f"experiments.{path.stem}")
    return found


def kind_of(run: Run) -> str:
    """What makes a step of this run another than the default's; its length does not."""
    default = {field.name: field.default for field in fields(Run)}
    for name, kind in KINDS.items():
        if getattr(run, name) != default[name]:
            return kind
    recipe = MODEL_RECIPES.get(architecture(run.model_source)[0], {})
    if run.dropout != recipe.get("dropout", default["dropout"]):
        return "no dropout"
    return "corrected" if run.bias_correction else "default"


def chosen(planned: Iterable[list[Run]]) -> list[Trial]:
    """A trial of every model and kind, on the task that comes first, and one of every other task:
    those of BASE first, of all models, so that a rehearsal that is stopped early has them."""
    trials: dict[tuple[str, str], Trial] = {}
    tasks: dict[str, str] = {}  # of each model, the one that comes first
    runs = unique(planned)
    for run in sorted(runs, key=lambda run: kind_of(run) not in BASE):
        tasks.setdefault(run.model, run.task)
        kind = kind_of(run)
        where = kind if run.task == tasks[run.model] or kind not in BASE else run.task
        trials.setdefault((run.model, where), Trial(kind, run))
    return list(trials.values())


class Costs:
    """What runs cost by what was measured on trials."""

    def __init__(self, rows: Rows) -> None:
        self.rows = {(row["model"], row["kind"], row["task"]): row for row in rows}
        self.main: dict[tuple[str, str], dict[str, Any]] = {}  # of a model and kind
        self.base: dict[tuple[str, str], dict[str, Any]] = {}  # of a model and task
        self.first: dict[str, dict[str, Any]] = {}  # of a model
        for row in rows:
            self.main.setdefault((row["model"], row["kind"]), row)
            if "evaluation_seconds_per_example" in row:
                self.base.setdefault((row["model"], row["task"]), row)
                self.first.setdefault(row["model"], row)

    def step(self, run: Run) -> float:
        """Seconds of a step; on a task whose kind was not tried, as many times the main task's as
        a plain step takes there."""
        kind = kind_of(run)
        if exact := self.rows.get((run.model, kind, run.task)):
            return exact["seconds_per_step"]
        of_kind, here = self.main[run.model, kind], self.base[run.model, run.task]
        there = self.base[run.model, of_kind["task"]]
        share = here["seconds_per_step"] / there["seconds_per_step"]
        return of_kind["seconds_per_step"] * share

    def evaluation(self, run: Run) -> float:
        """Seconds of all evaluations of a run."""
        one = self.base[run.model, run.task]["evaluation_seconds_per_example"]
        return evaluations(run) * dev_rows(run.task, run.data_source) * one

    def load(self, run: Run) -> float:
        return self.base[run.model, run.task]["load_seconds"]

    def record(self, run: Run) -> float:
        """Bytes of a run's stored record."""
        matrices = self.first[run.model]["matrices"]
        margins = dev_rows(run.task, run.data_source) * 2 * 4 / 3  # float16 in base64
        numbers = steps(run) + math.ceil(steps(run) / LOG_EVERY) * matrices
        return numbers * DIGITS + evaluations(run) * (margins + 5 * DIGITS)

    def memory(self, run: Run) -> float:
        """GB of a run while it trains."""
        return self.main[run.model, kind_of(run)]["memory_gb"]


def evaluations(run: Run) -> int:
    """How often dev is evaluated in a run: before the first step, after the last and between."""
    return len(evaluation_steps(run, steps(run))) + 2


def measured_afterwards(
    name: str, options: argparse.Namespace, costs: Costs, runs: list[Run], blocks: int
) -> tuple[float, float]:
    """Seconds and GB of what an experiment measures on trained models; 0 where it measures
    nothing or that was not tried."""
    model = runs[0].model
    if name == "catastrophic_forgetting" and (tried := costs.main.get((model, PERPLEXITY))):
        count = 2 * (options.of_each or (2 if options.quick else 3))
        layers = architecture(runs[0].model_source)[1]
        each = (layers + 2) * blocks * tried["seconds_per_block"]
        return count * each, tried["memory_gb"]
    if name == "loss_surfaces" and (tried := costs.main.get((model, SURFACE))):
        surfaces = modules()[name]
        points = surfaces.points_of(options) ** 2 + len(surfaces.LINES) * surfaces.LINE_POINTS
        count = 1 if options.quick else len({run.task for run in runs})
        each = points * surfaces.EXAMPLES * tried["seconds_per_example"]
        return count * each, tried["memory_gb"]
    return 0.0, 0.0


def plan(
    planned: dict[str, list[Run]], options: argparse.Namespace, costs: Costs, blocks: int
) -> Rows:
    """One row per experiment, and one for all together, which share runs: runs, steps, hours on
    one device, memory and disk in GB."""
    rows, after = [], {}
    for name, runs in planned.items():
        if not runs:  # no task for it: oscillating_scores without a label a word
            continue
        after[name] = measured_afterwards(name, options, costs, runs, blocks)
        rows.append(row_of(name, runs, *after[name], costs))
    everything = sum(hours for hours, _ in after.values()), max(gb for _, gb in after.values())
    return rows + [row_of("all together", unique(planned.values()), *everything, costs)]


def row_of(
    name: str, runs: list[Run], after: float, memory_after: float, costs: Costs
) -> dict[str, Any]:
    """A row of the plan; `after`: seconds measured on trained models, with so much memory."""
    training = sum(steps(run) * costs.step(run) for run in runs)
    evaluating = sum(map(costs.evaluation, runs))
    loading = sum(map(costs.load, runs))
    kept = [run for run in runs if run.keep_weights]
    weights = sum(4 * costs.first[run.model]["parameters"] for run in kept)
    return {
        "experiment": name,
        "model": " ".join(dict.fromkeys(run.model.split("@")[0] for run in runs)),
        "task": " ".join(dict.fromkeys(run.task for run in runs)),
        "runs": len(runs),
        "optimizer_steps": sum(map(steps, runs)),
        "hours": (training + evaluating + loading + after) / 3600,
        "hours_training": training / 3600,
        "hours_evaluating": evaluating / 3600,
        "hours_loading": loading / 3600,
        "hours_measuring": after / 3600,
        "memory_gb": max([*map(costs.memory, runs), memory_after]),
        "disk_gb": (weights + sum(map(costs.record, runs))) / 1e9,
        "weights_kept": len(kept),
    }

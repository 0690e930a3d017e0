"""Loss surfaces: do failed and successful runs end in different places, with a barrier between
them?

Hypothesis : on the plane through the pre-trained, a failed and a successful model the failed one
             sits on a plateau with a small gradient, apart from the low region of the successful
             one.
Paper      : Mosbach et al. 2021 (ICLR), section 7.6, Figs 7 and 13: RTE, MRPC, CoLA;
             f(a, b) = L(p + a (f - p) + b (s - p)) for a, b in [-1.5, 1.5], 40 points each, 128
             training examples, dropout off; the same for the gradient's norm.
Command    : python -m experiments.loss_surfaces --profile mini
Cost       : mini: a first look takes 4 minutes on 2 slow cores, runs shared with strong_baseline
             and the first of RTE and CoLA that has a failed and a successful run, 13 x 13 points;
             with --seeds 19 x 19 a task. paper: 40 x 40 points.
Writes     : results/<profile>/loss_surfaces.csv, one row per point; loss_surfaces_lines.csv, one
             row per point of the straight lines between the three models.

--pairs N measures the line between the failed and the successful model in N pairs of runs a task,
each run in one pair; one picture of one pair says little of the others. The plane and the two other
lines are those of the first.

The classifier belongs to the plane, but the pre-trained model has none, and the two runs started
from different ones: the paper does not say which it took. Here the one the failed run started from;
--classifier takes the successful run's, or the mean of both. A finished row of the grid is kept: an
interrupted surface goes on where it was.
"""

import argparse
import dataclasses
import json
import math
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.finetuning.files import fingerprint, write_atomically
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import train_rows
from experiments.sweeps import store
from experiments.sweeps.command import default_rate
from experiments.sweeps.flags import number, one_of
from experiments.sweeps.grid import grid
from experiments.sweeps.profiles import LENGTHS
from experiments.sweeps.rows import first_failed_and_successful, write_csv
from experiments.sweeps.sweep import Experiment, Records, main, measure_all
from experiments.sweeps.training_runs import train_for_weights, weights_of

EXAMPLES = 128  # of the training set, drawn with EXAMPLES_SEED
EXAMPLES_SEED = 1
BATCH = 32  # examples at a time: no dropout here, so it only saves time, a tenth of 16's
REACH = 1.5  # the grid goes from -REACH to REACH
LINES = {
    "pre-trained to failed": ((0, 0), (1, 0)),
    "pre-trained to successful": ((0, 0), (0, 1)),
    "failed to successful": ((1, 0), (0, 1)),
}
LINE_POINTS = 21
# that a measured point (a, b, loss, norm of the gradient) can have
LOWEST = {0: -math.inf, 1: -math.inf, 2: 0.0, 3: 0.0}
CLASSIFIERS = ("failed", "successful", "mean")


def add_flags(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--points",
        type=number(int, 2, 1000, "a number of points"),
        metavar="N",
        help=(
            "points of a surface along each axis (mini 19, a first look 13, which include 0 and 1;"
            " else the paper's 40)"
        ),
    )
    p.add_argument(
        "--pairs",
        type=number(int, 1, 1000, "a number of pairs"),
        default=1,
        metavar="N",
        help=(
            "pairs of a failed and a successful run for the line between them; the plane is the"
            " first's (default 1)"
        ),
    )
    p.add_argument(
        "--classifier",
        type=one_of(CLASSIFIERS),
        default="failed",
        metavar="WHICH",
        help=(
            f"whose first classifier stands at the pre-trained point: {', '.join(CLASSIFIERS)}"
            " (default failed)"
        ),
    )


def planned(options: argparse.Namespace) -> list[Run]:
    default = default_rate(options)
    tasks = options.tasks or (["rte", "cola"] if options.quick else ["rte", "mrpc", "cola"])
    runs = grid(
        options, tasks=tasks, corrections=[False], epochs=LENGTHS[:1], learning_rates=[default]
    )
    return [dataclasses.replace(run, keep_weights=not options.random_weights) for run in runs]


def failed_and_successful(
    options: argparse.Namespace, records: Records
) -> dict[str, dict[bool, list[dict]]]:
    """By task the failed (True) and successful runs that pairs are made of; a first look stops at
    the first task that has both. Three of each at least, so that forgetting finds its weights if it
    is asked for after this."""
    chosen: dict[str, dict[bool, list[dict]]] = {}
    for task in dict.fromkeys(record["run"]["task"] for record in records):
        if not (options.quick and any(all(kinds.values()) for kinds in chosen.values())):
            of_task = [record for record in records if record["run"]["task"] == task]
            chosen[task] = first_failed_and_successful(
                of_task, default_rate(options), max(options.pairs, 3)
            )
    return chosen


def measured(options: argparse.Namespace, records: Records) -> Records:
    """The runs of all tasks whose weights may be asked for."""
    chosen: Records = []
    for kinds in failed_and_successful(options, records).values():
        chosen += kinds[True] + kinds[False]
    return chosen


def write(options: argparse.Namespace, records: Records) -> None:
    if options.random_weights:
        print(
            "loss_surfaces: without a pre-trained model there is no plane through it, so nothing is"
            " measured",
            flush=True,
        )
        records = []
    surfaces: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for task, kinds in failed_and_successful(options, records).items():
        pairs = list(zip(kinds[True], kinds[False], strict=False))[: options.pairs]
        if not pairs:
            print(
                f"loss_surfaces: the {sum(record['run']['task'] == task for record in records)}"
                f" runs of the default recipe on {task} have all"
                f" {'failed' if kinds[True] else 'succeeded'}; a surface needs one of each, try"
                " more --seeds",
                flush=True,
            )
            continue
        for number_of_pair, pair in enumerate(pairs):
            of_surface, of_lines = rows_of_pair(pair, number_of_pair == 0, options)
            surfaces += of_surface
            lines += of_lines
    write_csv(options.results / "loss_surfaces.csv", surfaces)
    write_csv(options.results / "loss_surfaces_lines.csv", lines)


def rows_of_pair(
    pair: tuple[dict, dict], first: bool, options: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the surface and of the lines through the records of a failed and a successful
    run; of a pair that is not the first those of the line between the two only."""
    failed, successful = (Run(**record["run"]) for record in pair)
    common = {
        "task": failed.task,
        "model": failed.model,
        "data": failed.data,
        "failed_run": failed.id,
        "successful_run": successful.id,
        "failed_seed": failed.seed,
        "successful_seed": successful.seed,
        "learning_rate": failed.learning_rate,
        "classifier": options.classifier,
        "examples": min(
            EXAMPLES, failed.train_examples or train_rows(failed.task, failed.data_source)
        ),
    }
    names = list(LINES) if first else ["failed to successful"]
    axis = np.linspace(-REACH, REACH, points_of(options)).tolist()
    grid_rows = []
    for a in axis if first else ():
        grid_rows.append([(a, b) for b in axis])
    rows = measured_rows(pair, grid_rows + [on_line(*LINES[name]) for name in names], options)
    surface = []
    for row in rows[: len(grid_rows)]:
        for a, b, loss, norm in row:
            surface.append({**common, "a": a, "b": b, "loss": loss, "gradient_norm": norm})
    lines = []
    for name, row in zip(names, rows[len(grid_rows) :], strict=True):
        for i, (_, _, loss, norm) in enumerate(row):
            point = {"position": i / (LINE_POINTS - 1), "loss": loss, "gradient_norm": norm}
            lines.append({**common, "line": name, **point})
    return surface, lines


def points_of(options: argparse.Namespace) -> int:
    """Points of a surface along each axis."""
    return options.points or (13 if options.quick else 19 if options.profile == "mini" else 40)


def on_line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[float, float]]:
    """LINE_POINTS points (a, b) at like distances on a straight line."""
    p, step = np.array(start), np.array(end) - np.array(start)
    points = p + np.linspace(0, 1, LINE_POINTS)[:, None] * step
    return [(float(a), float(b)) for a, b in points]


@dataclasses.dataclass(frozen=True)
class Plane:
    """The plane through three models: the two runs, their weights (safetensors), and whose first
    classifier is at (0, 0)."""

    failed: Run
    successful: Run
    failed_weights: bytes
    successful_weights: bytes
    classifier: str


def measured_rows(
    pair: tuple[dict, dict], wanted: list[list[tuple[float, float]]], options: argparse.Namespace
) -> list[list]:
    """For each row of points (a, b) the list of (a, b, loss, gradient norm): from the store, or
    measured and stored. `pair`: the records of the failed and the successful run."""
    failed, successful = (Run(**record["run"]) for record in pair)
    task = failed.task
    name = fingerprint(
        json.dumps([failed.id, successful.id, options.classifier, EXAMPLES, EXAMPLES_SEED]).encode()
    )

    def path(row: list[tuple[float, float]]) -> Path:
        return options.results / "surfaces" / f"{name}-{fingerprint(json.dumps(row).encode())}.json"

    found = {path(row): store.read_measured(path(row), len(row), LOWEST) for row in wanted}
    missing = [row for row in wanted if not found[path(row)]]
    missing.sort(key=len, reverse=True)  # the longest first, as for runs
    print(
        f"loss_surfaces: {task}, {len(wanted) - len(missing)} of {len(wanted)} rows finished",
        flush=True,
    )
    if missing:  # the weights of one pair at a time: of BERT-large they are 2.7 GB
        train_for_weights(pair, options, "loss_surfaces")
        of_failed, of_successful = (weights_of(record, options) for record in pair)
        plane = Plane(failed, successful, of_failed, of_successful, options.classifier)
        for row, result in measure_all(
            partial(measure, plane=plane),
            missing,
            options,
            f"loss_surfaces, {task}: row",
            len(missing),
        ):
            write_atomically(path(row), json.dumps(result))
            found[path(row)] = result
    return [found[path(row)] or [] for row in wanted]


def measure(
    row: list[tuple[float, float]], plane: Plane
) -> list[tuple[float, float, float, float]]:
    """(a, b, loss in nats, L2 norm of the gradient over all parameters) at each point of a row."""
    from experiments.finetuning.probes import loss_and_gradient, move_to

    loss_of, batches, parameters, corners = prepare_plane(plane)
    results = []
    for a, b in row:
        move_to(parameters, corners, a, b)
        results.append((a, b, *loss_and_gradient(loss_of, batches, parameters)))
    return results


# a worker measures many rows of one plane; to prepare it takes as long as some points of a row
@lru_cache(maxsize=1)
def prepare_plane(plane: Plane) -> tuple:
    """What measures a batch, the batches, the parameters, and their values at p, f and s."""
    import safetensors.torch

    from experiments.finetuning.encoders import load_classifier, load_tokenizer
    from experiments.finetuning.loading import prepare, tokenized_splits
    from experiments.finetuning.optimizers import all_tensors
    from experiments.finetuning.probes import corners_of
    from experiments.finetuning.tasks import task_of
    from experiments.finetuning.training import batch_loss, make_repeatable

    make_repeatable(plane.failed)
    run = plane.failed
    labels = task_of(run.task, run.data_source).outputs
    model, drawn = load_classifier(run, labels)
    other, _ = load_classifier(plane.successful, labels)
    share = {"failed": 1.0, "successful": 0.0, "mean": 0.5}[plane.classifier]
    pretrained = {name: p.detach().clone() for name, p in model.named_parameters()}
    for name in drawn:
        pretrained[name] = (
            share * pretrained[name] + (1 - share) * other.get_parameter(name).detach()
        )
    network, groups = prepare(model.to(run.device), run)
    parameters = all_tensors(groups)
    trained = (plane.failed_weights, plane.successful_weights)
    states = [pretrained, *map(safetensors.torch.load, trained)]
    corners = corners_of(model, parameters, states)
    train_set, _ = tokenized_splits(run, load_tokenizer(run.model_source))
    some = np.random.default_rng(EXAMPLES_SEED).permutation(len(train_set.labels))[:EXAMPLES]
    batches = list(train_set.batches(some, BATCH))
    return partial(batch_loss, network, run=run, training=False), batches, parameters, corners


EXPERIMENT = Experiment(
    "loss_surfaces",
    __doc__,
    planned,
    write,
    add_flags,
    measured,
    in_parts=False,
    class_an_example=True,
)

if __name__ == "__main__":
    main(EXPERIMENT)

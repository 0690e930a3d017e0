"""A sweep: experiments declare runs, the runs that the store lacks are trained once, each
experiment writes its CSVs."""

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.finetuning import files
from experiments.finetuning.errors import BadInput, RunsCrashed
from experiments.finetuning.glue import TOKENS
from experiments.finetuning.run import Run
from experiments.finetuning.tasks import task_of
from experiments.sweeps import engine, store
from experiments.sweeps.command import check_device, parse_parts, run_command
from experiments.sweeps.flags import parser
from experiments.sweeps.profiles import PROFILES
from experiments.sweeps.progress import counted, steps
from experiments.sweeps.training_runs import train_missing, unique

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Experiment:
    """One hypothesis. `planned` turns the options into the runs it needs, BadInput for what cannot
    be. `write` gets the records of those that are finished, in that order (a crashed one is
    missing), measures more where it has to, and writes the CSVs, whole and even where they are
    empty; it raises BadInput, or RunsCrashed from measuring. `add_flags` adds flags of its own.
    `measured` says of the same records which ones' weights `write` may ask for."""

    name: str
    description: str
    planned: Callable[[argparse.Namespace], list[Run]]
    write: Callable[[argparse.Namespace, Records], None]
    add_flags: Callable[[argparse.ArgumentParser], None] = lambda p: None
    measured: Callable[[argparse.Namespace, Records], Records] | None = None
    # whether a call may have parts (--and): `write` reads no rate, task or seeds of the first one
    in_parts: bool = True
    # whether `write` reads the answers of dev as a class, or a number, an example
    class_an_example: bool = False


def main(experiment: Experiment) -> None:
    """The command line of one experiment."""
    run_command(lambda: sweep([experiment]))


def sweep(experiments: Sequence[Experiment], arguments: Sequence[str] | None = None) -> None:
    """One or several experiments from command line to CSVs. Runs that crash are left out, and named
    at the end (RunsCrashed)."""
    p = parser("\n\n".join(experiment.description for experiment in experiments))
    for experiment in experiments:
        experiment.add_flags(p)
    options = parse_parts(p, sys.argv[1:] if arguments is None else arguments)
    store.check_folder(options.results)
    planned = {}
    for experiment in experiments:
        if options.others and not experiment.in_parts:
            raise BadInput(
                f"{experiment.name} cannot be asked for in parts, as it chooses among runs by rate"
                " or task: expected a call of its own, without --and"
            )
        runs = experiment.planned(options)
        for part in options.others:
            runs += experiment.planned(part)
        planned[experiment.name] = list(dict.fromkeys(runs))
        check_answers(experiment, planned[experiment.name])
    say_what_is_planned(planned, options)
    if options.plan:
        return
    kept = set((options.results / "weights").glob("*"))
    crashed = train_missing(planned, options)
    drop_weights(experiments, planned, options, kept)
    unwritten = write_all(experiments, planned, options, crashed)
    if len(unwritten) == len(experiments) and not crashed:
        reasons = [f"{name}: {reason}" for name, reason in unwritten.items()]
        raise BadInput("; ".join(reasons))
    if unwritten and not crashed:
        raise RunsCrashed(unwritten, "and the others' CSVs are written", again=False)
    if crashed:
        raise RunsCrashed(
            crashed | unwritten,
            "and this is not in the CSVs (tracebacks: the results folder's crashed/)",
        )


def check_answers(experiment: Experiment, planned: list[Run]) -> None:
    """BadInput for tasks whose answers an experiment cannot read."""
    for run in planned:
        if experiment.class_an_example and task_of(run.task, run.data_source).kind == TOKENS:
            raise BadInput(
                f"{experiment.name} reads one class an example and {run.task} has a label a word:"
                " expected other --tasks, or oscillating_scores, which is for such"
            )


def say_what_is_planned(planned: dict[str, list[Run]], options: argparse.Namespace) -> None:
    """Print how many runs each experiment has, how many of them are finished, and how long the
    others take."""
    different = unique(planned.values())
    # no records, which are large
    finished = {
        run.id for run in different if store.load(options.results, run, rename=not options.plan)
    }

    def missing(runs: list[Run]) -> list[Run]:
        return [run for run in runs if run.id not in finished]

    for name, wanted in planned.items():
        left = missing(wanted)
        print(
            f"{name} ({options.profile}): {len(wanted)} runs, {len(wanted) - len(left)}"
            f" finished, {len(left)} to train{_about(left, options)}",
            flush=True,
        )
    if len(planned) > 1:
        left = missing(different)
        print(
            f"all together: {len(different)} different runs, {len(left)} to"
            f" train{_about(left, options)}",
            flush=True,
        )
    warnings = store.moved(options.results, different, keep=not options.plan)
    for line in store.not_read(options.results):
        warnings.append(f"{options.results / 'runs'} has {line}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    if options.quick:
        print(
            "this is a first look, with few seeds and settings; --seeds N asks for everything with"
            " N seeds",
            flush=True,
        )


def write_all(
    experiments: Sequence[Experiment],
    planned: dict[str, list[Run]],
    options: argparse.Namespace,
    crashed: dict[str, str],
) -> dict[str, str]:
    """Let each experiment write its CSVs; what crashes on the way is added to `crashed`. Returns
    the experiments that could not, and why."""
    unwritten: dict[str, str] = {}
    for experiment in experiments:
        try:
            experiment.write(options, stored(planned[experiment.name], options))
        except BadInput as error:
            unwritten[experiment.name] = str(error)
        except RunsCrashed as error:  # measuring did, or what it needs trained again
            crashed |= error.crashed
    return unwritten


def stored(wanted: Iterable[Run], options: argparse.Namespace) -> Records:
    """The records of those runs that are finished, with today's folders, which may have moved."""
    return [
        {**record, "run": dataclasses.asdict(run)}
        for run in wanted
        if (record := store.load(options.results, run))
    ]


def measure_all(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    options: argparse.Namespace,
    what: str,
    total: int,
) -> Iterator[tuple[Any, Any]]:
    """(item, function(item)) of `total` items as they are finished; with a crash among them,
    RunsCrashed when all others are."""
    check_device(options)
    crashed: dict[str, str] = {}
    for old in (options.results / "crashed").glob(f"{what} *.txt"):
        old.unlink()
    how = options.engine, options.device, options.runs_per_gpu
    for item, result in counted(engine.map(function, items, *how), total, what):
        if isinstance(result, engine.Crash):
            name = f"{what} {len(crashed) + 1}"
            crashed[name] = result.error
            files.write_atomically(options.results / "crashed" / f"{name}.txt", result.details)
        else:
            yield item, result
    if crashed:
        raise RunsCrashed(crashed, "so what it was for is not written")


def drop_weights(
    experiments: Sequence[Experiment],
    planned: dict[str, list[Run]],
    options: argparse.Namespace,
    kept: Collection[Path] = (),
) -> None:
    """Delete the weights of runs that none of the experiments that keep any measures: 1.3 GB each
    for BERT-large. Those that this call found, `kept`, stay: another may be measuring them."""
    measuring = {}
    for experiment in experiments:
        keeps = [run for run in planned[experiment.name] if run.keep_weights]
        if experiment.measured and keeps:
            measuring[experiment.name] = experiment.measured
    measured = set()
    for name, choose in measuring.items():
        chosen = choose(options, stored(planned[name], options))
        measured |= {Run(**record["run"]).id for record in chosen}
    for run in unique([planned[name] for name in measuring]):
        path = store.weights_path(options.results, run)
        if run.id not in measured and path not in kept:
            path.unlink(missing_ok=True)


def _about(missing: Sequence[Run], options: argparse.Namespace) -> str:
    if not missing or (options.profile == "mini" and options.model):
        return ""  # a step of somebody's own model takes nobody knows how long
    side_by_side = engine.workers(options.engine, len(missing), options.device)
    each = [steps(run) for run in missing]
    last = max(sum(each) / side_by_side, max(each))  # steps one after the other
    minutes = last * PROFILES[options.profile].seconds_per_step / 60
    return f", about {math.ceil(minutes)} min on {side_by_side} worker(s)"

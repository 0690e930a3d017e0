"""A sweep: experiments declare runs, the runs that the store lacks are trained once, each experiment writes its CSVs."""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.finetuning import engine, runs
from experiments.finetuning.command import parse, parser, run_command
from experiments.finetuning.profiles import PROFILES
from experiments.finetuning.runs import Run
from experiments.finetuning.tasks import train_rows

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Experiment:
    """One hypothesis. `planned` says which runs it needs; `write` gets their records, measures more, writes CSVs."""

    name: str
    description: str
    planned: Callable[[argparse.Namespace], list[Run]]
    write: Callable[[argparse.Namespace, Records], None]
    add_flags: Callable[[argparse.ArgumentParser], None] = lambda p: None


def main(*experiments: Experiment, arguments: Sequence[str] | None = None) -> None:
    """The command line of one experiment, or of several in one sweep."""
    run_command(lambda: sweep(experiments, arguments))


def sweep(experiments: Sequence[Experiment], arguments: Sequence[str] | None = None) -> None:
    p = parser("\n\n".join(experiment.description for experiment in experiments))
    for experiment in experiments:
        experiment.add_flags(p)
    options = parse(p, arguments)
    planned = {experiment.name: experiment.planned(options) for experiment in experiments}
    records = {run.id: runs.load(options.results, run) for run in unique(planned.values())}
    for name, wanted in planned.items():
        missing = [run for run in wanted if records[run.id] is None]
        print(f"{name} ({options.profile}): {len(wanted)} runs, {len(wanted) - len(missing)} finished, "
              f"{len(missing)} to train{_about(missing, options)}", flush=True)
    if len(experiments) > 1:
        missing = [run for run in unique(planned.values()) if records[run.id] is None]
        print(f"all together: {len(records)} different runs, {len(missing)} to train{_about(missing, options)}", flush=True)
    if options.plan:
        return
    train_missing(planned, options)
    for experiment in experiments:
        experiment.write(options, [runs.load(options.results, run) for run in planned[experiment.name]])


def unique(planned: Iterable[list[Run]]) -> list[Run]:
    """Each run once, in the order of the experiments; its weights are kept if one of them asks for that."""
    first: dict[str, Run] = {}
    for run in (run for wanted in planned for run in wanted):
        if run.id not in first or run.keep_weights:
            first[run.id] = run
    return list(first.values())


def train_missing(planned: dict[str, list[Run]], options: argparse.Namespace) -> None:
    """Train what the store lacks of the runs of each experiment, the longest first so that no core is idle at the end."""
    missing = [run for run in unique(planned.values()) if runs.load(options.results, run) is None]
    if not missing:
        return
    from experiments.finetuning.training import train

    writable = options.results / "runs" / ".writable"  # an error is better now than after the first run
    runs.write_atomically(writable, "")
    writable.unlink()
    missing.sort(key=steps, reverse=True)
    asked_by = {run.id: name for name, wanted in reversed(planned.items()) for run in wanted}
    for run, result in with_progress(engine.map(train, missing, options.engine, options.device), missing, asked_by):
        runs.save(options.results, run, result)


def trained_weights(chosen: Sequence[dict[str, Any]], options: argparse.Namespace, experiment: str) -> dict[str, bytes]:
    """The weights of finished runs by their ids; runs whose weights were not kept are trained again (the same, on the same
    machine)."""
    wanted = [dataclasses.replace(Run(**record["run"]), keep_weights=True) for record in chosen]
    missing = [run for run in wanted if not runs.weights_path(options.results, run).exists()]
    if missing:
        from experiments.finetuning.training import train

        print(f"{experiment}: training {len(missing)} runs again, since their weights were not kept", flush=True)
        results = engine.map(train, missing, options.engine, options.device)
        for run, result in with_progress(results, missing, dict.fromkeys((run.id for run in missing), experiment)):
            runs.save(options.results, run, result)
    return {run.id: runs.weights_path(options.results, run).read_bytes() for run in wanted}


def drop_weights(records: Records, but: Records, options: argparse.Namespace) -> None:
    """Delete the kept weights of finished runs that nothing needs any more: 1.3 GB each for BERT-large."""
    for record in records:
        if record not in but:
            runs.weights_path(options.results, Run(**record["run"])).unlink(missing_ok=True)


def with_progress(results: Iterable[tuple[Run, Any]], planned: Sequence[Run], asked_by: dict[str, str],
                  ) -> Iterator[tuple[Run, Any]]:
    """Pass results on, with a bar on a terminal and a line a minute elsewhere: the experiment that asked for the run, finished
    and failed runs, time left (by steps, since runs differ in length)."""
    from tqdm import tqdm

    failed, done, started = 0, 0, time.monotonic()
    total, last_line = sum(map(steps, planned)), started
    with tqdm(total=total, unit="step", disable=None, smoothing=0) as bar:
        for finished, (run, result) in enumerate(results, start=1):
            yield run, result
            failed += result["outcome"]["failed"]
            done += steps(run)
            state = f"{finished}/{len(planned)} runs, {failed} failed"
            bar.set_description_str(asked_by[run.id])
            bar.set_postfix_str(state)
            bar.update(steps(run))
            if bar.disable and (time.monotonic() - last_line > 60 or finished == len(planned)):
                last_line = time.monotonic()
                left = (total - done) * (last_line - started) / done
                print(f"{asked_by[run.id]}: {state}, {tqdm.format_interval(last_line - started)} gone, about "
                      f"{tqdm.format_interval(left)} left", flush=True)


def steps(run: Run) -> int:
    """Optimiser steps of a run."""
    return run.epochs * math.ceil((run.train_examples or train_rows(run.task, run.data_source)) / run.batch_size)


def _about(missing: Sequence[Run], options: argparse.Namespace) -> str:
    if not missing:
        return ""
    side_by_side = engine.workers(options.engine, len(missing))
    minutes = sum(map(steps, missing)) * PROFILES[options.profile].seconds_per_step / side_by_side / 60
    return f", about {math.ceil(minutes)} min on {side_by_side} worker(s)"

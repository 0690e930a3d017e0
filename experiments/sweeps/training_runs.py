"""Training what the store lacks: each run once, whoever asks for it, or again for its weights."""

import argparse
import dataclasses
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments.finetuning import files
from experiments.finetuning.errors import BadInput, RunsCrashed
from experiments.finetuning.run import Run
from experiments.sweeps import engine, store
from experiments.sweeps.command import check_device
from experiments.sweeps.locks import Locks
from experiments.sweeps.progress import Progress, steps


def unique(planned: Iterable[list[Run]]) -> list[Run]:
    """Each run once, in the order of the experiments; its weights are kept if one of them asks
    for that."""
    first: dict[str, Run] = {}
    for wanted in planned:
        for run in wanted:
            if run.id not in first or run.keep_weights:
                first[run.id] = run
    return list(first.values())


def train_missing(planned: dict[str, list[Run]], options: argparse.Namespace) -> dict[str, str]:
    """Train what the store lacks of the runs of each experiment: the longest first, so that no core
    is idle at the end; then by seed, so that a sweep that is stopped early has all settings.
    Returns the runs that crashed, and why."""
    missing = [run for run in unique(planned.values()) if store.load(options.results, run) is None]
    missing.sort(key=lambda run: (-steps(run), run.head_seed, run.order_seed, run.dropout_seed))
    asked_by: dict[str, str] = {}  # the first experiment that asks for it
    for name, wanted in reversed(planned.items()):
        asked_by |= dict.fromkeys([run.id for run in wanted], name)
    return train_all(missing, options, asked_by)


def train_all(
    missing: Sequence[Run],
    options: argparse.Namespace,
    asked_by: dict[str, str],
    again: bool = False,
) -> dict[str, str]:
    """Train runs and store their results; what another sweep on the same store is training is
    waited for. With `again` also runs that the store has; BadInput if one of these ends otherwise
    than before, which then stays as it was."""
    if not missing:
        return {}
    check_device(options)
    check_one_device(missing, options)
    from experiments.finetuning.training import train

    inspect_first(missing)
    writable = options.results / "runs" / ".writable"  # an error is better now than later
    files.write_atomically(writable, "")
    writable.unlink(missing_ok=True)  # another sweep that starts now has the same
    crashed: dict[str, str] = {}
    otherwise: list[str] = []
    with Locks(options.results) as locks, Progress(missing, asked_by) as progress:
        runs = claimed(missing, options, locks, progress, again)
        how = options.engine, options.device, options.runs_per_gpu
        for run, result in engine.map(train, runs, *how):
            if isinstance(result, engine.Crash):
                name = f"{run.task}, {run.learning_rate:g}, {run.epochs} epochs, seed {run.seed}"
                crashed[f"{run.id} ({name})"] = result.error
                store.save_crash(options.results, run, result.error, result.details)
                progress.finished(run, "crashed")
            elif again and (difference := ends_otherwise(options, run, result)):
                otherwise.append(difference)
                progress.finished(run, "otherwise")
            else:
                store.save(options.results, run, result)
                progress.finished(run, "failed" if result["outcome"]["failed"] else "successful")
            locks.release(run.id)
    if otherwise:
        raise BadInput(
            "trained again for their weights, these runs end otherwise than before:"
            f" {', '.join(otherwise)}; another machine or other packages made them: expected a"
            " store for each, take another folder with --results"
        )
    return crashed


def check_one_device(missing: Sequence[Run], options: argparse.Namespace) -> None:
    """BadInput where --and asks for runs of another device that are not finished yet."""
    elsewhere = [run for run in missing if run.device != options.device]
    if elsewhere:
        raise BadInput(
            f"{len(elsewhere)} runs of --device {elsewhere[0].device} are not finished, and this"
            f" call trains on --device {options.device}: expected them in the store; train them"
            " in a call of their own, where they can be"
        )


def inspect_first(missing: Sequence[Run]) -> None:
    """BadInput, before anything is trained, for models and data that do not belong together;
    warnings are printed here, where they are seen."""
    from experiments.finetuning.loading import inspect_inputs

    kinds = {(run.model_source, run.data_source, run.task, run.max_length): run for run in missing}
    for run in kinds.values():
        for warning in inspect_inputs(run):
            print(f"warning: {warning}", file=sys.stderr, flush=True)


def claimed(
    missing: Sequence[Run],
    options: argparse.Namespace,
    locks: Locks,
    progress: Progress,
    again: bool,
) -> Iterator[Run | None]:
    """Those of the runs whose lock this sweep gets, one by one; None while all that are left are
    being trained elsewhere. One that is finished by then is not trained; with `again` one whose
    weights are there."""

    def there(run: Run) -> bool:
        if again:
            return store.weights_path(options.results, run).is_file()
        return store.load(options.results, run) is not None

    waiting = deque(missing)
    refused = 0  # in a row
    while waiting:
        run = waiting.popleft()
        if there(run):
            progress.finished(run, "elsewhere")
            refused = 0
        elif not locks.claim(run.id):
            waiting.append(run)
            refused += 1
            if refused >= len(waiting):
                refused = 0
                yield None
        elif not there(run):  # it may have been finished since
            refused = 0
            yield run
        else:
            refused = 0
            locks.release(run.id)
            progress.finished(run, "elsewhere")


def ends_otherwise(options: argparse.Namespace, run: Run, result: dict[str, Any]) -> str:
    """How a run that was trained again ends otherwise than the store has it; "" if it does not."""
    before = store.load(options.results, run)
    if not before or store.ending(before) == store.ending(result):
        return ""
    return f"{run.id} (score {result['outcome']['score']}, was {before['outcome']['score']})"


def train_for_weights(
    chosen: Sequence[dict[str, Any]], options: argparse.Namespace, experiment: str
) -> None:
    """Train those of the finished runs again whose weights were not kept: the same, on the same
    machine."""
    wanted = [dataclasses.replace(Run(**record["run"]), keep_weights=True) for record in chosen]
    missing = [run for run in wanted if not store.weights_path(options.results, run).is_file()]
    if missing:
        print(
            f"{experiment}: training {len(missing)} runs again, since their weights were not kept",
            flush=True,
        )
        asked_by = dict.fromkeys([run.id for run in missing], experiment)
        if crashed := train_all(missing, options, asked_by, again=True):
            raise RunsCrashed(crashed, f"so {experiment} cannot go on")


def weights_of(record: dict[str, Any], options: argparse.Namespace) -> bytes:
    """The kept weights of a finished run, as the bytes of a safetensors file."""
    return store.weights_path(options.results, Run(**record["run"])).read_bytes()

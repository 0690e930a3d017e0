"""Rehearsal: does everything that the study needs work on this machine, and what will it cost?

Not a hypothesis of the paper, but minutes before days of computing. It loads each model of the
profile and takes three real steps of every kind of run that the study has, of every model and task
(default, corrected, Mixout, re-initialised, layer-wise and so on), evaluates, measures the
perplexity of two blocks with layers put back and three points of a loss surface. Each is checked:
losses and gradients are finite, the loss starts near ln 2, every weight matrix gets a gradient, the
fast path gives the plain one's logits and gradients without dropout, the weights move, all layers
put back give the pre-trained perplexity. Then it prints the study's plan with measured hours,
memory and disk, and a verdict: ready (status 0), or what is wrong (status 1).

Command : python -m experiments.benchmark.rehearsal --profile paper --device cuda
Cost    : mini under two minutes; paper with --random-weights 90 seconds on an H200, on one core
          about half an hour and 11 GB of memory.
Writes  : results/<profile>/rehearsal.csv, one row per trial, per experiment of the plan, and the
          verdict.

--random-weights needs no hub: it makes models of the published shapes with random weights, in a
folder that is deleted afterwards (3 GB for paper), and rows as long as GLUE's; of --model DIR the
shape and tokenizer are taken and of --data the rows. Seconds on a CPU are those of this process
alone, so that others beside it matter little. What is not tried: dev sets and texts in full, which
are counted, and the last step of a run.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from experiments.benchmark import stand_ins
from experiments.benchmark.inputs import blocks_in, first_blocks, made_up_inputs, real_inputs
from experiments.benchmark.study import (
    BASE,
    PERPLEXITY,
    SURFACE,
    Costs,
    Rows,
    Trial,
    chosen,
    modules,
    plan,
)
from experiments.benchmark.trial import (
    Inputs,
    Result,
    points_of_surface,
    put_layers_back,
    take_steps,
)
from experiments.finetuning.errors import INTERRUPTS
from experiments.finetuning.run import Run
from experiments.finetuning.training import device_name, versions
from experiments.sweeps import engine
from experiments.sweeps.command import parse, profile_of, run_command, whole_path
from experiments.sweeps.flags import parser
from experiments.sweeps.rows import write_csv

PATIENCE = 10.0  # seconds between two lines of progress


class Rehearsal(NamedTuple):
    """What is rehearsed and where."""

    options: argparse.Namespace  # of the study, with stand-ins in place of models
    text: str  # running text for perplexity, as load_text takes it; "": made up, as the rows are
    folder: Path  # for trained weights
    common: dict[str, Any]  # columns of every row


def main() -> None:
    p = parser(__doc__)
    for module in modules().values():
        module.EXPERIMENT.add_flags(p)
    options = parse(p, made_up=True)
    options.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.results, prefix="rehearsal-") as folder:
        wrong = rehearse(options, Path(folder))
    if wrong:
        sys.exit(1)


def rehearse(options: argparse.Namespace, folder: Path) -> list[str]:
    """All of it; what is wrong, a sentence each."""
    rehearsal = prepared(options, folder)
    planned = {}
    for name, module in modules().items():
        planned[name] = list(dict.fromkeys(module.EXPERIMENT.planned(rehearsal.options)))
    trials = with_measurements(chosen(planned.values()), planned)
    if options.plan:
        for trial in trials:
            print(f"rehearsal: would try {name_of(trial)}")
        return []
    rows, wrong = try_all(trials, rehearsal)
    table: Rows = []
    if not wrong:
        blocks = rehearsal.options.blocks or blocks_in(rehearsal.text, trials[0].run.model_source)
        table = plan(planned, rehearsal.options, Costs(rows), blocks)
        wrong = too_large(table, options)
    say_plan(table)
    write(trials, rows, table, wrong, rehearsal)
    for sentence in wrong:
        print(f"wrong: {sentence}", file=sys.stderr)
    print(f"verdict: {'not ready' if wrong else 'ready'}", flush=True)
    return wrong


def write(
    trials: list[Trial], rows: Rows, table: Rows, wrong: list[str], rehearsal: Rehearsal
) -> None:
    """The CSV: a row a trial, one an experiment of the plan, and the verdict. Also while trials are
    left: a machine that stops on the way has said where."""
    unfinished = len(rows) < len(trials)
    if unfinished:
        under_way = f"{len(rows)} of {len(trials)} trials done, then {name_of(trials[len(rows)])}"
        wrong = [*wrong, under_way]
    every = {"model": " ".join(dict.fromkeys(t.run.model for t in trials)), "task": "all"}
    verdict = {"part": "verdict", **every, "wrong": "; ".join(wrong)}
    everything = [{"part": "trial", **row} for row in rows]
    everything += [{"part": "plan", **row} for row in table]
    first = trials[0].run
    read = first.data if rehearsal.text else "stand-ins"
    common = {**rehearsal.common, "data": read, "git_commit": first.git_commit}
    write_csv(
        rehearsal.options.results / "rehearsal.csv",
        [{**row, **common} for row in [*everything, verdict]],
        say=not unfinished,
    )


def prepared(options: argparse.Namespace, folder: Path) -> Rehearsal:
    """The study's options, for --random-weights with stand-ins in place of the models."""
    models, made_up = options.models, False
    if options.random_weights:
        made_up = not any(Path(name).is_dir() for name in models)
        made = []
        for name in models:
            print(f"rehearsal: making {name} with random weights", flush=True)
            made.append(stand_ins.make_model(name, folder))
        models = made
    changed = {"models": models, "random_weights": False, "plan": True}
    common = {
        "dtype": options.dtype,
        "weights": "random" if options.random_weights else "pre-trained",
        "device": device_name(options.device),
        "cores": engine.cores(),
        "load": os.getloadavg()[0],
        **versions(),
    }
    of_study = argparse.Namespace(**{**vars(options), **changed})
    text = "" if made_up else whole_path(options.text or profile_of(options).text, "text")
    return Rehearsal(of_study, text, folder, common)


def with_measurements(trials: list[Trial], planned: dict[str, list[Run]]) -> list[Trial]:
    """The trials, and after those of BASE what the study measures on models that these have
    trained."""
    more = []
    for name, kind in (("catastrophic_forgetting", PERPLEXITY), ("loss_surfaces", SURFACE)):
        if any(run.keep_weights for run in planned[name]):
            more.append(Trial(kind, trials[0].run))
    base = [trial for trial in trials if trial.kind in BASE]
    return base + more + [trial for trial in trials if trial.kind not in BASE]


def name_of(trial: Trial) -> str:
    return f"{trial.run.model.split('@')[0].split('/')[-1]}, {trial.run.task}, {trial.kind}"


def try_all(trials: list[Trial], rehearsal: Rehearsal) -> tuple[Rows, list[str]]:
    """A row a trial, and what is wrong. What one of them raises is wrong with it; the others go
    on."""
    rows: Rows = []
    wrong: list[str] = []
    started = time.monotonic()
    for done, trial in enumerate(trials):
        write(trials, rows, [], wrong, rehearsal)
        on_task = [row for row in rows if row["model"] == trial.run.model]
        evaluating = trial.run.task not in {row["task"] for row in on_task}
        tick = partial(say_part, trial, [time.monotonic()])
        cost, problems = tried(trial, rehearsal, tick, evaluating)
        wrong += [f"{name_of(trial)}: {problem}" for problem in problems]
        columns = {"model": trial.run.model, "kind": trial.kind, "task": trial.run.task}
        rows.append({**columns, **cost, "wrong": "; ".join(problems)})
        gone = time.monotonic() - started
        left = gone / (done + 1) * (len(trials) - done - 1)
        print(
            f"{name_of(trial)}: {said(cost)}{'; '.join(problems) or 'fine'}; {done + 1} of"
            f" {len(trials)}, {gone / 60:.1f} min gone, about {left / 60:.0f} left",
            flush=True,
        )
    return rows, wrong


def say_part(trial: Trial, last: list[float], part: str) -> None:
    """Progress inside a trial, where it takes long."""
    INTERRUPTS.check()
    now = time.monotonic()
    if now - last[0] > PATIENCE:
        last[0] = now
        print(f"{name_of(trial)}: {part}", flush=True)


def said(cost: dict[str, Any]) -> str:
    """A trial's cost, for a line of progress."""
    parts = []
    for column, unit in (
        ("seconds_per_step", "s a step"),
        ("seconds_per_block", "s a block"),
        ("seconds_per_example", "s an example"),
        ("memory_gb", "GB"),
    ):
        if column in cost:
            parts.append(f"{cost[column]:.3g} {unit}, ")
    return "".join(parts)


def tried(
    trial: Trial, rehearsal: Rehearsal, tick: Callable[[str], None], evaluating: bool
) -> Result:
    """A trial's cost, of an evaluation too if asked for, and what is wrong with it."""
    inputs: Inputs = real_inputs if rehearsal.text else made_up_inputs
    kept = tuple(rehearsal.folder / f"{kind}.safetensors" for kind in ("default", "corrected"))
    try:
        if trial.kind == PERPLEXITY:
            return put_layers_back(
                trial.run, first_blocks(trial.run, rehearsal.text), kept[0], tick
            )
        if trial.kind == SURFACE:
            there = (kept[0], kept[1] if kept[1].is_file() else kept[0])
            return points_of_surface(trial.run, inputs, there, tick)
        keep = rehearsal.folder / f"{trial.kind}.safetensors"
        wanted = keep in kept and not keep.is_file()  # the first model's
        return take_steps(trial.run, inputs, tick, evaluating, keep if wanted else None)
    except Exception as error:  # whatever it is, it would have stopped the study
        reason = str(error).strip().splitlines() or [""]
        return {}, [f"{type(error).__name__}: {reason[0]}"]
    finally:
        if trial.run.device != "cpu":
            torch.cuda.empty_cache()


def too_large(table: Rows, options: argparse.Namespace) -> list[str]:
    """Why the study does not fit on this machine."""
    free = shutil.disk_usage(options.results).free / 1e9
    needed = table[-1]["disk_gb"]
    if needed > free:
        return [f"the study needs {needed:.0f} GB of disk, {free:.0f} are free"]
    return []


def say_plan(table: Rows) -> None:
    """Print the plan, a line an experiment."""
    columns = ("runs", "optimizer_steps", "hours", "memory_gb", "disk_gb")
    if table:
        print(f"{'experiment':<26}" + "".join([f"{name:>17}" for name in columns]))
    for row in table:
        numbers = "".join([f"{row[name]:>17,.4g}" for name in columns])
        print(f"{row['experiment']:<26}{numbers}", flush=True)


if __name__ == "__main__":
    run_command(main)

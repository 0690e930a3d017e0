"""The runs that an experiment's settings and the flags mean."""

import argparse
import itertools
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import REPOSITORY, portable
from experiments.finetuning.possible import check_remedies
from experiments.finetuning.run import Run
from experiments.finetuning.sources import architecture, identify_model
from experiments.finetuning.tasks import identify_data, pinned_data, train_rows
from experiments.sweeps.command import default_rate, profile_of
from experiments.sweeps.flags import SCHEDULES, SEED_FLAGS
from experiments.sweeps.profiles import (
    LENGTHS,
    LONG_EPOCHS,
    MODEL_RECIPES,
    PACKABLE,
)


def grid(
    options: argparse.Namespace,
    *,
    tasks: Iterable[str],
    learning_rates: Iterable[float],
    corrections: Iterable[bool],
    epochs: Iterable[int] = (3,),
    models: Iterable[str] | None = None,
    **fields: Any,
) -> list[Run]:
    """All runs of models x tasks x epochs x learning rates x bias correction x seeds; `fields` are
    further ones of Run. BadInput for what cannot be trained."""
    short, long = seeds_of(options)
    whole = "train_examples" not in fields
    if whole and options.sample_size:
        fields |= {"train_examples": options.sample_size, "sampling_seed": options.sampling_seed}
    settings = itertools.product(
        range(options.first_seed, max(short, long) + 1),
        models or options.models[:1],
        tasks,
        epochs,
        learning_rates,
        corrections,
    )
    planned = []
    for seed, model, task, length, rate, corrected in settings:
        is_long = length >= LONG_EPOCHS and whole
        if seed > (long if is_long else short):
            continue
        if options.quick and left_out_at_first(options, seed, length, rate, corrected, is_long):
            continue
        setting = {
            "task": task,
            "learning_rate": rate,
            "bias_correction": corrected,
            "epochs": length,
        }
        run = one_run(options, model, seed, {**setting, **fields})
        check_run(run, model, options)
        planned.append(run)
    return list(dict.fromkeys(planned))


def seeds_of(options: argparse.Namespace) -> tuple[int, int]:
    """The last seed of a setting, and of one of LONG_EPOCHS or more. BadInput where several would
    be one, and where no long run would be left though some were asked for."""
    profile = profile_of(options)
    short = options.seeds or profile.seeds
    long = options.long_seeds
    if long is None:
        long = options.seeds or profile.long_seeds
    held = all(getattr(options, name) is not None for name in SEED_FLAGS)
    if max(short, long) > options.first_seed and held:
        raise BadInput(
            "all three seeds are held, so several seeds are one run; expected --seeds 1 or a free"
            " seed"
        )
    if 0 < long < options.first_seed:
        raise BadInput(
            f"--long-seeds {long} is below the first of --seeds, {options.first_seed}, so no long"
            f" run is left: expected {options.first_seed} or more, or 0 for none"
        )
    return short, long


def left_out_at_first(
    options: argparse.Namespace, seed: int, length: int, rate: float, corrected: bool, long: bool
) -> bool:
    """Whether a first look does without: of the long runs it has only the paper's own recipe, and
    one seed at rates below the default recipe's, where hardly a run fails."""
    default = default_rate(options)
    if long and (length, rate, corrected) != (LENGTHS[-1], default, True):
        return True
    return seed > 1 and rate < default


def one_run(options: argparse.Namespace, model: str, seed: int, fields: dict[str, Any]) -> Run:
    """The run of a model with a seed; `fields` of Run stand above the model's own recipe."""
    seeds = {}
    for name in SEED_FLAGS:
        held = getattr(options, name)
        seeds[name] = seed if held is None else held
    looked_up = getattr(options, "look_up", True)
    data = pinned_data(fields["task"], options.data) if looked_up else options.data
    made_from = {
        "model": identify_model(model),
        "data": identify_data(fields["task"], data),
    }
    kind, _ = architecture(model)
    chosen = {
        "max_length": options.max_length,
        "dtype": options.dtype,
        "pretrained": not options.random_weights,
        "packed": not options.plain,
        "segment_ids": options.segment_ids,
        "schedule": options.schedule or SCHEDULES[0],
        "device": options.device,
    }
    unhashed = {
        "model_source": portable(model),
        "data_source": data,
        "checkpoint_minutes": options.checkpoint_minutes,
        "checkpoint_folder": str(options.results / "checkpoints"),
        "git_commit": _commit(),
    }
    recipe = MODEL_RECIPES.get(kind, {})
    return Run(**{**made_from, **chosen, **unhashed, **recipe, **seeds, **fields})


def check_run(run: Run, model: str, options: argparse.Namespace) -> None:
    """BadInput for a run that cannot be trained."""
    kind, layers = architecture(model)
    if run.packed and kind not in PACKABLE:
        raise BadInput(
            f"{model} is of type {kind}: expected one of {', '.join(PACKABLE)}; others need --plain"
        )
    check_remedies(run, kind, layers)
    anew = run.reinitialized_layers
    if anew and kind == "albert":
        raise BadInput(
            f"{model} shares one layer's weights among all: cannot draw its top layers anew; take"
            " another model"
        )
    if anew > layers:
        raise BadInput(
            f"cannot draw the top {anew} layers of {model} anew: expected 0 to {layers}; --help"
            " lists the flags that name the layers"
        )
    sampled = run.train_examples
    if sampled and sampled > (rows := train_rows(run.task, options.data)):
        raise BadInput(
            f"cannot sample {sampled:,} of {rows:,} training examples of {run.task}; take a smaller"
            " --sample-size"
        )


def one_seed_at_first(options: argparse.Namespace) -> argparse.Namespace:
    """The options, with one seed in a first look: for settings that only one of the neighbouring
    studies needs."""
    return argparse.Namespace(**{**vars(options), "seeds": 1}) if options.quick else options


def one_task(options: argparse.Namespace, experiment: str) -> list[str]:
    """The first of --tasks, for an experiment that looks at one."""
    tasks = options.tasks or ["rte"]
    say_left_out(experiment, tasks, tasks[:1], "it looks at one task")
    return tasks[:1]


def say_left_out(experiment: str, tasks: Sequence[str], kept: Sequence[str], why: str) -> None:
    """A line that names the tasks an experiment does without."""
    if left := [task for task in tasks if task not in kept]:
        print(f"{experiment}: without {', '.join(left)}, since {why}", file=sys.stderr)


def examples_of(options: argparse.Namespace, task: str) -> int:
    """Training examples of a task, of --sample-size where it is given."""
    return options.sample_size or train_rows(task, options.data)


def matching_epochs(examples: int, sampled: int) -> int:
    """Epochs on a sample with at least as many steps as the default recipe has on all examples,
    in batches of 16."""
    return math.ceil(LENGTHS[0] * math.ceil(examples / 16) / math.ceil(sampled / 16))


@lru_cache(maxsize=1)
def _commit() -> str:
    """The commit this process was started from; asked once, so that edits during a sweep do not
    count."""
    try:
        return (
            subprocess.run(
                ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"],
                capture_output=True,
                text=True,
            ).stdout.strip()
            or "unknown"
        )
    except OSError:  # no git on this machine
        return "unknown"

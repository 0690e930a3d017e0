"""What a command line means: its options, filled in from the profile, and clear errors."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.finetuning import own
from experiments.finetuning.conll import conll_files
from experiments.finetuning.errors import INTERRUPTS, BadInput, RunsCrashed
from experiments.finetuning.files import REPOSITORY, may_be_on_hub
from experiments.finetuning.glue import TOKENS
from experiments.finetuning.spellings import WARNING
from experiments.finetuning.tasks import MINI
from experiments.sweeps.flags import AND, OF_A_PART, SEGMENT_IDS
from experiments.sweeps.profiles import PROFILES, Profile


def parse_parts(p: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a call; those of each part behind an --and are in its `others`."""
    parts: list[list[str]] = [[]]
    for argument in arguments:
        if argument == AND:
            parts.append([])
        else:
            parts[-1].append(argument)
    first, *others = parts
    for part in others:
        if not part:
            raise BadInput(f"nothing behind {AND}: expected flags")
        if not part[0].startswith("--"):  # the last flag before would take it
            raise BadInput(f"{part[0]!r} behind {AND}: expected a flag first, such as --tasks")
        for argument in part:
            name = argument.partition("=")[0]
            if name.startswith("--") and name not in OF_A_PART:
                raise BadInput(
                    f"{name} behind {AND}: expected it before, for the whole call; a part has"
                    f" {', '.join(OF_A_PART)}"
                )
    options = parse(p, first)
    options.others = [parse(p, [*first, *part]) for part in others]
    return options


def parse(
    p: argparse.ArgumentParser, arguments: Sequence[str] | None = None, made_up: bool = False
) -> argparse.Namespace:
    """The options, with what was not given filled in from the profile. With `made_up` and
    --random-weights no name is looked up on the hub."""
    options = p.parse_args(arguments)
    options.others = []  # parse_parts has those of further parts
    if options.further:
        raise BadInput(f"{AND} is for experiments; expected one call for each of its parts here")
    options.look_up = look_up = not (made_up and options.random_weights)
    profile = profile_of(options)
    check_gpu_flags(options)
    options.rates_given, options.dtype_given = bool(options.learning_rates), bool(options.dtype)
    options.first_seed, options.seeds = options.seeds or (1, None)
    options.models = [
        whole_path(name, "model", look_up)
        for name in ([options.model] if options.model else profile.models)
    ]
    if (
        options.text_columns
        or options.label_column
        or options.metric
        or names_own_data(options.data)
    ):
        take_own_data(options)
    else:
        options.data = whole_path(options.data or profile.data, "dataset", look_up)
    options.max_length = options.max_length or profile.max_length
    options.dtype = options.dtype or profile.dtype
    options.segment_ids = (
        SEGMENT_IDS[options.segment_ids] if options.segment_ids else profile.segment_ids
    )
    options.quick = profile.quick and not (
        options.seeds or options.long_seeds is not None or options.epochs
    )
    if options.address:
        os.environ["RAY_ADDRESS"] = options.address
    options.results = (options.results or REPOSITORY / "results" / options.profile).resolve()
    return options


def names_own_data(name: str | None) -> bool:
    """Whether --data alone names data of one's own: a file, or a folder in CoNLL's layout."""
    path = Path(name or "")
    return bool(name) and (path.is_file() or bool(conll_files(path)))


def take_own_data(options: argparse.Namespace) -> None:
    """Make the options those of a data set of one's own, one task, and say what is known of it.
    With a model of one's own in the profile mini the paper's rates and length stand for mini's."""
    if options.tasks:
        raise BadInput("--tasks names GLUE's; your data is one task: leave --tasks out")
    options.data = own.asked_for(
        options.data, options.text_columns or (), options.label_column, options.metric
    )
    task, splits, _, remarks = own.load(options.data)
    options.tasks = [task.name]
    kind = f"{task.outputs} classes" if task.labels else "regression"
    if task.kind == TOKENS:
        kind = f"{task.outputs} labels, one a word"
    print(
        f"{task.name}: {kind}, {task.metric}, {len(splits['train'].labels):,} training and"
        f" {len(splits['dev'].labels):,} dev examples",
        flush=True,
    )
    for remark in remarks:
        if remark.startswith(WARNING):
            print(remark, file=sys.stderr, flush=True)
        else:
            print(f"{task.name}: {remark}", flush=True)
    if options.profile == "mini" and options.model:
        paper = PROFILES["paper"]
        options.learning_rates = options.learning_rates or paper.learning_rates
        options.max_length = options.max_length or paper.max_length
        rates = ", ".join(f"{rate:g}" for rate in options.learning_rates)
        print(
            f"{task.name}: peak learning rates {rates}, {options.max_length} tokens"
            " (--learning-rates, --max-length)",
            flush=True,
        )


def check_gpu_flags(options: argparse.Namespace) -> None:
    """BadInput for flags that only a GPU gives a meaning to, without one."""
    if options.runs_per_gpu > 1 and (options.device, options.engine) != ("cuda", "ray"):
        raise BadInput(
            f"--runs-per-gpu {options.runs_per_gpu} with --device {options.device} --engine"
            f" {options.engine}: expected --device cuda --engine ray, or no --runs-per-gpu"
        )
    if options.dtype == "tf32" and options.device != "cuda":
        raise BadInput(
            f"--dtype tf32 with --device {options.device}: only a GPU has that arithmetic; expected"
            " --device cuda, or --dtype float32"
        )


def check_device(options: argparse.Namespace) -> None:
    """BadInput where this machine should compute on a GPU and has none. Not asked for in a plan,
    nor where everything is finished: CSVs of a joined store are written anywhere."""
    if options.device == "cpu" or (options.engine == "ray" and os.environ.get("RAY_ADDRESS")):
        return
    import torch

    if not torch.cuda.is_available():
        raise BadInput("no CUDA device here: expected one that torch can use; take --device cpu")


def warn_of_no_effect(flag: str, where: str) -> None:
    """A warning for a flag that is given where something else is fixed. `where`: and why."""
    print(f"warning: {flag} does nothing in {where}", file=sys.stderr)


def profile_of(options: argparse.Namespace) -> Profile:
    return PROFILES[options.profile]


def default_rate(options: argparse.Namespace) -> float:
    """The default recipe's peak learning rate: the middle one."""
    rates = sorted(learning_rates(options))
    return rates[len(rates) // 2]


def learning_rates(options: argparse.Namespace) -> Sequence[float]:
    """The peak learning rates of an experiment that compares them."""
    return options.learning_rates or profile_of(options).learning_rates


def whole_path(name: str, kind: str, look_up: bool = True) -> str:
    """A folder's whole path, so that workers find what the caller named; a hub name with the commit
    it means today (`kind`: of hub.KINDS), so that they find the same; one of MINI as it is."""
    if name in MINI:
        return name
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if Path(name).exists():
        raise BadInput(
            f"{name} is no folder: expected one, such as that it is in,"
            f" {Path(name).absolute().parent}"
        )
    if not look_up or not may_be_on_hub(name, kind):
        return name
    from experiments.finetuning.hub import pinned

    return pinned(name, kind)


def run_command(main: Callable[[], None]) -> None:
    """Call main; what a person has to change ends in one line on stderr and exit status 2."""
    INTERRUPTS.watch()
    try:
        main()
    except (BadInput, OSError) as error:
        text = str(error)
        if isinstance(error, OSError):
            text = (
                f"{error.filename or 'file system'}: {error.strerror or error}; finished runs are"
                " kept, mend it and repeat the call"
            )
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)
    except RunsCrashed as error:
        for what, reason in error.crashed.items():
            print(f"not done: {what}: {reason}", file=sys.stderr)
        again = ", repeat the call to try the rest again" if error.again else ""
        print(f"error: {error}; what is finished is kept{again}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped; finished runs are kept, repeat the call to go on", file=sys.stderr)
        sys.exit(130)

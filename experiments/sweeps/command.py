"""What every experiment's command line shares: the flags, the grid of runs they mean, the CSV,
clear errors."""

import argparse
import contextlib
import csv
import io
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from experiments.finetuning import files
from experiments.finetuning.errors import INTERRUPTS, BadInput, RunsCrashed
from experiments.finetuning.files import REPOSITORY, portable
from experiments.finetuning.run import Run
from experiments.finetuning.sources import architecture, identify_model
from experiments.finetuning.tasks import MINI, TASKS, identify_data, subset_rows, train_rows
from experiments.sweeps import engine
from experiments.sweeps.profiles import (
    LENGTHS,
    LONG_EPOCHS,
    MODEL_RECIPES,
    PACKABLE,
    PROFILES,
    Profile,
)

BIAS_CORRECTION = {"off": (False,), "on": (True,), "both": (False, True)}
SEGMENT_IDS = {"on": True, "off": False}
SEED_FLAGS = ("head_seed", "order_seed", "dropout_seed")


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


def number(kind: type, low: float, high: float, unit: str) -> Callable[[str], Any]:
    """For argparse: text as an int or float (`kind`) from low to high, else an error that names
    the unit."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {unit} from {low:g} to {high:g}")
        return value

    return convert


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """For argparse: one of these names, else an error that lists them."""

    def convert(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"unknown name {text!r}: expected one of {', '.join(names)}"
            )
        return text

    return convert


def parser(description: str) -> argparse.ArgumentParser:
    """The flags that mean the same in every experiment. What is not given comes from the
    experiment or the profile."""
    p = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    count, rate = (
        number(int, 1, 10_000, "a whole number"),
        number(float, 1e-12, 1, "a learning rate"),
    )
    seed = number(int, 0, 2**31, "a whole number")
    p.add_argument(
        "--profile",
        type=one_of(PROFILES),
        default="mini",
        metavar="NAME",
        help=f"{', '.join(PROFILES)} (default mini)",
    )
    p.add_argument(
        "--model",
        metavar="NAME_OR_DIR",
        help=(
            "model on the hub (NAME@REVISION for another than the newest), or a transformers folder"
            " with safetensors"
        ),
    )
    p.add_argument(
        "--data",
        metavar="NAME_OR_DIR",
        help=(
            "mini, mini-noisy (10 %% of the training labels flipped), a data set on the hub such as"
            " nyu-mll/glue (@REVISION likewise), or a folder in GLUE's TSV layout"
        ),
    )
    p.add_argument(
        "--tasks", nargs="+", type=one_of(TASKS), metavar="TASK", help=f"of {', '.join(TASKS)}"
    )
    p.add_argument(
        "--learning-rates",
        nargs="+",
        type=rate,
        metavar="RATE",
        help=(
            "peak learning rates; the middle one, of an even number the higher, is the default"
            " recipe's"
        ),
    )
    p.add_argument(
        "--bias-correction",
        type=one_of(BIAS_CORRECTION),
        default="both",
        metavar="WHICH",
        help="of Adam, where an experiment compares it: on, off or both (default both)",
    )
    p.add_argument(
        "--epochs",
        nargs="+",
        type=count,
        metavar="N",
        help="passes over the training set, where an experiment does not fix them",
    )
    p.add_argument("--seeds", type=count, metavar="N", help="runs per setting, with seeds 1..N")
    p.add_argument(
        "--long-seeds",
        type=number(int, 0, 10_000, "a whole number"),
        metavar="N",
        help=(
            f"the same for settings of {LONG_EPOCHS} epochs and more (default: --seeds; 0: leave"
            " them out)"
        ),
    )
    for name in SEED_FLAGS:
        p.add_argument(
            "--" + name.replace("_", "-"),
            type=seed,
            metavar="N",
            help="hold this one of the three seeds at N; it is the run's seed otherwise",
        )
    p.add_argument(
        "--max-length",
        type=number(int, 8, 512, "a number of tokens"),
        metavar="N",
        help="tokens of an input, special ones included",
    )
    p.add_argument(
        "--random-weights",
        action="store_true",
        help="do without pre-training: same architecture, N(0, 0.02)",
    )
    p.add_argument(
        "--segment-ids",
        type=one_of(SEGMENT_IDS),
        metavar="WHICH",
        help=(
            "on: second sentences have token type 1; off: 0, as in the released script (default on;"
            " paper off)"
        ),
    )
    p.add_argument(
        "--plain",
        action="store_true",
        help="padded batches and HF's own attention: slower, for comparison",
    )
    p.add_argument(
        "--dtype",
        type=one_of(("float32", "bfloat16")),
        metavar="TYPE",
        help="float32, or bfloat16 autocast with float32 weights and optimiser",
    )
    p.add_argument(
        "--device",
        type=one_of(("cpu", "cuda")),
        default="cpu",
        metavar="NAME",
        help="cpu or cuda (default cpu)",
    )
    p.add_argument(
        "--engine",
        type=one_of(engine.ENGINES),
        default="ray",
        metavar="NAME",
        help=(
            "ray: one run per core, or the cluster at RAY_ADDRESS; serial: one after the other"
            " (default ray)"
        ),
    )
    p.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="Ray cluster to join (default: RAY_ADDRESS; without, Ray on this machine)",
    )
    p.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder of CSVs and finished runs (default results/<profile>)",
    )
    p.add_argument(
        "--checkpoint-minutes",
        type=number(float, 0, 10_000, "minutes"),
        default=0.0,
        metavar="N",
        help=(
            "save each run every N minutes, so that an interrupted one goes on where it was"
            " (default 0: never)"
        ),
    )
    p.add_argument("--plan", action="store_true", help="only say what would be trained")
    return p


def parse(p: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options, with what was not given filled in from the profile."""
    options = p.parse_args(arguments)
    profile = profile_of(options)
    options.models = [
        whole_path(name) for name in ([options.model] if options.model else profile.models)
    ]
    options.data = whole_path(options.data or profile.data)
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
    options.results = (
        (options.results or REPOSITORY / "results" / options.profile).expanduser().resolve()
    )
    if (
        options.device == "cuda"
        and not options.plan
        and not (options.engine == "ray" and os.environ.get("RAY_ADDRESS"))
    ):
        import torch

        if not torch.cuda.is_available():
            raise BadInput(
                "no CUDA device here: expected one that torch can use; take --device cpu"
            )
    return options


def profile_of(options: argparse.Namespace) -> Profile:
    return PROFILES[options.profile]


def default_rate(options: argparse.Namespace) -> float:
    """The default recipe's peak learning rate: the middle one."""
    rates = sorted(learning_rates(options))
    return rates[len(rates) // 2]


def learning_rates(options: argparse.Namespace) -> Sequence[float]:
    """The peak learning rates of an experiment that compares them."""
    return options.learning_rates or profile_of(options).learning_rates


def whole_path(name: str) -> str:
    """A folder's whole path, so that workers find what the caller named; a hub name, and one of
    MINI, as it is."""
    return str(Path(name).resolve()) if name not in MINI and Path(name).is_dir() else name


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
    further ones of Run. BadInput for what cannot be trained.

    A first look has of the long runs only the paper's own recipe, and one seed at rates below the
    default recipe's, where hardly a run fails.
    """
    profile = profile_of(options)
    long_seeds = (
        (options.seeds or profile.long_seeds) if options.long_seeds is None else options.long_seeds
    )
    seeds_of = {False: options.seeds or profile.seeds, True: long_seeds}
    if max(seeds_of.values()) > 1 and all(
        getattr(options, name) is not None for name in SEED_FLAGS
    ):
        raise BadInput(
            "all three seeds are held, so several seeds are one run; expected --seeds 1 or a free"
            " seed"
        )
    planned = []
    for seed, model, task, length, rate, corrected in itertools.product(
        range(1, max(seeds_of.values()) + 1),
        models or options.models[:1],
        tasks,
        epochs,
        learning_rates,
        corrections,
    ):
        long = length >= LONG_EPOCHS and "train_examples" not in fields
        papers_own = (length, rate, corrected) == (LENGTHS[-1], default_rate(options), True)
        if (
            seed > seeds_of[long]
            or options.quick
            and (long and not papers_own or seed > 1 and rate < default_rate(options))
        ):
            continue
        kind, layers = architecture(model)
        seeds = {
            name: seed if getattr(options, name) is None else getattr(options, name)
            for name in SEED_FLAGS
        }
        planned.append(
            Run(
                model=identify_model(model),
                data=identify_data(task, options.data),
                task=task,
                learning_rate=rate,
                bias_correction=corrected,
                epochs=length,
                max_length=options.max_length,
                dtype=options.dtype,
                pretrained=not options.random_weights,
                packed=not options.plain,
                model_source=portable(model),
                segment_ids=options.segment_ids,
                data_source=options.data,
                device=options.device,
                checkpoint_minutes=options.checkpoint_minutes,
                checkpoint_folder=str(options.results / "checkpoints"),
                git_commit=_commit(),
                **{**MODEL_RECIPES.get(kind, {}), **seeds, **fields},
            )
        )
        if planned[-1].packed and kind not in PACKABLE:
            raise BadInput(
                f"{model} is of type {kind}: expected one of {', '.join(PACKABLE)}; others need"
                " --plain"
            )
        if planned[-1].mixout and not planned[-1].packed:
            raise BadInput(
                "Mixout is part of the fast path only: expected a call without --plain, or other"
                " experiments"
            )
        if planned[-1].reinitialized_layers and kind == "albert":
            raise BadInput(
                f"{model} shares one layer's weights among all: cannot draw its top layers anew;"
                " take another model"
            )
        sampled = planned[-1].train_examples
        if sampled and sampled > (rows := train_rows(task, options.data)):
            raise BadInput(
                f"cannot sample {sampled:,} of {rows:,} training examples of {task}; take a smaller"
                " --sample-size"
            )
        if planned[-1].reinitialized_layers > layers:
            raise BadInput(
                f"cannot draw the top {planned[-1].reinitialized_layers} layers of {model} anew:"
                f" expected 0 to {layers}; --help lists the flags that name the layers"
            )
    return list(dict.fromkeys(planned))


def one_seed_at_first(options: argparse.Namespace) -> argparse.Namespace:
    """The options, with one seed in a first look: for settings that only one of the neighbouring
    studies needs."""
    return argparse.Namespace(**{**vars(options), "seeds": 1}) if options.quick else options


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


def first_failed_and_successful(
    records: Sequence[dict[str, Any]], rate: float, count: int
) -> dict[bool, list[dict[str, Any]]]:
    """Of the records of runs, the `count` first failed (True) and successful (False) ones: by
    distance of the learning rate from `rate`, then by seed. So another rate stands in where the
    default one has none of a kind; the rows say which."""
    order = sorted(
        records,
        key=lambda record: (
            abs(math.log(record["run"]["learning_rate"] / rate)),
            *(record["run"][name] for name in SEED_FLAGS),
        ),
    )
    return {
        failed: [record for record in order if record["outcome"]["failed"] == failed][:count]
        for failed in (True, False)
    }


def alike(
    records: Sequence[dict[str, Any]], like: Sequence[dict[str, Any]], varied: Sequence[str]
) -> list[dict[str, Any]]:
    """Those of the records that differ from one of `like` in nothing but the fields `varied`."""

    def rest(record: dict[str, Any]) -> tuple:
        return tuple(
            value
            for name, value in Run(**record["run"]).hashed_fields().items()
            if name not in varied
        )

    wanted = {rest(record) for record in like}
    return [record for record in records if rest(record) in wanted]


def row(record: dict[str, Any]) -> dict[str, Any]:
    """One CSV row of a stored run: its id, the fields that change the result, then the outcome."""
    run = Run(**record["run"])
    part = subset_rows(run.task, run.data_source)
    marked = (
        {} if part is None else {"train_subset": part}
    )  # rows; so that it is compared with no whole set
    outcome = record["outcome"]
    before = {"untrained_score": record["history"]["evaluations"][0][outcome["metric"]]}
    return {"run": run.id, **run.hashed_fields(), **outcome, **before, **marked}


def run_columns(record: dict[str, Any]) -> dict[str, Any]:
    """The columns that say in every row of a curve which run it is of and how that ended."""
    run, outcome = Run(**record["run"]), record["outcome"]
    fields = (
        "task",
        "model",
        "data",
        "dtype",
        "pretrained",
        "learning_rate",
        "bias_correction",
        "epochs",
    )
    return {
        **{name: getattr(run, name) for name in fields},
        "run": run.id,
        "seed": run.seed,
        "failed": outcome["failed"],
        "final_score": outcome["score"],
        **{name: outcome[name] for name in ("majority_level", "label_entropy", "metric")},
    }


def curves(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One CSV row per evaluation of a stored run: dev scores, and the mean training loss since
    the evaluation before."""
    rows, last = [], 0
    for evaluation in record["history"]["evaluations"]:
        losses = record["history"]["train_loss"][last : evaluation["step"]]
        last = evaluation["step"]
        rows.append(
            {
                **run_columns(record),
                "step": last,
                "train_loss": sum(losses) / len(losses) if losses else None,
                "dev_loss": evaluation["dev_loss"],
                "score": evaluation[record["outcome"]["metric"]],
            }
        )
    return rows


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV, sorted by what was run, replacing what was there: the same runs give the same
    bytes; no rows an empty file."""
    # a seed is a number, or where one of its parts is held a text
    rows = sorted(
        rows,
        key=lambda row: [
            (value is not None, isinstance(value, str), value)
            for name, value in row.items()
            if name != "run"
        ],
    )
    _say_what_is_lost(path, len(rows))
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        fieldnames=list(dict.fromkeys(name for row in rows for name in row)),
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows(rows)
    files.write_atomically(path, text.getvalue() if rows else "")
    print(f"wrote {path}" if rows else f"nothing to write to {path}: it is empty", flush=True)


def _say_what_is_lost(path: Path, rows: int) -> None:
    """Where a CSV gets shorter, since this call asks for fewer seeds or settings, say so."""
    with contextlib.suppress(OSError):
        before = path.read_bytes().count(b"\n") - 1
        if before > rows:
            print(
                f"{path.name}: {rows} rows, {before} before; an earlier call asked for more seeds"
                " or settings. Its runs are kept: ask for as many again and they are back",
                file=sys.stderr,
            )


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
        print(
            f"error: {error}; what is finished is kept, repeat the call to try the rest again",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped; finished runs are kept, repeat the call to go on", file=sys.stderr)
        sys.exit(130)

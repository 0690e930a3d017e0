"""What every experiment's command line shares: the flags, the plan, training what is missing, the CSV, clear errors."""

import argparse
import csv
import io
import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.finetuning import engine, runs
from experiments.finetuning.errors import BadInput
from experiments.finetuning.profiles import PACKABLE, PROFILES, RECIPES, REPOSITORY
from experiments.finetuning.runs import Run
from experiments.finetuning.sources import identify_model, model_type
from experiments.finetuning.tasks import TASKS, identify_data, train_rows

TIMING_COLUMNS = ("seconds",)  # the only columns in which the same run may differ from itself
BIAS_CORRECTION = {"off": (False,), "on": (True,), "both": (False, True)}
SEED_FLAGS = ("head_seed", "order_seed", "dropout_seed")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise BadInput(f"{message}; see --help")


def _number(kind: type, low: float, high: float, unit: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {unit} from {low:g} to {high:g}")
        return value
    return convert


def _one_of(names: Iterable[str]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"unknown name {text!r}: expected one of {', '.join(names)}")
        return text
    return convert


def parser(description: str) -> argparse.ArgumentParser:
    """The flags that mean the same in every experiment. What is not given comes from the profile."""
    p = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    count, rate = _number(int, 1, 10_000, "a whole number"), _number(float, 0, 1, "a learning rate")
    seed = _number(int, 0, 2**31, "a whole number")
    p.add_argument("--profile", type=_one_of(PROFILES), default="mini", metavar="NAME",
                   help=f"{', '.join(PROFILES)} (default mini)")
    p.add_argument("--model", metavar="NAME_OR_DIR", help="model on the hub, or a transformers folder with safetensors")
    p.add_argument("--data", metavar="NAME_OR_DIR",
                   help="mini, a data set on the hub such as nyu-mll/glue, or a folder in GLUE's TSV layout")
    p.add_argument("--tasks", nargs="+", type=_one_of(TASKS), metavar="TASK", help=f"of {', '.join(TASKS)}")
    p.add_argument("--learning-rates", nargs="+", type=rate, metavar="RATE", help="peak learning rates")
    p.add_argument("--bias-correction", type=_one_of(BIAS_CORRECTION), default="both", metavar="WHICH",
                   help="of Adam: on, off or both (default both)")
    p.add_argument("--epochs", type=count, default=3, metavar="N", help="passes over the training set (default 3)")
    p.add_argument("--seeds", type=count, metavar="N", help="runs per setting, with seeds 1..N")
    for name in SEED_FLAGS:
        p.add_argument("--" + name.replace("_", "-"), type=seed, metavar="N",
                       help="hold this one of the three seeds at N; it is the run's seed otherwise")
    p.add_argument("--max-length", type=_number(int, 8, 512, "a number of tokens"), metavar="N",
                   help="tokens of an input, special ones included")
    p.add_argument("--random-weights", action="store_true", help="do without pre-training: same architecture, N(0, 0.02)")
    p.add_argument("--plain", action="store_true", help="padded batches and HF's own attention: slower, for comparison")
    p.add_argument("--dtype", type=_one_of(("float32", "bfloat16")), metavar="TYPE",
                   help="float32, or bfloat16 autocast with float32 weights and optimiser")
    p.add_argument("--device", type=_one_of(("cpu", "cuda")), default="cpu", metavar="NAME", help="cpu or cuda (default cpu)")
    p.add_argument("--engine", type=_one_of(engine.ENGINES), default="ray", metavar="NAME",
                   help="ray: one run per core, or the cluster at RAY_ADDRESS; serial: one after the other (default ray)")
    p.add_argument("--results", type=Path, metavar="DIR", help="folder of CSVs and finished runs (default results/<profile>)")
    p.add_argument("--plan", action="store_true", help="only say what would be trained")
    return p


def parse(p: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options, with what was not given filled in from the profile."""
    options = p.parse_args(arguments)
    profile = PROFILES[options.profile]
    options.models = [_whole_path(name) for name in ([options.model] if options.model else profile.models)]
    options.data = _whole_path(options.data or profile.data)
    options.tasks = options.tasks or list(profile.tasks[:1])
    options.learning_rates = options.learning_rates or list(profile.learning_rates)
    options.seeds = options.seeds or profile.seeds
    options.max_length = options.max_length or profile.max_length
    options.dtype = options.dtype or profile.dtype
    options.results = (options.results or REPOSITORY / "results" / options.profile).resolve()
    if options.device == "cuda" and not (options.engine == "ray" and os.environ.get("RAY_ADDRESS")):
        import torch

        if not torch.cuda.is_available():
            raise BadInput("no CUDA device here: expected one that torch can use; take --device cpu")
    return options


def _whole_path(name: str) -> str:
    """A folder's whole path, so that workers find what the caller named; a hub name as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def grid(options: argparse.Namespace) -> list[Run]:
    """All runs of models x tasks x learning rates x bias correction x seeds.

    Seeds vary slowest: a sweep that is stopped early has the same number of seeds in every setting.
    """
    if options.seeds > 1 and all(getattr(options, name) is not None for name in SEED_FLAGS):
        raise BadInput(f"all three seeds are held, so {options.seeds} seeds are one run; expected --seeds 1 or a free seed")
    planned = []
    for seed, model, task, rate, corrected in itertools.product(
            range(1, options.seeds + 1), options.models, options.tasks, options.learning_rates,
            BIAS_CORRECTION[options.bias_correction]):
        seeds = {name: seed if getattr(options, name) is None else getattr(options, name) for name in SEED_FLAGS}
        planned.append(Run(
            model=identify_model(model), data=identify_data(task, options.data), task=task, learning_rate=rate,
            bias_correction=corrected, epochs=options.epochs, max_length=options.max_length, dtype=options.dtype,
            pretrained=not options.random_weights, packed=not options.plain, model_source=model,
            data_source=options.data, device=options.device, **RECIPES.get(model_type(model), {}), **seeds))
        if planned[-1].packed and model_type(model) not in PACKABLE:
            raise BadInput(f"{model} is of type {model_type(model)}: expected one of {', '.join(PACKABLE)}; others need --plain")
    return list(dict.fromkeys(planned))


def train_missing(planned: list[Run], options: argparse.Namespace, experiment: str) -> list[dict[str, Any]]:
    """Print the plan, train the runs the store lacks, and return the records of all planned runs in their order."""
    records = {run.id: runs.load(options.results, run) for run in planned}
    missing = [run for run in planned if records[run.id] is None]
    side_by_side = engine.workers(options.engine, missing)
    minutes = sum(_steps(run) for run in missing) * PROFILES[options.profile].seconds_per_step / side_by_side / 60
    print(f"{experiment} ({options.profile}): {len(records)} runs, {len(records) - len(missing)} finished, "
          f"{len(missing)} to train, about {math.ceil(minutes)} min on {side_by_side} worker(s)", flush=True)
    if options.plan:
        return []
    if missing:
        from experiments.finetuning.training import train

        writable = options.results / "runs" / ".writable"  # an error is better now than after the first run
        runs.write_atomically(writable, "")
        writable.unlink()
        for run, result in _with_progress(engine.map(train, missing, options.engine), len(missing), experiment):
            runs.save(options.results, run, result)
            records[run.id] = runs.load(options.results, run)
    return [records[run.id] for run in planned]


def _with_progress(results: Iterable[tuple[Run, Any]], total: int, experiment: str) -> Iterator[tuple[Run, Any]]:
    """Pass results on, with a bar on a terminal and a line a minute elsewhere: finished, failed runs, time left."""
    from tqdm import tqdm

    failed, started = 0, time.monotonic()
    last_line = started
    with tqdm(total=total, desc=experiment, unit="run", disable=None) as bar:
        for finished, (run, result) in enumerate(results, start=1):
            yield run, result
            failed += result["outcome"]["failed"]
            bar.set_postfix_str(f"{failed} failed")
            bar.update()
            if bar.disable and time.monotonic() - last_line > 60:
                last_line = time.monotonic()
                progress = tqdm.format_meter(finished, total, last_line - started, ncols=0, unit="run")
                print(f"{experiment}: {progress}, {failed} failed", flush=True)


def _steps(run: Run) -> int:
    return run.epochs * math.ceil(train_rows(run.task, run.data_source) / run.batch_size)


def row(record: dict[str, Any]) -> dict[str, Any]:
    """One CSV row of a stored run: its id, the fields that change the result, then the outcome."""
    run = Run(**record["run"])
    return {"run": run.id, **run.hashed_fields(), **record["outcome"]}


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV, sorted by what was run, replacing what was there: the same runs give the same bytes."""
    rows = sorted(rows, key=lambda row: [(value is not None, value) for name, value in row.items() if name != "run"])
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    runs.write_atomically(path, text.getvalue())
    print(f"wrote {path}", flush=True)


def run_command(main: Callable[[], None]) -> None:
    """Call main; what a person has to change ends in one line on stderr and exit status 2."""
    try:
        main()
    except (BadInput, OSError) as error:
        if isinstance(error, OSError):
            error = f"{error.filename or 'file system'}: {error.strerror or error}; finished runs are kept, mend it and repeat the call"
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; finished runs are kept, repeat the call to go on", file=sys.stderr)
        sys.exit(130)



"""The flags that every experiment's command line has, with their units and defaults."""

import argparse
import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from experiments.finetuning import own
from experiments.finetuning.errors import BadInput
from experiments.finetuning.files import folder, named
from experiments.finetuning.glue import TASKS
from experiments.sweeps import engine
from experiments.sweeps.profiles import LONG_EPOCHS, PROFILES

DTYPES = ("float32", "tf32", "bfloat16")
BIAS_CORRECTION = {"off": (False,), "on": (True,), "both": (False, True)}
SEGMENT_IDS = {"on": True, "off": False}
SCHEDULES = ("linear", "constant")
AND = "--and"  # between the parts of a call
OF_A_PART = (  # flags that say which runs, and nothing of what is measured of them
    *("--tasks", "--learning-rates", "--bias-correction", "--epochs", "--seeds", "--long-seeds"),
    *("--device", "--multiples", "--warmups", "--beta2s"),
)
Group = argparse._ArgumentGroup  # a part of --help, which takes flags as a parser does
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


def seeds(text: str) -> tuple[int, int]:
    """For argparse: the first and the last seed, of N or A-B."""
    first, dash, last = text.partition("-")
    convert = number(int, 1, 10_000, "a whole number")
    if not dash:
        return 1, convert(text)
    if convert(first) > convert(last):
        raise argparse.ArgumentTypeError(f"{text!r}: expected the lower seed first, such as 6-25")
    return convert(first), convert(last)


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """For argparse: one of these names, else an error that lists them."""

    def convert(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"unknown name {text!r}: expected one of {', '.join(names)}"
            )
        return text

    return convert


def add_profile(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--profile",
        type=one_of(PROFILES),
        default="mini",
        metavar="NAME",
        help=f"{', '.join(PROFILES)} (default mini)",
    )


def parser(description: str) -> argparse.ArgumentParser:
    """The flags that mean the same in every experiment. What is not given comes from the
    experiment or the profile."""
    p = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_profile(p)
    add_inputs(p.add_argument_group("model and data"))
    add_settings(p.add_argument_group("runs"))
    add_machine(p.add_argument_group("where and how they are trained"))
    return p


def add_inputs(p: Group) -> None:
    """The model, the data, and how much of them."""
    p.add_argument(
        "--model",
        type=named,
        metavar="NAME_OR_DIR",
        help=(
            "model on the hub (NAME@REVISION for another than the newest), or a transformers folder"
            " with safetensors"
        ),
    )
    p.add_argument(
        "--data",
        type=named,
        metavar="NAME_OR_DIR",
        help=(
            "mini, mini-noisy (10 %% of the training labels flipped), a data set on the hub such as"
            " nyu-mll/glue (@REVISION likewise), or a folder in GLUE's TSV layout; with"
            " --text-columns and --label-column any table of yours: a file (.csv, .tsv, .jsonl,"
            " .parquet), a folder with train and dev, or a data set on the hub"
            " (NAME:CONFIGURATION); columns of lists are words and their labels, and a folder with"
            " train.conll needs no columns"
        ),
    )
    p.add_argument(
        "--text-columns",
        nargs="+",
        type=named,
        metavar="NAME",
        help="one or two columns of text in your data",
    )
    p.add_argument(
        "--label-column",
        type=named,
        metavar="NAME",
        help="its labels: classes, or numbers where --metric is a correlation",
    )
    metrics = [name for names in own.METRICS.values() for name in names]
    p.add_argument(
        "--metric",
        type=one_of(metrics),
        metavar="NAME",
        help=f"of your data: {', '.join(metrics)} (default accuracy; f1 is macro of 3 classes on)",
    )
    p.add_argument(
        "--sample-size",
        type=number(int, 2, 10_000_000, "a number of examples"),
        metavar="N",
        help=(
            "train on so many examples, drawn once for all runs (default: on all; small_datasets"
            " compares such a sample with all)"
        ),
    )
    p.add_argument(
        "--sampling-seed",
        type=number(int, 0, 2**31, "a whole number"),
        default=1,
        metavar="N",
        help="draws that sample (default 1)",
    )


def add_settings(p: Group) -> None:
    """Which runs: tasks, rates, lengths, seeds, and how a run computes."""
    count = number(int, 1, 10_000, "a whole number")
    rate = number(float, 1e-12, 1, "a learning rate")
    seed = number(int, 0, 2**31, "a whole number")
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
    p.add_argument(
        "--seeds",
        type=seeds,
        metavar="N",
        help="runs per setting, with seeds 1..N, or those from A to B: A-B",
    )
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
        "--schedule",
        type=one_of(SCHEDULES),
        metavar="NAME",
        help=(
            "of the learning rate after warm-up: linear decays to 0, constant stays (default linear"
            " where an experiment does not compare the two)"
        ),
    )
    p.add_argument(
        "--plain",
        action="store_true",
        help="padded batches and HF's own attention: slower, for comparison",
    )
    p.add_argument(
        "--dtype",
        type=one_of(DTYPES),
        metavar="TYPE",
        help=(
            "float32; tf32, on a GPU only: float32 with matrix products rounded to TF32; or"
            " bfloat16 autocast with float32 weights and optimiser"
        ),
    )


def add_machine(p: Group) -> None:
    """The device, the engine, the folder, and what of the runs is trained now."""
    p.add_argument(
        "--device",
        type=one_of(("cpu", "cuda")),
        default="cpu",
        metavar="NAME",
        help="cpu or cuda (default cpu)",
    )
    p.add_argument(
        "--runs-per-gpu",
        type=number(int, 1, 100, "a number of runs"),
        default=1,
        metavar="N",
        help=(
            "runs that share a GPU, each in a process of its own (default 1; with --device cuda and"
            " --engine ray)"
        ),
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
        type=named,
        metavar="HOST:PORT",
        help="Ray cluster to join (default: RAY_ADDRESS; without, Ray on this machine)",
    )
    p.add_argument(
        "--results",
        type=folder,
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
    p.add_argument(
        AND,
        action="store_true",
        dest="further",
        help=(
            "ask for further runs in the same tables, with the flags before the first --and but for"
            " those that follow: --seeds 25 --and --tasks cola --seeds 50"
        ),
    )

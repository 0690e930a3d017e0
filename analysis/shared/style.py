"""What all figures and tables share: reading a CSV, colours, box plots, saving bytes that do not
change."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.shared import schema

REPOSITORY = Path(__file__).resolve().parents[2]
PUBLISHED = REPOSITORY / "analysis" / "published"  # its scores are in percent, and no run has an id
# Okabe and Ito's vermilion and blue: apart for the colour-blind; in grey by hatch
WITHOUT, WITH = "#D55E00", "#0072B2"
# further boxes: colour, hatch
FURTHER = [("#009E73", "...."), ("#CC79A7", "||||"), ("#E69F00", "----"), ("#56B4E9", "\\\\\\\\")]
STOPPED = 130  # exit status after Ctrl-C
PROFILES = ("mini", "small", "paper")
PAPER_MODELS = ("bert-large-uncased", "roberta-large", "albert-large-v2")
# runs that differ in one of these never share a panel
PANEL = ["task", "model", "data", "dtype", "pretrained"]
LINES = (
    {"color": "#D55E00", "linestyle": "-", "marker": "o"},
    {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    # three of a kind, apart in grey by dash and marker
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
)
METRIC_NAMES = {"accuracy": "accuracy", "f1": "F1", "matthews_correlation": "Matthews correlation"}
TASK_NAMES = {"rte": "RTE", "mrpc": "MRPC", "cola": "CoLA", "qnli": "QNLI", "scitail": "SciTail"}
MINI_TASK_NAMES = {
    "rte": "entailment (mini's RTE)",
    "mrpc": "paraphrase (mini's MRPC)",
    "cola": "acceptability (mini's CoLA)",
    "qnli": "question answering (mini's QNLI)",
}

# not the user's matplotlibrc: the same figures, byte for byte, for everybody
matplotlib.rcdefaults()
plt.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "hatch.linewidth": 0.6,
        "pdf.fonttype": 42,
    }
)


SCORES_NOTE = (  # under every table of statistics.over_seeds
    "Dev scores in percent points over n seeds; std is the population form (ddof 0), as in the"
    " paper; failed: dev score at the end of training at or below the majority level, with the 95 %"
    " Wilson interval of the rate. Largest effective rate, where given: of all steps, the"
    " schedule's, without bias correction times (1 - beta1^t) / sqrt(1 - beta2^t). Learnt, of mini"
    " only: ended above a bag of words (analysis/published/mini_baselines.csv) and, where the CSV"
    " has it, above its own score before training; claims are judged by failed."
)


class BadInput(Exception):
    """Something a person has to change: what is wrong, what was expected, what to do."""


class NothingToDraw(BadInput):
    """A CSV without rows: its experiment had no such runs, which is an outcome and no mistake."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


def parser(description: str) -> argparse.ArgumentParser:
    """The flags of every analysis script: --profile names both folders, --results and --figures
    override it."""
    p = _Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument(
        "--profile",
        default="mini",
        choices=PROFILES,
        metavar="NAME",
        help="mini, small or paper (default mini)",
    )
    p.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder with the CSVs (default results/<profile>)",
    )
    p.add_argument(
        "--figures", type=Path, metavar="DIR", help="folder to write to (default figures/<profile>)"
    )
    return p


def parse(p: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    options = p.parse_args(arguments)
    for name in ("results", "figures"):  # a shell leaves the ~ of --results=~/x as it is
        if getattr(options, name):
            setattr(options, name, getattr(options, name).expanduser())
    options.results = options.results or REPOSITORY / "results" / options.profile
    options.figures = options.figures or REPOSITORY / "figures" / options.profile
    if options.figures.resolve() == options.results.resolve():
        raise BadInput(
            f"--results and --figures are both {options.figures}: the tables would replace the CSVs"
            " they are made from; name two folders"
        )
    return options


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV of an experiment; every run counts, so an unreadable or incomplete one is an error."""
    if not path.is_file():
        raise BadInput(
            f"no file {path}: expected what experiments/{path.stem}.py writes; run it first, or"
            " give --results"
        )
    if not path.stat().st_size:
        raise NothingToDraw(
            f"nothing to draw: {path.name} has no rows, since its experiment had no such runs or"
            " could measure nothing"
        )
    again = f"run experiments/{path.stem}.py again"
    try:
        header = schema.header(path)
        if not header:
            raise BadInput(f"{path} is no CSV (its first line names no columns); {again}")
        if missing := [column for column in columns if column not in header]:
            raise BadInput(f"{path} lacks the column {missing[0]}; {again}")
        if path.parent != PUBLISHED and (problem := schema.check(path)):
            raise BadInput(problem)
        # a run's id is 16 hexadecimal digits, and some, like 0000000000012e45, would be read as a
        # number; so would a data set's labels
        table = pd.read_csv(
            path, dtype=dict.fromkeys(("run", "failed_run", "successful_run", "labels"), str)
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no CSV ({str(error).splitlines()[0]}); {again}") from None
    if table.empty:
        raise BadInput(f"{path} has no rows; {again}")
    return table if path.parent == PUBLISHED else schema.typed(table)


def run_command(main: Callable[[], None]) -> None:
    """Call main; what a person has to change ends in one line on stderr and exit status 2, an
    empty CSV in one line and status 0."""
    try:
        main()
    except NothingToDraw as reason:
        print(reason)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(STOPPED)
    except (BadInput, OSError) as error:
        text = (
            f"{error.filename or 'file system'}: {error.strerror or error}"
            if isinstance(error, OSError)
            else str(error)
        )
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)


def is_mini(data: str) -> bool:
    """Whether Run.data names mini's generated tasks: "mini@hash", or "mini-noisy@hash"."""
    return data.split("@")[0] in ("mini", "mini-noisy")


def task_name(task: str, data: str) -> str:
    """A task as a person says it; of mini its own name, and whether training labels are flipped."""
    name = (MINI_TASK_NAMES if is_mini(data) else TASK_NAMES).get(task, task)
    return f"{name}, 10 % of labels flipped" if data.startswith("mini-noisy@") else name


def by_task(groups: Iterable[tuple[tuple, pd.DataFrame]]) -> list[tuple[tuple, pd.DataFrame]]:
    """Groups whose keys begin with the task, in the order in which the paper names the tasks:
    RTE, MRPC, CoLA, QNLI."""
    tasks = list(TASK_NAMES)
    return sorted(
        groups, key=lambda group: tasks.index(group[0][0]) if group[0][0] in tasks else len(tasks)
    )


def model_name(model: str, data: str) -> str:
    """Run.model without its hash or revision; the mini model by its name, not its folder's."""
    return (
        "mini"
        if is_mini(data) and model.startswith("checkpoint@")
        else model.split("@")[0].split("/")[-1]
    )


def rate_name(rate: float) -> str:
    """2e-05 as a person writes it: 2e-5; 1.5e-4 stays 1.5e-4."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def setting_name(model: str, data: str, dtype: str, pretrained: bool, *more: str) -> str:
    """What a panel's second line says: the model, what `more` adds, and what is unusual about
    the runs."""
    return ", ".join(
        [
            model_name(model, data),
            *more,
            *([dtype] if dtype != "float32" else []),
            *([] if pretrained else ["random weights"]),
        ]
    )


def p_name(p: float) -> str:
    """A p value for a table: two digits, or - where the test is not defined."""
    return f"{p:.2g}" if p == p else "-"


def label_log_axis(axis: matplotlib.axis.Axis) -> None:
    """As many labels between the powers of ten as have room, written plainly. Call it when all
    is drawn."""
    low, high = axis.get_view_interval()
    digits = "234567" if high < 20 * low else "25" if high < 500 * low else ""
    axis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in digits else "")


def panels(
    lines: int, columns: int, width: float, height: float = 3.5, **subplots: Any
) -> tuple[plt.Figure, list[plt.Axes]]:
    """A figure of lines x columns panels of width x height inches, with room for a legend; the
    panels line by line."""
    figure, grid = plt.subplots(
        lines, columns, squeeze=False, figsize=(columns * width, 0.5 + height * lines), **subplots
    )
    return figure, list(grid.flat)


def panels_for(
    count: int, width: float, height: float = 3.5, side_by_side: int = 3
) -> tuple[plt.Figure, list[plt.Axes]]:
    """The same for so many panels: up to `side_by_side` in one line, more in two columns."""
    columns = count if count <= side_by_side else 2
    figure, grid = panels(-(-count // columns), columns, width, height)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def number(x: float) -> str:
    """Four digits that count, whatever the size: 0.6931, 9.374, 1.4e-05; "-" where there is no
    value."""
    return f"{x:.4g}" if x == x else "-"


def write_in(axes: plt.Axes, text: str) -> None:
    """Say in the middle of an empty panel why it is empty."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.3", fontsize=9
    )


def box_plot(
    axes: plt.Axes,
    position: float,
    scores: pd.Series,
    failed: pd.Series,
    color: str,
    hatch: str | None,
    width: float,
) -> None:
    """The paper's box plot of one setting: box, median (line), mean (diamond), and a circle per
    seed, a black cross for failed ones. Box: quartiles; whiskers: furthest run within 1.5 box
    heights. Of fewer than five runs, which have no quartiles to speak of, only circles, crosses and
    mean."""
    if len(scores) >= 5:
        drawn = axes.boxplot(
            [scores],
            positions=[position],
            widths=width,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            medianprops={"color": "black", "linewidth": 1.4},
        )
        drawn["boxes"][0].set(facecolor=color, alpha=0.45, hatch=hatch, edgecolor="black")
    axes.plot(
        position,
        scores.mean(),
        "D",
        markerfacecolor="white",
        markeredgecolor="black",
        markersize=5,
        zorder=2.5,
    )
    # spread sideways in a fixed way, so that equal scores stay visible and the file does not change
    spread = (
        position + width * 0.8 * (((pd.Series(range(len(scores))) * 0.618034) % 1) - 0.5).to_numpy()
    )
    for chosen, marker, edge in (
        (~failed.to_numpy(), "o", color),
        (failed.to_numpy(), "x", "black"),
    ):
        axes.plot(
            spread[chosen],
            scores.to_numpy()[chosen],
            marker,
            color=edge,
            markerfacecolor="none",
            markersize=4.5,
            markeredgewidth=1.1,
            linestyle="none",
            zorder=3,
        )


def box_panel(
    axes: plt.Axes,
    boxes: Sequence[tuple[float, pd.DataFrame, str, str | None]],
    width: float = 0.55,
) -> None:
    """Box plots of (position, runs of one setting, colour, hatch) over the majority level, a
    dotted line; scores in %."""
    runs = boxes[0][1]
    axes.axhline(100 * runs["majority_level"].iloc[0], color="black", linestyle=":", linewidth=1)
    for position, seeds, color, hatch in boxes:
        box_plot(axes, position, 100 * seeds["score"], seeds["failed"], color, hatch, width)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(f"dev {METRIC_NAMES[runs['metric'].iloc[0]]} (%)")


def correction_panel(
    axes: plt.Axes,
    runs: pd.DataFrame,
    by: str = "learning_rate",
    what: str = "peak learning rate",
    names: Mapping[Any, str] | None = None,
) -> None:
    """A pair of boxes, without and with bias correction, for each value of the column `by`, in
    order, or as `names` has them with what stands under each; failed runs of n under each box."""
    names = names or {
        value: rate_name(value) if by == "learning_rate" else str(value)
        for value in sorted(runs[by].unique())
    }
    looks = {False: (-0.2, WITHOUT, "////"), True: (0.2, WITH, None)}
    boxes = []
    for i, value in enumerate(names):
        for corrected, (shift, color, hatch) in looks.items():
            seeds = runs[(runs[by] == value) & (runs["bias_correction"] == corrected)]
            if len(seeds):
                boxes.append((i + shift, seeds, color, hatch))
    box_panel(axes, boxes, width=0.34)
    axes.set_xticks(range(len(names)), ["\n" + name for name in names.values()])
    for position, seeds, *_ in boxes:
        axes.annotate(
            failures(seeds),
            (position, 0),
            (0, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
        )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"failed runs of n,{' ' if len(names) > 1 else chr(10)}and {what}")


def failures(runs: pd.DataFrame) -> str:
    """Failed runs of n: 3/25."""
    return f"{runs['failed'].sum()}/{len(runs)}"


CORRECTION_HANDLES = [
    Patch(
        facecolor=WITHOUT,
        alpha=0.45,
        hatch="////",
        edgecolor="black",
        label="without bias correction",
    ),
    Patch(facecolor=WITH, alpha=0.45, edgecolor="black", label="with bias correction"),
]


def box_legend(figure: plt.Figure, handles: Sequence[Patch] = ()) -> None:
    """Under a figure of box plots: what its marks mean, after `handles` for its boxes."""
    columns = 3 if figure.get_figwidth() > 4.5 else 2  # three are as wide as 4.4 inches
    figure.legend(
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
        handles=[
            *handles,
            Line2D([], [], marker="x", linestyle="none", color="black", label="failed run"),
            Line2D(
                [],
                [],
                marker="o",
                linestyle="none",
                markerfacecolor="none",
                color="black",
                label="other run",
            ),
            Line2D(
                [],
                [],
                marker="D",
                linestyle="none",
                markerfacecolor="white",
                color="black",
                label="mean",
            ),
            Line2D([], [], linestyle=":", color="black", label="majority level"),
        ],
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of statistics.over_seeds, or another with the columns PANEL, with fewer and
    shorter columns."""
    names = zip(table["model"], table["data"], table["dtype"], strict=True)
    short = {
        "model": [
            model_name(model, data) + ("" if dtype == "float32" else f", {dtype}")
            for model, data, dtype in names
        ],
        "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
        "weights": table["pretrained"].map({True: "pre-trained", False: "random"}),
    }
    for column in table.columns.difference(
        [*PANEL, "min", "diverged", "failure_rate_low", "failure_rate_high"], sort=False
    ):
        if column == "bias_correction":
            short["bias correction"] = table[column].map({True: "with", False: "without"})
        elif column == "largest_effective_rate":
            short["largest effective rate"] = [
                rate_name(float(f"{rate:.1e}")) for rate in table[column]
            ]
        elif column == "failure_rate":
            short["failure rate, 95 % interval"] = [
                f"{rate:.0%} ({low:.0%} to {high:.0%})"
                for rate, low, high in zip(
                    table[column],
                    table["failure_rate_low"],
                    table["failure_rate_high"],
                    strict=True,
                )
            ]
        else:
            short[column.replace("_", " ")] = table[column]
    return pd.DataFrame(short)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` write a file beside `path` and put it in its place: nobody reads half a file."""
    half = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(half)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def save(figure: plt.Figure, path: Path) -> None:
    """<path>.pdf and <path>.png, without dates, so that the same data gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    undated = {"CreationDate": None, "Creator": None, "Producer": None}
    write_whole(path.with_suffix(".pdf"), lambda file: figure.savefig(file, metadata=undated))
    write_whole(
        path.with_suffix(".png"), lambda file: figure.savefig(file, metadata={"Software": None})
    )
    plt.close(figure)
    print(f"wrote {path.with_suffix('.png')}, .pdf")


def save_table(
    table: pd.DataFrame, path: Path, title: str, note: str, readable: pd.DataFrame | None = None
) -> None:
    """<path>.csv with all columns and digits that matter, and <path>.md for reading (of
    `readable` where given)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        path.with_suffix(".csv"),
        lambda file: table.to_csv(file, index=False, float_format="%.6g", lineterminator="\n"),
    )
    cells = (table if readable is None else readable).map(
        lambda x: f"{x:.2f}" if isinstance(x, float) else str(x)
    )
    lines = [
        f"# {title}",
        "",
        note,
        "",
        "| " + " | ".join(cells.columns) + " |",
        "|" + "---|" * len(cells.columns),
    ]
    lines += ["| " + " | ".join(values) + " |" for values in cells.to_numpy()]
    text = "\n".join(lines) + "\n"
    write_whole(path.with_suffix(".md"), lambda file: file.write_text(text, encoding="utf-8"))
    print(f"wrote {path.with_suffix('.md')}, .csv")

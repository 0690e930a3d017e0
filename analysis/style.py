"""What all figures and tables share: reading a CSV, colours, box plots, saving bytes that do not change."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
WITHOUT, WITH = "#D55E00", "#0072B2"  # Okabe and Ito's vermilion and blue: apart for the colour-blind; in grey by hatch
METRIC_NAMES = {"accuracy": "accuracy", "f1": "F1", "matthews_correlation": "Matthews correlation"}
TASK_NAMES = {"rte": "RTE", "mrpc": "MRPC", "cola": "CoLA", "qnli": "QNLI"}
MINI_TASK_NAMES = {"rte": "entailment (mini's RTE)", "mrpc": "paraphrase (mini's MRPC)",
                   "cola": "acceptability (mini's CoLA)", "qnli": "question answering (mini's QNLI)"}

plt.rcParams.update({
    "figure.constrained_layout.use": True, "figure.dpi": 110, "savefig.dpi": 160, "font.size": 9, "axes.titlesize": 10,
    "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.6, "pdf.fonttype": 42,
})


class BadInput(Exception):
    """Something a person has to change: what is wrong, what was expected, what to do."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise BadInput(f"{message}; see --help")


def parser(description: str) -> argparse.ArgumentParser:
    """The flags of every analysis script: --profile names both folders, --results and --figures override it."""
    p = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    p.add_argument("--profile", default="mini", metavar="NAME", help="mini, small or paper (default mini)")
    p.add_argument("--results", type=Path, metavar="DIR", help="folder with the CSVs (default results/<profile>)")
    p.add_argument("--figures", type=Path, metavar="DIR", help="folder to write to (default figures/<profile>)")
    return p


def parse(p: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    options = p.parse_args(arguments)
    options.results = options.results or REPOSITORY / "results" / options.profile
    options.figures = options.figures or REPOSITORY / "figures" / options.profile
    if options.figures.resolve() == options.results.resolve():
        raise BadInput(f"--results and --figures are both {options.figures}: the tables would replace the CSVs they are made "
                       "from; name two folders")
    return options


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV of an experiment; every run counts, so an unreadable or incomplete one is an error."""
    if not path.is_file():
        raise BadInput(f"no file {path}: expected what experiments/{path.stem}.py writes; run it first, or give --results")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no CSV ({str(error).splitlines()[0]}); run experiments/{path.stem}.py again") from None
    missing = [column for column in columns if column not in table.columns]
    if missing or table.empty:
        problem = f"lacks the column {missing[0]}" if missing else "has no rows"
        raise BadInput(f"{path} {problem}; run experiments/{path.stem}.py again")
    return table


def run_command(main: Callable[[], None]) -> None:
    """Call main; what a person has to change ends in one line on stderr and exit status 2."""
    try:
        main()
    except (BadInput, OSError) as error:
        if isinstance(error, OSError):
            error = f"{error.filename or 'file system'}: {error.strerror or error}"
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def task_name(task: str, data: str) -> str:
    return (MINI_TASK_NAMES if data.startswith("mini") else TASK_NAMES).get(task, task)


def model_name(model: str, data: str) -> str:
    """Run.model without its hash; the mini model by its name, not its folder's."""
    return "mini" if data.startswith("mini") and model.startswith("checkpoint@") else model.split("@")[0].split("/")[-1]


def rate_name(rate: float) -> str:
    """2e-05 as a person writes it: 2e-5; 1.5e-4 stays 1.5e-4."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def box_plot(axes: plt.Axes, position: float, scores: pd.Series, failed: pd.Series, color: str, hatch: str | None,
             width: float = 0.34) -> None:
    """The paper's box plot of one setting: box, median (line), mean (diamond), and a cross per seed, failed ones in
    black. Box: quartiles; whiskers: furthest run within 1.5 box heights."""
    drawn = axes.boxplot([scores], positions=[position], widths=width, showfliers=False, patch_artist=True,
                         showmeans=True, manage_ticks=False,
                         medianprops={"color": "black", "linewidth": 1.4},
                         meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5})
    for box in drawn["boxes"]:
        box.set(facecolor=color, alpha=0.45, hatch=hatch, edgecolor="black")
    # spread sideways in a fixed way, so that equal scores stay visible and the file does not change
    spread = position + width * 0.8 * (((pd.Series(range(len(scores))) * 0.618034) % 1) - 0.5).to_numpy()
    for chosen, cross in ((~failed.to_numpy(), color), (failed.to_numpy(), "black")):
        axes.plot(spread[chosen], scores.to_numpy()[chosen], "x", color=cross, markersize=5, markeredgewidth=1.1,
                  linestyle="none", zorder=3)


def save(figure: plt.Figure, path: Path) -> None:
    """<path>.pdf and <path>.png, without dates, so that the same data gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None, "Creator": None, "Producer": None})
    figure.savefig(path.with_suffix(".png"), metadata={"Software": None})
    plt.close(figure)
    print(f"wrote {path.with_suffix('.png')}, .pdf")


def save_table(table: pd.DataFrame, path: Path, title: str, note: str, readable: pd.DataFrame | None = None) -> None:
    """<path>.csv with all columns and digits that matter, and <path>.md for reading (of `readable` where given)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path.with_suffix(".csv"), index=False, float_format="%.4f", lineterminator="\n")
    cells = (table if readable is None else readable).map(lambda x: f"{x:.2f}" if isinstance(x, float) else str(x))
    lines = [f"# {title}", "", note, "", "| " + " | ".join(cells.columns) + " |", "|" + "---|" * len(cells.columns)]
    lines += ["| " + " | ".join(values) + " |" for values in cells.to_numpy()]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {path.with_suffix('.md')}, .csv")

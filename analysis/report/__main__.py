"""One page of everything a profile has shown: scorecard, figures, tables, audit, and what ran the
runs.

Command : python -m analysis.report --profile mini
Reads   : figures/<profile>/*.png, *.md; results/<profile>/*.csv (for what ran the runs)
Writes  : figures/<profile>/report.html (one file, opens without network), report.md (the same, its
          images beside it)

The page is written as Markdown and converted, so that both say the same. It holds no date: the same
inputs give the same bytes.
"""

import base64
import re
import struct
from collections.abc import Sequence
from functools import partial
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis.shared.style import (
    PAPER_MODELS,
    BadInput,
    is_mini,
    model_name,
    parse,
    parser,
    read_csv,
    run_command,
    write_whole,
)


class Section(NamedTuple):
    name: str
    question: str
    paper: str
    figures: dict[str, str]  # what a figure shows, by its name less the experiment's


# In the order of run_all.sh.
STUDY = (
    Section(
        "catastrophic_forgetting",
        "Do failed runs fail because they forget what pre-training taught?",
        "4.1, Fig. 2",
        {
            "": (
                "Lines: masked-LM perplexity of failed and of successful runs with more and more"
                " top layers put back to their pre-trained values; training loss and dev score of"
                " failed runs over the steps"
            )
        },
    ),
    Section(
        "small_datasets",
        "Are few examples the cause, or few iterations?",
        "4.2, Fig. 3, Table 4",
        {
            "": (
                "Box plots: dev scores on the full training set, on samples for as many epochs, and"
                " on samples for as many iterations"
            )
        },
    ),
    Section(
        "vanishing_gradients",
        "Do the lower layers of failed runs stop receiving a gradient?",
        "5.1, Figs 4, 10-12",
        {
            "": (
                "Lines: gradient norm of some layers' attention output over the steps, failed run"
                " left, successful run right"
            ),
            "attention": (
                "Lines: gradient norm of some layers' key, query and value over the steps, failed"
                " run left, successful run right"
            ),
            "layers": (
                "Colours: gradient norm at the attention output, by step and layer, failed run"
                " left, successful run right"
            ),
        },
    ),
    Section(
        "bias_correction",
        "Does Adam without bias correction make fine-tuning fail?",
        "5.1, Figs 5, 6, 9",
        {
            "": "Box plots: dev scores by learning rate, without and with bias correction",
            "learning_rate": (
                "Lines: the learning rate that takes effect at each step, without and with bias"
                " correction; their ratio"
            ),
        },
    ),
    Section(
        "training_length",
        "Do more iterations help, with and without bias correction?",
        "5.1, Fig. 9",
        {
            "": (
                "Box plots: dev scores by length of training and learning rate, without and with"
                " bias correction"
            )
        },
    ),
    Section(
        "loss_surfaces",
        "Do failed and successful runs end in different places?",
        "7.6, Figs 7, 13",
        {
            "": (
                "Contours: loss and gradient norm on the plane through the pre-trained, a failed"
                " and a successful model"
            ),
            "lines": (
                "Lines: loss along the straight lines between the pre-trained, a failed and a"
                " successful model"
            ),
        },
    ),
    Section(
        "generalization",
        "Does a small training loss cost dev score?",
        "5.2, Figs 8, 14",
        {
            "": (
                "Left, lines: dev score over the steps. Right, points: dev score of each run over"
                " its training loss"
            )
        },
    ),
    Section(
        "strong_baseline",
        "Does the paper's recipe fail less and vary less than the default?",
        "6, Fig. 1, Tables 1, 4",
        {"": "Box plots: dev scores of each recipe"},
    ),
    Section(
        "reinitialization",
        "Does drawing the top layers anew help?",
        "Zhang et al. 2021, Table 1",
        {
            "": (
                "Box plots: dev scores by number of re-initialised layers; and of optimiser,"
                " initialisation, iterations, alone and together"
            )
        },
    ),
    Section(
        "mitigations",
        "What do other remedies do, without and with bias correction?",
        "Zhang et al. 2021, Table 2",
        {"": "Box plots: dev scores of each method, without and with bias correction"},
    ),
    Section(
        "checkpoint_selection",
        "Which checkpoint, and which restart, do I keep?",
        "Dodge et al. 2020, Figs 1, 5",
        {
            "": (
                "Dev scores of the checkpoints that each protocol keeps; expected score of the best"
                " of n restarts"
            )
        },
    ),
    Section(
        "early_signs",
        "Can a failing run be told early?",
        "none",
        {"": "ROC curves: how well the first tenths of training tell which runs will fail"},
    ),
    Section(
        "convergence_pitfalls",
        "What do other ways not to converge look like?",
        "none",
        {
            "": (
                "Lines: training loss, dev score and gradient norms over the steps, a line of"
                " panels for each thing done wrong"
            )
        },
    ),
    Section(
        "sources_of_randomness",
        "What decides whether a run fails, its seeds or rounding?",
        "none",
        {
            "": (
                "Left, points with intervals: share of the runs whose fate flips, by what is moved."
                " Right, a map: which runs fail"
            )
        },
    ),
    Section(
        "instability_measures",
        "Do runs with like scores give like answers?",
        "Du and Nguyen 2023",
        {
            "": (
                "Points with intervals: six measures of instability for each recipe; histogram: how"
                " many seeds get an example right"
            )
        },
    ),
)
# tables with a section of their own, before the others
FIRST = {"scorecard_summary": "Does it carry over?", "scorecard": "Scorecard"}
# and after them
LAST = {
    "comparison": "Our runs beside the published ones",
    "audit": "Audit of the published numbers",
}
EVIDENCE = {
    "mini": (
        "A model organism, trained on generated tasks: it demonstrates the mechanism and is no"
        " evidence about BERT-large."
    ),
    "small": (
        "Another model than the paper's, on real data: it says how this model behaves and is no"
        " evidence about BERT-large."
    ),
    "paper": (
        "The published setting: a model of the paper, on real data. The number of seeds stands in"
        " each table."
    ),
}
KINDS = {
    "": re.compile(r"\s*$"),
    "heading": re.compile("#+ "),
    "table": re.compile(r"\|"),
    "list": re.compile("- "),
    "image": re.compile(r"!\["),
    "text": re.compile(""),
}  # of a line of Markdown, by its start
STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
LOOK = {False: "", True: ' class="number"'}
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?%?|-?")
VERSIONS = ["python_version", "torch_version", "transformers_version"]
NEEDED = [
    "run",
    "model",
    "data",
    "task",
    "dtype",
    "pretrained",
    "failed",
    "diverged",
    "device",
    "seconds",
    *VERSIONS,
    "git_commit",
]


def inline(text: str) -> str:
    """A line of Markdown as HTML: code, bold, and links within the page."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\[([^\]]+)\]\(#([\w-]+)\)", r'<a href="#\2">\1</a>', text)


def anchor(title: str) -> str:
    """The id that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def table_to_html(lines: Sequence[str], title: str) -> str:
    """A pipe table, in a box of its own that scrolls where the screen is narrower."""
    head, _, *rows = [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        for line in lines
    ]

    numbers = [
        all(NUMBER.fullmatch(cell) for cell in column) for column in zip(*rows, strict=False)
    ] + [False] * len(head)

    def row_to_html(name: str, row: Sequence[str]) -> str:
        return (
            "<tr>"
            + "".join(
                f"<{name}{LOOK[number]}>{inline(cell)}</{name.split()[0]}>"
                for cell, number in zip(row, numbers, strict=False)
            )
            + "</tr>"
        )

    body = "\n".join(row_to_html("td", row) for row in rows)
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="table:'
        f' {escape(title)}">\n<table>\n<thead>\n'
        + row_to_html('th scope="col"', head)
        + f"\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def image_to_html(alt: str, path: Path) -> str:
    """A figure with its bytes inside, as wide as matplotlib meant it."""
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise BadInput(f"{path} is no PNG; draw it again: bash run_all.sh figures")
    # style: savefig.dpi 160
    width, height = (round(96 / 160 * pixels) for pixels in struct.unpack(">II", content[16:24]))
    return (
        f'<figure><img alt="{escape(alt)}" width="{width}" height="{height}"'
        ' src="data:image/png;base64,'
        f'{base64.b64encode(content).decode()}"><figcaption>{inline(alt)}</figcaption></figure>'
    )


def to_html(markdown: str, folder: Path) -> str:
    """The Markdown that these scripts write, as a page: headings, paragraphs, lists, pipe
    tables, images of `folder`."""
    parts, title = [], ""
    for kind, group in groupby(
        markdown.splitlines(),
        lambda line: next(kind for kind, start in KINDS.items() if start.match(line)),
    ):
        lines = list(group)
        if kind == "heading":
            for marks, title in (line.split(" ", 1) for line in lines):
                name = f' id="{anchor(title)}"' if len(marks) == 2 else ""
                parts.append(f"<h{len(marks)}{name}>{inline(title)}</h{len(marks)}>")
        elif kind == "table":
            parts.append(table_to_html(lines, title))
        elif kind == "list":
            parts.append(
                "<ul>\n"
                + "\n".join(f"<li>{inline(line[1:].strip())}</li>" for line in lines)
                + "\n</ul>"
            )
        elif kind == "image":
            parts += [
                image_to_html(alt, folder / name)
                for alt, name in re.findall(r"!\[(.*)\]\((.+)\)", "\n".join(lines))
            ]
        elif kind == "text":
            parts.append(f"<p>{inline(' '.join(lines))}</p>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '
        'content="width=device-width,'
        f' initial-scale=1">\n<title>{escape(markdown.splitlines()[0].lstrip("# "))}</title>\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def run_rows(results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of all CSVs with a row a run, each once, with the columns NEEDED; and the ids of the
    runs that only the other CSVs name (measured, but no row says what ran them)."""
    rows, named = [pd.DataFrame(columns=NEEDED)], set()
    for path in sorted(results.glob("*.csv")):
        with open(path, encoding="utf-8") as file:
            columns = file.readline().strip().split(",")  # of an empty file [""]
        ids = [column for column in ("run", "failed_run", "successful_run") if column in columns]
        if "run" in ids and "seconds" in columns:
            rows.append(read_csv(path, NEEDED)[NEEDED])
        elif ids:
            named |= set(read_csv(path, ids)[ids].stack())
    runs = pd.concat(rows[1:] or rows, ignore_index=True).drop_duplicates("run")
    return runs, named - set(runs["run"])


def counted(values: pd.Series) -> str:
    """Each value with its number of runs, the most frequent first."""
    counts = (
        values.fillna("unknown")
        .astype(str)
        .value_counts()
        .sort_index()
        .sort_values(ascending=False, kind="stable")
    )
    return ", ".join(f"{value} ({count})" for value, count in counts.items()).replace("|", r"\|")


def claims(profile: str, runs: pd.DataFrame) -> list[str]:
    """What this model and this data can be evidence for, a line each; from the runs, not from
    the profile's name."""
    if runs.empty:
        return [EVIDENCE[profile]] if profile in EVIDENCE else []
    lines = []
    settings = zip(
        map(model_name, runs["model"], runs["data"]),
        runs["data"].str.split("@").str[0],
        runs["dtype"],
        strict=True,
    )
    for model, data, dtype in sorted(set(settings)):
        kind = "mini" if is_mini(data) else "paper" if model in PAPER_MODELS else "small"
        other = (
            f" Computed in {dtype}; the published runs were in float32."
            if kind == "paper" and dtype != "float32"
            else ""
        )
        lines.append(f"Model **{model}**, data **{data}**, {dtype}. **{EVIDENCE[kind]}**{other}")
    return [
        "\n\n".join(lines),
        "",
        (
            f"Different runs: {len(runs)}, of them failed: {runs['failed'].sum()}; [what ran"
            " them](#provenance)."
        ),
    ]


def provenance(runs: pd.DataFrame, only_named: set[str]) -> list[str]:
    """A table of what ran the runs."""
    if runs.empty:
        return ["No CSV with rows of runs was found, so nothing is known about what ran them."]
    hours = runs.groupby("device")["seconds"].sum() / 3600
    dirty = runs["git_commit"].astype(str).str.endswith("-dirty").sum()
    values = {
        "different runs": len(runs),
        "failed": runs["failed"].sum(),
        "diverged (failed too)": runs["diverged"].sum(),
        "started from random weights": (~runs["pretrained"].astype(bool)).sum(),
        "models": counted(runs["model"]),
        "data": counted(runs["data"]),
        "tasks": counted(runs["task"]),
        "dtype": counted(runs["dtype"]),
        "device": counted(runs["device"]),
        "computing time (wall time of the runs, summed)": ", ".join(
            f"{time:.2f} {'core hours' if device == 'cpu' else 'hours'} on {device}"
            for device, time in hours.items()
        ),
        **{
            column.replace("_version", "").replace("python", "Python"): counted(runs[column])
            for column in VERSIONS
        },
        "git commit": counted(runs["git_commit"]),
        "of a tree with uncommitted changes (-dirty)": dirty,
        **(
            {"measured runs without such a row, not counted here": len(only_named)}
            if only_named
            else {}
        ),
    }
    return [
        "The numbers in brackets are runs. A run that several CSVs hold counts once.",
        "",
        "| what | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in values.items()),
    ]


def embedded(path: Path, own_section: bool = False) -> list[str]:
    """A table's Markdown under the section's headings; with a section of its own, that is its
    heading."""
    text = path.read_text(encoding="utf-8").strip()
    text = re.sub(r"\A# .*\n+", "", text) if own_section else text
    return [re.sub(r"(?m)^#(?=#* )", "##" if own_section else "###", text), ""]


def shown(
    figures: Sequence[Path], tables: Sequence[Path], experiment: Section | None = None
) -> list[str]:
    """Figures as Markdown images, what they show as their text, then tables."""
    lines = []
    for path in figures:
        part = path.stem.removeprefix(experiment.name).lstrip("_") if experiment else ""
        alt = experiment.figures.get(part) if experiment else None
        lines += [f"![{alt or path.stem.replace('_', ' ')}]({path.name})", ""]
    return lines + [line for path in tables for line in embedded(path)]


def drawn_from(stem: str, name: str) -> bool:
    """Whether a figure or table is what NAME.csv gives: NAME or NAME_something."""
    return stem == name or stem.startswith(f"{name}_")


def report(profile: str, results: Path, figures: Path) -> str:
    """The page as Markdown."""
    if not figures.is_dir():
        raise BadInput(
            f"no folder {figures}: expected figures and tables; run bash run_all.sh figures first,"
            " or give --figures"
        )
    # what is drawn of these is an earlier call's
    empty = {path.stem for path in results.glob("*.csv") if not path.stat().st_size}
    left = {
        kind: {
            path.stem: path
            for path in sorted(figures.glob(f"*.{kind}"))
            if path.stem != "report" and not any(drawn_from(path.stem, name) for name in empty)
        }
        for kind in ("png", "md")
    }
    runs, only_named = run_rows(results)
    sections: dict[str, list[str]] = {}  # by title
    first, last = (
        {
            title: (
                shown([left["png"].pop(name)] if name in left["png"] else [], [])
                + embedded(left["md"].pop(name), True)
            )
            for name, title in own.items()
            if name in left["md"]
        }
        for own in (FIRST, LAST)
    )
    contents = ["## Contents", ""]

    def add(title: str, lines: list[str], remark: str = "") -> None:
        contents.append(f"- [{title}](#{anchor(title)}){remark}")
        sections[title] = lines

    for title, lines in first.items():
        add(title, lines)
    for experiment in STUDY:
        pictures, texts = (
            [left[kind].pop(stem) for stem in list(left[kind]) if drawn_from(stem, experiment.name)]
            for kind in ("png", "md")
        )
        missing = (
            ""
            if pictures or texts
            else (
                "had nothing to draw: it had no such runs, or could measure nothing"
                if experiment.name in empty
                else (
                    "has not been drawn: `bash run_all.sh figures`"
                    if (results / f"{experiment.name}.csv").is_file()
                    else f"has not been run: `bash run_all.sh {experiment.name}`"
                )
            )
        )
        add(
            experiment.name.replace("_", " ").capitalize(),
            [
                (
                    f"**{experiment.question}** Paper:"
                    f" {'section ' * experiment.paper[0].isdigit()}{experiment.paper}."
                ),
                "",
                *(
                    [f"This experiment {missing}."]
                    if missing
                    else shown(pictures, texts, experiment)
                ),
            ],
            f": {experiment.question}" + (f" (**{missing.split(':')[0]}**)" if missing else ""),
        )
    for title, lines in last.items():
        add(title, lines)
    if any(left.values()):
        add(
            "Other files of the folder",
            shown(list(left["png"].values()), list(left["md"].values())),
        )
    add("Provenance", provenance(runs, only_named))
    lines = [
        f"# On the stability of fine-tuning BERT: profile {profile}",
        "",
        (
            'A reproduction study of Mosbach, Andriushchenko and Klakow, "On the Stability of'
            ' Fine-tuning BERT: Misconceptions, Explanations, and Strong Baselines" (ICLR 2021).'
        ),
        "",
        *claims(profile, runs),
        "",
        *contents,
        "",
    ]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body, ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def main() -> None:
    options = parse(parser(__doc__))
    markdown = report(options.profile, options.results, options.figures)
    page = to_html(markdown, options.figures)
    for suffix, text in (("html", page), ("md", markdown)):
        path = options.figures / f"report.{suffix}"
        write_whole(path, partial(Path.write_text, data=text, encoding="utf-8", newline="\n"))
    print(f"wrote {options.figures / 'report.html'}, .md")


if __name__ == "__main__":
    run_command(main)

"""One page of everything a profile has shown: scorecard, figures, tables, audit, and what ran the
runs.

Command : python -m analysis.report --profile mini
Reads   : figures/<profile>/*.png, *.md; results/<profile>/*.csv (for what ran the runs)
Writes  : figures/<profile>/report.html (one file, opens without network), report.md (the same, its
          images beside it)

The page is written as Markdown and converted, so that both say the same. It holds no date: the same
inputs give the same bytes.
"""

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from analysis.report.first_screen import answers, first_screen, judged
from analysis.report.page import anchor, to_html
from analysis.report.study import FIGURE_OF, OTHER_FIGURES, STUDY, Section
from analysis.shared.names import OWN, PAPER_MODELS, is_mini, model_name
from analysis.shared.reading import REPOSITORY, BadInput, parse, parser, read_csv, run_command
from analysis.shared.tables import write_whole

# tables with a section of their own, before the others
FIRST = {"scorecard_summary": "Does it carry over?"}
# and after them
LAST = {
    "scorecard": "Scorecard",
    "comparison": "Our runs beside the published ones",
    "audit": "Audit of the published numbers",
}
EVIDENCE = {
    "own": (
        "Data of your own: it says how this model behaves on it, and is no evidence about the"
        " paper's tasks."
    ),
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
PUBLISHED_FIGURES = REPOSITORY / "figures" / "reference" / "published"
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
        if data.startswith(OWN):
            kind = "own"
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
            f"**{len(runs)} different runs, {runs['failed'].sum()} of them failed** (all settings"
            " together, also those that are meant to fail); [what ran them](#provenance)."
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
    lines: list[str] = []
    for path in figures:
        part = path.stem.removeprefix(experiment.name).lstrip("_") if experiment else ""
        alt = experiment.figures.get(part) if experiment else OTHER_FIGURES.get(path.stem)
        lines += [f"![{alt or path.stem.replace('_', ' ')}]({path.name})", ""]
    for path in tables:
        lines += embedded(path)
    return lines


def drawn_from(stem: str, name: str) -> bool:
    """Whether a figure or table is what NAME.csv gives: NAME or NAME_something."""
    return stem == name or stem.startswith(f"{name}_")


class Page:
    """The page while it is put together: its sections in order, and the files not yet shown."""

    def __init__(self, figures: Path, empty: set[str]) -> None:
        """`empty`: CSVs without rows, of which what is drawn is an earlier call's."""
        self.figures, self.claims = figures, judged(figures)
        self.contents = ["## Contents", ""]
        self.sections: dict[str, list[str]] = {}  # by title
        self.left: dict[str, dict[str, Path]] = {"png": {}, "md": {}}  # by stem
        for kind, files in self.left.items():
            for path in sorted(figures.glob(f"*.{kind}")):
                of_empty = [name for name in empty if drawn_from(path.stem, name)]
                if path.stem != "report" and not of_empty:
                    files[path.stem] = path

    def add(self, title: str, lines: list[str], remark: str = "") -> None:
        """One more section."""
        self.contents.append(f"- [{title}](#{anchor(title)}){remark}")
        self.sections[title] = lines

    def add_table(self, title: str, name: str) -> None:
        """A table with a section of its own, and the figures of the same name, where they are."""
        if name in self.left["md"]:
            text = embedded(self.left["md"].pop(name), own_section=True)
            self.add(title, shown(self.taken("png", name), []) + text)

    def taken(self, kind: str, name: str) -> list[Path]:
        """The files of an experiment, which are then no longer left."""
        stems = [stem for stem in self.left[kind] if drawn_from(stem, name)]
        return [self.left[kind].pop(stem) for stem in stems]

    def add_experiment(self, experiment: Section, results: Path, empty: set[str]) -> None:
        """The section of an experiment, or why there is nothing in it."""
        name = experiment.name
        pictures, texts = self.taken("png", name), self.taken("md", name)
        lines = [f"**{experiment.question}** {where_in_the_paper(experiment.paper)}", ""]
        remark = f": {experiment.question}"
        if pictures or texts:
            lines += answers(self.claims, name)
            lines += beside_the_published(experiment, pictures, self.figures)
            lines += shown(pictures[1:], texts, experiment)
        else:
            missing = why_missing(name, results, empty)
            lines.append(f"This experiment {missing}.")
            remark += f" (**{missing.split(':')[0]}**)"
        self.add(name.replace("_", " ").capitalize(), lines, remark)


def beside_the_published(experiment: Section, pictures: Sequence[Path], figures: Path) -> list[str]:
    """The experiment's first figure, and where the paper has points for such a one, the paper's
    beside it."""
    own = shown(pictures[:1], [], experiment)
    theirs = PUBLISHED_FIGURES / f"{experiment.name}.png"
    if not pictures or not theirs.is_file():
        return own
    locator = FIGURE_OF[experiment.name]
    link = quote(Path(os.path.relpath(theirs, figures)).as_posix())
    axes = (
        "Axes of one unit have the same range in both figures, or a wider one where runs need it."
    )
    paper = f"![Published, {locator}, drawn from its points; the paper's models. {axes}]({link})"
    return [f"{paper}\n{own[0].replace('![', '![These runs. ', 1)}", ""]


def where_in_the_paper(paper: str) -> str:
    """A sentence of a Section's `paper`."""
    if paper == "none":
        return "Not in the paper."
    return f"Paper: section {paper}." if paper[0].isdigit() else f"Paper: {paper}."


def why_missing(name: str, results: Path, empty: set[str]) -> str:
    """Why an experiment has neither figure nor table."""
    if name in empty:
        return "had nothing to draw: it had no such runs, or could measure nothing"
    if (results / f"{name}.csv").is_file():
        return "has not been drawn: `bash run_all.sh figures`"
    return f"has not been run: `bash run_all.sh {name}`"


def report(profile: str, results: Path, figures: Path) -> str:
    """The page as Markdown."""
    if not figures.is_dir():
        raise BadInput(
            f"no folder {figures}: expected figures and tables; run bash run_all.sh figures first,"
            " or give --figures"
        )
    empty = {path.stem for path in results.glob("*.csv") if not path.stat().st_size}
    runs, only_named = run_rows(results)
    page = Page(figures, empty)
    for name, title in FIRST.items():
        page.add_table(title, name)
    for experiment in STUDY:
        page.add_experiment(experiment, results, empty)
    for name, title in LAST.items():
        page.add_table(title, name)
    if any(page.left.values()):
        others = shown(list(page.left["png"].values()), list(page.left["md"].values()))
        page.add("Other files of the folder", others)
    page.add("Provenance", provenance(runs, only_named))
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
        *first_screen(page.claims),
        "",
        *page.contents,
        "",
    ]
    for title, body in page.sections.items():
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

"""What happened in this run? Reads logs of anybody's runs and says which shape they have.

Command : bash run_all.sh diagnose PATH... [--labels 0.68 0.32 | --classes 6 | --group 8]
Reads   : trainer_state.json, a run's or checkpoint's folder that holds one, console lines such as
          {'loss': 0.69, 'epoch': 1.0} or Keras', a CSV with step, loss and scores, a table pasted
          from a notebook or model card, a run of our own store or its folder; a path a seed, or a
          folder of seeds; - is standard input.
Prints  : for each log its shape, by which numbers, and how often this verdict is right; then what
          to try, with the evidence of this study, and what a log cannot tell.
Writes  : figures/diagnose.png, .pdf: loss against the label entropy, score against the best
          constant answer, one line a seed.

Shapes: never left chance (A), learnt and collapsed (B), NaN or exactly 0 (C), the metric lies (D),
memorised, oscillates, learnt, cannot tell. This is no hypothesis: the rule and its accuracy are in
analysis/diagnosis.
"""

import sys
import textwrap
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from analysis.diagnosis.advice import TRY, measured_verdicts, table, where
from analysis.diagnosis.chance import MOST_LABELS, Chance, chance_of, check_shares
from analysis.diagnosis.finished import EVALUATIONS
from analysis.diagnosis.folders import read_logs
from analysis.diagnosis.logs import read_text
from analysis.diagnosis.records import Log
from analysis.diagnosis.rule import judge
from analysis.diagnosis.verdict import LETTERS, SHAPES, UNKNOWN, Verdict, smoothed
from analysis.shared.reading import REPOSITORY, BadInput, expanded, plain_parser, run_command
from analysis.shared.statistics import wilson_interval
from analysis.shared.style import WITH, WITHOUT, panels, save, write_in

# of all lines of a panel together, of one at least: longer ones are drawn as means
POINTS, FEWEST_POINTS = 1000, 60
DETAILED = 5  # so many logs are told in full, more in a line each


def read_options(arguments: Sequence[str] | None = None) -> Namespace:
    p = plain_parser(__doc__)
    p.add_argument("paths", nargs="*", metavar="PATH", help="a log, or a folder of one or several")
    labels = p.add_mutually_exclusive_group()
    labels.add_argument(
        "--labels",
        nargs="+",
        metavar="SHARE",
        help="shares of the labels, label 0 first (default: guessed from the loss)",
    )
    labels.add_argument(
        "--classes", type=int, metavar="K", help="number of labels, equally frequent"
    )
    labels.add_argument(
        "--group", type=int, metavar="N", help="a reranker's candidates, of which one is right"
    )
    p.add_argument(
        "--score", metavar="NAME", help="the score to look at (default: the first known)"
    )
    p.add_argument(
        "--figures",
        type=Path,
        default=REPOSITORY / "figures",
        metavar="DIR",
        help="folder to write to (default figures)",
    )
    options = p.parse_args(arguments)
    options.labels, behind = numbers_first(options.labels or [])
    options.paths = [Path(name) for name in (*options.paths, *behind)]
    if not options.paths:
        p.error("expected a PATH: a log, a folder of one, or - for standard input")
    return options


def numbers_first(words: Sequence[str]) -> tuple[list[float], list[str]]:
    """The numbers that a flag begins with, and what stands behind them: paths."""
    numbers: list[float] = []
    for i, word in enumerate(words):
        try:
            numbers.append(float(word))
        except ValueError:
            if not numbers:
                raise BadInput(f"--labels {word}: expected shares, such as 0.68 0.32") from None
            return numbers, list(words[i:])
    return numbers, []


def given_shares(options: Namespace) -> tuple[tuple[float, ...], str]:
    """The label shares of the command line, and how they were given; () for none."""
    if options.labels:
        return check_shares(options.labels), "label shares as given"
    for name in ("classes", "group"):
        number = getattr(options, name)
        if number is not None:
            if not 2 <= number <= MOST_LABELS:
                said = f"{number:,}" if abs(number) < 1e15 else "a number of many digits"
                raise BadInput(f"--{name} {said}: expected 2 to {MOST_LABELS:,}")
            return (1 / number,) * number, f"{number} equally frequent, as given by --{name}"
    return (), ""


def read_all(options: Namespace) -> tuple[list[Log], bool]:
    """The logs at all paths, and whether one could not be read, which one line has said."""
    logs, bad = [], False
    for path in options.paths:
        try:
            if str(path) == "-":
                logs.append(read_text(standard_input(), "standard input", options.score))
            else:
                logs += read_logs(expanded(path), options.score)
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            bad = True
    return each_once(logs), bad


def each_once(logs: Sequence[Log]) -> list[Log]:
    """The logs without those whose text another one has, as a link or a copy does; a line says
    so."""
    first: dict[str, Log] = {}
    for log_ in logs:
        same = first.setdefault(log_.digest, log_)
        if same is not log_:
            what = "is given twice" if log_.name == same.name else f"is the same log as {same.name}"
            print(f"warning: {log_.name} {what}: counted once", file=sys.stderr)
    whole, others = [], list(first.values())
    starts = np.array([start_of(log_) for log_ in others])
    for log_, start in zip(others, starts, strict=True):
        # all pairs of 2,000 logs would take 20 seconds
        alike = np.flatnonzero(np.isclose(starts, start, rtol=1e-9).all(axis=1))
        later = [others[i] for i in alike if is_part_of(log_, others[i])]
        if later:
            what = f"is an earlier part of {later[0].name}"
            print(f"warning: {log_.name} {what}: counted once", file=sys.stderr)
        else:
            whole.append(log_)
    return whole


def start_of(log_: Log) -> np.ndarray:
    """A log's first two losses; nan where it has fewer."""
    losses = log_.training.known("loss")[1][:2]
    return losses * log_.divided_by if len(losses) == 2 else np.full(2, np.nan)


def is_part_of(log_: Log, other: Log) -> bool:
    """Whether a log is the beginning of a longer one, as an earlier checkpoint's."""
    steps, losses = log_.training.known("loss")
    longer = other.training.known("loss")
    count = len(losses)
    if not 2 <= count < len(longer[1]):
        return False
    logged, later = losses * log_.divided_by, longer[1][:count] * other.divided_by
    return np.array_equal(steps, longer[0][:count]) and np.allclose(logged, later, rtol=1e-9)


def standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"standard input is no UTF-8 text (byte {error.start}): convert it, e.g. with iconv"
        ) from None


def logging_of(log_: Log) -> str:
    """The kind of logging of the accuracy table that is nearest to a log's."""
    steps = log_.training.step
    if not len(steps):
        return EVALUATIONS if np.isnan(log_.mean_loss) else "evaluations only"
    if len(steps) < 2:
        return "500"
    by_step = steps[-1] > len(steps)  # epochs and places are smaller
    between = float(np.median(np.diff(steps))) if by_step else 300 / len(steps)
    return "10" if between <= 20 else "50" if between <= 200 else "500"


def how_often_right(log_: Log, chance: Chance, verdict: Verdict) -> str:
    """A sentence from the committed confusion table; "" where there is no verdict."""
    if verdict.shape == UNKNOWN:
        return ""
    labels = "guessed" if chance.guessed else "given"
    logging = logging_of(log_)
    seen = "scores" if len(log_.evaluations.known("other")[0]) else "losses only"
    same = where(
        measured_verdicts(), logging=logging, labels=labels, seen=seen, verdict=verdict.shape
    )
    how = f"a record every {logging} steps" if logging.isdigit() else logging
    if same.empty:
        return f"how often this verdict is right was not measured ({how}, {seen}, labels {labels})"
    measured = []
    for model, runs in same.sort_values("model", ascending=False).groupby("model", sort=False):
        total, right = runs["runs"].sum(), runs[runs["truth"] == verdict.shape]["runs"].sum()
        low, high = wilson_interval(int(right), int(total))
        others = runs[runs["truth"] != verdict.shape].sort_values("runs", ascending=False)
        rest = "".join(f", {row.runs} {row.truth}" for row in others.itertuples())
        measured.append(
            f"right for {right} of {total} such verdicts on held-out runs of {model} ({low:.0%} to"
            f" {high:.0%}{rest})"
        )
    return (
        f"{', '.join(measured)}: {how}, {seen}, labels {labels}; not measured on other models"
        + ("; those had ended, this one has not" if is_going(log_) else "")
    )


def is_going(log_: Log) -> bool:
    """Whether a log ends before nine tenths of the steps that were planned."""
    return log_.steps is not None and steps_done(log_) < 0.9 * log_.steps


def steps_done(log_: Log) -> float:
    steps = [part.step[-1] for part in (log_.training, log_.evaluations) if len(part)]
    return max(steps) if log_.done is None else log_.done


def tell(log_: Log, chance: Chance, verdict: Verdict) -> None:
    """All there is to say about one log."""
    print(f"{log_.name}: {named(verdict.shape)}{so_far(log_)}")
    lines = [
        "; ".join(verdict.because),
        f"chance: {chance_said(log_, chance)}",
        how_often_right(log_, chance, verdict),
        *log_.notes,
    ]
    for line in filter(None, lines):
        print(textwrap.fill(line, 100, initial_indent="  ", subsequent_indent="    "))


def tell_shortly(told: Sequence[tuple[Log, Chance, Verdict]]) -> None:
    """A line a log, its notes under it; then how often each kind of verdict is right."""
    right: dict[str, None] = {}  # in order, each once
    for log_, chance, verdict in told:
        said = "; ".join(verdict.because)
        print(f"{log_.name}: {named(verdict.shape)}{so_far(log_)}: {said}")
        for note in log_.notes:
            print(f"  {note}")
        if often := how_often_right(log_, chance, verdict):
            right[f"{verdict.shape}: {often}"] = None
    print()
    for line in right:
        print(textwrap.fill(line, 100, subsequent_indent="  "))


def so_far(log_: Log) -> str:
    """Of a run that goes on: how far it is, as a verdict may be too early."""
    if not is_going(log_):
        return ""
    return f", so far ({steps_done(log_):,.6g} of {log_.steps:,} steps)"


def named(shape: str) -> str:
    return f"{shape} ({LETTERS[shape]})" if shape in LETTERS else shape


def chance_said(log_: Log, chance: Chance) -> str:
    known = []
    if isfinite(chance.entropy):
        known.append(f"loss {chance.entropy:.3f} nats")
    if isfinite(chance.level) and log_.metric:
        known.append(f"{log_.metric} {chance.level:.3f}")
    return f"{', '.join(known) or 'not known'} ({chance.said})"


def advise(told: Sequence[tuple[Log, Chance, Verdict]]) -> None:
    """What to try for the shapes of these logs, the commonest first; where they cannot be told,
    only what the logs lack."""
    for shape, _ in Counter(verdict.shape for *_, verdict in told).most_common():
        to_try = TRY[shape]
        if shape == UNKNOWN:
            untold = [(log_, chance) for log_, chance, verdict in told if verdict.shape == UNKNOWN]
            lacking = [any(parts) for parts in zip(*(lacks(*one) for one in untold), strict=True)]
            to_try = [one for one, missing in zip(TRY[UNKNOWN], lacking, strict=True) if missing]
        print(f"\nWhat to try, in order ({shape}):" if to_try else "")
        for number, (what, evidence) in enumerate(to_try, 1):
            text = f"{number}. {what}. Evidence: {evidence()}."
            print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="     "))


def lacks(log_: Log, chance: Chance) -> tuple[bool, bool, bool]:
    """Whether a log lacks a score, several evaluations, and given labels, as TRY[UNKNOWN] has
    them."""
    scores = log_.evaluations.known("other")[1]
    return not len(scores), len(log_.evaluations) < 3, chance.guessed and not log_.other_task


def limits(logs: Sequence[Log]) -> str:
    """What these logs cannot tell."""
    if all(np.isfinite(log_.gradient_ratio) for log_ in logs):
        return (
            "What a log cannot tell: whether labels are wrong, nor why: other causes give the same"
            " curves."
        )
    runs = table("mini", "bias_correction")
    runs = runs[(runs["task"] == "rte") & (runs["learning_rate"] == 3e-4)]
    ratios = []
    for name in ("first_layer_gradient", "classifier_gradient"):
        ends = runs.groupby("failed")[name].median()
        ratios.append(ends[False] / ends[True])
    return (
        "What a log cannot tell: whether the gradient vanishes. grad_norm is the norm of all"
        " gradients, which the classifier's keeps up: in mini's failed runs the first layer's"
        f" is {ratios[0]:,.0f} times smaller than in the others, the classifier's {ratios[1]:.1f}"
        " times (medians). Nor whether labels are wrong, nor why: other causes give the same"
        " curves."
    )


def draw(logs: Sequence[Log], chances: Sequence[Chance], verdicts: Sequence[Verdict]) -> plt.Figure:
    """Loss and score over steps, a line a log."""
    figure, (loss, score) = panels(1, 2, 3.9, 3.2)
    entropies, levels = set(), set()
    most = max(FEWEST_POINTS, POINTS // len(logs))
    for log_, chance, verdict in zip(logs, chances, verdicts, strict=True):
        color = WITHOUT if verdict.failed else WITH
        dev, scores = log_.evaluations.known("loss"), log_.evaluations.known("other")
        loss.plot(
            *smoothed(*log_.training.known("loss"), most), color=color, linewidth=0.9, alpha=0.7
        )
        loss.plot(*smoothed(*dev, most), color=color, linestyle="--", linewidth=0.9, alpha=0.7)
        score.plot(
            *smoothed(*scores, most), color=color, linewidth=1, marker=".", markersize=4, alpha=0.8
        )
        if verdict.failed:
            for axes, (steps, values) in ((loss, smoothed(*ends_of(log_), most)), (score, scores)):
                axes.plot(steps[-1:], values[-1:], "x", color="black", markersize=5, zorder=3)
        entropies |= {round(chance.entropy, 4)} - {None}
        levels |= {round(chance.level, 4)}
    for axes, values in ((loss, entropies), (score, levels)):
        for value in values:
            if isfinite(value):
                axes.axhline(value, color="black", linestyle=":", linewidth=1)
    if not score.lines or not any(len(log_.evaluations.known("other")[0]) for log_ in logs):
        write_in(score, "no score in the log")
    show_chance(loss, max([1.0, *filter(isfinite, entropies)]))
    shapes = Counter(verdict.shape for verdict in verdicts)
    counts = ", ".join(f"{shapes[shape]} {shape}" for shape in SHAPES if shapes[shape])
    figure.suptitle(f"{len(logs)} log{'s' * (len(logs) > 1)}: {counts}", fontsize=10)
    metrics = sorted({log_.metric for log_ in logs if log_.metric})
    loss.set_ylabel("loss (nats)")
    score.set_ylabel(" or ".join(metrics) or "score")
    for axes in (loss, score):
        axes.set_xlabel("step, or what the log has in its place")
    figure.legend(
        handles=legend(verdicts), loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    return figure


def show_chance(axes: plt.Axes, entropy: float) -> None:
    """Cut off what lies above 2.5 label entropies: one loss of thousands would hide all else."""
    top, highest = 2.5 * entropy, axes.dataLim.ymax
    if highest > top:
        axes.set_ylim(0, top)
        text = f"up to {highest:,.0f}, cut off"
        axes.text(0.98, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=8)


def ends_of(log_: Log) -> tuple[np.ndarray, np.ndarray]:
    """Training losses, or dev losses where there are none."""
    known = log_.training.known("loss")
    return known if len(known[0]) else log_.evaluations.known("loss")


def legend(verdicts: Sequence[Verdict]) -> list[Line2D]:
    failed = sum(bool(verdict.failed) for verdict in verdicts)
    return [
        Line2D([], [], color=WITHOUT, label=f"failed: {failed} of {len(verdicts)}"),
        Line2D([], [], color=WITH, label=f"other: {len(verdicts) - failed}"),
        Line2D([], [], color="black", marker="x", linestyle="none", label="end of a failed run"),
        Line2D([], [], color="0.3", label="training loss; score"),
        Line2D([], [], color="0.3", linestyle="--", label="dev loss"),
        Line2D([], [], color="black", linestyle=":", label="label entropy; best constant answer"),
    ]


def main() -> None:
    options = read_options()
    shares, said = given_shares(options)
    logs, bad = read_all(options)
    if not logs:
        sys.exit(2)
    chances = [chance_of(log_, shares, said) for log_ in logs]
    verdicts = [judge(log_, chance) for log_, chance in zip(logs, chances, strict=True)]
    told = list(zip(logs, chances, verdicts, strict=True))
    if len(logs) <= DETAILED:
        for log_, chance, verdict in told:
            tell(log_, chance, verdict)
    else:
        tell_shortly(told)
    if len(logs) > 1:
        failed = sum(bool(verdict.failed) for verdict in verdicts)
        low, high = wilson_interval(failed, len(logs))
        print(f"\n{failed} of {len(logs)} failed (95 % interval {low:.0%} to {high:.0%})")
    advise(told)
    print("\n" + textwrap.fill(limits(logs), 100))
    save(draw(logs, chances, verdicts), options.figures / "diagnose")
    if bad:
        sys.exit(2)


if __name__ == "__main__":
    run_command(main)

"""Figure and table of experiments/instability_measures.py: do runs with like scores give like
answers?

Paper   : Du and Nguyen 2023 (ACL), as their released code computes them; Mosbach et al. 2021
          (ICLR), section 7.1: per-point stability.
Command : python -m analysis.instability_measures --profile mini
Reads   : results/<profile>/instability_measures.csv, instability_measures_labels.csv
Writes  : figures/<profile>/instability_measures.png, .pdf, .md, .csv
"""

import base64
import math
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import entr, expit

from analysis.shared.names import setting_name, task_name
from analysis.shared.reading import BadInput, one_setting, parse, parser, read_csv, run_command
from analysis.shared.statistics import bootstrap_interval
from analysis.shared.style import LINES, save, settle, write_in
from analysis.shared.tables import PANEL, readable, save_table

CONDITIONS = dict(zip(["default", "with bias correction", "paper's recipe"], LINES, strict=True))
MEASURES = {
    "sd": "SD of the dev score\n(points)",
    "sd_not_failed": "SD of the dev score,\nruns not failed (points)",
    "pwd": "I_pwd: share of answers\nin which two runs differ",
    "kappa": "I_kappa: 1 less\nFleiss' kappa",
    "jsd": "I_JSD: Jensen-Shannon\ndivergence of two runs (nats)",
    "per_point": "per-point stability: mean\nof p (1 - p), p: share of runs right",
}
NEEDED = [
    *("condition", *PANEL, "learning_rate", "bias_correction", "epochs"),
    *("run", "score", "failed", "diverged", "dev_margins"),
]
ROUNDED = 0.02  # of an accuracy: margins are stored as float16, and one near 0 may become 0
FEWEST = 3  # runs for an interval: of two, every draw that has a pair has the same one


def disagreement(first: np.ndarray, second: np.ndarray) -> float:
    """The share of examples that two runs answer differently."""
    return (first != second).mean()


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over the examples of the Jensen-Shannon divergence, in nats, of the two labels'
    probabilities, from two runs' margins: entropy of the mean distribution less mean entropy. 0 log
    0 is 0."""

    def entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return entr(p) + entr(q)

    (p, not_p), (q, not_q) = ((expit(margins), expit(-margins)) for margins in (first, second))
    return max(
        0.0,
        (
            entropy((p + q) / 2, (not_p + not_q) / 2) - (entropy(p, not_p) + entropy(q, not_q)) / 2
        ).mean(),
    )


def distances(rows: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    """[runs x runs] of the rows of [runs x examples]; 0 between a run and itself."""
    result = np.zeros((len(rows), len(rows)))
    for i, j in zip(*np.triu_indices(len(rows), 1), strict=True):
        result[i, j] = result[j, i] = distance(rows[i], rows[j])
    return result


def mean_of_pairs(distances: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean distance [draws] of all pairs of different runs, from the numbers of the runs drawn
    [draws x runs]. A run that was drawn twice makes no pair with itself; nan where only one was
    drawn."""
    first, second = drawn[:, :, None], drawn[:, None, :]
    pairs = (first != second).sum(axis=(1, 2))
    return np.divide(
        distances[first, second].sum(axis=(1, 2)),
        pairs,
        out=np.full(len(drawn), np.nan),
        where=pairs > 0,
    )


def kappa_of_pairs(distances: np.ndarray, ones: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """1 less Fleiss' kappa [draws]. With two labels that is the pairs' disagreement over the 2 s (1
    - s) of chance, where s is the share of label 1 (`ones`: of each run) among the answers of all
    runs; nan where all answers are the same."""
    share = ones[drawn].mean(axis=1)
    chance = 2 * share * (1 - share)
    return np.divide(
        mean_of_pairs(distances, drawn), chance, out=np.full(len(drawn), np.nan), where=chance > 0
    )


def estimate(
    statistic: Callable[[np.ndarray], np.ndarray], sample: Sequence
) -> tuple[float, float, float]:
    """A statistic of at least two runs, and its 95 % bootstrap interval over runs; nan where
    there are too few."""
    values = np.asarray(sample)
    value = float(statistic(values[None])[0]) if len(values) > 1 else np.nan
    return value, *(
        bootstrap_interval(statistic, values)
        if len(values) >= FEWEST and value == value
        else (np.nan, np.nan)
    )


def measures(runs: pd.DataFrame, margins: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Each of MEASURES with its interval, from the runs of one setting and their dev margins [runs
    x examples].

    Per-point stability, the mean over the examples of p (1 - p) with p the share of runs that get
    it right, is with two labels (n - 1) / 2n of the pairs' disagreement, and gets its interval from
    there."""

    def sd(scores: np.ndarray) -> np.ndarray:
        return scores.std(axis=1)

    answers, numbers, score = margins > 0, np.arange(len(runs)), 100 * runs["score"].to_numpy()
    differ, with_outputs = (
        distances(answers, disagreement),
        np.flatnonzero(~np.isnan(margins).any(axis=1)),
    )
    apart = distances(margins[with_outputs], divergence)
    share = (len(runs) - 1) / (2 * len(runs))
    pwd = estimate(lambda drawn: mean_of_pairs(differ, drawn), numbers)
    return {
        "sd": estimate(sd, score),
        "sd_not_failed": estimate(sd, score[~runs["failed"].to_numpy()]),
        "pwd": pwd,
        "kappa": estimate(
            lambda drawn: kappa_of_pairs(differ, answers.mean(axis=1), drawn), numbers
        ),
        "jsd": estimate(lambda drawn: mean_of_pairs(apart, drawn), np.arange(len(with_outputs))),
        "per_point": (share * pwd[0], share * pwd[1], share * pwd[2]),
    }


def times_right(margins: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many runs [examples] answer an example as its label says."""
    return ((margins > 0) == (labels == 1)).sum(axis=0)


def margins_of(runs: pd.DataFrame, examples: int) -> np.ndarray:
    """Dev margins [runs x examples], as experiments/finetuning/histories.py stores them."""
    try:
        return (
            np.stack(
                [np.frombuffer(base64.b64decode(text), dtype="<f2") for text in runs["dev_margins"]]
            )
            .astype(float)
            .reshape(len(runs), examples)
        )
    except (TypeError, ValueError):
        raise BadInput(
            f"instability_measures.csv has a run whose dev margins do not fit the {examples} dev"
            " labels; run experiments/instability_measures.py again"
        ) from None


def check_answers(runs: pd.DataFrame, margins: np.ndarray, labels: np.ndarray) -> None:
    """BadInput where the answers of a run are not as often right as its accuracy says: labels of
    another dev set would give other measures of stability, and nobody would see it."""
    if "accuracy" not in runs:
        return
    right = ((margins > 0) == (labels == 1)).mean(axis=1)
    off = np.abs(right - runs["accuracy"].to_numpy()) > ROUNDED
    if off.any():
        run = runs[off].iloc[0]
        raise BadInput(
            f"instability_measures.csv has the run {run['run']} with an accuracy of"
            f" {run['accuracy']:.4g}, and by the labels' CSV its answers are right in"
            f" {right[off][0]:.4g}: expected two files of one call; write both again"
        )


def settings(runs: pd.DataFrame, labels: dict[tuple[str, str], np.ndarray]) -> list[dict]:
    """A dictionary for each setting: its columns, its runs and their measures, and how often
    each dev example is got right."""
    result = []
    for place, condition in enumerate(CONDITIONS):
        for names, group in runs[runs["condition"] == condition].groupby(PANEL, sort=True):
            of = dict(zip(PANEL, names, strict=True))
            if (of["task"], of["data"]) not in labels:
                raise BadInput(
                    f"instability_measures_labels.csv lacks the task {of['task']} of {of['data']}; "
                    "run experiments/instability_measures.py again"
                )
            truth = labels[of["task"], of["data"]]
            margins = margins_of(group, len(truth))
            check_answers(group, margins, truth)
            result.append(
                {
                    **of,
                    "condition": condition,
                    "place": place,
                    "runs": group,
                    "measures": measures(group, margins),
                    "without_outputs": int(np.isnan(margins).any(axis=1).sum()),
                    "right": times_right(margins, truth),
                }
            )
    return sorted(result, key=lambda setting: [setting[name] for name in (*PANEL, "place")])


def table(settings: list[dict]) -> pd.DataFrame:
    """A row a setting: its scores, and each measure with the ends of its interval."""
    rows = []
    for setting in settings:
        runs = setting["runs"]
        rows.append(
            {
                **{name: setting[name] for name in (*PANEL, "condition")},
                "n": len(runs),
                "failed": int(runs["failed"].sum()),
                "left_out_of_jsd": setting["without_outputs"],
                "mean": 100 * runs["score"].mean(),
            }
        )
        for name, values in setting["measures"].items():
            rows[-1] |= dict(zip([name, f"{name}_low", f"{name}_high"], values, strict=True))
    return pd.DataFrame(rows)


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each measure and its interval in one column."""

    def text(digits: int, value: float, low: float, high: float) -> str:
        interval = f" ({low:.{digits}f} to {high:.{digits}f})" if low == low else ""
        return f"{value:.{digits}f}{interval}" if value == value else "-"

    short = table[[*PANEL, "condition", "n", "failed", "left_out_of_jsd", "mean"]].copy()
    for name, title in MEASURES.items():
        values = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
        short[title.replace("\n", " ").split(":")[0]] = [
            text(2 if name.startswith("sd") else 3, *three) for three in values
        ]
    return readable(short)


def draw(settings: list[dict]) -> plt.Figure:
    """For each task and model: a panel a measure with a point and interval a condition, and below
    them for each condition how many of its runs get each dev example right."""
    panels: dict[tuple, list[dict]] = {}
    for setting in settings:
        panels.setdefault(tuple(setting[name] for name in PANEL), []).append(setting)
    most = max(map(len, panels.values()))  # histograms of a task and model
    columns = 4 if len(MEASURES) + most <= 8 else 3
    lines = math.ceil((len(MEASURES) + most) / columns)
    figure = plt.figure(figsize=(2.8 * columns, 0.5 + 2 * lines * len(panels)))
    for part, (names, conditions) in zip(
        figure.subfigures(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        part.suptitle(
            f"{task_name(names[0], names[2])}, {setting_name(*names[1:])}\n"
            "0: all runs are alike; the larger, the less stable. Lines: 95 % bootstrap intervals",
            fontsize=10,
        )
        axes_of = part.subplots(lines, columns, squeeze=False).ravel()
        for i, (axes, name) in enumerate(zip(axes_of, MEASURES, strict=False)):
            draw_measure(axes, name, conditions, labelled=i % columns == 0)
        histograms = axes_of[len(MEASURES) :]
        for axes in histograms[len(conditions) :]:
            axes.set_visible(False)
        for axes, setting in zip(histograms, conditions, strict=False):
            axes.sharey(histograms[0])
            draw_histogram(axes, setting)
        histograms[0].set_ylabel("dev examples (%)")
    return figure


def draw_measure(axes: plt.Axes, name: str, conditions: list[dict], labelled: bool) -> None:
    for place, setting in enumerate(conditions):
        value, low, high = setting["measures"][name]
        look = CONDITIONS[setting["condition"]]
        axes.plot(
            [low, high],
            [place, place],
            marker="|",
            markersize=9,
            color=look["color"],
            linewidth=1.6,
            clip_on=False,
        )
        axes.plot(
            value,
            place,
            marker=look["marker"],
            color=look["color"],
            markeredgecolor="black",
            markersize=5,
            clip_on=False,
        )
    if not any(
        setting["measures"][name][0] == setting["measures"][name][0] for setting in conditions
    ):
        write_in(axes, "not defined")
    names = []
    for place, setting in enumerate(conditions):
        failed, n = setting["runs"]["failed"].sum(), len(setting["runs"])
        condition = setting["condition"].replace(" bias", "\nbias")
        names.append(f"{condition}\nn = {n}, {failed} failed")
        if name == "sd_not_failed":
            axes.annotate(
                f"n = {n - failed}",
                (1, place),
                (0, 8),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
    axes.set_yticks(range(len(conditions)), names if labelled else [], fontsize=8)
    axes.set_ylim(len(conditions) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_title(MEASURES[name], fontsize=9)


def draw_histogram(axes: plt.Axes, setting: dict) -> None:
    n, right, look = len(setting["runs"]), setting["right"], CONDITIONS[setting["condition"]]
    axes.set_title(setting["condition"], fontsize=9)
    if n == 1:
        axes.set_xticks([])
        write_in(axes, "one run")
        return
    axes.bar(
        range(n + 1),
        100 * np.bincount(right, minlength=n + 1) / len(right),
        width=0.8,
        color=look["color"],
        alpha=0.6,
        edgecolor="black",
        linewidth=0.6,
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(-0.7, n + 0.7)
    axes.set_xlabel(f"runs of {n} that get it right")


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "instability_measures.csv"
    runs = read_csv(path, NEEDED)
    one_setting(path, runs, "condition")
    if unknown := set(runs["condition"]) - set(CONDITIONS):
        raise BadInput(
            f"instability_measures.csv has the condition {min(unknown)!r}; expected"
            f" {', '.join(map(repr, CONDITIONS))}"
        )
    found = read_csv(
        options.results / "instability_measures_labels.csv", ["task", "data", "labels"]
    )
    labels = {
        (task, data): np.array(list(digits), dtype=int)
        for task, data, digits in found[["task", "data", "labels"]].to_numpy()
    }
    measured = settings(runs, labels)
    figure = draw(measured)
    settle(figure)
    save(figure, options.figures / "instability_measures")
    numbers = table(measured)
    save_table(
        numbers,
        options.figures / "instability_measures",
        "Instability beyond the score (Du and Nguyen 2023)",
        "Over n runs on the whole dev set, each with its 95 % bootstrap interval over runs"
        f" (percentiles of 2,000 draws; from {FEWEST} runs on; with few runs too narrow, by how"
        " much has not been measured). SD: of the dev score in percent points, ddof 0. I_pwd,"
        " I_JSD: mean over all pairs of runs of the share of dev examples answered differently,"
        " and of the Jensen-Shannon divergence of the labels' probabilities in nats. I_kappa: 1"
        " less Fleiss' kappa; above 1 where runs agree less than by chance. When runs are drawn"
        " again, pairs of a run with itself are left out. Per-point stability (Mosbach et al."
        " 2021, section 7.1): mean of p (1 - p), p the share of runs that get an example right;"
        " with two labels (n - 1) / 2n of I_pwd. A margin that is not a number counts as the"
        " answer 0, as in training; such runs are left out of I_JSD. -: not defined. For context,"
        " Du and Nguyen's BERT-large on RTE, 20 seeds, half of dev, best checkpoint: accuracy"
        " 71.3, SD 1.77, I_pwd 0.138, I_kappa 0.139, I_JSD 0.068; other model, data and protocol.",
        with_intervals(numbers),
    )


if __name__ == "__main__":
    run_command(main)

"""Figure and table of experiments/catastrophic_forgetting.py: perplexity with the top layers put
back; failed runs' curves.

Paper   : Mosbach et al. 2021 (ICLR), Sec. 4.1, Fig. 2 (Fig. 14b is its third panel).
Command : python -m analysis.catastrophic_forgetting --profile mini
Reads   : results/<profile>/catastrophic_forgetting.csv, catastrophic_forgetting_curves.csv
Writes  : figures/<profile>/catastrophic_forgetting.png, .pdf, .md, .csv
"""

from math import log

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import SubFigure

from analysis.shared.limits import PERPLEXITY, SCORES_OVER_STEPS, holding, share_scores
from analysis.shared.names import METRIC_NAMES, model_name, number, rate_name, task_name
from analysis.shared.reading import NothingToDraw, belong, parse, parser, read_csv, run_command
from analysis.shared.schema import REGRESSIONS
from analysis.shared.style import LINES, save, write_in
from analysis.shared.tables import save_table

TASK = ["task", "model", "data"]
SETTING = [*TASK, "embeddings", "text"]
RUN = ["learning_rate", "seed", "run"]
NEEDED = [
    *SETTING,
    *RUN,
    "failed",
    "score",
    "layers_put_back",
    "layers",
    "perplexity",
    "pretrained_perplexity",
    "words",
]
NEEDED_CURVES = [
    *TASK,
    "learning_rate",
    "run",
    "failed",
    "majority_level",
    "label_entropy",
    "metric",
    "step",
    "train_loss",
    "score",
]


def draw_perplexity(axes: plt.Axes, runs: pd.DataFrame, outcome: str, ceiling: float) -> None:
    """Perplexity over k, one line a run, many runs in greys by their score; a value that is not
    finite is a hollow triangle at `ceiling`."""
    scores = 100 * runs.groupby(RUN)["score"].first()
    many = len(scores) > len(LINES)
    if many:
        low, high = scores.min(), scores.max()
        axes.plot(
            [],
            [],
            color="0.4",
            label=f"{len(scores)} runs, "
            + (
                f"scores {low:.1f} to {high:.1f}; the darker the higher"
                if low < high
                else f"score {low:.1f}"
            ),
        )
    for style, ((rate, seed, _), run) in zip(LINES * len(runs), runs.groupby(RUN), strict=False):
        run = run.sort_values("layers_put_back")
        score, finite = 100 * run["score"].iloc[0], np.isfinite(run["perplexity"])
        if many:
            style = {
                "color": (
                    str(0.65 - 0.65 * (scores < score).sum() / len(scores)) if low < high else "0.4"
                )
            }
        axes.plot(
            run["layers_put_back"],
            run["perplexity"].where(finite, ceiling),
            **style,
            markersize=3,
            linewidth=1.3,
            label=None if many else f"seed {seed}, {rate_name(rate)}, score {score:.1f}",
        )
        axes.plot(
            run["layers_put_back"][~finite],
            run["perplexity"][~finite].map(lambda _: ceiling),
            "^",
            markersize=8,
            markerfacecolor="none",
            color=style["color"],
            label=None if finite.all() else "not finite",
        )
    if runs.empty:
        write_in(axes, f"no {outcome} run")


def draw_curves(axes: plt.Axes, runs: pd.DataFrame, column: str, scale: float = 1) -> None:
    """One light line a run and their mean; a run without a finite value at every step stays out
    of the mean."""
    curves = scale * runs.replace([np.inf, -np.inf], np.nan).pivot_table(
        index="step", columns="run", values=column
    )
    whole = curves.dropna(axis="columns")
    axes.plot(curves.index, curves, color="0.6", linewidth=0.7)
    axes.plot(
        whole.index,
        whole.mean(axis=1),
        color=LINES[0]["color"],
        linewidth=1.8,
        label=f"mean of {whole.shape[1]}"
        + (f" of {n} (others not finite)" if (n := runs["run"].nunique()) > whole.shape[1] else ""),
    )


def draw_setting(part: SubFigure, runs: pd.DataFrame, curves: pd.DataFrame) -> None:
    """The four panels of one setting."""
    first = runs.iloc[0]
    part.suptitle(
        f"{task_name(first['task'], first['data'])}, {model_name(first['model'], first['data'])};"
        f" perplexity on {first['text']} ({first['words']} predicted tokens, {first['embeddings']}"
        f" embeddings{', head fitted here' if first.get('masked_lm_head') == 'fitted' else ''})",
        fontsize=9,
    )
    (failed, successful), (loss, score) = part.subplots(2, 2)
    failed.sharey(successful)
    ceiling = 3 * runs[["perplexity", "pretrained_perplexity"]].replace(np.inf, np.nan).max(
        axis=None
    )
    drawn = runs["perplexity"].where(np.isfinite(runs["perplexity"]), ceiling)
    limits = holding(PERPLEXITY, pd.concat([drawn, runs["pretrained_perplexity"]]), log=True)
    for axes, outcome, name in ((failed, True, "failed"), (successful, False, "successful")):
        chosen = runs[runs["failed"] == outcome]
        axes.set(yscale="log", ylim=limits)
        draw_perplexity(axes, chosen, name, ceiling)
        axes.axhline(
            first["pretrained_perplexity"],
            color="black",
            linestyle=":",
            linewidth=1,
            label="pre-trained",
        )
        if (unigram := first.get("unigram_perplexity", np.nan)) == unigram:  # of a fitted head
            axes.axhline(
                unigram,
                color="black",
                linestyle="--",
                linewidth=0.8,
                label=f"unigram model {unigram:.0f}",
            )
        all_such = curves.loc[curves["failed"] == outcome, "run"].nunique()
        axes.set(
            title=f"perplexity, {name} runs\n{chosen['run'].nunique()} of {all_such} measured",
            xlabel="top layers put back (k)",
            ylabel="masked-LM perplexity",
            xlim=(-0.5, first["layers"] + 0.5),
        )
    curves_failed = curves[curves["failed"]]
    shown = f"{curves_failed['run'].nunique()} of {curves['run'].nunique()} at " + ", ".join(
        map(rate_name, sorted(curves["learning_rate"].unique()))
    )
    for axes, name in ((loss, "training loss"), (score, "dev score")):
        axes.set(title=f"{name}, failed runs\n{shown}", xlabel="step")
        if curves_failed.empty:
            axes.set(xticks=[], yticks=[])
            write_in(axes, "no failed run")
    if not curves_failed.empty:
        draw_curves(loss, curves_failed, "train_loss")
        draw_curves(score, curves_failed, "score", 100)
        regression = curves["metric"].iloc[0] in REGRESSIONS
        loss.set_ylabel(f"training loss ({'squared error' if regression else 'nats'})")
        if not regression:
            loss.axhline(log(2), color="black", linestyle=":", linewidth=1, label="ln 2 = 0.693")
        entropy, level = curves["label_entropy"].iloc[0], 100 * curves["majority_level"].iloc[0]
        loss.axhline(
            entropy,
            color="black",
            linestyle="-.",
            linewidth=1,
            label=f"{'variance of the labels' if regression else 'label entropy'} {entropy:.3f}",
        )
        score.axhline(
            level, color="black", linestyle=":", linewidth=1, label=f"majority level {level:.1f}"
        )
        score.set_ylabel(f"dev {METRIC_NAMES[curves['metric'].iloc[0]]} (%)")
        share_scores(score, curves_failed, SCORES_OVER_STEPS)
    # below, where no curve can be
    for axes in (failed, successful, loss, score)[: 2 if curves_failed.empty else 4]:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.25),
            frameon=False,
            fontsize=7.5,
            handlelength=2.6,
        )


def draw(runs: pd.DataFrame, curves: pd.DataFrame) -> plt.Figure:
    """One row a setting."""
    settings = list(runs.groupby(SETTING, sort=True, dropna=False))
    figure = plt.figure(figsize=(7.2, 6.6 * len(settings)))
    for part, (setting, group) in zip(
        figure.subfigures(len(settings), 1, squeeze=False)[:, 0], settings, strict=True
    ):
        same = (curves[TASK] == list(setting[: len(TASK)])).all(axis=1)
        draw_setting(part, group, curves[same])
    return figure


def settled(reached: pd.Series) -> str:
    """Smallest k from which `reached` (true or false over ascending k) is true to the end;
    "never" if not even there."""
    missed = reached.index[~reached]
    later = reached.index[reached.index > missed.max()] if len(missed) else reached.index
    return str(later.min()) if len(later) else "never"


def table(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row a run: its perplexities, from which k they are back, and the last evaluation of
    its training."""
    rows, last = [], curves.sort_values("step").groupby("run").tail(1).set_index("run")
    for (*setting, failed, rate, seed, run), group in runs.groupby(
        [*SETTING, "failed", *RUN], dropna=False
    ):
        perplexity = group.set_index("layers_put_back")["perplexity"].fillna(np.inf).sort_index()
        level = group["pretrained_perplexity"].iloc[0]
        rows.append(
            {
                **dict(zip(SETTING, setting, strict=True)),
                "run": run,
                "learning_rate": rate_name(rate),
                "seed": seed,
                "failed": failed,
                "score": group["score"].iloc[0],
                "words": group["words"].iloc[0],
                "layers": group["layers"].iloc[0],
                "pretrained_perplexity": number(level),
                "perplexity_at_0": number(perplexity.iloc[0]),
                "max_perplexity": number(perplexity.max()),
                "k_of_max": perplexity.idxmax(),
                "k_within_10_percent": settled((perplexity / level - 1).abs() <= 0.1),
                "k_under_twice": settled(perplexity < 2 * level),
                "last_train_loss": number(last["train_loss"].get(run, np.nan)),
                "label_entropy": number(last["label_entropy"].get(run, np.nan)),
            }
        )
    order = [*SETTING, "failed"]
    # failed first
    return pd.DataFrame(rows).sort_values(
        order, ascending=[name != "failed" for name in order], kind="stable"
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table with fewer and shorter columns."""
    return pd.DataFrame(
        {
            "model": [
                model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)
            ],
            "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
            "learning rate": table["learning_rate"],
            "embeddings": table["embeddings"],
            "seed": table["seed"],
            "run": table["failed"].map({True: "failed", False: "successful"}),
            "score": table["score"],
            "pre-trained": table["pretrained_perplexity"],
            "k = 0": table["perplexity_at_0"],
            "highest (its k)": table["max_perplexity"] + " (" + table["k_of_max"].astype(str) + ")",
            "within 10 % from k": table["k_within_10_percent"],
            "under twice from k": table["k_under_twice"],
            "layers": table["layers"],
            "last train loss": table["last_train_loss"],
            "label entropy": table["label_entropy"],
        }
    )


def main() -> None:
    options = parse(parser(__doc__))
    paths = tuple(options.results / f"catastrophic_forgetting{end}.csv" for end in ("", "_curves"))
    runs, curves = read_csv(paths[0], NEEDED), read_csv(paths[1], NEEDED_CURVES)
    known = runs["run"].isin(curves["run"])
    if not known.all():
        print(
            f"left out the perplexities of {runs.loc[~known, 'run'].nunique()} runs that "
            "catastrophic_forgetting_curves.csv does not have: they are of another call"
        )
    runs = runs[known]
    if runs.empty:
        raise NothingToDraw(
            "nothing to draw: catastrophic_forgetting.csv has no perplexity of a "
            "run in catastrophic_forgetting_curves.csv"
        )
    belong(runs, curves[curves["run"].isin(runs["run"])], paths)
    save(draw(runs, curves), options.figures / "catastrophic_forgetting")
    perplexities = table(runs, curves)
    save_table(
        perplexities,
        options.figures / "catastrophic_forgetting",
        "Catastrophic forgetting (paper: Fig. 2)",
        "Masked-LM perplexity of the chosen runs after the top k encoder layers were put back to"
        " their pre-trained values. Within 10 %, under twice: the smallest k from which the"
        " perplexity stays that near to (on either side), or under twice, the pre-trained model's;"
        " never: not even with all layers put back. Last train loss: nats, mean over the steps"
        " since the evaluation before.",
        readable(perplexities),
    )


if __name__ == "__main__":
    run_command(main)

"""Figures and table of experiments/vanishing_gradients.py: gradient norms per weight matrix, a
failed and a successful run.

Paper   : Mosbach et al. 2021 (ICLR), Sec. 5.1, Fig. 4 (attention output), Figs 10-12 (key, query,
          value; other models).
Command : python -m analysis.vanishing_gradients --profile mini
Reads   : results/<profile>/vanishing_gradients.csv
Writes  : figures/<profile>/vanishing_gradients.png, .pdf, .md, .csv, and as .png and .pdf
          vanishing_gradients_key, _query, _value, and vanishing_gradients_layers (all layers)
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D

from analysis.shared.limits import GRADIENT, holding
from analysis.shared.names import model_name, number, rate_name, task_name
from analysis.shared.reading import NothingToDraw, parse, parser, read_csv, run_command
from analysis.shared.style import save, write_in
from analysis.shared.tables import save_table

SETTING = ["task", "model", "data"]
NEEDED = [
    *SETTING,
    "learning_rate",
    "bias_correction",
    "run",
    "seed",
    "failed",
    "score",
    "step",
    "matrix",
    "layer",
    "norm",
]
MATRIX_NAMES = {"output": "attention output", "key": "key", "query": "query", "value": "value"}
HEAD = {
    "pooler": {"color": "black", "linestyle": (0, (1, 1)), "linewidth": 1.6},
    "classifier": {"color": "0.55", "linestyle": "-", "linewidth": 2},
}
# six, apart in grey
DASHES = ["-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (3, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 1))]
OUTCOMES = {True: "failed", False: "successful"}


def depths(layers: int) -> list[int]:
    """The layers to draw: the paper's for 24, otherwise at most six from the first to the last."""
    return (
        [1, 4, 8, 12, 16, 20]
        if layers == 24
        else sorted({round(x) for x in np.linspace(1, layers, 6)})
    )


def compared(runs: pd.DataFrame) -> list[tuple]:
    """(task, model, data) and the runs to compare: those of a recipe that has failed and successful
    ones, one group for each such recipe; where a task and model has no such recipe, all its runs.
    """
    groups = []
    for setting, group in runs.groupby(SETTING, sort=True):
        same = [
            (setting, part)
            for _, part in group.groupby(["learning_rate", "bias_correction"])
            if part["failed"].nunique() == 2
        ]
        groups += same or [(setting, group)]
    return groups


def first_run(runs: pd.DataFrame, failed: bool) -> pd.DataFrame:
    """The rows of the failed, or successful, run with the lowest seed; none if there is no such
    run."""
    chosen = runs[runs["failed"] == failed].sort_values(["seed", "run", "step"])
    return chosen[chosen["run"] == chosen["run"].iloc[0]] if len(chosen) else chosen


def recipe(rate: float, bias_correction: bool) -> str:
    return f"{rate_name(rate)}, {'with' if bias_correction else 'without'} bias correction"


def title(axes: plt.Axes, runs: pd.DataFrame, failed: bool) -> pd.DataFrame:
    """Write over the panel which run it shows, or in it that there is none; returns the run's
    rows."""
    run, of = first_run(runs, failed), runs.loc[runs["failed"] == failed, "run"].nunique()
    if run.empty:
        said = "no norms of layers" if runs.empty else f"no {OUTCOMES[failed]} run"
        write_in(axes, said)  # a model whose layers have other names has its classifier's only
    else:
        first = run.iloc[0]
        axes.set_title(
            f"{OUTCOMES[failed]} run: seed {first['seed']}, dev score {100 * first['score']:.1f}"
            + f" ({f'one of {of}' if of > 1 else 'one run'})"
            + f"\n{recipe(first['learning_rate'], first['bias_correction'])}",
            fontsize=9,
        )
    axes.set_xlabel("step")
    return run


def draw(runs: pd.DataFrame, matrix: str) -> plt.Figure:
    """A row a task and model: norms of one matrix over steps, of the failed run left, of the
    successful run right."""
    settings = compared(runs)
    figure = plt.figure(figsize=(8.4, 3.3 * len(settings)))
    for part, ((task, model, data), group) in zip(
        figure.subfigures(len(settings), 1, squeeze=False)[:, 0], settings, strict=True
    ):
        shown = depths(group["layer"].max())
        # yellow is too light for a line
        colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(shown)))
        styles = {
            (matrix, layer): {"color": color, "linestyle": DASHES[i], "linewidth": 1.3}
            for i, (layer, color) in enumerate(zip(shown, colors, strict=True))
        }
        styles |= {(name, 0): style for name, style in HEAD.items()}
        part.suptitle(
            f"{task_name(task, data)}, {model_name(model, data)}: {MATRIX_NAMES[matrix]}",
            fontsize=10,
        )
        pair = part.subplots(1, 2, sharex=True, sharey=True)
        norms = group.loc[group["matrix"].isin((matrix, *HEAD)), "norm"]
        above_0 = (norms > 0).any()
        if above_0:  # shared by the pair
            pair[0].set_yscale("log")
            if matrix == "output":  # of the others no curve is published
                pair[0].set_ylim(holding(GRADIENT, norms, log=True))
        for axes, failed in zip(pair, OUTCOMES, strict=True):
            run = title(axes, group, failed)
            if not above_0 and len(run):
                write_in(axes, "no norm above 0")
            for (name, layer), style in styles.items():
                line = run[(run["matrix"] == name) & (run["layer"] == layer)]
                axes.plot(line["step"], line["norm"], **style)
        pair[0].set_ylabel("L2 norm of the gradient")
        pair[1].legend(
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            frameon=False,
            fontsize=8,
            handlelength=3,
            handles=[
                Line2D([], [], **style, label=f"layer {layer}" if layer else name)
                for (name, layer), style in styles.items()
            ],
        )
    return figure


def draw_layers(runs: pd.DataFrame) -> plt.Figure:
    """A row a task and model: norm at the attention output as a colour, over steps and all
    layers."""
    settings = compared(runs)
    figure = plt.figure(figsize=(8.4, 3.3 * len(settings)))
    for part, ((task, model, data), group) in zip(
        figure.subfigures(len(settings), 1, squeeze=False)[:, 0], settings, strict=True
    ):
        part.suptitle(
            f"{task_name(task, data)}, {model_name(model, data)}: {MATRIX_NAMES['output']}",
            fontsize=10,
        )
        pair = part.subplots(1, 2, sharex=True, sharey=True)
        group = group[group["matrix"] == "output"]
        drawn = pd.concat([first_run(group, failed)["norm"] for failed in OUTCOMES])
        drawn = drawn[drawn > 0]
        colors = LogNorm(drawn.min(), drawn.max()) if drawn.nunique() > 1 else LogNorm(1e-3, 1)
        for axes, failed in zip(pair, OUTCOMES, strict=True):
            run = title(axes, group, failed)
            if not run.empty:
                norms = run.pivot_table(index="layer", columns="step", values="norm", dropna=False)
                axes.pcolormesh(
                    norms.columns,
                    norms.index,
                    norms,
                    norm=colors,
                    cmap="viridis",
                    shading="nearest",
                )
                axes.set_facecolor("0.8")
                if not (norms > 0).all(axis=None):
                    axes.set_xlabel("step (grey: norm 0 or not finite)")
        pair[0].set_ylabel("layer")
        pair[0].yaxis.get_major_locator().set_params(integer=True)
        part.colorbar(
            plt.cm.ScalarMappable(colors, "viridis"), ax=pair, label="L2 norm of the gradient"
        )
    return figure


def summary(norms: pd.DataFrame) -> pd.Series:
    """One run's norms of one matrix: at step 0, lowest, median after step 100 (after the first
    quarter where that is shorter), at the last step, and median of the last tenth of the steps."""
    norm = norms.set_index("step")["norm"].sort_index()
    last = norm.index[-1]
    return pd.Series(
        {
            "step_0": norm.get(0, np.nan),
            "lowest": norm.min(),
            "median": norm[norm.index > min(100, last / 4)].median(),
            "last": norm.iloc[-1],
            "last_tenth": norm[norm.index >= 0.9 * last].median(),
        }
    )


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a matrix and depth; each number is the median over all failed, or all successful,
    runs in the file."""
    tables = []
    for setting, group in compared(runs):
        chosen = group[group["layer"].isin([0, *depths(group["layer"].max())])]
        if chosen.empty:
            raise NothingToDraw(
                "nothing to draw: vanishing_gradients.csv has a run without the layers to compare"
            )
        numbers = (
            chosen.groupby(["matrix", "layer", "failed", "run"])[["step", "norm"]]
            .apply(summary)
            .groupby(["matrix", "layer", "failed"])
            .median()
        )
        result = pd.DataFrame(index=numbers.index.droplevel("failed").unique())
        for failed, outcome in OUTCOMES.items():
            these = group[group["failed"] == failed]
            result[f"n_{outcome}"] = these["run"].nunique()
            recipes = (
                these[["learning_rate", "bias_correction"]]
                .drop_duplicates()
                .sort_values("learning_rate")
            )
            result[f"recipes_{outcome}"] = (
                "; ".join(recipe(*row) for row in recipes.to_numpy()) or "-"
            )
            part = numbers[numbers.index.get_level_values("failed") == failed].droplevel("failed")
            result = result.join(part.add_suffix(f"_{outcome}"))
        result["ratio"] = result["last_tenth_successful"] / result["last_tenth_failed"]
        # in this order
        result = result.reindex([*MATRIX_NAMES, *HEAD], level="matrix").reset_index()
        tables.append(
            pd.DataFrame([setting] * len(result), columns=SETTING, index=result.index).join(result)
        )
    result = pd.concat(tables, ignore_index=True)
    return result.assign(
        **{name: result[name].map(number) for name in result.select_dtypes("float").columns}
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table with fewer and shorter columns."""

    def four(outcome: str) -> pd.Series:
        columns = [table[f"{name}_{outcome}"] for name in ("step_0", "lowest", "median", "last")]
        return columns[0].str.cat(columns[1:], sep=" / ")

    return pd.DataFrame(
        {
            "model": [
                model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)
            ],
            "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
            "matrix": table["matrix"].replace(MATRIX_NAMES),
            "layer": table["layer"].astype(str).replace("0", "-"),
            **{
                f"{outcome} runs": (
                    table[f"n_{outcome}"].astype(str) + ": " + table[f"recipes_{outcome}"]
                )
                for outcome in OUTCOMES.values()
            },
            "failed: step 0 / lowest / median / last": four("failed"),
            "successful: step 0 / lowest / median / last": four("successful"),
            "successful over failed": table["ratio"],
        }
    )


def main() -> None:
    options = parse(parser(__doc__))
    runs = read_csv(options.results / "vanishing_gradients.csv", NEEDED).replace(
        {"norm": {np.inf: np.nan}}
    )
    save(draw(runs, "output"), options.figures / "vanishing_gradients")
    for matrix in ("key", "query", "value"):
        save(draw(runs, matrix), options.figures / f"vanishing_gradients_{matrix}")
    save(draw_layers(runs), options.figures / "vanishing_gradients_layers")
    norms = table(runs)
    save_table(
        norms,
        options.figures / "vanishing_gradients",
        "Gradient norms (paper: Figs 4 and 10-12)",
        "L2 norm of the loss gradient of one weight matrix, before clipping, every few steps."
        " Median: over the steps after step 100, or after the first quarter of training where that"
        " comes sooner. Successful over failed: ratio of the medians over the last tenth of"
        " training. With several runs of a class, each number is the median over them; norms that"
        " are not finite are left out. Where a recipe has failed and successful runs, only runs of"
        " such recipes are compared.",
        readable(norms),
    )


if __name__ == "__main__":
    run_command(main)

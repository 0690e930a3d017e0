"""Figures and table of experiments/loss_surfaces.py: loss on the plane through a pre-trained, a
failed and a successful model.

Paper   : Mosbach et al. 2021 (ICLR), Sec. 7.6, Figs 7 and 13. The straight lines and their barriers
          are an addition.
Command : python -m analysis.loss_surfaces --profile mini
Reads   : results/<profile>/loss_surfaces.csv, loss_surfaces_lines.csv
Writes  : figures/<profile>/loss_surfaces.png, .pdf, .md, .csv; loss_surfaces_lines, likewise
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.patheffects import withStroke

from analysis.shared.names import model_name, number, rate_name, task_name
from analysis.shared.reading import BadInput, belong, parse, parser, read_csv, run_command
from analysis.shared.statistics import wilson_interval
from analysis.shared.style import LINES, label_log_axis, panels_for, save, write_in
from analysis.shared.tables import save_table

TASK = ["task", "model", "data"]
PAIR = [*TASK, "failed_run", "successful_run"]
NEEDED = [
    *PAIR,
    "failed_seed",
    "successful_seed",
    "learning_rate",
    "classifier",
    "examples",
    "a",
    "b",
    "loss",
    "gradient_norm",
]
COLUMNS_OF_LINES = [
    *TASK,
    "pairs",
    "separated",
    "low",
    "high",
    "lowest_barrier",
    "median_barrier",
    "highest_barrier",
]
NEEDED_LINES = [*PAIR, "learning_rate", "line", "position", "loss", "gradient_norm"]
LINE_NAMES = ("pre-trained to failed", "pre-trained to successful", "failed to successful")
POINTS = {"pre-trained": (0, 0, "o"), "failed": (1, 0, "X"), "successful": (0, 1, "D")}
BARRIER = 0.01  # nats: a lower rise on the line from failed to successful counts as none
CLASSIFIERS = {
    "failed": "the failed run's initial one",
    "successful": "the successful run's initial one",
    "mean": "the mean of both runs' initial ones",
}


def draw_surface(axes: plt.Axes, surface: pd.DataFrame, column: str, name: str) -> None:
    """Filled contours of one column over a (to the failed run) and b (to the successful run),
    levels spaced by ratio."""
    values = surface.pivot(index="b", columns="a", values=column)
    shown = values.where(np.isfinite(values) & (values > 0))
    low, high = shown.min(axis=None), shown.max(axis=None)
    axes.set(
        xlabel="a, to the failed run",
        ylabel="b, to the successful run",
        title=name,
        aspect="equal",
        xlim=(values.columns[0], values.columns[-1]),
        ylim=(values.index[0], values.index[-1]),
        facecolor="0.85",
    )
    if shown.isna().all(axis=None):
        return write_in(axes, "no finite value")
    levels = np.geomspace(low, max(high, 1.01 * low), 13)
    # so that rounding leaves neither end out
    levels[0], levels[-1] = 0.999 * levels[0], 1.001 * levels[-1]
    filled = axes.contourf(
        values.columns,
        values.index,
        shown,
        levels=levels,
        norm=LogNorm(levels[0], levels[-1]),
        cmap="viridis",
    )
    axes.contour(values.columns, values.index, shown, levels=levels, colors="black", linewidths=0.3)
    bar = axes.figure.colorbar(
        filled, ax=axes, ticks=levels[::2], format=lambda x, _: f"{x:.3g}", shrink=0.9
    )
    bar.minorticks_off()
    if shown.isna().any(axis=None):
        axes.set_xlabel("a, to the failed run (grey: not finite)")
    for label, (a, b, marker) in POINTS.items():
        axes.plot(
            a,
            b,
            marker,
            color="white",
            markeredgecolor="black",
            markersize=8,
            clip_on=False,
            zorder=4,
        )
        axes.annotate(
            label,
            (a, b),
            (0, 8 if label != "pre-trained" else -8),
            textcoords="offset points",
            ha="center",
            va="bottom" if label != "pre-trained" else "top",
            fontsize=9,
            zorder=5,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def draw(surfaces: pd.DataFrame) -> plt.Figure:
    """A row a pair of runs: loss left, gradient norm right."""
    pairs = list(surfaces.groupby([*PAIR, "classifier"], sort=True))
    figure = plt.figure(figsize=(8.4, 4 * len(pairs)))
    for part, (_, surface) in zip(
        figure.subfigures(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True
    ):
        first = surface.iloc[0]
        part.suptitle(
            f"{task_name(first['task'], first['data'])},"
            f" {model_name(first['model'], first['data'])}, {rate_name(first['learning_rate'])},"
            " without bias correction;"
            f" seeds {first['failed_seed']} (failed) and {first['successful_seed']} (successful),"
            f" {first['examples']} training examples\nclassifier at the pre-trained point:"
            f" {CLASSIFIERS.get(first['classifier'], first['classifier'])}",
            fontsize=9,
        )
        left, right = part.subplots(1, 2)
        draw_surface(left, surface, "loss", "loss (nats)")
        draw_surface(right, surface, "gradient_norm", "L2 norm of the gradient")
    return figure


def barrier(line: pd.DataFrame) -> float:
    """Highest loss on a line above the larger of its two ends, nats; infinite if the loss is not
    finite between them, NaN if it is not at an end, or there is no such line."""
    loss = line.sort_values("position")["loss"].fillna(np.inf).to_numpy()
    return (
        loss.max() - max(loss[0], loss[-1])
        if len(loss) and np.isfinite(loss[[0, -1]]).all()
        else np.nan
    )


def draw_lines(lines: pd.DataFrame) -> plt.Figure:
    """A panel a task: loss along the straight lines, thin ones for pairs of runs without a
    plane."""
    tasks = list(lines.groupby(TASK, sort=True))
    figure, grid = panels_for(len(tasks), 3.3)
    for axes, ((task, model, data), of_task) in zip(grid, tasks, strict=True):
        rates = ", ".join(map(rate_name, sorted(of_task["learning_rate"].unique())))
        of_planes = set(of_task.loc[of_task["line"] == LINE_NAMES[0], "failed_run"])
        for style, name in zip(LINES, LINE_NAMES, strict=True):
            pairs = [
                line.sort_values("position")
                for _, line in of_task[of_task["line"] == name].groupby(PAIR)
            ]
            pairs.sort(key=lambda line: line["failed_run"].iloc[0] not in of_planes)
            heights = pd.Series([barrier(line) for line in pairs], dtype=float)
            label = f"{name}: rises by {heights.iloc[0]:.1g}" if len(pairs) else name
            if len(pairs) > 1:
                rising = (heights > BARRIER).sum()
                label = f"{name}: {rising} of {len(pairs)} pairs\nrise by over {BARRIER} nats"
            for i, line in enumerate(pairs):
                axes.plot(
                    line["position"],
                    line["loss"].replace(np.inf, np.nan),
                    **style,
                    markersize=0 if i else 3,
                    zorder=3 if i == 0 else 2,
                    linewidth=0.6 if i else 1.3,
                    label=None if i else label,
                )
        axes.set(
            yscale="log" if (of_task["loss"] > 0).any() else "linear",
            xlabel="place on the line",
            ylabel="loss (nats)",
            title=f"{task_name(task, data)}\n{model_name(model, data)}, {rates},"
            "\nwithout bias correction",
        )
        if axes.get_yscale() == "log":
            label_log_axis(axes.yaxis)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
            frameon=False,
            fontsize=8,
            handlelength=3,
        )
    figure.supxlabel(
        "place: 0 at the model that is named first, 1 at the other; rise: the highest loss above"
        " the higher end, nats; thin: other pairs of runs",
        fontsize=8,
    )
    return figure


def table_of_lines(lines: pd.DataFrame) -> pd.DataFrame:
    """One row a task: between how many pairs of a failed and a successful run the loss rises on
    the straight line, and how far."""
    rows = []
    for task, of_task in lines[lines["line"] == LINE_NAMES[-1]].groupby(TASK, sort=True):
        heights = pd.Series(
            [barrier(line) for _, line in of_task.groupby(PAIR)], dtype=float
        ).dropna()
        separated = int((heights > BARRIER).sum())
        low, high = wilson_interval(separated, len(heights)) if len(heights) else (np.nan, np.nan)
        rows.append(
            {
                **dict(zip(TASK, task, strict=True)),
                "pairs": len(heights),
                "separated": separated,
                "low": low,
                "high": high,
                "lowest_barrier": heights.min(),
                "median_barrier": heights.median(),
                "highest_barrier": heights.max(),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS_OF_LINES)


def readable_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The table of lines with fewer and shorter columns."""
    return pd.DataFrame(
        {
            "model": [
                model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)
            ],
            "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
            "pairs": table["pairs"],
            "separated": table["separated"],
            "95 % interval": [
                f"{low:.0%} to {high:.0%}"
                for low, high in zip(table["low"], table["high"], strict=True)
            ],
            **{
                f"{name} barrier": table[f"{name}_barrier"].map(number)
                for name in ("lowest", "median", "highest")
            },
        }
    )


def table(surfaces: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of runs: loss and gradient norm at the three points, barriers, and the
    range on the plane."""
    rows = []
    for (*pair, classifier), surface in surfaces.groupby([*PAIR, "classifier"], sort=True):
        row = {
            **dict(zip(PAIR, pair, strict=True)),
            "classifier": classifier,
            **{
                name: surface[name].iloc[0]
                for name in ("failed_seed", "successful_seed", "learning_rate", "examples")
            },
        }
        of_pair = lines[(lines[PAIR] == pair).all(axis=1)].sort_values("position").groupby("line")
        for point, (name, end) in zip(
            POINTS, ((LINE_NAMES[0], 0), (LINE_NAMES[0], -1), (LINE_NAMES[1], -1)), strict=True
        ):
            at = of_pair.get_group(name).iloc[end] if name in of_pair.groups else {}
            row |= {
                f"{quantity}_{point}": at.get(quantity, np.nan)
                for quantity in ("loss", "gradient_norm")
            }
        for name in LINE_NAMES:
            line = of_pair.get_group(name) if name in of_pair.groups else lines.iloc[:0]
            row[f"barrier_{name.replace(' ', '_')}"] = barrier(line)
        rise = row["barrier_failed_to_successful"]
        row["basin"] = "-" if np.isnan(rise) else "separated" if rise > BARRIER else "not separated"
        for quantity in ("loss", "gradient_norm"):
            finite = surface[quantity][np.isfinite(surface[quantity])]
            row |= {f"lowest_{quantity}": finite.min(), f"highest_{quantity}": finite.max()}
        rows.append(row)
    result = pd.DataFrame(rows).assign(
        learning_rate=lambda rows: rows["learning_rate"].map(rate_name)
    )
    quantities = [
        name
        for name in result.columns
        if name.split("_")[0] in ("loss", "gradient", "barrier", "lowest", "highest")
    ]
    return result.assign(**{name: result[name].map(number) for name in quantities})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table with fewer and shorter columns."""
    return pd.DataFrame(
        {
            "model": [
                model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)
            ],
            "task": [task_name(*pair) for pair in zip(table["task"], table["data"], strict=True)],
            "classifier": table["classifier"],
            "learning rate": table["learning_rate"],
            "seeds (failed, successful)": (
                table["failed_seed"].astype(str) + ", " + table["successful_seed"].astype(str)
            ),
            **{
                f"{point}: loss, gradient": (
                    table[f"loss_{point}"] + ", " + table[f"gradient_norm_{point}"]
                )
                for point in POINTS
            },
            **{
                f"barrier, {name}": table[f"barrier_{name.replace(' ', '_')}"]
                for name in LINE_NAMES
            },
            "failed run": table["basin"],
            "loss on the plane": table["lowest_loss"] + " to " + table["highest_loss"],
        }
    )


def main() -> None:
    options = parse(parser(__doc__))
    paths = tuple(options.results / f"loss_surfaces{end}.csv" for end in ("", "_lines"))
    surfaces, lines = read_csv(paths[0], NEEDED), read_csv(paths[1], NEEDED_LINES)
    belong(lines, surfaces, paths[::-1], PAIR)
    if surfaces["a"].nunique() < 2 or surfaces["b"].nunique() < 2:
        raise BadInput(
            f"{options.results / 'loss_surfaces.csv'} has fewer than 2 x 2 points, too few "
            "for a surface; is it cut? run experiments/loss_surfaces.py again"
        )
    save(draw(surfaces), options.figures / "loss_surfaces")
    save(draw_lines(lines), options.figures / "loss_surfaces_lines")
    points = table(surfaces, lines)
    save_table(
        points,
        options.figures / "loss_surfaces",
        "Loss surfaces (paper: Figs 7 and 13)",
        "Loss (nats) and L2 norm of the gradient at the three models, read at the ends of the"
        " straight lines between them. Barrier: highest loss on a line above the larger of its two"
        " ends. Failed run: separated if the barrier on the line from the failed to the successful"
        f" run is above {BARRIER} nats, otherwise not separated. The rule looks at the straight"
        " line only: a curved path may go round a barrier. Classifier: whose initial classifier"
        " stands at the pre-trained point.",
        readable(points),
    )
    barriers = table_of_lines(lines)
    save_table(
        barriers,
        options.figures / "loss_surfaces_lines",
        "The loss between failed and successful runs",
        "On the straight line from a failed to a successful run, each run in one pair: how many"
        " pairs are separated, by the same rule, with the 95 % Wilson interval of the share;"
        " barriers in nats.",
        readable_lines(barriers),
    )


if __name__ == "__main__":
    run_command(main)

"""Figure and tables of experiments/benchmark: seconds per step beside others' and the machine's
limit; how cost grows.

Paper   : none.
Command : python -m analysis.benchmark --profile mini
Reads   : results/<profile>/benchmark.csv
Writes  : figures/<profile>/benchmark.png, .pdf, .md, .csv; benchmark_machine.md, .csv;
          benchmark_growth.md, .csv
"""

import matplotlib.pyplot as plt
import pandas as pd

from analysis.shared.names import model_name, number, task_name
from analysis.shared.reading import BadInput, NothingToDraw, parse, parser, read_csv, run_command
from analysis.shared.style import WITH, panels, save
from analysis.shared.tables import save_table

ORDER = ["official", "trainer", "plain", "ours", "limit"]
NAMES = {
    "official": "the released code's loop",
    "trainer": "Hugging Face's Trainer",
    "plain": "ours, padded (--plain)",
    "ours": "ours",
    "limit": "limit: matrix products\nand AdamW's bytes",
}
NEEDED = [
    "part",
    "task",
    "model",
    "data",
    "name",
    "dtype",
    "seconds",
    "threads",
    "device",
    "load",
    "cores",
]
APART = ["contenders", "machine"]  # parts of the CSV that are not about how cost grows


def steps(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per task, contender and arithmetic: median, least and most milliseconds per step over
    the rounds, and as a multiple of ours in the same arithmetic and of ours in float32."""
    times = (
        1000
        * rows[rows["part"] == "contenders"].set_index(["task", "model", "data", "name", "dtype"])[
            "seconds"
        ]
    )
    table = (
        times.groupby(level=list(range(5)))
        .agg(["median", "min", "max", "size"])
        .reset_index()
        .rename(columns={"size": "rounds"})
    )
    table["place"] = table["name"].map(ORDER.index)
    table = table.sort_values(
        ["task", "model", "dtype", "place"], ascending=[True, True, False, True]
    ).drop(columns="place")
    ours = {
        (*key, dtype): median
        for *key, name, dtype, median in table[
            ["task", "model", "name", "dtype", "median"]
        ].itertuples(index=False)
        if name == "ours"
    }
    table["times_ours"] = [
        median / ours.get((task, model, dtype), float("nan"))
        for task, model, dtype, median in table[["task", "model", "dtype", "median"]].itertuples(
            index=False
        )
    ]
    table["times_ours_float32"] = [
        median / ours.get((task, model, "float32"), float("nan"))
        for task, model, median in table[["task", "model", "median"]].itertuples(index=False)
    ]
    return table.reset_index(drop=True)


def machine(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per contender, arithmetic and way to use the cores: steps per minute of the whole
    machine, and how many times as many the best way of ours in float32 makes."""
    table = rows[rows["part"] == "machine"].copy()
    if table.empty:
        return table
    table["steps_per_minute"] = 60 / table["seconds"]
    best = table.loc[
        (table["name"] == "ours") & (table["dtype"] == "float32"), "steps_per_minute"
    ].max()
    table["ours_makes"] = best / table["steps_per_minute"]
    return table.astype({"processes": int, "threads": int})[
        ["task", "name", "dtype", "processes", "threads", "steps_per_minute", "ours_makes"]
    ].reset_index(drop=True)


def growth(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per measurement: what grew, seconds per run or step, memory."""
    grown = rows[~rows["part"].isin(APART)]
    if grown.empty:
        return grown
    columns = [
        "part",
        "task",
        "runs",
        "workers",
        "examples",
        "layers",
        "seconds",
        "seconds_inside",
        "megabytes",
    ]
    return (
        grown.reindex(columns=columns)
        .astype(dict.fromkeys(columns[2:6], "Int64"))
        .sort_values(columns[:6], ignore_index=True)
    )


def draw(table: pd.DataFrame, processor: str) -> plt.Figure:
    """A panel a task: a bar for each contender, its length the median time of a step, a line
    from the least to the most."""
    groups = list(table.groupby(["task", "model", "data"], sort=True))
    figure, grid = panels(
        1, len(groups), 5.2, 0.6 + 0.5 * max(len(group) for _, group in groups), sharex=False
    )
    for axes, ((task, model, data), group) in zip(grid, groups, strict=True):
        group = group.iloc[::-1].reset_index(drop=True)
        colors = [WITH if name == "ours" else "0.75" for name in group["name"]]
        axes.barh(
            group.index,
            group["median"],
            color=colors,
            edgecolor="black",
            linewidth=0.6,
            xerr=[group["median"] - group["min"], group["max"] - group["median"]],
            capsize=3,
        )
        for i, row in group.iterrows():
            axes.annotate(
                f"{number(row['median'])} ms"
                + (f", {row['times_ours']:.2g} times ours" if row["name"] != "ours" else ""),
                (row["max"], i),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_yticks(
            group.index,
            [
                NAMES[name] + ("" if dtype == "float32" else f", {dtype}")
                for name, dtype in group[["name", "dtype"]].itertuples(index=False)
            ],
        )
        axes.set_xlim(0, 1.6 * group["max"].max())
        axes.set_xlabel(
            f"milliseconds per step of 16 examples\n(median of {group['rounds'].min()} rounds,"
            " least to most)"
        )
        axes.set_title(f"{task_name(task, data)}, {model_name(model, data)}; {processor}")
    return figure


def main() -> None:
    options = parse(parser(__doc__))
    rows = read_csv(options.results / "benchmark.csv", NEEDED)
    if unknown := set(rows["name"]) - set(NAMES):
        raise BadInput(f"benchmark.csv has the name {min(unknown)!r}; expected {', '.join(NAMES)}")
    table, whole, grown, first = steps(rows), machine(rows), growth(rows), rows.iloc[0]
    if table.empty:
        raise NothingToDraw("nothing to draw: benchmark.csv has no measurement of a step")
    processor = f"{first['threads']} thread(s) of {first['device']}"
    save(draw(table, processor), options.figures / "benchmark")
    where = (
        f"{first['threads']} thread(s) of {first['cores']} cores, {first['device']}, load average"
        f" before and during {rows['load'].min():.1f} to {rows['load'].max():.1f}"
    )
    save_table(
        table,
        options.figures / "benchmark",
        "A step of training, in milliseconds",
        "The same examples in the same batches of 16, the contenders one after the other in every"
        f" round, each round beginning with another; {where}. times ours: how many times as long as"
        " ours in the same arithmetic; of the limit, the share of our time that goes into"
        " arithmetic that has to be done. Limit: the floating-point operations of the useful"
        " tokens at the rate of a large matrix product measured in the same round, and 28 bytes a"
        " parameter for AdamW at the rate of a copy of that size. The Trainer makes its optimiser"
        " anew in every round, a few per cent of its time.",
        table.assign(
            model=[model_name(*pair) for pair in zip(table["model"], table["data"], strict=True)]
        ).drop(columns="data"),
    )
    if len(whole):
        save_table(
            whole,
            options.figures / "benchmark_machine",
            "Steps per minute of the whole machine",
            f"The same contenders as in benchmark.md, on all {first['cores']} cores: one process"
            " with a thread a core, as a script that is simply started runs, or as many processes"
            " as cores with one thread each, as this repository's sweeps run. ours makes: how many"
            " times as many steps ours makes in the better of its two ways, float32.",
            whole,
        )
    if len(grown):
        short = grown.assign(
            **{name: grown[name].map(number) for name in ("seconds", "seconds_inside", "megabytes")}
        )
        save_table(
            grown,
            options.figures / "benchmark_growth",
            "How the cost of a run grows",
            f"Runs of one epoch with their start, evaluation and end; {where}. What grows stands in"
            " the first column: runs of a sweep (and workers, which had started before), examples,"
            " layers (random weights), the last two each as one run in a process of its own."
            " seconds: of a sweep's whole, divided by its runs; seconds inside: median of the"
            " runs' own time; megabytes: most memory of the process. stacked: seconds per 16"
            " examples of a step with `runs` times 16 examples, less than which a step of so many"
            " stacked models cannot take.",
            short.astype(object).fillna("-"),
        )


if __name__ == "__main__":
    run_command(main)

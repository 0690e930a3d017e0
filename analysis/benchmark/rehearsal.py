"""Tables of experiments/benchmark/rehearsal.py: what a step of each kind of run costs here, and
the study's plan with that.

Paper   : none; a check of a machine.
Command : python -m analysis.benchmark.rehearsal --profile paper
Reads   : results/<profile>/rehearsal.csv
Writes  : figures/<profile>/rehearsal.md, .csv; rehearsal_plan.md, .csv
"""

import pandas as pd

from analysis.shared.names import TASK_NAMES, number
from analysis.shared.reading import parse, parser, read_csv, run_command
from analysis.shared.tables import save_table

NEEDED = ["part", "model", "task", "dtype", "weights", "data", "device", "load", "cores", "wrong"]
TRIALS = ["model", "task", "kind"]
COSTS = {
    "seconds_per_step": "s a step",
    "tokens_per_step": "tokens a step",
    "evaluation_seconds_per_example": "s a dev example",
    "seconds_per_block": "s a block",
    "seconds_per_example": "s an example of a point",
    "load_seconds": "s to load",
    "memory_gb": "GB",
    "first_loss": "first loss",
}
PLAN = ["experiment", "runs", "optimizer_steps", "hours", "hours_training", "hours_evaluating"]
PLAN += ["hours_loading", "hours_measuring", "memory_gb", "disk_gb"]


def trials(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per trial, in the order of the study's kinds; what was not measured is missing."""
    table = rows[rows["part"] == "trial"].reindex(columns=[*TRIALS, *COSTS, "wrong"])
    table["wrong"] = table["wrong"].astype(object).fillna("")  # empty if nothing is wrong
    models = [model.split("@")[0].split("/")[-1] for model in table["model"]]
    return table.assign(model=models).reset_index(drop=True)


def plan(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment, all together last."""
    table = rows[rows["part"] == "plan"].reindex(columns=PLAN)
    last = table["experiment"] == "all together"
    table = pd.concat([table[~last].sort_values("experiment"), table[last]], ignore_index=True)
    return table.astype({"runs": int, "optimizer_steps": int})


def for_reading(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with the digits that count, names with spaces, "-" where nothing is."""
    short = {}
    for column in table:
        values = table[column]
        if values.dtype.kind == "f":
            values = values.map(number)
        elif values.dtype.kind == "i":
            values = values.map("{:,}".format)
        elif column == "task":
            values = values.map(lambda task: TASK_NAMES.get(task, task))
        short[COSTS.get(column, str(column).replace("_", " "))] = values
    return pd.DataFrame(short).replace({"nan": "-", "": "-"})


def main() -> None:
    options = parse(parser(__doc__))
    rows = read_csv(options.results / "rehearsal.csv", NEEDED)
    first, tried, planned = rows.iloc[0], trials(rows), plan(rows)
    wrong = rows.loc[rows["part"] == "verdict", "wrong"].astype(object).fillna("").iloc[0]
    on_cpu = first["device"] == "cpu"
    where = (
        f"{first['weights']} weights, data: {first['data']}, {first['dtype']}, {first['device']}"
        + (", one thread, time of this process alone" if on_cpu else "")
        + f" (load average {first['load']:.0f} on {first['cores']} cores)"
    )
    save_table(
        tried,
        options.figures / "rehearsal",
        "Rehearsal: not ready" if wrong else "Rehearsal: ready",
        f"Three steps of 16 examples of every kind of run; {where}. s a step: mean of the second"
        " and third. GB: the most that "
        + ("the process took, Python and packages included" if on_cpu else "tensors took there")
        + "; of perplexity and surface while they are measured. first loss: nats, ln 2 = 0.69 is"
        " expected about.",
        for_reading(tried),
    )
    if len(planned):
        save_table(
            planned,
            options.figures / "rehearsal_plan",
            "The study's plan with the rehearsal's costs",
            f"{where}. Hours on one such device, one run at a time: training, evaluations of dev,"
            " loading, and what is measured on trained models. Experiments share runs, so that all"
            " together is less than the sum. GB: the most of any run or measurement; disk gb:"
            " records, and the weights that are kept until some are picked.",
            for_reading(planned),
        )


if __name__ == "__main__":
    run_command(main)

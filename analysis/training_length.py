"""Figure and table of experiments/training_length.py: dev scores by length of training, learning
rate and bias correction.

Paper   : Mosbach et al. 2021 (ICLR), section 6, Fig. 9.
Command : python -m analysis.training_length --profile mini
Reads   : results/<profile>/training_length.csv
Writes  : figures/<profile>/training_length.png, .pdf, .md, .csv
"""

import matplotlib.pyplot as plt
import pandas as pd

from analysis.shared.limits import share_scores
from analysis.shared.names import by_task, rate_name, setting_name, task_name
from analysis.shared.reading import parse, parser, read_csv, run_command
from analysis.shared.statistics import over_seeds
from analysis.shared.style import CORRECTION_HANDLES, box_legend, correction_panel, panels, save
from analysis.shared.tables import PANEL, SCORES_NOTE, readable, save_table

SETTING = [*PANEL, "epochs", "learning_rate", "bias_correction"]
NEEDED = [*SETTING, "metric", "score", "majority_level", "failed", "diverged"]


def draw(runs: pd.DataFrame) -> plt.Figure:
    """A line of panels a task and model, a panel for each length, a pair of boxes for each
    learning rate (paper, Fig. 9)."""
    lines = by_task(runs.groupby(PANEL, sort=True))
    length_count = max(line["epochs"].nunique() for _, line in lines)
    figure, grid = panels(
        len(lines), length_count, max(2.8, 0.5 + runs["learning_rate"].nunique()), sharey="row"
    )
    for i, ((task, model, data, dtype, pretrained), line) in enumerate(lines):
        of_line = grid[i * length_count : (i + 1) * length_count]
        by_length = list(line.groupby("epochs", sort=True))
        for axes in of_line[len(by_length) :]:
            axes.set_visible(False)
        for axes, (epochs, panel) in zip(of_line, by_length, strict=False):
            correction_panel(axes, panel)
            if axes is not of_line[0]:
                axes.set_ylabel("")
            setting = setting_name(model, data, dtype, pretrained, f"{epochs} epochs")
            axes.set_title(f"{task_name(task, data)}\n{setting}")
        share_scores(of_line[0], line)
    box_legend(figure, CORRECTION_HANDLES)
    return figure


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and failures over the seeds of each length, learning rate and optimiser."""
    result = over_seeds(runs, SETTING)
    return result.assign(learning_rate=result["learning_rate"].map(rate_name))


def main() -> None:
    options = parse(parser(__doc__))
    runs = read_csv(options.results / "training_length.csv", NEEDED)
    save(draw(runs), options.figures / "training_length")
    settings = table(runs)
    save_table(
        settings,
        options.figures / "training_length",
        "Length of training (paper: Fig. 9)",
        SCORES_NOTE,
        readable(settings),
    )


if __name__ == "__main__":
    run_command(main)

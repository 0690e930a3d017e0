"""Figure and tables of experiments/effective_learning_rate.py: which summary of a run's learning
rates tells whether it fails, and does bias correction explain anything beside it?

Paper   : Mosbach et al. 2021 (ICLR), section 5.1 and Fig. 6.
Command : python -m analysis.effective_learning_rate --profile mini
Reads   : results/<profile>/effective_learning_rate.csv
Writes  : figures/<profile>/effective_learning_rate.png, .pdf, .md, .csv: a row a setting;
          effective_learning_rate_models.md, .csv: logistic regressions of failure

The three summaries, of all steps t with schedule s(t), linear warm-up and linear decay:
- largest: max of s(t) in units of the unbiased moments, without correction times
  (1 - b1^t) / sqrt(1 - b2^t);
- by the paper's convention: max of s(t) as it stands without correction, with it times
  sqrt(1 - b2^t) / (1 - b1^t) (Fig. 6);
- sum: of the first one's values over the steps.
"""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from scipy import optimize, stats

from analysis.shared.names import p_name, rate_name, setting_name, task_name
from analysis.shared.reading import NothingToDraw, parse, parser, read_csv, run_command
from analysis.shared.statistics import (
    FEWEST_FOR_INTERVAL,
    RATE_COLUMNS,
    effective_rates,
    over_seeds,
    planned_steps,
    rate_columns,
    wilson_interval,
)
from analysis.shared.style import WITH, WITHOUT, panels, save
from analysis.shared.tables import PANEL, readable, save_table

SETTING = [*PANEL, "epochs", "learning_rate", "bias_correction", "warmup_ratio", "adam_beta2"]
SEEDS = ["head_seed", "order_seed", "dropout_seed"]
NEEDED = [*SETTING, *RATE_COLUMNS, *SEEDS, "score", "failed", "diverged", "first_layer_gradient"]
SUMMARIES = {
    "largest": "largest effective rate",
    "paper": "largest by the paper's convention",
    "sum": "sum of effective rates",
}
FLOOR = 1e-8  # gradient norms below it are drawn there: a log axis has no place for 0
LOOKS = {False: (WITHOUT, "s", "-"), True: (WITH, "o", "--")}  # by correction
RIDGE = 1e-3  # on the standardised slopes: without it a rate that parts all runs has no best slope
FEWEST = 20  # runs of each fate for a regression


def summaries(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column for each summary."""
    runs = runs.assign(steps=planned_steps(runs))
    kinds = runs[rate_columns(runs)].drop_duplicates()
    rows = []
    for kind in kinds.itertuples(index=False):
        effective = effective_rates(*kind)
        t = np.arange(1, kind.steps + 1.0)
        factor = np.sqrt(1 - kind.adam_beta2**t) / (1 - kind.adam_beta1**t)
        # without correction the factors cancel, and the schedule is left
        rows.append((effective.max(), (effective * factor).max(), effective.sum()))
    named = pd.DataFrame(rows, columns=list(SUMMARIES), index=kinds.index)
    return runs.merge(kinds.join(named), on=rate_columns(runs))


class Fit(NamedTuple):
    """A logistic regression of failure."""

    of_each: np.ndarray  # log likelihood of each run [runs]
    coefficients: np.ndarray  # of the standardised columns, the constant first

    @property
    def log_likelihood(self) -> float:
        return float(self.of_each.sum())


def logistic(columns: np.ndarray, failed: np.ndarray) -> Fit:
    """Failure [runs] on columns [runs, columns], standardised, with a small ridge."""
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    design = np.column_stack([np.ones(len(failed)), scaled])
    sign = np.where(failed, -1.0, 1.0)

    def loss(weights: np.ndarray) -> float:
        ridge = RIDGE * (weights[1:] ** 2).sum()
        return float(np.logaddexp(0, sign * (design @ weights)).sum() + ridge)

    def slope(weights: np.ndarray) -> np.ndarray:
        wrong = 1 / (1 + np.exp(-np.clip(sign * (design @ weights), -500, 500)))
        ridge = np.concatenate([[0.0], 2 * RIDGE * weights[1:]])
        return design.T @ (sign * wrong) + ridge

    found = optimize.minimize(loss, np.zeros(design.shape[1]), jac=slope, method="BFGS")
    return Fit(-np.logaddexp(0, sign * (design @ found.x)), found.x)


def behind(best: Fit, other: Fit, runs: pd.DataFrame) -> str:
    """How far another summary's log likelihood lies behind the best one's on the same runs, with a
    95 % interval over seeds (Vuong 1989; runs with the same seeds are one draw)."""
    of_seeds = (
        pd.Series(best.of_each - other.of_each, index=runs.index)
        .groupby([runs[name] for name in SEEDS])
        .sum()
    )
    n, lead = len(of_seeds), of_seeds.sum()
    if n < FEWEST_FOR_INTERVAL or best is other:
        return f"{lead:.1f}"
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(n) * of_seeds.std()
    return f"{lead:.1f} ({lead - half:.1f} to {lead + half:.1f})"


def beside(summary: pd.Series, runs: pd.DataFrame, more: str) -> tuple[float, float]:
    """Likelihood-ratio statistic and p of one more column beside log10 of a summary."""
    failed = runs["failed"].to_numpy(dtype=bool)
    one = np.log10(summary.to_numpy())[:, None]
    other = np.column_stack([one, runs[more].astype(float)])
    ratio = 2 * (logistic(other, failed).log_likelihood - logistic(one, failed).log_likelihood)
    return ratio, float(stats.chi2.sf(max(ratio, 0), 1))


def models(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a task, model and summary: how well it tells failure, and what else explains."""
    rows = []
    for panel, group in runs.groupby(PANEL, sort=True):
        failed = group["failed"].to_numpy(dtype=bool)
        if min(failed.sum(), (~failed).sum()) < FEWEST:
            continue
        fits = {name: logistic(np.log10(group[[name]].to_numpy()), failed) for name in SUMMARIES}
        best = max(fits.values(), key=lambda fit: fit.log_likelihood)
        for name, says in SUMMARIES.items():
            row = {
                **dict(zip(PANEL, panel, strict=True)),
                "summary": says,
                "n": len(group),
                "failed": int(failed.sum()),
                "log likelihood": fits[name].log_likelihood,
                "behind the best": behind(best, fits[name], group),
            }
            for column in ("bias_correction", "warmup_ratio", "adam_beta2"):
                ratio, p = beside(group[name], group, column)
                row[f"{column.replace('_', ' ')}: chi2(1)"] = ratio
                row[f"{column.replace('_', ' ')}: p"] = p_name(p)
            rows.append(row)
    return pd.DataFrame(rows)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores, failures and summaries of each setting, by the largest effective rate."""
    result = over_seeds(runs, SETTING)
    also = runs.groupby(SETTING, dropna=False)[["paper", "sum"]].first().reset_index()
    result = result.merge(also, on=SETTING).sort_values("largest_effective_rate", kind="stable")
    for column in ("learning_rate", "paper", "sum"):
        result[column] = [rate_name(float(f"{value:.2e}")) for value in result[column]]
    return result.rename(columns={"paper": "paper's convention", "sum": "sum over steps"})


def draw(runs: pd.DataFrame) -> plt.Figure:
    """A line a task and model: share of failed runs over the largest effective rate and over the
    sum of the rates, and the first layer's gradient at the end."""
    groups = list(runs.groupby(PANEL, sort=True))
    figure, grid = panels(len(groups), 3, 3.2, 3.4)
    for i, ((task, model, data, dtype, pretrained), group) in enumerate(groups):
        shares, by_sum, gradients = grid[3 * i : 3 * i + 3]
        draw_shares(shares, group, "largest", "largest effective learning rate")
        draw_shares(by_sum, group, "sum", "sum of the effective rates")
        draw_gradients(gradients, group)
        shares.set_title(f"{task_name(task, data)}\n{setting_name(model, data, dtype, pretrained)}")
        sizes = sorted(set(group.groupby(SETTING, dropna=False).size()))
        by_sum.set_title(f"n = {' or '.join(map(str, sizes))} a setting")
        gradients.set_title(f"{group['failed'].sum()} of {len(group)} runs failed")
    figure.legend(
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
        handles=[
            *[
                Line2D([], [], color=color, marker=marker, linestyle=line, label=label)
                for (color, marker, line), label in zip(
                    LOOKS.values(), ("without bias correction", "with it"), strict=True
                )
            ],
            Line2D([], [], color="0.3", linestyle="none", marker="o", label="filled: failed run"),
            Line2D([], [], color="0.3", label="curve: logistic fit"),
            Line2D([], [], color="0.3", linewidth=0.9, label="upright: 95 % interval (Wilson)"),
        ],
    )
    return figure


def label_rates(axes: plt.Axes) -> None:
    """1e-3 and, of what lies between, 2 and 5 times a power of ten: more would overlap."""
    axes.xaxis.set_major_formatter(lambda x, _: rate_name(x))
    axes.xaxis.set_minor_formatter(lambda x, _: rate_name(x) if f"{x:e}"[0] in "25" else "")


def draw_shares(axes: plt.Axes, group: pd.DataFrame, summary: str, name: str) -> None:
    """A mark a setting with Wilson's interval, and a logistic curve for each kind of run, over one
    of SUMMARIES."""
    for corrected, (color, marker, line) in LOOKS.items():
        of_kind = group[group["bias_correction"] == corrected]
        for _, seeds in of_kind.groupby(SETTING[len(PANEL) :], sort=True):
            failed, n = int(seeds["failed"].sum()), len(seeds)
            low, high = wilson_interval(failed, n)
            x = seeds[summary].iloc[0]
            axes.plot([x, x], [100 * low, 100 * high], color=color, linewidth=0.9, alpha=0.7)
            axes.plot(x, 100 * failed / n, marker, color=color, markersize=5)
        fates = of_kind["failed"].to_numpy(dtype=bool)
        if len(fates) and 0 < fates.sum() < len(fates):
            logs = np.log10(of_kind[summary].to_numpy())
            at = np.linspace(logs.min(), logs.max(), 100)
            fit = logistic(logs[:, None], fates)
            scaled = (at - logs.mean()) / (logs.std() or 1)
            chance = 1 / (1 + np.exp(-(fit.coefficients[0] + fit.coefficients[1] * scaled)))
            axes.plot(10**at, 100 * chance, line, color=color, linewidth=1.3)
    axes.set_xscale("log")
    axes.set(ylim=(-3, 103), ylabel="failed runs (%)", xlabel=name)
    label_rates(axes)


def draw_gradients(axes: plt.Axes, group: pd.DataFrame) -> None:
    """The first layer's gradient at the end of each run; filled if it failed."""
    for corrected, (color, marker, _) in LOOKS.items():
        for failed in (False, True):
            runs = group[(group["bias_correction"] == corrected) & (group["failed"] == failed)]
            face = color if failed else "none"
            axes.plot(
                runs["largest"],
                runs["first_layer_gradient"].clip(lower=FLOOR),
                marker,
                color=color,
                markerfacecolor=face,
                markersize=3.5,
                alpha=0.6,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(
        xlabel="largest effective learning rate",
        ylabel=f"first layer's gradient at the end\n(L2 norm; below {rate_name(FLOOR)}: there)",
    )
    label_rates(axes)


def main() -> None:
    options = parse(parser(__doc__))
    path = options.results / "effective_learning_rate.csv"
    runs = summaries(read_csv(path, NEEDED))
    if runs["largest"].nunique() < 3:
        raise NothingToDraw(
            f"nothing to draw: {path.name} has fewer than three effective rates, as in a first"
            " look; --seeds 26-50 asks for all"
        )
    save(draw(runs), options.figures / "effective_learning_rate")
    save_table(
        table(runs),
        options.figures / "effective_learning_rate",
        "Effective learning rates: what each setting makes of the schedule",
        "Dev scores in percent points over n seeds, by the largest effective rate; failed: at or"
        " below the majority level. Paper's convention: largest rate in its units (Fig. 6: without"
        " correction the schedule, with it times sqrt(1 - b2^t) / (1 - b1^t)). Sum: of the"
        " effective rates over the steps.",
        readable(table(runs)),
    )
    found = models(runs)
    if len(found):
        save_table(
            found,
            options.figures / "effective_learning_rate_models",
            "Which summary of the learning rates tells failure?",
            "Logistic regressions of failed or not on log10 of each summary, on the same runs: the"
            " higher the log likelihood, the better; how far it lies behind the best, with a 95 %"
            " interval over seeds (Vuong 1989). Beside it one more column each:"
            f" likelihood-ratio statistic and p, not adjusted. A ridge of {RIDGE:g} on standardised"
            " slopes keeps them finite where a rate parts all runs. For p runs count as"
            " independent, though settings share seeds.",
            readable(found),
        )


if __name__ == "__main__":
    run_command(main)

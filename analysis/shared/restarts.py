"""What stopping a run early and starting the next one gains, at an equal budget of steps.

From runs that were trained to their end, so that each says both what it looked like early and what
it would have become. A budget is spent on runs drawn with replacement, as in Dodge et al. 2020; the
expectations over these draws are exact.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.shared.early_rule import SIGNS, risk, threshold
from analysis.shared.names import rate_name, setting_name, task_name
from analysis.shared.statistics import FEWEST_FOR_INTERVAL
from analysis.shared.style import LINES, save, write_in
from analysis.shared.tables import PANEL, readable, save_table

SHARE = 0.3  # of the steps, after which a run is judged
SETTING = ["bias_correction", "epochs", "learning_rate"]
TAKE, BEST, FIRST, RESTART = (
    "take what comes",
    "best of n",
    "restart, keep the first to end",
    "restart, keep the best to end",
)
# a policy: whether it stops runs, whether it goes on after the first that ends
POLICIES = {TAKE: (False, False), BEST: (False, True), FIRST: (True, False), RESTART: (True, True)}
BUDGETS = (1, 2, 3, 4, 5)  # in whole runs
SHOWN = {TAKE: (1,), BEST: (2, 3, 5), FIRST: (5,), RESTART: (2, 3, 5)}  # budgets in the table
AGAINST = {TAKE: TAKE, BEST: BEST, FIRST: TAKE, RESTART: BEST}  # what a policy is held against
MEASURED = {"score": "mean score", "failed": "failed (%)", "steps": "spent (runs)"}
DRAWS = 1000  # of the bootstrap
MOST_COLUMNS = 4  # of a figure, beside each other on a page


def best_below(
    below: np.ndarray, kept: np.ndarray, budget: int, costs: tuple[int, int], goes_on: bool
) -> tuple[np.ndarray, np.ndarray]:
    """How likely the best run that ends is at or below each level of score [draws, levels], and
    the steps spent on average [draws], with `budget` steps.

    below: the chance that a run ends at or below each level; kept: that it does and is not stopped.
    The last level is the highest of all. costs: steps until a run may be stopped, and of a whole
    run. A run is started only if the budget lets it end, and as long as none has ended it is not
    stopped where no other could end after it: so one always does. Not goes_on: the first that ends
    is taken, the rest of the budget saved.
    """
    early, whole = costs
    not_stopped = kept[:, -1]
    one, none = np.ones_like(below), np.zeros_like(not_stopped)

    @cache
    def spend(left: int, has_ended: bool) -> tuple[np.ndarray, np.ndarray]:
        if left < whole:
            return one, none
        if not has_ended and left - early < whole:
            return below, none + whole
        after_stop, more = spend(left - early, has_ended)
        after_end, further = spend(left - whole, True) if goes_on else (one, none)
        steps = not_stopped * (whole + further) + (1 - not_stopped) * (early + more)
        return kept * after_end + (1 - not_stopped)[:, None] * after_stop, steps

    return spend(budget, False)


def spent(
    runs: pd.DataFrame,
    weights: np.ndarray,
    flagged: np.ndarray,
    policy: tuple[bool, bool],
    budget: int,
) -> np.ndarray:
    """Expected score, chance that what is kept has failed, and runs' worth of steps spent
    [draws, 3] with a budget of so many whole runs of one setting.

    weights: how often each run counts [draws, runs]; flagged: whether it would be stopped.
    """
    stops, goes_on = policy
    levels, level = np.unique(runs["score"], return_inverse=True)
    at_or_below = runs["score"].to_numpy()[:, None] <= levels
    share = weights / weights.sum(axis=1, keepdims=True)
    below, kept = share @ at_or_below, (share * ~(flagged & stops)) @ at_or_below
    whole = int(runs["steps"].iloc[0])
    early = round(runs["share"].iloc[0] * whole)
    best, steps = best_below(below, kept, budget * whole, (early, whole), goes_on)
    chance = np.diff(best, axis=1, prepend=0)
    failed = np.bincount(level, runs["failed"]) / np.bincount(level)  # runs of equal score
    return np.stack([chance @ levels, chance @ failed, steps / whole], axis=1)


def drawn_seeds(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed counts [1 + DRAWS, seeds], once in the first line and as the bootstrap
    draws them in the others, and in which half it is, 0 or 1: seeds in turn. Drawn within halves,
    so that no seed is in both."""
    random, half = np.random.default_rng(1), np.arange(len(seeds)) % 2
    counts = np.ones((1 + DRAWS, len(seeds)))
    for side in (0, 1):
        inside = np.flatnonzero(half == side)
        drawn = random.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), DRAWS)
        counts[1:, inside] = drawn
    return counts, half


def held_out(chosen_on: pd.DataFrame, judged_on: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Each policy and budget on the runs `judged_on`, of one setting, with the sign in `column`:
    score and failed in percent points, whole runs' worth of steps, what the first two differ by
    from the policy that it is held against, each with its 95 % interval.

    The threshold is chosen on the runs `chosen_on` of one half of the seeds and judged on those of
    the other, both ways, averaged. Intervals: percentiles of a bootstrap over the seeds, which
    chooses the threshold anew each time.
    """
    seeds = np.unique(judged_on["seed"])
    counts, half = drawn_seeds(seeds)
    chosen_on = chosen_on[chosen_on["seed"].isin(seeds)]
    risks, failed = risk(chosen_on, column), chosen_on["failed"].to_numpy(dtype=bool)
    place = np.searchsorted(seeds, chosen_on["seed"])
    sides: dict[tuple[str, int], list[np.ndarray]] = {}
    for side in (0, 1):
        cuts = []
        for counted in (counts * (half != side))[:, place].astype(int):
            cuts.append(threshold(np.repeat(risks, counted), np.repeat(failed, counted)))
        unseen = np.searchsorted(seeds, judged_on["seed"])
        runs, weights = judged_on[half[unseen] == side], counts[:, unseen[half[unseen] == side]]
        flagged = risk(runs, column) >= np.array(cuts)[:, None]
        for name, policy in POLICIES.items():
            for budget in BUDGETS:
                result = spent(runs, weights, flagged, policy, budget)
                sides.setdefault((name, budget), []).append(result)
    means = {key: np.mean(both, axis=0) for key, both in sides.items()}
    rows = []
    for (name, budget), mean in means.items():
        gained = (mean - means[AGAINST[name], budget])[:, :2]
        # without the last digits, which differ between machines
        values = np.round(np.hstack([mean * [100, 100, 1], 100 * gained]), 6) + 0.0
        row: dict[str, Any] = {"policy": name, "budget": budget}
        for i, what in enumerate([*MEASURED, "score_gained", "failed_gained"]):
            low, high = np.percentile(values[1:, i], [2.5, 97.5])
            row |= {what: values[0, i], f"{what}_low": low, f"{what}_high": high}
        rows.append(row)
    return rows


def restarts(early: pd.DataFrame) -> pd.DataFrame:
    """held_out for every setting of enough seeds and both signs; thresholds from the runs without
    correction of the same task and model, all their rates together."""
    rows, judged = [], early[early["share"] == SHARE]
    for panel, of_panel in judged.groupby(PANEL, sort=True):
        uncorrected = of_panel[~of_panel["bias_correction"].astype(bool)]
        for setting, runs in of_panel.groupby(SETTING, sort=True):
            if runs["seed"].nunique() < FEWEST_FOR_INTERVAL:
                continue
            said = dict(zip([*PANEL, *SETTING], [*panel, *setting], strict=True))
            said |= {"n": len(runs), "failed_of_n": int(runs["failed"].sum())}
            for sign, column in SIGNS.items():
                for row in held_out(uncorrected, runs, column):
                    rows.append({**said, "sign": sign, **row})
    return pd.DataFrame(rows, columns=None if rows else [*PANEL, *SETTING, "policy"])


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table to read: what no sign changes once, and the budgets in SHOWN."""
    rows = []
    for _, row in table.iterrows():
        policy, stops = row["policy"], POLICIES[row["policy"]][0]
        again = not stops and row["sign"] != next(iter(SIGNS))
        if again or row["budget"] not in SHOWN[policy]:
            continue
        cells = {name: row[name] for name in [*PANEL, "bias_correction"]}
        cells |= {"learning rate": rate_name(row["learning_rate"]), "n": row["n"]}
        cells |= {"runs failed": row["failed_of_n"], "policy": policy}
        cells |= {"budget (runs)": row["budget"], "stops by": row["sign"] if stops else "-"}
        for name, title in MEASURED.items():
            cells[title] = with_interval(row, name)
        cells["against"] = AGAINST[policy] if stops else "-"
        for name in ("score", "failed"):
            cells[f"{name}, difference"] = with_interval(row, f"{name}_gained") if stops else "-"
        rows.append(cells)
    return readable(pd.DataFrame(rows)) if rows else pd.DataFrame(columns=["model", "policy"])


def with_interval(row: pd.Series, name: str) -> str:
    """A value with its interval; alone where it cannot vary."""
    digits = 2 if name == "steps" else 1
    value, low, high = (
        f"{round(row[part], digits) + 0.0:.{digits}f}"
        for part in (name, f"{name}_low", f"{name}_high")
    )
    return value if low == high else f"{value} ({low} to {high})"


def draw(table: pd.DataFrame, few: int) -> plt.Figure:
    """Of each setting, one panel above the other: mean score and share of failures over the
    budget, by policy; runs are stopped by the first layer's gradient. `few`: the most seeds of any
    setting, where none has enough."""
    if table.empty:
        figure, axes = plt.subplots(figsize=(4, 1.2))
        axes.set_axis_off()
        said = f"{few} seeds of a setting:\nexpected {FEWEST_FOR_INTERVAL} or more (--seeds)"
        write_in(axes, said)
        return figure
    runs = table[table["sign"] == next(iter(SIGNS))]
    settings = list(runs.groupby([*PANEL, *SETTING], sort=True))
    lines = math.ceil(len(settings) / MOST_COLUMNS)
    columns = math.ceil(len(settings) / lines)
    figure, grid = plt.subplots(
        2 * lines, columns, squeeze=False, figsize=(max(5.4, 2.6 * columns), 0.8 + 5 * lines)
    )
    # of each line of settings its scores above, its failures below
    of_settings = np.vstack(np.split(grid.T, lines, axis=1))
    for axes in of_settings[len(settings) :].flat:
        axes.set_visible(False)
    for column, (setting, part) in zip(of_settings, settings, strict=False):
        task, model, data, dtype, pretrained, corrected, epochs, rate = setting
        column[0].set_title(
            f"{task_name(task, data)}\n{setting_name(model, data, dtype, pretrained)}, {epochs}"
            f" epochs, {rate_name(rate)}\n{'with' if corrected else 'without'} correction,"
            f" {part['failed_of_n'].iloc[0]} of {part['n'].iloc[0]} failed",
            fontsize=8,
        )
        for axes, name in zip(column, ("score", "failed"), strict=True):
            draw_policies(axes, part, name)
    for scores, failures in zip(grid[::2, 0], grid[1::2, 0], strict=True):
        scores.set_ylabel("mean dev score (%)")
        failures.set_ylabel("failed (%)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        title=f"restart: a run is stopped after {SHARE:.0%} of its steps if its first layer's"
        " gradient\nis below a threshold chosen on other seeds; lines: 95 % bootstrap intervals;"
        " each panel of scores has a range of its own",
        loc="outside lower center",
        ncols=4 if columns > 2 else 2,
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
    return figure


def draw_policies(axes: plt.Axes, table: pd.DataFrame, name: str) -> None:
    """One setting's score or share of failures over the budget, with 95 % intervals."""
    looks = [{"color": "0.45", "linestyle": ":", "marker": "D"}, *LINES]
    for i, (policy, look) in enumerate(zip(POLICIES, looks, strict=True)):
        part = table[table["policy"] == policy].sort_values("budget")
        value, at = part[name], part["budget"] + 0.08 * (i - 1.5)
        # a percentile interval need not hold the value itself
        below = (value - part[f"{name}_low"]).clip(lower=0)
        above = (part[f"{name}_high"] - value).clip(lower=0)
        axes.errorbar(
            at,
            value,
            [below, above],
            **look,
            markersize=3.5,
            linewidth=1.2,
            elinewidth=0.8,
            label=policy,
        )
    axes.set_xticks(BUDGETS)
    axes.set_xlabel("budget (whole runs)")
    if name == "failed":
        axes.set_ylim(-4, 104)


def write_restarts(early: pd.DataFrame, path: Path) -> None:
    """Figure and table of what restarts gain on the runs of an early_signs.csv."""
    policies = restarts(early)
    save(draw(policies, early.groupby([*PANEL, *SETTING])["seed"].nunique().max()), path)
    save_table(
        policies,
        path,
        "Stop a run that is failing and start the next seed",
        "Budgets in whole runs. Take what comes: one run. Best of n: n runs, the best dev score at"
        " the end. Restart: a run is stopped after 30 % of its steps if the sign is beyond a"
        " threshold, and the next seed starts; the first that ends is taken and the rest of the"
        " budget saved, or all is spent and the best that ends taken. A run is started only if the"
        " budget lets it end, and while none has ended it is not stopped where no other could end"
        " after it. Runs are drawn with replacement from those of the setting; the expectation is"
        " exact (for the best of n that of Dodge et al. 2020). Threshold: highest Youden index on"
        " the runs without correction, all rates, of one half of the seeds (every other one);"
        " judged on the other half; both ways, averaged. In brackets: 95 % percentile interval of a"
        " bootstrap over the seeds of each half, thresholds chosen anew; coverage not measured."
        " Scores and failures in percent points. Among several runs the dev score that is reported"
        " also chooses, which flatters, best of n and restarts alike. Settings of"
        f" {FEWEST_FOR_INTERVAL} seeds or more; no rows: there is none.",
        shown(policies),
    )

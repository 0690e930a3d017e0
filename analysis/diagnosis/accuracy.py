"""How often `diagnose` is right: finished runs written out as the Trainer logs them, and judged.

    python -m analysis.diagnosis.accuracy [--stores DIR...] [--trainer-logs DIR] [--choose]

Runs    : the committed curves of results/reference/mini (convergence_pitfalls, and for the rates
          beyond it checkpoint_selection); every run of the stores named, folders of results with
          runs/*.json; the logs that the Trainer itself wrote (tests/analysis/trainer_logs).
Each is : written out with a training record every 10, 50 and 500 steps, or with none, with one
          evaluation an epoch where the run has more and the closing mean of the loss; and as the
          table of these evaluations alone.
Truth   : from the whole run, which the log lacks most of: ten or more evaluations, the loss of each
          step or of ten, and the study's own definition of failed. See truth().
Seeds   : thresholds were chosen on mini's runs with odd seeds (--choose does it again and prints
          them); the tables count those with even seeds, which no threshold has seen, and all logs
          of the Trainer. Of another model too the even seeds are counted.
Writes  : accuracy.csv, .md and runs.csv beside this file.
"""

import json
from dataclasses import replace
from itertools import product
from math import isnan, log
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnosis.chance import FAR, Chance, chance_of
from analysis.diagnosis.finished import (
    EVALUATIONS,
    LEFT,
    REPLACED,
    Curve,
    cases_of,
    committed_curves,
    stored_curves,
    written_out,
)
from analysis.diagnosis.logs import from_json
from analysis.diagnosis.records import Log
from analysis.diagnosis.rule import judge
from analysis.diagnosis.verdict import (
    COLLAPSED,
    LEARNT,
    LIES,
    MEMORISED,
    NEVER,
    NO_NUMBER,
    SMALL,
    Thresholds,
)
from analysis.shared.reading import REPOSITORY, plain_parser, run_command
from analysis.shared.statistics import wilson_interval
from analysis.shared.tables import save_table, write_whole

HERE = Path(__file__).parent
LOGS = REPOSITORY / "tests" / "analysis" / "trainer_logs"
LOGGING = ("10", "50", "500", "evaluations only", EVALUATIONS)
LABELS = ("given", "guessed")
SEEN = ("scores", "losses only")  # whether evaluations have a score, or the dev loss alone
KEYS = ["log", "model", "logging", "labels", "seen"]
GRID = {
    "tied": (0.0, 0.01, 0.02, 0.05),
    "near": (0.05, 0.1, 0.2),
    "mean_small": (SMALL, 0.15, 0.25),
    "at_entropy": (0.003, 0.01, 0.02, 0.05),
    "left_score": (0.05, 0.1, 0.2, 0.3),
    "left_dev": (0.01, 0.03, SMALL, 0.12),
    "left_train": (0.03, 0.05, 0.1, 0.15, 0.2),
    "band": (0.05, 0.1, 0.15),
    "moved": (0.2, 0.3, 0.5),
}


def read_outs(curve: Curve) -> list[tuple[tuple[str, str, str], Log, Chance]]:
    """What diagnose would see of a run: logging, labels and what is seen; log; chance."""
    outs = []
    for logging, seen in product(LOGGING, SEEN):
        state = written_out(curve, logging, seen)
        if state is None or (seen == "losses only" and curve.source.endswith(REPLACED)):
            continue
        log_ = from_json(state, curve.source, None)
        if not len(log_.training) and not len(log_.evaluations):
            continue  # diagnose refuses a log without a loss
        exact = Chance(curve.entropy, curve.level, (), False, "given")
        outs.append(((logging, "given", seen), log_, exact))
        outs.append(((logging, "guessed", seen), log_, chance_of(log_)))
    return outs


def confusion(cases: list[tuple[Curve, str]]) -> pd.DataFrame:
    """A row a case and way of writing it out: truth and verdict."""
    rows = []
    for curve, true in cases:
        for how, log_, chance in read_outs(curve):
            verdict = judge(log_, chance).shape
            rows.append(("written out", curve.model, *how, verdict, true))
    return pd.DataFrame(rows, columns=[*KEYS, "verdict", "truth"])


def choose(cases: list[tuple[Curve, str]]) -> Thresholds:
    """Of each threshold the value of GRID with which most verdicts are right, one after another,
    twice around; the middle one of equals."""
    logs = []
    for curve, true in cases:
        logs += [(log_, chance, true) for _, log_, chance in read_outs(curve)]
    best = Thresholds()
    for _ in range(2):
        for name, values in GRID.items():
            right = []
            for value in values:
                tried = replace(best, **{name: value})
                right.append(sum(judge(log_, at, tried).shape == true for log_, at, true in logs))
            pairs = list(zip(values, right, strict=True))
            equals = [value for value, count in pairs if count == max(right)]
            best = replace(best, **{name: equals[len(equals) // 2]})
            print(f"{name}: " + ", ".join(f"{v:.3g} {n}" for v, n in pairs), f"of {len(logs)}")
    return best


def trainer_rows(folder: Path) -> pd.DataFrame:
    """The same rows for logs that the Trainer wrote, which truth.csv says the truth of."""
    rows = []
    for row in pd.read_csv(folder / "truth.csv").itertuples():
        state = json.loads((folder / f"{row.name}.json").read_text(encoding="utf-8"))
        log_ = from_json(state, row.name, None)
        shares = tuple(float(share) for share in row.shares.split())
        exact = Chance(row.label_entropy, row.majority_level, shares, False, "given")
        for labels, chance in zip(LABELS, (exact, chance_of(log_)), strict=True):
            how = ("the Trainer's", "mini", str(row.logging_steps), labels, "scores")
            rows.append((*how, judge(log_, chance).shape, trainer_truth(row)))
    return pd.DataFrame(rows, columns=[*KEYS, "verdict", "truth"])


def trainer_truth(row: Any) -> str:
    """What became of a run of the Trainer, from its ten looks at dev and what was done to it."""
    scores = json.loads(row.looks)
    up = [(score - row.majority_level) / (1 - row.majority_level) for score in scores]
    if isnan(row.last_loss):
        return NO_NUMBER
    if row.condition == "few" and (up[-1] < LEFT or row.last_loss > log(2) + FAR):
        return MEMORISED
    if row.score <= row.majority_level:
        left = max(up[:-1]) > LEFT and row.best_loss < row.label_entropy - SMALL
        return COLLAPSED if left else NEVER
    return LIES if row.condition == "broken metric" else LEARNT


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Counts by verdict and truth; of each verdict how often that is the truth, with the 95 %
    Wilson interval."""
    table = rows.groupby([*KEYS, "verdict", "truth"]).size().rename("runs").reset_index()
    table["of_verdict"] = table.groupby([*KEYS, "verdict"])["runs"].transform("sum")
    table["share"] = table["runs"] / table["of_verdict"]
    counts = zip(table["runs"], table["of_verdict"], strict=True)
    intervals = [wilson_interval(int(k), int(n)) for k, n in counts]
    table["low"], table["high"] = zip(*intervals, strict=True)
    return table


def provenance(cases: list[tuple[Curve, str]]) -> pd.DataFrame:
    """How many runs of which source and truth, on odd seeds (chosen on) and even ones (counted)."""
    rows = [(curve.source, true, curve.seed % 2) for curve, true in cases]
    table = pd.DataFrame(rows, columns=["source", "truth", "odd"])
    counts = table.groupby(["source", "truth"])["odd"].agg(["sum", "size"])
    return (
        counts.assign(held_out=counts["size"] - counts["sum"])
        .rename(columns={"sum": "chosen_on"})[["chosen_on", "held_out"]]
        .reset_index()
    )


def note(cases: list[tuple[Curve, str]]) -> str:
    """What stands under the table."""
    of_models = []
    for model in sorted({curve.model for curve, _ in cases}, reverse=True):
        seeds = [c.seed for c, _ in cases if c.model == model and not c.source.endswith(REPLACED)]
        even = sum(seed % 2 == 0 for seed in seeds)
        of_models.append(f"{even} of {len(seeds)} of {model}")
    return (
        f"Finished runs with even seeds ({' and '.join(of_models)}; runs.csv), which no threshold"
        " has seen, written out as the Trainer logs with a training record every 10, 50 or 500"
        " steps or none, three evaluations, and the closing mean; as the table of these evaluations"
        " alone; and logs that the Trainer wrote itself. labels: whether the label entropy and the"
        " best constant answer's score were given. Share: how often a verdict is right, with the"
        " 95 % Wilson interval, which takes the runs as independent. Where labels and a score are"
        " given, failed or not is the definition and no judgement; what is measured there is when a"
        " run failed and whether it memorised. A run that learnt and collapsed before its first"
        " evaluation in the log looks as one that never left chance. The metric lies: runs that"
        " learnt, with their score replaced by the best constant answer's, so made up. No run"
        " written out is NaN or oscillates. Rules that came after this table had been looked at,"
        " against errors that odd seeds show as well: no verdict from losses that contradict each"
        " other, labels guessed from the closing mean where there are evaluations only, and, after"
        " all seeds of gte-small had been looked at, none from a dev loss at chance where"
        " training's has left it or dev's has risen, nor from losses that stay where one answer to"
        " uneven labels has them (LOG.md, Logs of others): so gte-small's even seeds are no clean"
        " test. Two models: no promise for a third."
    )


def main() -> None:
    p = plain_parser(__doc__)
    p.add_argument(
        "--stores",
        nargs="*",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders of results with runs/*.json, whose runs are judged too (default none)",
    )
    p.add_argument(
        "--trainer-logs",
        type=Path,
        default=LOGS,
        metavar="DIR",
        help="folder with the Trainer's logs and truth.csv (default tests/analysis/trainer_logs)",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=HERE,
        metavar="DIR",
        help="folder to write to (default analysis/diagnosis)",
    )
    p.add_argument(
        "--choose",
        action="store_true",
        help="only print the thresholds that odd seeds would choose; writes nothing",
    )
    options = p.parse_args()
    curves = committed_curves()
    for store in options.stores:
        curves += stored_curves(store)
    cases = cases_of(curves)
    if options.choose:
        print(choose([case for case in cases if case[0].seed % 2]))
        return
    rows = [confusion([case for case in cases if case[0].seed % 2 == 0])]
    if (options.trainer_logs / "truth.csv").is_file():
        rows.append(trainer_rows(options.trainer_logs))
    table = counted(pd.concat(rows))
    text = note(cases)
    save_table(table, options.output / "accuracy", "How often diagnose is right", text)
    runs = provenance(cases)
    write_whole(
        options.output / "runs.csv",
        lambda file: runs.to_csv(file, index=False, lineterminator="\n"),
    )


if __name__ == "__main__":
    run_command(main)

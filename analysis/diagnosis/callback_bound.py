"""How often the callback's bound is right (experiments/finetuning/callback.py), on finished runs.

    python -m analysis.diagnosis.callback_bound --stores DIR...

Runs  : of the stores named, folders of results with runs/*.json; those whose first layer is trained
        as a whole, and that have a gradient of it in the window. One that diverged is left out.
Rule  : the callback's, once, from 20 to 30 % of the steps: failing if the first layer's gradient
        is under 1 / 1000 of the classifier's and the loss not 0.02 nats below the label entropy. A
        store has one matrix of the layer; the whole layer, which the callback sees, has 3 to 4
        times its norm, hence 3 / 1000 there.
Writes: callback_bound.csv, .md beside this file.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnosis.finished import stored_records
from analysis.shared.names import model_name, task_name
from analysis.shared.reading import plain_parser, run_command
from analysis.shared.statistics import wilson_interval
from analysis.shared.tables import save_table

HERE = Path(__file__).parent
WINDOW = (0.2, 0.3)  # of all steps
VANISHED = 1e-3  # one matrix of the first layer over the classifier's
NEAR = 0.02  # nats below the label entropy
FIRST, CLASSIFIER = "layer 1 output", "classifier"
NOTE = (
    "Of runs that were stored with the gradients of single matrices: failed ones that the"
    " callback's bound catches after 30 % of the steps, and others that it flags, each with its"
    " 95 % Wilson interval, which takes the runs as independent. The bound was set on 448 runs of"
    " mini, 28 of them mini-effective's; none of mini-remedies and of gte-small was known then."
    " Runs of LoRA and with a frozen first layer are left out."
)


def flagged(record: dict[str, Any]) -> bool | None:
    """Whether the bound calls a stored run failing; None where it cannot say."""
    outcome, history = record["outcome"], record["history"]
    names, steps = history["gradient_norm_of"], outcome["steps"]
    if outcome["diverged"] or not {FIRST, CLASSIFIER} <= set(names):
        return None
    if record["run"].get("lora_rank") or record["run"].get("frozen_layers"):
        return None
    begin, end = (share * steps for share in WINDOW)
    at = np.arange(len(history["gradient_norms"])) * history["gradient_norm_every"]
    inside = (at >= begin) & (at < end)
    if not inside.any():
        return None
    norms = np.array(history["gradient_norms"], dtype=float)[inside].mean(axis=0)
    vanished = norms[names.index(FIRST)] < VANISHED * norms[names.index(CLASSIFIER)]
    loss = np.mean(history["train_loss"][round(begin) : round(end)])
    return bool(vanished and loss > outcome["label_entropy"] - NEAR)


def counted(stores: list[Path]) -> pd.DataFrame:
    """A row a store, model and task."""
    rows = []
    for store in stores:
        for record in stored_records(store):
            run = record["run"]
            if (verdict := flagged(record)) is not None:
                model = model_name(run["model"], run["data"])
                task = task_name(run["task"], run["data"])
                rows.append((store.name, model, task, record["outcome"]["failed"], verdict))
    runs = pd.DataFrame(rows, columns=["store", "model", "task", "failed", "flagged"])
    table = []
    for key, group in runs.groupby(["store", "model", "task"], sort=True):
        row = dict(zip(["store", "model", "task"], key, strict=True))
        for failed, kind, what in ((True, "failed", "caught"), (False, "others", "flagged")):
            these = group[group["failed"] == failed]["flagged"]
            low, high = wilson_interval(int(these.sum()), len(these))
            said = f"{low:.0%} to {high:.0%}" if len(these) else "-"
            row |= {kind: len(these), what: int(these.sum()), f"{what}, 95 % interval": said}
        table.append(row)
    return pd.DataFrame(table)


def main() -> None:
    p = plain_parser(__doc__)
    p.add_argument(
        "--stores",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="folders of results with runs/*.json, whose runs are judged (at least one)",
    )
    p.add_argument(
        "--output",
        type=Path,
        default=HERE,
        metavar="DIR",
        help="folder to write to (default analysis/diagnosis)",
    )
    options = p.parse_args()
    title = "How often the callback's bound is right"
    save_table(counted(options.stores), options.output / "callback_bound", title, NOTE)


if __name__ == "__main__":
    run_command(main)

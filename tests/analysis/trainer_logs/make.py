"""Logs that Hugging Face's own Trainer wrote, of runs that fail and do not, for `diagnose`.

    python tests/analysis/trainer_logs/make.py [NAME...]       the runs of these names, or all

Each run fine-tunes mini's checkpoint on a generated task. Of each stays <name>.json, the
trainer_state.json as the Trainer saved it, and a row of truth.csv: what was done, and what became
of the run, from answers and losses on dev taken every 40 steps that the log does not hold. A run
that has its row is not made again. About 20 s a run on one idle core; torch draws other numbers on
another CPU, so the logs are kept, not compared.
"""

import csv
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

HERE = Path(__file__).resolve().parent
CHECKPOINT = HERE.parents[2] / "experiments" / "mini" / "checkpoint"
EVERY = 40  # steps between two looks at dev, for the truth
# the first of each condition had all 24 layers, 240 or 300 steps, and of the very first three 300
# dev examples, as truth.csv says; the others were cut to this, since the machine was busy
STEPS, BATCH, LAYERS = 160, 8, 8
DEV_EXAMPLES = 100
FIELDS = ("name", "condition", "task", "seed", "logging_steps", "eval_steps", "steps", "metric")
FOUND = (
    "score",
    "best_score",
    "majority_level",
    "label_entropy",
    "constant",
    "last_loss",
    "best_loss",
)

LEARNS = {"learning_rate": 3e-4}
UNCORRECTED = {"learning_rate": 3e-4, "corrected": False}
TOO_HIGH = {"learning_rate": 5e-3}
NOT_A_NUMBER = {"learning_rate": 1e4, "optim": "sgd", "max_grad_norm": 0.0, "dropout": 0.0}
FEW = {"learning_rate": 3e-4, "examples": 8}
BROKEN_METRIC = {"learning_rate": 3e-4, "broken_metric": True}
CLIMBING = {"learning_rate": 5e-3, "warmup": 1.0}  # learns while the rate is still low
JUMPY = {"learning_rate": 5e-4, "lr_scheduler_type": "constant", "batch": 2}

# condition, its settings, task, seed, logging_steps, eval_steps (None: only at the end)
RUNS: list[tuple[str, dict[str, Any], str, int, int, int | None]] = [
    ("learns", LEARNS, "rte", 201, 10, 30),
    ("uncorrected", UNCORRECTED, "rte", 202, 10, 30),
    ("too high", TOO_HIGH, "rte", 203, 10, 30),
    ("climbing", CLIMBING, "rte", 204, 10, 40),
    ("not a number", NOT_A_NUMBER, "rte", 205, 10, 40),
    ("few", FEW, "rte", 206, 10, 40),
    ("broken metric", BROKEN_METRIC, "rte", 207, 10, 40),
    ("jumpy", JUMPY, "rte", 208, 10, 40),
    ("learns", LEARNS, "cola", 209, 50, 40),
    ("uncorrected", UNCORRECTED, "cola", 210, 50, 40),
    ("too high", TOO_HIGH, "cola", 211, 50, 40),
    ("climbing", CLIMBING, "rte", 212, 50, 40),
    ("not a number", NOT_A_NUMBER, "cola", 213, 50, 40),
    ("few", FEW, "mrpc", 214, 50, 40),
    ("broken metric", BROKEN_METRIC, "cola", 215, 50, 40),
    ("jumpy", JUMPY, "cola", 216, 50, 40),
    ("learns", LEARNS, "rte", 217, 500, 40),
    ("uncorrected", UNCORRECTED, "rte", 218, 500, 40),
    ("too high", TOO_HIGH, "mrpc", 219, 500, 40),
    ("climbing", CLIMBING, "rte", 220, 500, 40),
    ("learns", LEARNS, "mrpc", 221, 50, 40),
    ("uncorrected", UNCORRECTED, "rte", 222, 50, 40),
    ("uncorrected", UNCORRECTED, "cola", 223, 500, 40),
    ("uncorrected", UNCORRECTED, "mrpc", 224, 10, 40),
    ("learns", LEARNS, "qnli", 225, 10, None),
    ("too high", TOO_HIGH, "rte", 226, 50, None),
]


class Uncorrected(torch.optim.AdamW):
    """AdamW without bias correction: step t with the rate times (1 - b1^t) / sqrt(1 - b2^t)."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        scheduled = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            first, second = group["betas"]
            group["lr"] *= (1 - first**self.steps) / (1 - second**self.steps) ** 0.5
        result = super().step(closure)
        for group, rate in zip(self.param_groups, scheduled, strict=True):
            group["lr"] = rate
        return result


class Watch(TrainerCallback):
    """Answers and loss on dev every so many steps, beside the log."""

    def __init__(self, trainer_of: list[Trainer]) -> None:
        self.trainer_of, self.seen = trainer_of, []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % EVERY == 0 or state.global_step == state.max_steps:
            trainer = self.trainer_of[0]
            parts = []
            trainer.model.eval()
            with torch.no_grad():
                for batch in trainer.get_eval_dataloader():
                    parts.append(trainer.model(**batch).logits.numpy())
            trainer.model.train()
            self.seen.append(np.concatenate(parts))


def examples_of(task: str, split: str, tokenizer: Any, count: int | None = None) -> list[dict]:
    """Tokenised examples of a generated task."""
    from experiments.finetuning.tasks import load_splits

    part, examples = load_splits(task, "mini")[split], []
    for texts, label in zip(part.texts[:count], part.labels[:count], strict=True):
        examples.append({**tokenizer(*texts, truncation=True, max_length=64), "label": int(label)})
    return examples


def scored(task: str, broken: bool) -> Any:
    """The Trainer's compute_metrics: the task's own score; broken: of the wrong object, since it
    rounds probabilities that it believes to be logits."""
    from experiments.finetuning.glue import get_task
    from experiments.finetuning.metrics import all_metrics

    metric = get_task(task).metric

    def compute(predicted: Any) -> dict[str, float]:
        answers = predicted.predictions.argmax(-1)
        if broken:
            shifted = predicted.predictions - predicted.predictions.max()
            answers = (np.exp(shifted)[:, 1] > 2).astype(np.int64)
        return {metric: float(all_metrics(answers, predicted.label_ids)[metric])}

    return metric, compute


def run(row: tuple[str, dict[str, Any], str, int, int, int | None]) -> dict[str, Any]:
    """Train one, keep its log; its row of truth.csv."""
    condition, settings, task, seed, logging_steps, eval_steps = row
    settings = dict(settings)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    train = examples_of(task, "train", tokenizer, settings.pop("examples", None))
    dev = examples_of(task, "dev", tokenizer, DEV_EXAMPLES)
    metric, compute = scored(task, settings.pop("broken_metric", False))
    dropout, warmup = settings.pop("dropout", 0.1), settings.pop("warmup", 0.1)
    corrected, batch = settings.pop("corrected", True), settings.pop("batch", BATCH)
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        CHECKPOINT,
        num_labels=2,
        num_hidden_layers=LAYERS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    folder = tempfile.mkdtemp()
    steps = STEPS
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=100,
        max_steps=steps,
        warmup_steps=int(warmup * steps) if "lr_scheduler_type" not in settings else 0,
        weight_decay=0.01,
        seed=seed,
        logging_steps=logging_steps,
        eval_strategy="steps" if eval_steps else "no",
        eval_steps=eval_steps,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **settings,
    )
    optimizers: tuple[Any, Any] = (None, None)
    if not corrected:
        adam = Uncorrected(model.parameters(), lr=settings["learning_rate"], eps=1e-6, fused=False)
        rise = int(warmup * steps)
        optimizers = (
            adam,
            LambdaLR(adam, lambda n: min(n / rise, (steps - n) / (steps - rise))),
        )
    trainer_of: list[Trainer] = []
    watch = Watch(trainer_of)
    trainer = Trainer(
        model,
        arguments,
        DataCollatorWithPadding(tokenizer),
        train,
        dev,
        compute_metrics=compute,
        optimizers=optimizers,
        callbacks=[watch],
    )
    trainer_of.append(trainer)
    trainer.train()
    if not eval_steps:
        trainer.evaluate()
    trainer.save_state()
    name = "-".join([condition.replace(" ", "_"), task, str(seed), str(logging_steps)])
    shutil.copy(Path(folder) / "trainer_state.json", HERE / f"{name}.json")
    shutil.rmtree(folder)
    shares = np.bincount([example["label"] for example in train], minlength=2) / len(train)
    done = (name, condition, task, seed, logging_steps, eval_steps or "", steps, metric)
    return {
        **dict(zip(FIELDS, done, strict=True)),
        **found(watch.seen, np.array([example["label"] for example in dev]), metric),
        "label_entropy": -sum(p * np.log(p) for p in shares if p > 0),
        "layers": LAYERS,
        "shares": " ".join(f"{p:.4f}" for p in shares),
    }


def found(seen: list[np.ndarray], labels: np.ndarray, metric: str) -> dict[str, Any]:
    """What became of a run, from its logits on dev at every look."""
    from experiments.finetuning.metrics import all_metrics

    scores, losses = [], []
    for logits in seen:
        scores.append(float(all_metrics(logits.argmax(-1), labels)[metric]))
        top = logits - logits.max(-1, keepdims=True)
        log = top - np.log(np.exp(top).sum(-1, keepdims=True))
        losses.append(float(-log[np.arange(len(labels)), labels].mean()))
    constant = [all_metrics(np.full_like(labels, answer), labels)[metric] for answer in (0, 1)]
    return {
        "score": scores[-1],
        "best_score": max(scores),
        "majority_level": float(max(constant)),
        "constant": len(set(seen[-1].argmax(-1))) == 1,
        "last_loss": losses[-1],
        "best_loss": float(np.nanmin(losses)) if np.isfinite(losses).any() else "nan",
        "looks": json.dumps([round(score, 4) for score in scores]),
    }


def main() -> None:
    torch.set_num_threads(1)
    path = HERE / "truth.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    for row in RUNS:
        name = "-".join([row[0].replace(" ", "_"), row[2], str(row[3]), str(row[4])])
        if name in {done["name"] for done in rows} or sys.argv[1:] and name not in sys.argv[1:]:
            continue
        rows.append(run(row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(name, rows[-1]["score"], rows[-1]["looks"], flush=True)


if __name__ == "__main__":
    main()

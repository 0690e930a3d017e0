"""mini's entailment in Hugging Face's own Trainer, watched by finetuning/callback.py.

Command : python -m experiments.mini.watched --bias-correction off --learning-rate 4e-4 --stop
Cost    : 300 steps, a minute on one slow core; a run that is stopped a third of it.
Needs   : accelerate (pip install accelerate), as the Trainer does.
Prints  : what the Trainer logs every 30 steps, the callback's warning, the score on dev.

Without bias correction means torch's AdamW with the schedule times (1 - b1^t) / sqrt(1 - b2^t),
which is the same but for weight decay (optimizers.py); so the schedule is the effective rate.
"""

import argparse
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from experiments.finetuning.callback import watch
from experiments.finetuning.optimizers import learning_rate_factor
from experiments.mini.tasks import rows

CHECKPOINT = Path(__file__).parent / "checkpoint"
BETAS = (0.9, 0.999)


def trainer_on_mini(
    folder: str, seed: int, rate: float, corrected: bool, steps: int = 300, **arguments: Any
) -> Trainer:
    """A Trainer with the default recipe but for padding: batch 16, 10 % warm-up, linear decay.
    `arguments` replace those of TrainingArguments below."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    splits = {}
    for split in ("train", "dev"):
        splits[split] = [
            {**tokenizer(row["sentence1"], row["sentence2"]), "labels": row["label"]}
            for row in rows("rte", split)
        ]
    set_seed(seed)  # before the classifier is drawn
    model = AutoModelForSequenceClassification.from_pretrained(CHECKPOINT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=BETAS, eps=1e-6)

    def factor(step: int) -> float:
        early = (
            1 if corrected else (1 - BETAS[0] ** (step + 1)) / (1 - BETAS[1] ** (step + 1)) ** 0.5
        )
        return early * learning_rate_factor(step, steps, 0.1)

    return Trainer(
        model,
        TrainingArguments(
            folder,
            **{
                "per_device_train_batch_size": 16,
                "max_steps": steps,
                "seed": seed,
                "logging_steps": 30,
                "report_to": "none",
                "save_strategy": "no",
                "disable_tqdm": True,
                "use_cpu": True,
                "dataloader_pin_memory": False,
                **arguments,
            },
        ),
        DataCollatorWithPadding(tokenizer),
        splits["train"],
        splits["dev"],
        compute_metrics=accuracy,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)),
    )


def accuracy(answers: Any) -> dict[str, float]:
    logits, labels = answers
    return {"accuracy": float((logits.argmax(-1) == labels).mean())}


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--learning-rate", type=float, default=3e-4, help="peak (default 3e-4)")
    p.add_argument("--bias-correction", choices=["on", "off"], default="on", help="default on")
    p.add_argument("--seed", type=int, default=1, help="of classifier, order, dropout (default 1)")
    p.add_argument("--stop", action="store_true", help="end the run when it is failing")
    options = p.parse_args()
    if not importlib.util.find_spec("accelerate"):
        p.exit(2, "error: the Trainer needs the package accelerate: pip install accelerate\n")
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_on_mini(
            folder, options.seed, options.learning_rate, options.bias_correction == "on"
        )
        watch(trainer, stop=options.stop)
        trainer.train()
        print(trainer.evaluate())


if __name__ == "__main__":
    main()

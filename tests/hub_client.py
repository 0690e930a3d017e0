"""A process that uses the project with the environment it was started in, and goes on until its
standard input ends: a line in is what to do, as JSON, a line out is what came of it. The clients of
the hub read their environment when they are imported, which takes seconds: one process does many
cases.

    {"do": "plan", "arguments": [...]}       bias_correction, up to what it would train
    {"do": "inspect", "arguments": [...]}    and what each run's model and data are, loaded
    {"do": "train", "arguments": [...]}      the whole command
    {"do": "forgetting", "arguments": [...]}  catastrophic_forgetting, up to what it would train
    {"do": "rows", "arguments": [TASK, SOURCE]}  of the training and the dev set
    {"do": "text", "arguments": [SOURCE]}    running text
    {"do": "masked_lm", "arguments": [SOURCE]}   a model with its masked-LM head

Out: {"status", "out", "err", "seconds", "result"}, as a person at a terminal has them.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import _lru_cache_wrapper
from typing import Any

from experiments import bias_correction, catastrophic_forgetting
from experiments.finetuning import encoders, loading, tasks, texts
from experiments.sweeps import sweep
from experiments.sweeps.command import parse, run_command
from experiments.sweeps.flags import parser


def runs(arguments: list[str]) -> list:
    return bias_correction.planned(parse(parser(""), arguments))


def plan(arguments: list[str]) -> Any:
    return [(run.id, run.model, run.data) for run in runs(arguments)]


def inspect(arguments: list[str]) -> Any:
    """Of each run what its model holds: sums and names that tell one checkpoint from another."""
    found = []
    for run in runs(arguments):
        model, drawn, tokenizer, train_set, _ = loading.load(run)
        weights = {
            name: float(p.detach().double().abs().sum()) for name, p in model.named_parameters()
        }
        found.append(
            {
                "model": run.model,
                "drawn": drawn,
                "weights": weights,
                "tokenizer": type(tokenizer).__name__,
                "first": train_set.input_ids[0].tolist(),
                "rows": len(train_set.labels),
            }
        )
    return found


def train(arguments: list[str]) -> Any:
    sweep.sweep([bias_correction.EXPERIMENT], arguments)


def forgetting(arguments: list[str]) -> Any:
    flags = parser("")
    catastrophic_forgetting.EXPERIMENT.add_flags(flags)
    return len(catastrophic_forgetting.planned(parse(flags, arguments)))


def text(arguments: list[str]) -> Any:
    return len(texts.load_text(*arguments))


def rows(arguments: list[str]) -> Any:
    return [len(split.labels) for split in tasks.load_splits(*arguments).values()]


def masked_lm(arguments: list[str]) -> Any:
    return type(encoders.load_masked_lm(*arguments)).__name__


DEEDS = {
    "plan": plan,
    "inspect": inspect,
    "train": train,
    "forgetting": forgetting,
    "rows": rows,
    "text": text,
    "masked_lm": masked_lm,
}


def forget() -> None:
    """What this process has read of earlier cases: a call starts without it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("experiments."):
            for value in vars(module).values():
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()


def observed(do: Callable[[list[str]], Any], arguments: list[str]) -> dict[str, Any]:
    """What a person sees: status and both streams, also of what libraries write past Python's."""
    seen: dict[str, Any] = {"status": 0, "result": None}
    began = time.monotonic()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)

        def call() -> None:
            seen["result"] = do(arguments)

        try:
            run_command(call)
        except SystemExit as ended:
            seen["status"] = ended.code
        except BaseException as error:  # a traceback at the terminal
            seen["status"], seen["result"] = 1, None
            print(f"Traceback: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for kind, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, kind)
                os.close(descriptor)
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            seen[name] = file.read().decode()
    return {**seen, "seconds": time.monotonic() - began}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        forget()
        print(
            json.dumps(observed(DEEDS[asked["do"]], asked["arguments"])), file=answers, flush=True
        )


if __name__ == "__main__":
    main()

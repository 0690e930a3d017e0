"""Resuming inside a long run: everything that decides how it goes on, in one safetensors file, so
that it goes on bit for bit.

The order of the data needs no state: it is drawn again from its seed. Dropout's generator, the
weights and Adam's moments do.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from experiments.finetuning.files import write_atomically
from experiments.finetuning.histories import RECORDED
from experiments.finetuning.optimizers import PaperAdamW
from experiments.finetuning.run import Run

# what training.py has recorded when it stores a state
FACTS = (*RECORDED, "seconds")


class Checkpoint:
    """The checkpoint file of one run, if the run wants one."""

    def __init__(
        self, run: Run, network: Callable, parameters: list[torch.Tensor], optimizer: PaperAdamW
    ) -> None:
        self.path = Path(run.checkpoint_folder) / f"{run.id}.safetensors"
        self.every, self.last = 60 * run.checkpoint_minutes, time.monotonic()
        self.network, self.parameters, self.optimizer = network, parameters, optimizer

    def due(self) -> bool:
        return self.every > 0 and time.monotonic() - self.last >= self.every

    def save(self, facts: dict[str, Any]) -> None:
        """Store the state, and `facts`: what has been recorded so far, as JSON. A disk without room
        costs the checkpoint, not the run."""
        tensors = {}
        for i, parameter in enumerate(self.parameters):
            tensors[f"{i}.value"] = parameter.detach()
            tensors |= {
                f"{i}.{name}": value
                for name, value in self.optimizer.inner.state[parameter].items()
            }
        metadata = json.dumps(
            {**facts, "steps_done": self.optimizer.steps_done, "generator": self._generator_state()}
        )
        try:
            write_atomically(
                self.path,
                safetensors.torch.save(
                    {name: t.cpu().contiguous() for name, t in tensors.items()},
                    metadata={"facts": metadata},
                ),
            )
        except OSError as error:
            self.every = 0  # no more of them in this run
            print(
                f"warning: no checkpoint of run {self.path.stem} ({error.strerror or error}); it"
                " goes on without",
                file=sys.stderr,
            )
        self.last = time.monotonic()

    @torch.no_grad()
    def restore(self) -> dict[str, Any] | None:
        """Put the stored state in place and return the facts; None, and nothing changed, without
        a checkpoint one can use."""
        if not self.every or not self.path.is_file():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            states: list[dict[str, torch.Tensor]] = [{} for _ in self.parameters]
            for name, tensor in tensors.items():
                number, what = name.split(".")
                states[int(number)][what] = tensor
            if any(
                state["value"].shape != p.shape
                for state, p in zip(states, self.parameters, strict=True)
            ):
                raise ValueError("it is of another model")
            if missing := {*FACTS, "steps_done", "generator"} - facts.keys():
                raise ValueError(f"it lacks {sorted(missing)[0]}")
        except (
            OSError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            RecursionError,
            safetensors.SafetensorError,
        ) as error:
            print(
                f"warning: {self.path} cannot be used ({error}); the run starts anew",
                file=sys.stderr,
            )
            return None
        for parameter, state in zip(self.parameters, states, strict=True):
            parameter.copy_(state.pop("value"))
            self.optimizer.inner.state[parameter] = {
                name: value.to(parameter.device) for name, value in state.items()
            }
        self.optimizer.steps_done = facts["steps_done"]
        self._set_generator_state(facts["generator"])
        return facts

    def _generator_state(self) -> Any:
        bits = getattr(self.network, "bits", None)
        if isinstance(bits, np.random.Generator):
            state = bits.bit_generator.state
            return {
                **state,
                "state": {name: array.tolist() for name, array in state["state"].items()},
            }
        if isinstance(bits, torch.Generator):
            return bits.get_state().tolist()
        cuda = torch.cuda.get_rng_state().tolist() if self.parameters[0].is_cuda else None
        return {"cpu": torch.get_rng_state().tolist(), "cuda": cuda}

    def _set_generator_state(self, state: Any) -> None:
        bits = getattr(self.network, "bits", None)
        if isinstance(bits, np.random.Generator):
            inner = {
                name: np.array(values, dtype=np.uint64) for name, values in state["state"].items()
            }
            bits.bit_generator.state = {**state, "state": inner}
        elif isinstance(bits, torch.Generator):
            bits.set_state(torch.tensor(state, dtype=torch.uint8))
        else:
            torch.set_rng_state(torch.tensor(state["cpu"], dtype=torch.uint8))
            if state["cuda"]:
                torch.cuda.set_rng_state(torch.tensor(state["cuda"], dtype=torch.uint8))

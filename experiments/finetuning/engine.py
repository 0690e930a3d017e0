"""map(function, items): one after the other in this process, or side by side through Ray.

Ray is embedded by default, one one-thread worker per core; with RAY_ADDRESS set it joins that cluster instead. It is
imported only here and only when used. The engine holds no state: whoever calls it stores each result as it comes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from experiments.finetuning.errors import BadInput
from experiments.finetuning.profiles import REPOSITORY

ENGINES = ("ray", "serial")


Item, Result = TypeVar("Item"), TypeVar("Result")


def workers(engine: str, items: int) -> int:
    """How many of so many items are worked on at the same time."""
    return 1 if engine == "serial" else max(1, min(items, cores()))


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map(function: Callable[[Item], Result], items: Sequence[Item], engine: str, device: str = "cpu",
        ) -> Iterator[tuple[Item, Result]]:
    """(item, function(item)) for every item, in the order in which they finish. Each has one core, or one GPU beside it."""
    if engine == "serial" or not items:
        for item in items:
            yield item, function(item)
        return

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if not ray.is_initialized():
        os.chdir(REPOSITORY)  # workers import from the driver's folder; every path is whole by now
        address = os.environ.get("RAY_ADDRESS")
        where = {"address": address} if address else {  # "local": not a cluster somebody else started on this machine
            "address": "local", "num_cpus": cores(), "object_store_memory": 100_000_000, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level="error", **where)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BadInput(f"cannot start Ray or join {address}: {str(error).splitlines()[0]}; expected a running cluster at "
                           "RAY_ADDRESS or none; --engine serial does without") from None
    task = ray.remote(num_cpus=1, num_gpus=0 if device == "cpu" else 1)(_call)
    function = ray.put(function)  # once, with what is bound to it
    waiting = {task.remote(function, item): item for item in items}
    try:
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting))
            try:
                result = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # what the run raised, as in the serial engine
            yield waiting.pop(ready), result
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)

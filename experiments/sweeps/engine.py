"""map(function, items): one after the other in this process, or side by side through Ray.

Ray is embedded by default, one one-thread worker per core; with RAY_ADDRESS set it joins that
cluster instead. It is imported only here and only when used. The engine holds no state: whoever
calls it stores each result as it comes. An item that raises, or whose worker dies again and again,
gives a Crash in place of its result; the others go on.
"""

import gc
import itertools
import math
import os
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.finetuning.errors import INTERRUPTS, BadInput
from experiments.finetuning.files import REPOSITORY

ENGINES = ("ray", "serial")
# of the repository to a cluster's other machines
NOT_SENT = [".git", ".venv", "/results", "/figures", "/tests"]
RETRIES = 2  # of an item whose worker was killed
CONNECT = 5.0  # seconds until an address counts as one where nobody listens
LONGEST_FOLDER = 39  # characters; the sockets of Ray add 68, and the path of one has 107 at most
GRAIN = 10_000  # Ray counts a GPU in parts of this size: with 1 / N rounded up, N would not fit
PATIENCE = 1.0  # seconds until an engine with nothing to do asks for items again

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers(engine: str, items: int, device: str) -> int:
    """How many of so many items are worked on at the same time on this machine; of a cluster no
    more than one is counted on, nor of those that share a GPU: what that gains was not measured."""
    if engine == "serial" or os.environ.get("RAY_ADDRESS"):
        return 1
    if device != "cpu":
        import torch

        return max(1, min(items, torch.cuda.device_count()))
    return max(1, min(items, cores()))


def cores() -> int:
    """CPU cores this process may use: those it may run on, and no more than a container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.floor(min(allowed, cpu_quota())))


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores that a container's control group grants (version 2, else 1); infinite where it sets
    no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # "max", or no control groups here
        return math.inf


@dataclass(frozen=True)
class Crash:
    """What happened instead of a result."""

    error: str  # one line
    details: str  # the traceback, where there is one


def map(
    function: Callable[[Item], Result],
    items: Iterable[Item | None],
    engine: str,
    device: str = "cpu",
    per_gpu: int = 1,
) -> Iterator[tuple[Item, Result | Crash]]:
    """(item, function(item)) for every item, in the order in which they finish. Each has one core,
    and on a GPU `per_gpu` of them share one. There Ray gives each a process of its own, which sees
    that GPU only and leaves nothing on it.

    Items are taken when there is room for them; None means that there is none just now, ask again
    later. BadInput and a keyboard interrupt end everything; what else an item raises becomes its
    Crash.
    """
    if engine == "serial":
        for item in items:
            INTERRUPTS.check()
            if item is None:
                time.sleep(PATIENCE)
            else:
                yield item, _guarded(function, item)
        return

    source = iter(items)
    first = next(source, _END)
    if first is _END:
        return  # Ray takes 5 seconds and 0.5 GB to start
    source, exhausted = itertools.chain([first], source), False
    ray = start()
    if device != "cpu" and not ray.cluster_resources().get("GPU"):
        print(
            "warning: no machine of the Ray cluster has a GPU; runs wait until one that has joins,"
            " Ctrl-C stops",
            file=sys.stderr,
            flush=True,
        )
    share = 0 if device == "cpu" else GRAIN // per_gpu / GRAIN
    task = ray.remote(num_cpus=1, num_gpus=share, max_retries=RETRIES)(_guarded)
    shared = ray.put(function)  # once, with what is bound to it
    waiting: dict[Any, Item] = {}
    try:
        while waiting or not exhausted:
            INTERRUPTS.check()
            room = _room(ray.cluster_resources(), device, per_gpu)  # clusters grow and shrink
            while not exhausted and len(waiting) < room:
                item = next(source, _END)
                if item is None:
                    break
                exhausted = item is _END
                if not exhausted:
                    waiting[task.remote(shared, item)] = item
            if not waiting and not exhausted:
                time.sleep(PATIENCE)
            for ready in ray.wait(list(waiting), timeout=PATIENCE)[0] if waiting else ():
                finished = waiting.pop(ready)
                yield finished, _result(ray, ready)
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)


def _room(resources: dict[str, float], device: str, per_gpu: int) -> float:
    """How many items so many cores and GPUs can take at a time; at least one, which waits."""
    cores_there = resources.get("CPU", 1)
    if device == "cpu":
        return cores_there
    return max(1, min(cores_there, resources.get("GPU", 0) * per_gpu))


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    # BadInput: as the item raised it, as in the serial engine
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        return Crash(
            f"its worker died {RETRIES + 1} times ({type(error).__name__}): killed, or out of"
            " memory?",
            str(error),
        )


_END: Any = object()


def start() -> Any:
    """Ray, started on this machine or joined at RAY_ADDRESS. BadInput, within seconds, where that
    cannot be."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # else Ray tries a run that its memory monitor killed again without end
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
    address = os.environ.get("RAY_ADDRESS")
    check_address(address) if address else check_this_machine()
    import ray

    if ray.is_initialized():
        return ray
    # workers import from the driver's folder; a relative path must have been resolved by now
    os.chdir(REPOSITORY)
    if address and " " in sys.executable:
        print(
            "warning: Ray starts no workers of a cluster from a Python whose path has a space, as"
            " this one has; if nothing begins on its nodes, put the repository elsewhere there",
            file=sys.stderr,
        )
    if address:
        # the other machines get this code; they need the same packages, but no shared disk
        code = {"working_dir": str(REPOSITORY), "excludes": NOT_SENT}
        where: dict[str, Any] = {"address": address, "runtime_env": code}
    else:  # "local": not a cluster somebody else started on this machine
        where = {
            "address": "local",
            "num_cpus": cores(),
            "object_store_memory": 100_000_000,
            "include_dashboard": False,
        }
    try:
        _init(ray, where)
    except Exception as error:  # Ray raises bare ones too
        reason = str(error).strip().splitlines()
        raise BadInput(
            f"cannot start Ray or join {address or 'it on this machine'}:"
            f" {reason[0] if reason else type(error).__name__}; expected a running cluster at"
            " RAY_ADDRESS or none; --engine serial does without"
        ) from None
    return ray


def _init(ray: Any, where: dict[str, Any]) -> None:
    """ray.init, once more where its own processes were not there in the 30 s that it gives them:
    on a machine that others keep busy they need longer."""
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        ray.init(**quiet, **where)
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        ray.init(**quiet, **where)


def check_address(address: str) -> None:
    """BadInput unless somebody listens at a Ray cluster's address. Ray itself would try for
    minutes, deaf to Ctrl-C."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    expected = "expected HOST:PORT of a running cluster, or no RAY_ADDRESS and no --address"
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadInput(f"{address!r} is no address of a Ray cluster; {expected}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT).close()
    except OSError as error:
        raise BadInput(
            f"nobody listens at {address} ({error.strerror or error}); {expected}; --engine serial"
            " does without"
        ) from None


def check_this_machine() -> None:
    """BadInput where Ray could not start on this machine: without a loopback interface it waits for
    itself, and its sockets need a short path in a folder that can be written to."""
    without = "--engine serial does without"
    with socket.socket() as here:
        try:
            here.bind(("127.0.0.1", 0))
            here.listen()
            socket.create_connection(here.getsockname(), timeout=CONNECT).close()
        except OSError as error:
            raise BadInput(
                f"no connection from this machine to itself ({error.strerror or error}), which Ray"
                f" needs; expected a loopback interface; {without}"
            ) from None
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    if len(str(folder)) > LONGEST_FOLDER:
        raise BadInput(
            f"the folder for temporary files, {folder}, has {len(str(folder))} characters, too many"
            f" for Ray's sockets; expected at most {LONGEST_FOLDER}: set TMPDIR; {without}"
        )
    ours = folder / "ray"
    if not os.access(ours if ours.exists() else folder, os.W_OK):
        raise BadInput(
            f"{ours} cannot be written to, which Ray needs; expected a folder of one's own: set"
            f" RAY_TMPDIR; {without}"
        )


def _guarded(function: Callable[[Item], Result], item: Item) -> Result | Crash:
    try:
        return function(item)
    except BadInput:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()
        line = f"{type(error).__name__}{': ' + reason[0] if reason else ''}"
        if type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
            line += "; try fewer --runs-per-gpu, or a larger GPU"
        crash = Crash(line, traceback.format_exc())
    gc.collect()  # after the error, which holds a model: the next item may need its memory
    return crash

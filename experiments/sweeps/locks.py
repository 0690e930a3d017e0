"""Who is training which run, so that two sweeps on one store do not train the same run twice.

While a sweep trains a run it holds a lock on the file <results>/locks/<id>. The kernel lets go of
it when the sweep ends, however that happens, and it holds between containers that share a disk. So
nothing has to be touched or judged by its age. On a network disk it is as good as the disk's
flock: NFS 4 and Lustre mounted with `flock` have it between machines, NFS without a lock daemon
refuses, and then the sweep ends with that error. What stands in the file is for people only.
"""

import contextlib
import json
import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.finetuning.files import read_json


class Locks:
    """The locks of one sweep. Use it as a context: leaving it releases everything."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "locks"
        self.held: dict[str, FileLock] = {}

    def __enter__(self) -> "Locks":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for run_id in list(self.held):
            self.release(run_id)

    def claim(self, run_id: str) -> bool:
        """Take the lock of a run. False while another sweep holds it."""
        lock = _lock(self.folder / run_id)
        with self._guard():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            self.held[run_id] = lock
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
                (self.folder / run_id).write_text(json.dumps(me()))
        return True

    def release(self, run_id: str) -> None:
        """Give a lock back, whether the run is finished or not, and remove its file."""
        with self._guard():
            (self.folder / run_id).unlink(missing_ok=True)
            self.held.pop(run_id).release()

    def held_elsewhere(self) -> dict[str, str]:
        """Who trains which run, by its id, as the locks that are held say."""
        if not self.folder.is_dir():
            return {}
        holders = {}
        with self._guard():
            for path in sorted(self.folder.glob("[!.]*")):
                lock = _lock(path)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    holders[path.name] = _holder(path)
                else:  # its sweep was killed
                    path.unlink(missing_ok=True)
                    lock.release()
        return holders

    def _guard(self) -> FileLock:
        """Held for a moment by whoever opens or removes a lock file: else one could lock a file
        that another has just removed, and a third make a new one."""
        return _lock(self.folder / ".guard")


def _lock(path: Path) -> FileLock:
    return FileLock(path, thread_local=False, fallback_to_soft=False)


def _holder(path: Path) -> str:
    """A lock's holder as its file names it."""
    try:
        holder = read_json(path)
        return f"process {holder['process']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "somebody"


def me() -> dict[str, str | int]:
    """This process, as a lock's file names its holder."""
    return {"host": socket.gethostname(), "process": os.getpid()}

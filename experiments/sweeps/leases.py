"""Who is training which run, so that two sweeps on one store do not train the same run twice.

A lease is a file <results>/leases/<id> that its holder touches every BEAT seconds. It is stale when
its holder's process is gone, or when it has not been touched for STALE seconds by the observer's
own monotonic clock: a clock that jumps makes nothing stale. Claims are made under a lock on one
file, so that of two sweeps that find a stale lease only one takes it over.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT = 10.0  # seconds between two touches
STALE = 60.0  # seconds without a touch after which a lease may be taken over


class Leases:
    """The leases of one sweep. Use it as a context: it beats inside and releases everything on
    leaving."""

    def __init__(self, results: Path) -> None:
        self.folder = results / "leases"
        self.held: set[str] = set()
        # of others' leases: the last touch and when this process first saw it
        self._seen: dict[str, tuple[int, float]] = {}
        self._stop = threading.Event()

    def __enter__(self) -> "Leases":
        self.folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for run_id in list(self.held):
            self.release(run_id)

    def claim(self, run_id: str) -> bool:
        """Take the lease of a run. False while another sweep holds it."""
        path = self.folder / run_id
        with self._lock():
            if path.exists() and not self.stale(run_id):
                return False
            try:
                path.write_text(json.dumps(me()))
            except OSError:  # a full disk: an empty lease would be waited for
                path.unlink(missing_ok=True)
                raise
            self.held.add(run_id)
            return True

    def release(self, run_id: str) -> None:
        """Give a lease back, whether the run is finished or not."""
        self.held.discard(run_id)
        with self._lock():
            if self._mine(run_id):  # while this process was stopped another may have taken it over
                (self.folder / run_id).unlink(missing_ok=True)

    def _mine(self, run_id: str) -> bool:
        try:
            return json.loads((self.folder / run_id).read_text()) == me()
        except (OSError, ValueError):
            return False

    def stale(self, run_id: str) -> bool:
        """Whether the holder of an existing lease is known to be gone, or has been silent for
        STALE seconds of watching."""
        path = self.folder / run_id
        try:
            holder, touched = json.loads(path.read_text()), path.stat().st_mtime_ns
        except FileNotFoundError:
            return True
        except ValueError:  # written half when its holder died: judged by its silence
            holder, touched = {}, path.stat().st_mtime_ns
        if {name: holder.get(name) for name in ("host", "boot")} == {
            name: me()[name] for name in ("host", "boot")
        }:
            try:
                os.kill(holder["process"], 0)
            except ProcessLookupError:
                return True
            except PermissionError:  # alive, and somebody else's
                pass
        last, since = self._seen.get(run_id, (None, 0.0))
        if touched != last:
            self._seen[run_id] = (touched, time.monotonic())
            return False
        return time.monotonic() - since > STALE

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with open(self.folder / ".lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            for run_id in list(self.held):
                try:
                    if self._mine(run_id):
                        os.utime(self.folder / run_id)
                except OSError:  # released meanwhile, or a file system that is away for a moment
                    continue


def me() -> dict[str, str | int]:
    """This process, as a lease names its holder."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "process": os.getpid(),
    }

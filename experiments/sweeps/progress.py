"""How far something is that takes more than ten seconds: a bar on a terminal, a line a minute
elsewhere, both with the time left."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from experiments.finetuning.run import Run
from experiments.finetuning.tasks import train_rows

Item = TypeVar("Item")
LINE = 60  # seconds between two lines


def steps(run: Run) -> int:
    """Optimiser steps of a run."""
    return run.epochs * math.ceil(
        (run.train_examples or train_rows(run.task, run.data_source)) / run.batch_size
    )


class Progress:
    """A bar on a terminal and a line a minute elsewhere: the experiment that asked for the run,
    finished, failed and crashed runs, time left (by steps, since runs differ in length)."""

    def __init__(self, planned: Sequence[Run], asked_by: dict[str, str]) -> None:
        from tqdm import tqdm

        self.asked_by, self.started, self.total = asked_by, time.monotonic(), len(planned)
        self.counts: Counter[str] = Counter()
        self.bar = tqdm(total=sum(map(steps, planned)), unit="step", disable=None, smoothing=0)
        self.last_line, self.done = self.started, 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def finished(self, run: Run, how: str) -> None:
        """One more run is done: successful, failed, crashed, or trained elsewhere by another
        sweep."""
        self.counts[how] += 1
        self.done += steps(run)
        others = "".join(
            f", {self.counts[name]} {name}"
            for name in ("crashed", "elsewhere")
            if self.counts[name]
        )
        state = f"{self.counts.total()}/{self.total} runs, {self.counts['failed']} failed{others}"
        self.bar.set_description_str(self.asked_by[run.id])
        self.bar.set_postfix_str(state)
        self.bar.update(steps(run))
        now = time.monotonic()
        if self.bar.disable and (now - self.last_line > LINE or self.counts.total() == self.total):
            self.last_line = now
            left = (self.bar.total - self.done) * (now - self.started) / self.done
            print(
                f"{self.asked_by[run.id]}: {state}, {self.bar.format_interval(now - self.started)}"
                f" gone, about {self.bar.format_interval(left)} left",
                flush=True,
            )


def counted(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, `total` of them, as they come, with a bar or lines that say how many there have
    been."""
    from tqdm import tqdm

    started = last_line = time.monotonic()
    with tqdm(total=total, desc=what, unit="of them", disable=None, smoothing=0) as bar:
        for done, item in enumerate(items, 1):
            yield item
            bar.update()
            now = time.monotonic()
            if bar.disable and now - last_line > LINE:
                last_line = now
                left = bar.format_interval((total - done) * (now - started) / done)
                print(f"{what}: {done}/{total}, about {left} left", flush=True)

"""How far a sweep and its measurements are: lines where no terminal is, a bar where one is."""

import os
import pty
import subprocess
import sys
import termios

import pytest
from conftest import REPOSITORY

from experiments.sweeps import progress


@pytest.fixture
def clock(monkeypatch):
    """Half a minute passes with each look at the clock."""
    times = iter(range(0, 10_000, 30))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(times)))


def test_measurements_say_how_many_are_left(clock, capsys):
    items = list(progress.counted(iter("abcdef"), 6, "perplexities"))
    assert items == list("abcdef")
    # looks at 0 (start), 30, 60, 90 (the first after more than a minute), ...; 3 of 6 in 90 s
    assert capsys.readouterr().out.splitlines()[0] == "perplexities: 3/6, about 01:30 left"


def on_a_terminal(code: str) -> str:
    """What a terminal of 100 columns shows of a piece of Python."""
    driver, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, stderr=terminal, stdout=terminal, check=True
    )
    os.close(terminal)
    with open(driver, "rb") as file:
        return file.read1(10_000).decode()


def test_a_bar_on_a_terminal():
    said = on_a_terminal("""
import time
from experiments.sweeps.progress import counted
for _ in counted(range(3), 3, "rows"):
    time.sleep(0.15)
""")
    assert "rows: 100%" in said and "3/3" in said


def test_figures_are_listed_above_their_bar():
    said = on_a_terminal("""
from types import SimpleNamespace
from analysis import __main__ as analysis
analysis.importlib = SimpleNamespace(
    import_module=lambda name: SimpleNamespace(main=lambda: print("wrote", name))
)
print(analysis.draw(["bias_correction", "small_datasets"], []))
""")
    assert "wrote analysis.bias_correction\r\n" in said and "small_datasets: 100%" in said
    assert said.rstrip().endswith("0")

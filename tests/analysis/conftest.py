"""What the tests of the analysis scripts share: running one as a command, and the columns of a
run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from conftest import REPOSITORY

WITHOUT_TORCH = """
import runpy, sys, warnings
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "experiments"):
            raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, NoTorch())
warnings.simplefilter("error", RuntimeWarning)
sys.argv = sys.argv[1:]
from analysis.__main__ import scripts
name = sys.argv[0]
runpy.run_module(scripts().get(name, f"analysis.{name}"), run_name="__main__")
"""


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture
def run_twice():
    """A function that runs an analysis script on a folder, twice, without torch, and gives the
    names of its outputs, which must be the same bytes; they lie in <folder>/first."""

    def run(script: str, results: Path) -> set[str]:
        outputs = []
        for name, seed in (("first", "1"), ("second", "2")):
            subprocess.run(
                [
                    sys.executable,
                    "-c",
                    WITHOUT_TORCH,
                    script,
                    "--results",
                    results,
                    "--figures",
                    results / name,
                ],
                check=True,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONHASHSEED": seed},
            )
            outputs.append({path.name: path.read_bytes() for path in (results / name).iterdir()})
        assert outputs[0] == outputs[1]
        return set(outputs[0])

    return run


@pytest.fixture
def draw_here(tmp_path, monkeypatch):
    """A function that draws what lies in tmp_path with an analysis script's `main`, into
    tmp_path/first, and gives the names of the files."""

    def run(main: Callable[[], None]) -> set[str]:
        folders = ["--results", str(tmp_path), "--figures", str(tmp_path / "first")]
        monkeypatch.setattr(sys, "argv", ["analysis", *folders])
        main()
        return {path.name for path in (tmp_path / "first").iterdir()}

    return run


@pytest.fixture
def a_run():
    """A function that makes the row of a run on mini's RTE; failed from its score."""

    def make(score: float, **columns) -> dict:
        return {
            "run": "1",
            "model": "checkpoint@1",
            "data": "mini@1",
            "task": "rte",
            "epochs": 3,
            "dtype": "float32",
            "pretrained": True,
            "learning_rate": 3e-4,
            "bias_correction": False,
            "train_examples": float("nan"),
            "metric": "accuracy",
            "score": score,
            "majority_level": 0.5,
            "failed": score <= 0.5,
            "diverged": False,
            "train_loss": 0.3,
            "label_entropy": 0.69,
            "first_layer_gradient": 0.1,
            "steps": 300,
            **columns,
        }

    return make

"""The figure and the table, from a small CSV, without torch, byte for byte."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from conftest import REPOSITORY


@pytest.fixture
def results(tmp_path):
    """Three seeds a setting at two learning rates; one run diverged, so its loss is missing."""
    rows = [{"run": f"{i}", "model": "m@1", "data": "mini@1", "task": "rte", "epochs": 3, "dtype": "float32", "pretrained": True,
             "learning_rate": rate, "bias_correction": corrected, "metric": "accuracy", "score": score, "majority_level": 0.53,
             "failed": score <= 0.53, "diverged": score == 0.47, "train_loss": None if score == 0.47 else 0.69,
             "label_entropy": 0.691, "first_layer_gradient": 1e-5 if score <= 0.53 else 0.1}
            for rate in (1e-4, 2e-4) for corrected in (False, True)
            for i, score in enumerate((0.47, 0.53, 0.8) if not corrected else (0.75, 0.8, 0.85))]
    pd.DataFrame(rows).to_csv(tmp_path / "bias_correction.csv", index=False)
    return tmp_path


WITHOUT_TORCH = """
import runpy, sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "experiments"):
            raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, NoTorch())
runpy.run_module("analysis.bias_correction", run_name="__main__")
"""


def test_figure_and_table(results):
    outputs = []
    for name in ("first", "second"):
        folder = results / name
        subprocess.run([sys.executable, "-c", WITHOUT_TORCH, "--results", results, "--figures", folder], check=True,
                       cwd=REPOSITORY, env={**os.environ, "PYTHONHASHSEED": "1" if name == "first" else "2"})
        outputs.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert set(outputs[0]) == {f"bias_correction.{kind}" for kind in ("png", "pdf", "md", "csv")}
    assert outputs[0] == outputs[1]

    table = pd.read_csv(results / "first" / "bias_correction.csv")
    assert len(table) == 4
    without = table[~table["bias_correction"]].iloc[0]
    assert (without["n"], without["failed"], without["diverged"]) == (3, 2, 1)
    assert without["mean"] == pytest.approx(60) and without["median"] == pytest.approx(53)
    assert without["failure_rate_low"] < 2 / 3 < without["failure_rate_high"]
    assert "1e-4" in (results / "first" / "bias_correction.md").read_text()

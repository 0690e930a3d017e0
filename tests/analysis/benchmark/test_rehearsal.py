"""Tables of the rehearsal: what stands in them, ready or not."""

import pandas as pd

COMMON = {"dtype": "float32", "weights": "random", "data": "stand-ins", "device": "cpu"}
COMMON |= {"load": 1.2, "cores": 2}
MODEL = {"model": "bert-large-uncased@1", "task": "rte"}


def rows(wrong=""):
    trial = {"part": "trial", **MODEL, "memory_gb": 8.9, "first_loss": 0.71, "wrong": wrong}
    plan = {"part": "plan", **MODEL, "hours_training": 3.0, "memory_gb": 8.9, "disk_gb": 1.5}
    table = [
        {**trial, "kind": "default", "seconds_per_step": 24.25},
        {**trial, "kind": "perplexity", "seconds_per_block": 1.5},
        {**plan, "experiment": "all together", "runs": 3, "optimizer_steps": 1404, "hours": 4.5},
        {**plan, "experiment": "bias_correction", "runs": 2, "optimizer_steps": 936, "hours": 3.5},
        {"part": "verdict", **MODEL, "task": "all", "wrong": wrong},
    ]
    if wrong:
        del table[2:4]
    return pd.DataFrame([{**row, **COMMON} for row in table])


def test_command(run_twice, tmp_path):
    rows().to_csv(tmp_path / "rehearsal.csv", index=False)
    names = {f"rehearsal{part}.{kind}" for part in ("", "_plan") for kind in ("md", "csv")}
    assert run_twice("rehearsal", tmp_path) == names
    text = (tmp_path / "first" / "rehearsal.md").read_text()
    assert "# Rehearsal: ready" in text and "load average 1" in text
    assert "| bert-large-uncased | RTE | default | 24.25 | - |" in text
    plan = (tmp_path / "first" / "rehearsal_plan.md").read_text().splitlines()
    assert plan[-1].startswith("| all together | 3 | 1,404 | 4.5 |")
    assert plan[-2].startswith("| bias_correction | 2 | 936 | 3.5 |")


def test_not_ready(run_twice, tmp_path):
    rows("the loss is not finite").to_csv(tmp_path / "rehearsal.csv", index=False)
    assert run_twice("rehearsal", tmp_path) == {"rehearsal.md", "rehearsal.csv"}
    text = (tmp_path / "first" / "rehearsal.md").read_text()
    assert "# Rehearsal: not ready" in text and "| the loss is not finite |" in text

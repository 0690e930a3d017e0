"""Benchmark: medians over rounds, and ratios to ours."""

import pandas as pd
import pytest

from analysis.benchmark.__main__ import growth, machine, main, steps
from analysis.shared.reading import BadInput


@pytest.fixture
def rows():
    common = {
        "task": "rte",
        "model": "checkpoint@0",
        "data": "mini@0",
        "threads": 1,
        "device": "cpu",
        "load": 0.5,
        "cores": 2,
    }
    contenders = [
        {**common, "part": "contenders", "name": name, "dtype": dtype, "seconds": seconds}
        for name, dtype, times in (
            ("ours", "float32", (0.1, 0.2, 0.6)),
            ("official", "float32", (1.0, 1.4, 1.2)),
            ("ours", "bfloat16", (0.05, 0.05, 0.05)),
            ("limit", "float32", (0.02, 0.02, 0.02)),
        )
        for seconds in times
    ]
    whole = [
        {
            **common,
            "part": "runs",
            "name": "ours",
            "dtype": "float32",
            "seconds": 3.0,
            "runs": 4,
            "workers": 2,
            "examples": 400,
            "layers": 24,
            "seconds_inside": 5.5,
            "megabytes": 700.0,
        },
        {
            **common,
            "part": "stacked",
            "name": "ours",
            "dtype": "float32",
            "seconds": 0.09,
            "runs": 5,
            "workers": 1,
            "layers": 24,
            "seconds_inside": 0.09,
        },
    ]
    pair = [
        {
            **common,
            "part": "machine",
            "name": name,
            "dtype": "float32",
            "seconds": seconds,
            "processes": processes,
            "threads": 3 - processes,
        }
        for name, processes, seconds in (("ours", 1, 0.06), ("ours", 2, 0.05), ("trainer", 1, 0.15))
    ]
    return pd.DataFrame(contenders + whole + pair)


def test_medians_and_ratios(rows):
    table = steps(rows).set_index(["name", "dtype"])
    assert table.loc[("ours", "float32"), ["median", "min", "max", "rounds"]].tolist() == [
        200,
        100,
        600,
        3,
    ]
    assert table.loc[("official", "float32"), "times_ours"] == pytest.approx(6)
    assert table.loc[
        ("ours", "bfloat16"), ["times_ours", "times_ours_float32"]
    ].tolist() == pytest.approx([1, 0.25])
    assert table.loc[("limit", "float32"), "times_ours"] == pytest.approx(0.1)
    assert [name for name, dtype in table.index if dtype == "float32"] == [
        "official",
        "ours",
        "limit",
    ]
    assert growth(rows)["workers"].tolist() == [2, 1]
    assert machine(rows)["steps_per_minute"].tolist() == pytest.approx([1000, 1200, 400])
    assert machine(rows)["ours_makes"].tolist() == pytest.approx([1.2, 1, 3])


def test_command(rows, run_twice, tmp_path, monkeypatch):
    rows.to_csv(tmp_path / "benchmark.csv", index=False)
    assert run_twice("benchmark", tmp_path) == {
        *(f"benchmark.{kind}" for kind in ("png", "pdf", "md", "csv")),
        *(f"benchmark_{what}.{kind}" for what in ("machine", "growth") for kind in ("md", "csv")),
    }
    assert "1 thread(s) of 2 cores" in (tmp_path / "first" / "benchmark.md").read_text()

    rows[rows["part"] == "contenders"].drop(columns="load").to_csv(
        tmp_path / "benchmark.csv", index=False
    )
    monkeypatch.setattr(
        "sys.argv", ["", "--results", str(tmp_path), "--figures", str(tmp_path / "third")]
    )
    with pytest.raises(BadInput, match="lacks the column load"):
        main()

"""Spot check: which runs it asks for, and that they are those of bias_correction."""

from conftest import options

from experiments import bias_correction
from experiments.benchmark import spot_check
from experiments.sweeps.sweep import sweep


def test_ten_runs_shared_with_bias_correction(tiny_model, tmp_path, capsys):
    model = ("--model", str(tiny_model))
    few = spot_check.planned(options(spot_check.EXPERIMENT, *model))
    assert len(few) == 10
    assert {run.bias_correction for run in few} == {False, True}
    assert {run.head_seed for run in few} == set(range(1, 6))
    assert {(run.task, run.learning_rate, run.epochs) for run in few} == {("rte", 3e-4, 3)}
    all_of_them = bias_correction.planned(
        options(bias_correction.EXPERIMENT, *model, "--seeds", "5")
    )
    assert {run.id for run in few} < {run.id for run in all_of_them}
    more = spot_check.planned(options(spot_check.EXPERIMENT, *model, "--seeds", "26-30"))
    assert {run.head_seed for run in more} == set(range(26, 31))

    sweep([spot_check.EXPERIMENT], ["--profile", "small", *model, "--data", "mini", "--plan"])
    assert "spot_check (small): 10 runs" in capsys.readouterr().out

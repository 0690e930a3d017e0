"""Fast path: which runs it compares, and the flags that do nothing there."""

from conftest import options

from experiments.benchmark.fast_path import EXPERIMENT


def test_flags_that_choose_a_path_elsewhere_are_said_to_do_nothing(capsys):
    runs = EXPERIMENT.planned(options(EXPERIMENT, "--seeds", "1"))
    assert [(run.packed, run.dtype) for run in runs] == [
        (False, "float32"),
        (True, "float32"),
        (True, "bfloat16"),
    ]
    assert capsys.readouterr().err == ""
    given = ["--seeds", "1", "--plain", "--dtype", "float32"]
    assert EXPERIMENT.planned(options(EXPERIMENT, *given)) == runs
    said = "warning: {} does nothing in fast_path, which compares them: --paths chooses"
    lines = capsys.readouterr().err.splitlines()
    assert lines == [said.format("--plain"), said.format("--dtype float32")]

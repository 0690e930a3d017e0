"""Flags that only a GPU gives a meaning to are refused in one line without one."""

import pytest
from conftest import options

from experiments.bias_correction import EXPERIMENT
from experiments.finetuning.errors import BadInput


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--runs-per-gpu", "2"], "--device cpu --engine ray: expected --device cuda"),
        (
            ["--runs-per-gpu", "2", "--device", "cuda", "--engine", "serial"],
            "--device cuda --engine serial: expected --device cuda --engine ray",
        ),
        (["--runs-per-gpu", "0", "--device", "cuda"], "'0': expected a number of runs from 1 to"),
        (["--runs-per-gpu", "half", "--device", "cuda"], "'half': expected a number of runs"),
    ],
)
def test_refused(flags, said):
    with pytest.raises(BadInput) as error:
        options(EXPERIMENT, *flags)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_runs_per_gpu_is_no_part_of_an_id():
    def planned(*flags):
        return [run.id for run in EXPERIMENT.planned(options(EXPERIMENT, *flags))]

    cuda = ("--device", "cuda", "--seeds", "1")
    assert planned(*cuda, "--runs-per-gpu", "3") == planned(*cuda, "--runs-per-gpu", "1")
    assert planned(*cuda) == planned(*cuda, "--runs-per-gpu", "1") != planned("--seeds", "1")

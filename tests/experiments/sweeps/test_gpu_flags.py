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
        (["--dtype", "tf32"], "--dtype tf32 with --device cpu: only a GPU has that arithmetic"),
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


def test_tf32_is_part_of_an_id():
    def planned(dtype):
        flags = ("--device", "cuda", "--seeds", "1", "--dtype", dtype)
        return EXPERIMENT.planned(options(EXPERIMENT, *flags))

    assert {run.dtype for run in planned("tf32")} == {"tf32"}
    kinds = [{run.id for run in planned(dtype)} for dtype in ("float32", "tf32", "bfloat16")]
    assert len(set.union(*kinds)) == sum(map(len, kinds))

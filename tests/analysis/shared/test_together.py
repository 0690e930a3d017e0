"""What the rows of a table must be together, beside what tests/faults cuts out of real ones."""

import pandas as pd

from analysis.shared.together import one_of_each_seed


def test_a_seed_counts_once_also_on_two_devices(a_run):
    seeds = {"head_seed": 1, "order_seed": 1, "dropout_seed": 1}
    on = [
        a_run(0.9, run=letter * 16, device=device, **seeds)
        for letter, device in (("a", "cpu"), ("b", "NVIDIA H200"))
    ]
    assert "the seed 1: expected each seed once" in one_of_each_seed(pd.DataFrame(on))
    other = {**on[1], "head_seed": 2, "order_seed": 2, "dropout_seed": 2}
    assert one_of_each_seed(pd.DataFrame([on[0], other])) == ""

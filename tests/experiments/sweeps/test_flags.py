"""The common flags in --help: in groups, an experiment's own ones before them."""

import re

from experiments import mitigations
from experiments.sweeps.flags import parser


def test_help_has_groups_and_an_experiments_own_flags_first():
    p = parser("")
    mitigations.add_flags(p)
    groups = {}
    for part in re.split(r"\n(?=[a-z].*:\n)", p.format_help())[1:]:
        groups[part.partition(":\n")[0]] = re.findall(r"^  --([a-z-]+)", part, re.MULTILINE)
    assert list(groups) == ["options", "model and data", "runs", "where and how they are trained"]
    own = ["profile", "mixout", "component-norm", "methods", "reinitialized-layers"]
    first_and_last = [(flags[0], flags[-1]) for flags in groups.values()]
    assert groups["options"] == own
    assert first_and_last[1:] == [("model", "sampling-seed"), ("tasks", "dtype"), ("device", "and")]

"""Several experiments in one sweep: python -m experiments bias_correction small_datasets ... [flags].

Runs that several experiments need are trained once, and one bar shows the whole. `bash run_all.sh` calls this.
"""

import importlib
import sys
from itertools import takewhile

from experiments.finetuning.sweep import main

names = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
main(*(importlib.import_module(f"experiments.{name}").EXPERIMENT for name in names), arguments=sys.argv[1 + len(names):])

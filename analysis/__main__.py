"""Several figures in one process: python -m analysis bias_correction small_datasets ... [flags].

A script that cannot draw says why in its one line, the others go on, and the status at the end is 2. `bash run_all.sh` calls this.
"""

import importlib
import sys
from itertools import takewhile
from pathlib import Path

from analysis.style import BadInput, run_command


def main() -> None:
    scripts = [path.stem for path in Path(__file__).parent.glob("*.py") if "\nif __name__ ==" in path.read_text(encoding="utf-8")]
    names = list(takewhile(lambda argument: not argument.startswith("-"), sys.argv[1:]))
    unknown = [name for name in names if name not in scripts or name.startswith("__")]
    if unknown or not names:
        raise BadInput(f"{'unknown script ' + repr(unknown[0]) if unknown else 'no script named'}: expected names of "
                       f"{', '.join(sorted(set(scripts) - {'__main__'}))}, then flags")
    flags, status = sys.argv[1 + len(names):], 0
    for name in names:
        sys.argv = [name, *flags]
        try:
            run_command(importlib.import_module(f"analysis.{name}").main)
        except SystemExit as ended:
            status = ended.code or status
    sys.exit(status)


if __name__ == "__main__":
    run_command(main)

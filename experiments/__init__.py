import os
import sys
from types import TracebackType

if sys.flags.optimize > 1:
    print(
        "error: Python leaves docstrings out (PYTHONOPTIMIZE=2, -OO) and transformers cannot be"
        " imported without; expected PYTHONOPTIMIZE unset, or 1",
        file=sys.stderr,
    )
    sys.exit(2)


def _say_what_is_missing(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """In place of a traceback one line, where a package is not there or is of another version."""
    package = (getattr(error, "name", None) or "").split(".")[0]
    ours = package in ("", "experiments", "analysis") or package in sys.stdlib_module_names
    if not issubclass(kind, ImportError) or ours:
        return sys.__excepthook__(kind, error, trace)
    print(
        f"error: {error} ({sys.executable}): expected the packages of requirements.txt in its"
        " versions; bash run_all.sh installs them into .venv, or python -m pip install -r"
        " requirements.txt",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    os._exit(2)  # the status of bad input; Python's own would be 1


sys.excepthook = _say_what_is_missing

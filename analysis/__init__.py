import importlib.util
import os
import sys
from pathlib import Path
from types import TracebackType

# Whatever a notebook or a matplotlibrc of the user's has set; matplotlib reads both when it is
# imported (a locale that is not there ends that), so before that: its own settings file.
os.environ["MPLBACKEND"] = "Agg"
# A build system's, which may be no number: that ends the import of numpy.f2py, and with it scipy's.
# Figures carry no date.
os.environ.pop("SOURCE_DATE_EPOCH", None)
_matplotlib = importlib.util.find_spec("matplotlib")
if _matplotlib and _matplotlib.origin:
    os.environ["MATPLOTLIBRC"] = str(Path(_matplotlib.origin).parent / "mpl-data" / "matplotlibrc")


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

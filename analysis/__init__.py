import importlib.util
import os
from pathlib import Path

# Whatever a notebook or a matplotlibrc of the user's has set; matplotlib reads both when it is
# imported (a locale that is not there ends that), so before that: its own settings file.
os.environ["MPLBACKEND"] = "Agg"
# A build system's, which may be no number: that ends the import of numpy.f2py, and with it scipy's.
# Figures carry no date.
os.environ.pop("SOURCE_DATE_EPOCH", None)
_matplotlib = importlib.util.find_spec("matplotlib")
if _matplotlib and _matplotlib.origin:
    os.environ["MATPLOTLIBRC"] = str(Path(_matplotlib.origin).parent / "mpl-data" / "matplotlibrc")

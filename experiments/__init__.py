import sys

if sys.flags.optimize > 1:
    print(
        "error: Python leaves docstrings out (PYTHONOPTIMIZE=2, -OO) and transformers cannot be"
        " imported without; expected PYTHONOPTIMIZE unset, or 1",
        file=sys.stderr,
    )
    sys.exit(2)

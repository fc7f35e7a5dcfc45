"""``python -m hopflow.as_dgl script.py ...``: ``python script.py ...`` with hopflow as ``dgl``."""

from __future__ import annotations

import os
import runpy
import sys

from hopflow.as_dgl import install

_USAGE = """usage: python -m hopflow.as_dgl script.py [argument ...]
       python -m hopflow.as_dgl -m module [argument ...]

Runs a program written for DGL on hopflow: its `import dgl` leads to hopflow.
"""


def main() -> None:
    """Run what ``sys.argv`` names, with its arguments as ``sys.argv`` and as ``__main__``."""
    arguments = sys.argv[1:]
    if not arguments or arguments in (["-m"], ["-h"], ["--help"]):
        wants_help = bool(arguments) and arguments != ["-m"]
        (sys.stdout if wants_help else sys.stderr).write(_USAGE)
        sys.exit(0 if wants_help else 2)
    if arguments[0] == "-m":
        install()
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    script = arguments[0]
    if script.startswith("-"):
        sys.stderr.write(f"unknown option {script}\n{_USAGE}")
        sys.exit(2)
    if not os.path.exists(script):
        sys.stderr.write(f"{sys.executable}: can't open file {os.path.abspath(script)!r}\n")
        sys.exit(2)
    install()
    sys.argv = arguments
    # Python puts the script's folder where -m has put the current one, unless it was told not to.
    if not getattr(sys.flags, "safe_path", False) and os.path.isfile(script):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()

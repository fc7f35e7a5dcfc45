r"""Compare hopflow with DGL as it is installed, on traversal_cases.py.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_traversal.py --dgl /path/to/python \
        --worlds 100 --first 1000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from traversal_cases import answers, difference, unpack

import hopflow as hf


def main() -> int:
    """Print what differs; the exit status is 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dgl", required=True, help="an interpreter that has DGL")
    parser.add_argument("--worlds", type=int, default=100, help="how many graphs")
    parser.add_argument("--first", type=int, default=1000, help="the number of the first")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traversals.npz"
        program = Path(__file__).with_name("traversal_cases.py")
        command = [arguments.dgl, program, path, str(arguments.first), str(arguments.worlds)]
        subprocess.run(command, check=True)
        recorded = np.load(path)
    print(f"against {recorded['versions']}")
    theirs = unpack(recorded)
    ours, wrong = answers(hf, arguments.first, arguments.worlds), 0
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            what = f"{'hopflow' if name not in ours else 'DGL'} has none"
        else:
            what = difference(ours[name], theirs[name])
        if what:
            wrong += 1
            print(f"{name}: {what}")
    print(f"{len(ours)} compared, {wrong} differ")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

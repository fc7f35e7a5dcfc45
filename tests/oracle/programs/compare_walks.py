"""Compare hopflow's random walks with those of DGL as it is installed, on walk_cases.py.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_walks.py --dgl /path/to/python
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from walk_cases import answers, difference

import hopflow as hf
from hopflow import nn


def main() -> int:
    """Print what differs; the exit status is 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dgl", required=True, help="an interpreter that has DGL")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walks.npz"
        program = Path(__file__).with_name("walk_cases.py")
        subprocess.run([arguments.dgl, program, path], check=True)
        theirs = dict(np.load(path))
    print(f"against {theirs.pop('versions')}")
    ours, wrong = answers(hf, nn), 0
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            what = f"{'hopflow' if name not in ours else 'DGL'} has none"
        else:
            what = difference(name, ours[name], theirs[name])
        if what:
            wrong += 1
            print(f"{name}: {what}")
    print(f"{len(ours)} compared, {wrong} differ")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

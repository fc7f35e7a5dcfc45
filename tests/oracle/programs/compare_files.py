"""Read with hopflow what DGL as it is installed writes, on random graphs of file_cases.py.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_files.py --dgl /path/to/python --worlds 50 --first 1000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from file_cases import columns_differ, difference, files, old_files, tensors

import hopflow as hf
from hopflow.as_dgl.files import load_graphs, load_tensors


def main() -> int:
    """Print what differs; the exit status is 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dgl", required=True, help="an interpreter that has DGL")
    parser.add_argument("--worlds", type=int, default=50, help="how many sets of files")
    parser.add_argument("--first", type=int, default=1000, help="the number of the first")
    arguments = parser.parse_args()
    compared = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        program = Path(__file__).with_name("file_cases.py")
        numbers = [str(arguments.first), str(arguments.worlds)]
        subprocess.run([arguments.dgl, program, "--into", folder, *numbers], check=True)
        for number in range(arguments.first, arguments.first + arguments.worlds):
            held = {name: x[:2] for name, x in files(hf, number).items()}
            found = []
            for name, (graphs, labels) in {**held, **old_files(hf, number)}.items():
                ours, read = load_graphs(Path(folder) / f"{number} {name}")
                found.append((name, columns_differ(read, labels)))
                found += [(name, difference(*pair)) for pair in zip(ours, graphs, strict=True)]
            for name, held_tensors in tensors(number).items():
                read = load_tensors(Path(folder) / f"{number} {name}")
                found.append((name, columns_differ(read, held_tensors)))
            compared += len(found)
            for name, what in found:
                if what:
                    wrong += 1
                    print(f"{number} {name}: {what}")
    print(f"{compared} compared, {wrong} differ")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

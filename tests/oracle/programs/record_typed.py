"""Record what DGL computes on graphs of several types, for ``test_dgl_types.py`` to compare with.

Run with an interpreter that has DGL; hopflow need not be there::

    OMP_NUM_THREADS=1 python tests/oracle/programs/record_typed.py tests/oracle/records/typed.npz

One thread, because with more DGL 2.1's sampler takes another path, which fails on some graphs.
Only results are recorded, not inputs: ``typed_worlds.py`` makes those from their numbers.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import dgl
import numpy as np
import torch
from compare_engine import Case, Engine, run_all, save
from typed_cases import all_cases
from typed_worlds import RECORDED, make_world


def main(
    all_cases: Callable[[Iterable[int]], list[Case]] = all_cases, worlds: Iterable[int] = RECORDED
) -> None:
    """Record these cases of some worlds into the file that the command line names."""
    assert os.environ.get("OMP_NUM_THREADS") == "1", "expected OMP_NUM_THREADS=1"
    found, errors = run_all(all_cases(worlds), Engine("dgl", {}))
    about = {"dgl": dgl.__version__, "torch": torch.__version__, "errors": errors,
             "worlds": {str(n): make_world(n).checksum() for n in worlds}}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.npz"
        save(plain, found, about)
        with np.load(plain, allow_pickle=False) as arrays:
            np.savez_compressed(sys.argv[1], **{k: arrays[k] for k in arrays})


if __name__ == "__main__":
    main()

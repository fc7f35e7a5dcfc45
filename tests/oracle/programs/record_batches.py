r"""Record what DGL computes on batches of graphs, for ``test_dgl_batches.py`` to compare with.

Run with an interpreter that has DGL; hopflow need not be there::

    OMP_NUM_THREADS=1 python tests/oracle/programs/record_batches.py \
        tests/oracle/records/batches.npz

Only results are recorded, not inputs: ``batch_cases.py`` makes those from the worlds' numbers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import dgl
import numpy as np
import torch
from batch_cases import RECORDED, all_cases
from compare_engine import Engine, run_all, save


def main() -> None:
    """Record everything into the file that the command line names."""
    found, errors = run_all(all_cases(RECORDED), Engine("dgl", {}))
    about = {"dgl": dgl.__version__, "torch": torch.__version__, "errors": errors}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.npz"
        save(plain, found, about)
        with np.load(plain, allow_pickle=False) as arrays:
            np.savez_compressed(sys.argv[1], **{k: arrays[k] for k in arrays})


if __name__ == "__main__":
    main()

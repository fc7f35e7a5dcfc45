r"""Record what DGL's transforms give, for ``test_dgl_transforms.py`` to compare with.

Run with an interpreter that has DGL; hopflow need not be there::

    OMP_NUM_THREADS=1 python tests/oracle/programs/record_transforms.py \
        tests/oracle/records/transforms.npz

Only results are recorded, not inputs: ``typed_worlds.py`` makes those from their numbers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import dgl
import numpy as np
import torch
from compare_engine import Engine, run_all, save
from transform_cases import RECORDED, all_cases
from typed_worlds import make_world


def main() -> None:
    """Record everything into the file that the command line names."""
    found, errors = run_all(all_cases(RECORDED), Engine("dgl", {}))
    about = {"dgl": dgl.__version__, "torch": torch.__version__, "errors": errors,
             "worlds": {str(n): make_world(n).checksum() for n in RECORDED}}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.npz"
        save(plain, found, about)
        with np.load(plain, allow_pickle=False) as arrays:
            np.savez_compressed(sys.argv[1], **{k: arrays[k] for k in arrays})


if __name__ == "__main__":
    main()

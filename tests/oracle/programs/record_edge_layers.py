"""Record layers over edge features, dense layers and utilities, for ``test_dgl_edge_layers.py``.

Run with an interpreter that has DGL; hopflow need not be there::

    python tests/oracle/programs/record_edge_layers.py tests/oracle/records/edge_layers.npz

The cases are those of ``compare_edge_layers.py`` in float32, the parameters that DGL's layers were
given beside the results and gradients; inputs are made from a seed, as ``compare.py`` makes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dgl
import numpy as np
import torch
from compare_edge_layers import edge_layer_cases
from compare_engine import Engine, make_inputs, run_all, save
from edge_layer_names import RECORDED, SEED


def main() -> None:
    """Record everything into the file that the command line names."""
    engine = Engine("dgl", make_inputs(SEED))
    cases = [case for case in edge_layer_cases() if case.path in RECORDED]
    found, errors = run_all(cases, engine)
    assert not errors, errors
    assert set(found) == RECORDED, RECORDED - set(found)
    tensors = {f"result/{path}": values for path, values in found.items()}
    tensors |= {f"state/{path}": values for path, values in engine.made_states.items()}
    record = Path(sys.argv[1])
    save(record, tensors, {"dgl": dgl.__version__, "torch": torch.__version__})
    with np.load(record) as arrays:
        np.savez_compressed(record, **{name: arrays[name] for name in arrays})
    print(f"{len(found)} cases from DGL {dgl.__version__}")


if __name__ == "__main__":
    main()

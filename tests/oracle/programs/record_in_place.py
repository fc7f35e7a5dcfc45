r"""Record what DGL makes of graphs that change in place, for ``test_dgl_in_place.py``.

Run with an interpreter that has DGL, networkx and scipy; hopflow need not be there::

    OMP_NUM_THREADS=1 python tests/oracle/programs/record_in_place.py \
        tests/oracle/records/in_place.npz

As with ``record_typed.py`` only results are recorded.
"""

from __future__ import annotations

import record_typed
from in_place_cases import RECORDED, all_cases

if __name__ == "__main__":
    record_typed.main(all_cases, RECORDED)

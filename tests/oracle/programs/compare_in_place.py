"""Compare hopflow with DGL as it is installed, on random graphs that change in place.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_in_place.py --dgl /path/to/python --worlds 48

The cases are those of ``in_place_cases.py``; options, and what is printed, are those of
``compare_typed.py``.
"""

from __future__ import annotations

import compare_typed
from in_place_cases import all_cases

if __name__ == "__main__":
    compare_typed.main(all_cases, __file__, __doc__.splitlines()[0])

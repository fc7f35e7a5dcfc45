"""Run scripts written for DGL: ``import dgl`` and its submodules lead to hopflow.

``python -m hopflow.as_dgl script.py ...`` runs a script as ``python script.py ...`` would; in a
notebook or at the top of a program :func:`install` does the same. What there is, and what differs
from DGL, is listed in docs/dgl.md.
"""

from __future__ import annotations

import sys

import torch

from hopflow.as_dgl.modules import DglModule, Finder, make_modules
from hopflow.datasets.ogb_layout import numpy_globals
from hopflow.ops import HopflowError

__all__ = ["install", "uninstall"]


def install() -> None:
    """Make ``import dgl`` lead to hopflow in this process, in every thread.

    Calling it again changes nothing. ``ogb`` looks for DGL when it is first imported, so this has
    to come before. Numpy's arrays join the types that ``torch.load`` accepts under
    ``weights_only=True``: ``ogb`` loads splits with it that may hold them.

    Raises
    ------
    HopflowError
        The real DGL has been imported already.
    """
    present = sys.modules.get("dgl")
    if isinstance(present, DglModule):
        return
    if present is not None:
        where = getattr(present, "__file__", None) or "an unknown place"
        raise HopflowError(
            f"install: expected dgl not to be imported yet, got the real one from {where}; call"
            " hopflow.as_dgl.install() before the first `import dgl`, or run `python -m"
            " hopflow.as_dgl script.py`"
        )
    add_safe_globals = getattr(torch.serialization, "add_safe_globals", None)
    if add_safe_globals is not None:  # torch before 2.4 has no need of it
        add_safe_globals(numpy_globals())
    sys.modules.update(make_modules())
    sys.meta_path.insert(0, Finder())


def uninstall() -> None:
    """Undo :func:`install`; names that have been imported stay as they are."""
    for name in [name for name, module in sys.modules.items() if isinstance(module, DglModule)]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]

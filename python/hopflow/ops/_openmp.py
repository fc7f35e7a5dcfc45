"""The order in which the native libraries of a process are loaded.

``hopflow._native`` is compiled for OpenMP but names no OpenMP runtime: its symbols resolve to the
one that torch has loaded globally. Two runtimes in one process would each start their own threads
and hold their own idea of ``torch.set_num_threads``.
"""

from __future__ import annotations

import ctypes
import sys

import torch  # noqa: F401  loads torch's OpenMP runtime


def ensure_openmp() -> None:
    """Make an OpenMP runtime visible to ``hopflow._native``; torch's if it has one."""
    if not sys.platform.startswith("linux"):
        return
    if hasattr(ctypes.CDLL(None), "GOMP_parallel"):
        return
    # A torch built without OpenMP, or with one that lacks GCC's entry points.
    ctypes.CDLL("libgomp.so.1", mode=ctypes.RTLD_GLOBAL)


ensure_openmp()

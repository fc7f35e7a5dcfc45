"""What the native module was built with and what the machine offers."""

from __future__ import annotations

import torch

import hopflow._native as _native
from hopflow.ops._shapes import as_int32

HopflowError: type[RuntimeError] = _native.HopflowError
"""What the machine or the build cannot do: no CUDA in this build, a kernel launch that failed."""
HopflowError.__module__ = "hopflow"


def num_threads() -> int:
    """Threads that a kernel called from this thread uses; follows ``torch.set_num_threads``."""
    return _native.num_threads()


def set_num_threads(n: int) -> None:
    """Set :func:`num_threads` for the calling thread alone; a ValueError below 1, beyond int32."""
    # The first parallel work of a thread makes torch set its own default there; let that be over.
    torch.get_num_threads()
    _native.set_num_threads(as_int32("num_threads", n))


def instruction_set() -> str:
    """The vector instructions that the kernels use: "baseline", "avx2" or "avx512"."""
    return _native.isa()


def cuda_is_built() -> bool:
    """Whether CUDA code is in the native module."""
    return _native.cuda_is_built()


def cuda_build_version() -> str:
    """The CUDA version that the module was built with, such as "13.0"; "" without CUDA."""
    return _native.cuda_build_version()


def cuda_build_architectures() -> list[str]:
    """The architectures that the module has code for, such as ["80-real", "90"]."""
    names = _native.cuda_build_architectures()
    return names.split(",") if names else []


def cuda_devices() -> tuple[list[tuple[str, int, int]], str]:
    """Name and compute capability of each CUDA device, and why there is none."""
    return _native.cuda_devices()

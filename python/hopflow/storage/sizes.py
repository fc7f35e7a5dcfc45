"""Sizes of memory as people write them."""

from __future__ import annotations

import re

import hopflow.ops as ops

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{prefix}b": 1000**i for i, prefix in enumerate("kmgt", 1)}
_UNITS |= {f"{prefix}ib": 1024**i for i, prefix in enumerate("kmgt", 1)}


def size_in_bytes(name: str, size: object) -> int:
    """A size such as 1000000, ``"500MB"`` or ``"2 GiB"``, in bytes.

    Raises
    ------
    TypeError, ValueError
        Something else, or a negative size.
    """
    if isinstance(size, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", size)
        if found is None or found[2].lower() not in _UNITS:
            raise ValueError(f"{name}: expected a size such as '500MB' or '2GiB', got {size!r}")
        return int(float(found[1]) * _UNITS[found[2].lower()])
    number = ops.as_int(name, size)
    if number < 0:
        raise ValueError(f"{name}: expected at least 0 bytes, got {number}")
    return number


def size_text(num_bytes: float) -> str:
    """Bytes for people: "1.23 GB", in powers of 1000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.3g} {unit}"
    return f"{num_bytes:.0f} B"

"""What the entries of one case share inside a worker, such as a graph of several gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_kept: dict[Hashable, Any] = {}


def share(key: Hashable, make: Callable[[], T]) -> T:
    """The object of this key, made on first use and kept until the case is over."""
    if key not in _kept:
        _kept[key] = make()
    value: T = _kept[key]
    return value


def forget() -> None:
    """Let go of everything."""
    _kept.clear()

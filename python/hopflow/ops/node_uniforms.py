"""A random number for each of some ids, a function of a key and the id alone."""

from __future__ import annotations

import torch
from torch import Tensor

from hopflow.ops._shapes import require_ids
from hopflow.ops.sample import _fold_key, _mix64

_MASK64 = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15


def node_uniforms(ids: Tensor, *, key: int) -> Tensor:
    """Numbers uniform on (0, 1), one for each id: the same for the same id and key.

    They are the first draw of the node in the stream of :func:`sample_neighbors` (core/rng.h), in
    steps of 2^-53; never 0 or 1. On any device and for any number of threads the same bits.

    Parameters
    ----------
    ids : Tensor
        Ids, shape [M], int32 or int64; may repeat.
    key : int
        Randomness: :func:`stream_key`.

    Returns
    -------
    Tensor
        float64, shape [M].
    """
    ids = require_ids("ids", ids).long()
    mixed_key = _mix64((key + _GAMMA) & _MASK64)
    # int64 wraps around as the generator's unsigned integers do.
    base = _mixed((ids * _signed(0xD6E8FEB86659FD93) + _signed(_GAMMA)) ^ _signed(mixed_key))
    bits = _mixed(base + _signed(_GAMMA))
    return _shifted(bits, 11).double() * 2.0**-53 + 2.0**-54


def _signed(x: int) -> int:
    """A 64-bit number as int64 holds it."""
    return x - 2**64 if x >= 2**63 else x


def _shifted(x: Tensor, count: int) -> Tensor:
    """``x >> count`` of unsigned numbers."""
    mask: int = 2 ** (64 - count) - 1
    return (x >> count) & mask


def _mixed(x: Tensor) -> Tensor:
    """Mix64 of core/rng.h."""
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shifted(x, 31)


def node_uniforms_reference(ids: Tensor, *, key: int) -> Tensor:
    """What :func:`node_uniforms` computes, bit for bit, in Python's integers."""
    found = []
    for node in ids.tolist():
        bits = _mix64((_fold_key(key & _MASK64, node) + _GAMMA) & _MASK64)
        found.append((bits >> 11) * 2.0**-53 + 2.0**-54)
    return torch.tensor(found, dtype=torch.float64)

"""What new rows of feature columns are filled with; ``dgl.init``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Initializer: TypeAlias = "Callable[[tuple[int, ...], torch.dtype, torch.device, slice], Tensor]"
"""``initializer(shape, dtype, device, rows)``: values for the rows ``rows.start`` to ``rows.stop``
of a column, of this shape and dtype and on this device."""


def base_initializer(
    shape: tuple[int, ...], dtype: torch.dtype, ctx: torch.device, id_range: slice
) -> Tensor:
    """The signature of an initialiser; raises an error when called.

    Parameters
    ----------
    shape : tuple of int
        Of the values wanted: the number of rows, then the shape of a row.
    dtype : torch.dtype
        Of the column.
    ctx : torch.device
        Where the graph is.
    id_range : slice
        The ids of the nodes or edges, from ``start`` to below ``stop``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.set_n_initializer.html
    """
    raise NotImplementedError("base_initializer is a signature; give a function of your own")


def zero_initializer(
    shape: tuple[int, ...], dtype: torch.dtype, ctx: torch.device, id_range: slice
) -> Tensor:
    """Zeros, which new rows get where nothing else is asked for."""
    return torch.zeros(shape, dtype=dtype, device=ctx)


def initial_rows(what: str, initializer: Initializer, like: Tensor, rows: slice) -> Tensor:
    """What an initialiser gives for some rows, checked.

    Parameters
    ----------
    what : str
        The column, for messages.
    initializer : callable
        The function.
    like : Tensor
        Rows of the column, or that it is to have: of their dtype and device the values must be.
    rows : slice
        Which rows.

    Raises
    ------
    TypeError, ValueError
        It gives something else than such values.
    """
    shape = (rows.stop - rows.start, *like.shape[1:])
    made = initializer(shape, like.dtype, like.device, rows)
    if not isinstance(made, Tensor):
        raise TypeError(
            f"the initialiser of {what}: expected a torch.Tensor, got {type(made).__name__}"
        )
    if tuple(made.shape) != shape or made.dtype != like.dtype or made.device != like.device:
        raise ValueError(
            f"the initialiser of {what}: expected {like.dtype} {list(shape)} on {like.device},"
            f" got {made.dtype} {list(made.shape)} on {made.device}"
        )
    return made

"""The linear layer with a matrix for each type of row."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hopflow.nn._checks import assert_compiled, is_compiling, require_width
from hopflow.nn.hetero._by_type import autocast, bounds, group, require_types
from hopflow.ops.segment_mm import segment_mm

REGULARIZERS = ("basis", "bdd")


class TypedLinear(nn.Module):
    r"""A linear transformation whose matrix depends on the type of the row.

    .. math::
        y_i = x_i W_{t(i)}

    Rows are sorted by type once and each type is one matrix product; no copy of the weights is
    made for each row.

    Parameters have the names, shapes and initialisation of DGL's layer, so a ``state_dict`` moves
    either way.

    Parameters
    ----------
    in_size, out_size : int
        Widths of the rows before and after.
    num_types : int
        Number of types T.
    regularizer : {None, "basis", "bdd"}
        What the matrices share: nothing; "basis", they are sums of ``num_bases`` matrices with
        coefficients of their own; "bdd", nothing, but they are block-diagonal with ``num_bases``
        blocks.
    num_bases : int, optional
        Needed with a regularizer.

    Raises
    ------
    ValueError
        An unknown regularizer, one without ``num_bases``, or sizes that "bdd" cannot divide.

    References
    ----------
    Schlichtkrull et al., "Modeling relational data with graph convolutional networks", ESWC 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.TypedLinear.html
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        num_types: int,
        regularizer: str | None = None,
        num_bases: int | None = None,
    ) -> None:
        super().__init__()
        if regularizer is not None and regularizer not in REGULARIZERS:
            raise ValueError(
                f"regularizer: expected None, {' or '.join(map(repr, REGULARIZERS))}, got"
                f" {regularizer!r}"
            )
        self.in_size, self.out_size, self.num_types = in_size, out_size, num_types
        self.regularizer = regularizer
        if regularizer is None:
            self.W = nn.Parameter(torch.empty(num_types, in_size, out_size))
            self.reset_parameters()
            return
        if num_bases is None:
            raise ValueError(f"num_bases: expected a number for regularizer={regularizer!r}")
        self.num_bases = num_bases
        if regularizer == "basis":
            self.W = nn.Parameter(torch.empty(num_bases, in_size, out_size))
            self.coeff = nn.Parameter(torch.empty(num_types, num_bases))
        else:
            if in_size % num_bases or out_size % num_bases:
                raise ValueError(
                    f"num_bases: expected a divisor of in_size = {in_size} and out_size ="
                    f" {out_size}, got {num_bases}"
                )
            self.submat_in, self.submat_out = in_size // num_bases, out_size // num_bases
            size = num_bases * self.submat_in * self.submat_out
            self.W = nn.Parameter(torch.empty(num_types, size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: uniform as in ``nn.Linear``; coefficients by Glorot's law."""
        width = self.submat_in if self.regularizer == "bdd" else self.in_size
        bound = 1 / math.sqrt(width)
        nn.init.uniform_(self.W, -bound, bound)
        if self.regularizer == "basis":
            nn.init.xavier_uniform_(self.coeff, gain=nn.init.calculate_gain("relu"))

    def get_weight(self) -> Tensor:
        """The matrices, shape [T, in_size, out_size]; of "bdd" their blocks, flat, [T, ...]."""
        if self.regularizer != "basis":
            return self.W
        flat = self.coeff @ self.W.view(self.num_bases, self.in_size * self.out_size)
        return flat.view(self.num_types, self.in_size, self.out_size)

    def forward(self, x: Tensor, x_type: Tensor, sorted_by_type: bool = False) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        x : Tensor
            Shape [N, in_size].
        x_type : Tensor
            The type of each row, integers in [0, T), shape [N].
        sorted_by_type : bool
            That the types rise, which spares the sorting.

        Returns
        -------
        Tensor
            Shape [N, out_size].

        Raises
        ------
        IndexError
            A type that is negative or not below T; the message names the first.
        ValueError, TypeError
            Operands of other shapes or dtypes, or types that do not rise and were said to.
        """
        if x.dim() != 2:
            raise ValueError(f"x: expected rows, shape [N, {self.in_size}], got {list(x.shape)}")
        require_width("x", x, self.in_size)
        types = require_types("x_type", x_type, x.shape[0], self.num_types, x)
        if sorted_by_type:
            require_sorted("x_type", types)
            order, indptr = None, bounds(types, self.num_types)
        else:
            _, order, indptr = group(types, self.num_types)
        rows, weight = autocast(x, self.get_weight())
        if self.regularizer != "bdd":
            return segment_mm(indptr, rows, weight, rows=order)
        blocks = weight.view(-1, self.num_bases, self.submat_in, self.submat_out)
        rows = rows.reshape(-1, self.num_bases, self.submat_in)
        return segment_mm(indptr, rows, blocks, rows=order).reshape(-1, self.out_size)

    def __repr__(self) -> str:
        options = f"in_size={self.in_size}, out_size={self.out_size}, num_types={self.num_types}"
        if self.regularizer is not None:
            options += f", regularizer={self.regularizer}, num_bases={self.num_bases}"
        return f"TypedLinear({options})"


def require_sorted(name: str, types: Tensor) -> None:
    """Raise a ValueError unless types rise; in a compiled model torch's RuntimeError."""
    falls = types[1:] < types[:-1]
    if is_compiling():
        assert_compiled(falls.logical_not().all(), f"{name}: expected types that rise")
    elif bool(falls.any()):
        first = int(falls.nonzero()[0]) + 1
        raise ValueError(
            f"{name}: expected types that rise, as sorted_by_type says, got"
            f" {int(types[first])} after {int(types[first - 1])} at row {first}"
        )

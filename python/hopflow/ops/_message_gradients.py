"""Gradients and tangents of the operands of a message, for the binary SpMM and SDDMM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hopflow.ops._messages import sum_to
from hopflow.ops._place import mark, mark_csc
from hopflow.ops._shapes import accumulator_dtype, as_columns, id_dtype
from hopflow.ops._transforms import added
from hopflow.ops.csc import Transpose, transpose_for_backward


class Edges:
    """The edges of an operator in its backward pass, and their transpose when it is asked for."""

    def __init__(
        self,
        indptr: Tensor,
        indices: Tensor,
        eids: Tensor | None,
        num_src: int,
        transpose: Sequence[Tensor | None],
    ) -> None:
        self.indptr, self.indices, self.eids, self.num_src = indptr, indices, eids, num_src
        self._given = transpose
        self._transposed: Edges | None = None

    def transpose(self) -> Transpose:
        """The edges by source: those given, or made now."""
        t_indptr, t_rows, t_positions = self._given
        if t_indptr is None or t_rows is None or t_positions is None:
            made = transpose_for_backward(self.indptr, self.indices, self.num_src)
            self._given = made
            return made
        return Transpose(t_indptr, t_rows, t_positions)

    def transposed(self) -> Edges:
        """The same edges by source, with the ids that they have here."""
        if self._transposed is None:
            t_indptr, t_rows, eids = self.transpose()
            if self.eids is not None:
                eids = self.eids[eids.long()].to(t_rows.dtype)
                mark(eids, "permutation", eids.shape[0])
            num_dst = self.indptr.shape[0] - 1
            self._transposed = Edges(t_indptr, t_rows, eids, num_dst, (None, None, None))
        return self._transposed


def _sum_of_messages(edges: Edges, op: str, lhs: Tensor, rhs: Tensor, rhs_target: str) -> Tensor:
    """Sum over in-edges of ``lhs`` (at the edge) combined with ``rhs``."""
    out, _ = torch.ops.hopflow.spmm_binary(
        op, lhs, "e", rhs, rhs_target, edges.indptr, edges.indices, edges.eids, "sum",
        None, None, None,
    )  # fmt: skip
    return out  # type: ignore[no-any-return]


def sum_of_sources(edges: Edges, x: Tensor) -> Tensor:
    """Sum of the sources' rows [U, A, B] at each destination."""
    out, _ = torch.ops.hopflow.spmm(
        x, edges.indptr, edges.indices, None, None, None, "sum", None, None, None
    )
    return out  # type: ignore[no-any-return]


def sum_of_edges(edges: Edges, x: Tensor) -> Tensor:
    """Sum of the edges' rows [E, A, B] at each destination."""
    out, _ = torch.ops.hopflow.segment_reduce(as_columns(x), edges.indptr, edges.eids, "sum")
    return out.view(out.shape[0], *x.shape[1:])  # type: ignore[no-any-return]


def at_edges(edges: Edges, x: Tensor) -> Tensor:
    """The destinations' rows [V, A, B] at each of their in-edges, in the order of edge ids."""
    out = torch.ops.hopflow.segment_reduce_backward(
        as_columns(x), None, edges.indptr, edges.eids, edges.indices.shape[0], "sum"
    )
    return out.view(out.shape[0], *x.shape[1:])  # type: ignore[no-any-return]


def _messages(
    edges: Edges, op: str, lhs: Tensor, lhs_target: str, rhs: Tensor, rhs_target: str
) -> Tensor:
    return torch.ops.hopflow.sddmm_binary(  # type: ignore[no-any-return]
        op, lhs, lhs_target, rhs, rhs_target, edges.indptr, edges.indices, edges.eids,
        None, None, None,
    )  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """What a gradient is combined with on its way to an operand: ``other``, "mul" or "div"."""

    op: str
    other: Tensor
    target: str


def _edge_product(
    edges: Edges, grad: Tensor, grad_target: str, factor: Factor, shape: Sequence[int]
) -> Tensor:
    """``grad`` combined with ``factor`` at each edge, summed to an operand of ``shape``."""
    grad_sums = factor.op == "mul" and shape[2] == 1 and grad.shape[2] != 1
    if grad_sums and factor.other.shape[2] == 1:
        grad, grad_sums = grad.sum(2, keepdim=True), False
    op = "dot" if grad_sums else factor.op  # sums over the last dimension as it goes
    return sum_to(_messages(edges, op, grad, grad_target, factor.other, factor.target), shape)


def from_destinations(
    edges: Edges, grad: Tensor, target: str, factor: Factor | None, shape: Sequence[int]
) -> Tensor:
    """The gradient of an operand from that of summed messages, [V, A, B]."""
    if factor is None:
        grad = sum_to(grad, shape)
        if target == "u":
            return sum_of_sources(edges.transposed(), grad)
        if target == "e":
            return at_edges(edges, grad)
        degrees = edges.indptr.diff().view(-1, 1, 1)
        return (grad.to(accumulator_dtype(grad.dtype)) * degrees).to(grad.dtype)
    if target == "e":
        return _edge_product(edges, grad, "v", factor, shape)
    # Products of sums are formed in the wider type: a sum may be out of a half's range where its
    # product is not.
    dtype, wide = grad.dtype, accumulator_dtype(grad.dtype)
    other = factor.other
    if factor.target == target:  # the same for all edges of a node
        total = from_destinations(edges, grad.to(wide), target, None, grad.shape)
        other = other.to(wide)
        return sum_to(total * other if factor.op == "mul" else total / other, shape).to(dtype)
    if target == "v":
        other = other.to(wide)
        if factor.op == "div":
            other = other.reciprocal()
        total = (sum_of_sources if factor.target == "u" else sum_of_edges)(edges, other)
        return sum_to(grad.to(wide) * total, shape).to(dtype)
    t = edges.transposed()
    if factor.target == "v":
        at_nodes = grad.to(wide)
        other = other.to(wide)
        at_nodes = at_nodes * other if factor.op == "mul" else at_nodes / other
        return sum_to(sum_of_sources(t, at_nodes), shape).to(dtype)
    is_shared = shape[1] == 1 and grad.shape[1] == other.shape[1] > 1 and other.shape[2] == 1
    if is_shared and factor.op == "mul":
        return sum_to(_sum_of_heads(t, grad, other), shape)
    out, _ = torch.ops.hopflow.spmm_binary(
        factor.op, grad, "u", other, "e", t.indptr, t.indices, t.eids, "sum", None, None, None
    )
    return sum_to(out, shape)


def _sum_of_heads(edges: Edges, x: Tensor, weight: Tensor) -> Tensor:
    """Sum over in-edges and heads of the sources' rows [U, H, D] times weights [E, H, 1].

    Each head of an edge is an edge by itself, which brings its own row: nothing of the size of the
    destinations' rows times heads is written.
    """
    num_heads = x.shape[1]
    num_rows = max(x.shape[0], weight.shape[0]) * num_heads
    dtype = torch.promote_types(edges.indices.dtype, id_dtype(num_rows))

    def each(ids: Tensor) -> Tensor:
        heads = torch.arange(num_heads, dtype=dtype, device=ids.device)
        return (ids.to(dtype).unsqueeze(1) * num_heads + heads).view(-1)

    indptr, indices = edges.indptr * num_heads, each(edges.indices)
    eids = None if edges.eids is None else each(edges.eids)
    mark_csc(indptr, indices, eids, x.shape[0] * num_heads)
    out, _ = torch.ops.hopflow.spmm_binary(
        "mul", x.reshape(-1, 1, x.shape[2]), "u", weight.reshape(-1, 1, 1), "e", indptr, indices,
        eids, "sum", None, None, None,
    )  # fmt: skip
    return out  # type: ignore[no-any-return]


def from_edges(
    edges: Edges, grad: Tensor, target: str, factor: Factor | None, shape: Sequence[int]
) -> Tensor:
    """The gradient of an operand from that of the messages themselves, [E, A, B]."""
    if target == "e":
        if factor is None:
            return sum_to(grad, shape)
        return _edge_product(edges, grad, "e", factor, shape)
    by_node = edges.transposed() if target == "u" else edges
    if factor is None:
        return sum_of_edges(by_node, sum_to(grad, shape))
    # Seen from either end the other one is the source.
    far = {"e": "e", target: "v"}.get(factor.target, "u")
    return sum_to(_sum_of_messages(by_node, factor.op, grad, factor.other, far), shape)


def keep_operands(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """The ``setup`` of both operators."""
    ctx.op, lhs, lhs_target, rhs, rhs_target, indptr, indices, eids, *_ = inputs
    ctx.sides = (lhs_target, lhs.shape), (rhs_target, rhs.shape)
    arg = None if isinstance(output, Tensor) else output[1]
    ctx.save_for_backward(*kept(ctx.op, lhs, rhs), indptr, indices, eids, *inputs[-3:], arg)


def kept_operands(ctx: Any) -> tuple[Edges, Side, Side, Tensor | None]:
    """What :func:`keep_operands` kept: the edges, both operands and the winners."""
    lhs, rhs, indptr, indices, eids, *transpose, arg = ctx.saved_tensors
    (lhs_target, lhs_shape), (rhs_target, rhs_shape) = ctx.sides
    left, right = Side(lhs_target, lhs_shape, lhs), Side(rhs_target, rhs_shape, rhs)
    num_src = max((side.shape[0] for side in (left, right) if side.target == "u"), default=0)
    return Edges(indptr, indices, eids, num_src, transpose), left, right, arg


def kept(op: str, lhs: Tensor, rhs: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The operands that a backward pass will read, to be saved for it."""
    if op in ("add", "sub"):
        return None, None
    return lhs if rhs.requires_grad else None, rhs if lhs.requires_grad or op == "div" else None


Route: TypeAlias = Callable[[Edges, Tensor, str, "Factor | None", Sequence[int]], Tensor]


@dataclass(frozen=True)
class Side:
    """An operand in the backward pass; its rows where somebody reads them, else its shape alone."""

    target: str
    shape: Sequence[int]
    value: Tensor | None

    def to(self, dtype: torch.dtype) -> Side:
        """The same in another floating-point type."""
        value = None if self.value is None else self.value.to(dtype)
        return Side(self.target, self.shape, value)

    def rows(self) -> Tensor:
        """The rows, which were kept."""
        assert self.value is not None
        return self.value


def factor_of(op: str, other: Side) -> Factor | None:
    """The factor of the left operand's gradient; None where it arrives as it is."""
    if op in ("add", "sub"):
        return None
    return Factor("div" if op == "div" else "mul", other.rows(), other.target)


def operand_gradients(
    route: Route, edges: Edges, grad: Tensor, op: str, lhs: Side, rhs: Side, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of both operands; ``route`` is :func:`from_destinations` or :func:`from_edges`."""
    grad_lhs = grad_rhs = None
    if needs[0]:
        grad_lhs = route(edges, grad, lhs.target, factor_of(op, rhs), lhs.shape)
    if needs[1]:
        # d(l / r) / dr = -l / r^2: like a product's, then divided.
        grad_rhs = route(
            edges, grad, rhs.target, factor_of("mul" if op == "div" else op, lhs), rhs.shape
        )
        if op == "sub":
            grad_rhs = -grad_rhs
        elif op == "div":
            wide = rhs.rows().to(accumulator_dtype(grad.dtype))
            # Twice, for the square may be out of range.
            grad_rhs = (-(grad_rhs.to(wide.dtype) / wide) / wide).to(grad.dtype)
    return grad_lhs, grad_rhs


def tangent(
    call: Callable[[str, Tensor, Tensor], Tensor],
    op: str,
    lhs: Tensor,
    rhs: Tensor,
    t_lhs: Tensor | None,
    t_rhs: Tensor | None,
) -> Tensor:
    """Tangent of ``call(op, lhs, rhs)``, which is linear in the messages, by the product rule."""
    if op in ("add", "sub"):
        t_lhs = torch.zeros_like(lhs) if t_lhs is None else t_lhs
        return call(op, t_lhs, torch.zeros_like(rhs) if t_rhs is None else t_rhs)
    from_rhs = None
    if t_rhs is not None:
        # Divided twice, for the square may be out of range.
        from_rhs = call("mul", lhs, -(t_rhs / rhs) / rhs) if op == "div" else call(op, lhs, t_rhs)
    return added(None if t_lhs is None else call(op, t_lhs, rhs), from_rhs)

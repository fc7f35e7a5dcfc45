"""Built-in message and reduce functions, named as in ``dgl.function``.

``u`` is an edge's source, ``v`` its destination, ``e`` the edge. A message function reads one or
two feature columns and names the message; a reduce function names the column that a destination
gets:

>>> import hopflow.function as fn
>>> graph.update_all(fn.u_mul_e("h", "w", "m"), fn.mean("m", "h"))  # doctest: +SKIP
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

BINARY_OPS = ("add", "sub", "mul", "div", "dot")
TARGETS = ("u", "v", "e")


@dataclass(frozen=True)
class MessageFunction:
    """``op`` applied to one column, or to two, of an edge and its ends.

    Attributes
    ----------
    op : str
        "copy", "add", "sub", "mul", "div" or "dot".
    lhs, rhs : str
        Where each operand lives: "u", "v" or "e"; ``rhs`` is None for a copy.
    lhs_field, rhs_field : str
        Columns of the operands.
    out_field : str
        Name of the message, or of the edge column that ``apply_edges`` writes.
    """

    op: str
    lhs: str
    lhs_field: str
    rhs: str | None
    rhs_field: str | None
    out_field: str

    @property
    def name(self) -> str:
        """``copy_u``, ``u_mul_e``, ..."""
        return f"copy_{self.lhs}" if self.rhs is None else f"{self.lhs}_{self.op}_{self.rhs}"


@dataclass(frozen=True)
class ReduceFunction:
    """How a destination combines its messages.

    Attributes
    ----------
    op : str
        "sum", "mean", "max" or "min".
    msg_field : str
        Name of the message that it reads.
    out_field : str
        Destination column that it writes.
    """

    op: str
    msg_field: str
    out_field: str


def _require_name(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what}: expected the name of a column, got {type(value).__name__}")
    return value


def copy_u(u: str, out: str) -> MessageFunction:
    """Message: the source's column ``u`` (features [N, ...] give messages [E, ...])."""
    return MessageFunction(
        "copy", "u", _require_name("u", u), None, None, _require_name("out", out)
    )


def copy_e(e: str, out: str) -> MessageFunction:
    """Message: the edge's column ``e``."""
    return MessageFunction(
        "copy", "e", _require_name("e", e), None, None, _require_name("out", out)
    )


def _binary(op: str, lhs: str, rhs: str) -> Callable[[str, str, str], MessageFunction]:
    def function(lhs_field: str, rhs_field: str, out: str) -> MessageFunction:
        return MessageFunction(
            op, lhs, _require_name("lhs_field", lhs_field), rhs,
            _require_name("rhs_field", rhs_field), _require_name("out", out),
        )  # fmt: skip

    side = {"u": "source", "v": "destination", "e": "edge"}
    shape = "over the last dimension, which becomes 1" if op == "dot" else "with broadcasting"
    function.__name__ = function.__qualname__ = f"{lhs}_{op}_{rhs}"
    function.__doc__ = f"Message: the {side[lhs]}'s column {op} the {side[rhs]}'s, {shape}."
    return function


def _reducer(op: str) -> Callable[[str, str], ReduceFunction]:
    def function(msg: str, out: str) -> ReduceFunction:
        return ReduceFunction(op, _require_name("msg", msg), _require_name("out", out))

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"Reduce: the {op} of the messages; 0 where there are none."
    return function


sum = _reducer("sum")
mean = _reducer("mean")
max = _reducer("max")
min = _reducer("min")

_BINARY = {
    f"{lhs}_{op}_{rhs}": _binary(op, lhs, rhs)
    for op in BINARY_OPS
    for lhs in TARGETS
    for rhs in TARGETS
    if lhs != rhs
}
for _name, _function in _BINARY.items():
    setattr(sys.modules[__name__], _name, _function)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[[str, str, str], MessageFunction]: ...


__all__ = ["MessageFunction", "ReduceFunction", "copy_e", "copy_u", "max", "mean", "min", "sum"]
__all__ += list(_BINARY)

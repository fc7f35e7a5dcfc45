"""Feature columns of nodes or edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.initializers import Initializer, initial_rows
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.stored_column import StoredColumn

NID = "_ID"
"""Column of a block's nodes that holds their ids in the parent graph."""
EID = "_ID"
"""Column of a block's edges that holds their ids in the parent graph."""
SEED_TIME = "seed_time"
"""Column of a temporal block's nodes: the time of the seed that each row was found for."""
NTYPE = "_TYPE"
"""Node column of :func:`hopflow.to_homogeneous`: the number of each node's type."""
ETYPE = "_TYPE"
"""Edge column of :func:`hopflow.to_homogeneous`: the number of each edge's type."""


Column: TypeAlias = "Tensor | LazyColumn"
Columns: TypeAlias = "dict[str, Column] | Callable[[], dict[str, Column]]"
Take: TypeAlias = Callable[[str, Column, Tensor], Tensor]
"""``take(name, column, ids)``: rows of another frame's column."""


class Scheme(NamedTuple):
    """What the rows of a column are.

    Attributes
    ----------
    shape : tuple of int
        Of one row; ``()`` for a number.
    dtype : torch.dtype
        Of the column.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.node_attr_schemes.html
    """

    shape: tuple[int, ...]
    dtype: torch.dtype


class Frame(MutableMapping[str, Tensor]):
    """Named columns, one row a node or edge: what ``graph.ndata`` and its kin are.

    Parameters
    ----------
    num_rows : int
        Rows that every column must have.
    what : str
        What a row is, for messages: "node", "edge", "source node", "destination node".
    device : torch.device
        Where every column must be.
    columns : dict or callable, optional
        Columns to start with, taken as they are; or what makes them, called when one is first asked
        for. A loader makes frames that its consumer may never look at.
    """

    __slots__ = ("_device", "_initializers", "_made", "_make", "_num_rows", "_what")

    def __init__(
        self,
        num_rows: int,
        what: str,
        device: torch.device,
        columns: Columns | None = None,
    ) -> None:
        self._num_rows, self._what, self._device = num_rows, what, device
        self._make: Callable[[], dict[str, Column]] | None = None
        self._made: dict[str, Column] = {}
        # By column, None for all others. Frames share it: it is replaced, never altered.
        self._initializers: dict[str | None, Initializer] | None = None
        # Asked this way round since torch.compile cannot trace callable().
        if isinstance(columns, dict):
            self._made = columns
        elif columns is not None:
            self._make = columns

    @property
    def _columns(self) -> dict[str, Column]:
        make = self._make
        if make is not None:
            self._made = make()
            self._make = None
        return self._made

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        _ = self._columns  # a pickle or a copy holds columns, not what makes them
        return None, {name: getattr(self, name) for name in self.__slots__}

    def __getitem__(self, key: str) -> Tensor:
        return read(self.column(key))

    def column(self, key: str) -> Column:
        """A column as it is kept, not read.

        Raises
        ------
        KeyError
            There is none of that name.
        """
        try:
            return self._columns[key]
        except KeyError:
            known = ", ".join(map(repr, self._columns)) or "none"
            raise KeyError(f"no {self._what} column {key!r}; there is {known}") from None

    def __setitem__(self, key: str, value: Tensor | StoredColumn) -> None:
        self.check(key, value)
        self._columns[key] = value

    def check(self, key: str, value: Tensor | StoredColumn) -> None:
        """Raise a TypeError or ValueError unless ``value`` may be the column ``key``."""
        if not isinstance(key, str):
            raise TypeError(f"column name: expected a str, got {type(key).__name__}")
        if isinstance(value, StoredColumn):
            self._check_place(key, value.shape, value.device)
            return
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{self._what} column {key!r}: expected a torch.Tensor, got {type(value).__name__}"
            )
        if value.layout != torch.strided:
            raise TypeError(
                f"{self._what} column {key!r}: expected a dense tensor, got a sparse one"
                f" ({str(value.layout).replace('torch.', '')})"
            )
        self._check_place(key, value.shape, value.device)

    def _check_place(self, key: str, shape: torch.Size, device: torch.device) -> None:
        if not shape or shape[0] != self._num_rows:
            raise ValueError(
                f"{self._what} column {key!r}: expected one row for each of the {self._num_rows}"
                f" {self._what}s, got shape {list(shape)}"
            )
        if device != self._device:
            raise ValueError(
                f"{self._what} column {key!r} is on {device}, the graph on {self._device};"
                f" expected one device"
            )

    def __delitem__(self, key: str) -> None:
        if key not in self._columns:
            raise KeyError(f"no {self._what} column {key!r}")
        del self._columns[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __contains__(self, key: object) -> bool:
        return key in self._columns

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def what(self) -> str:
        """What a row is."""
        return self._what

    @property
    def device(self) -> torch.device:
        """Where every column is."""
        return self._device

    @property
    def num_rows(self) -> int:
        """Rows that every column has."""
        return self._num_rows

    def is_read(self, key: str) -> bool:
        """Whether a column is at hand, rather than still to be gathered from the parent."""
        column = self.column(key)
        return column.is_read if isinstance(column, LazyColumn) else True

    def schemes(self) -> str:
        """Shapes and dtypes as DGL's graphs print them; reads nothing."""
        parts = []
        for key, column in self._columns.items():
            if isinstance(column, LazyColumn) and not column.is_read:
                parts.append(f"{key!r}: Scheme(not read yet)")
                continue
            value = column if isinstance(column, StoredColumn) else self[key]
            parts.append(f"{key!r}: Scheme(shape={tuple(value.shape[1:])}, dtype={value.dtype})")
        return "{" + ", ".join(parts) + "}"

    def scheme(self, key: str) -> Scheme:
        """Shape of a row and dtype of a column; what waits to be gathered is not read for it."""
        return _scheme(self.column(key))

    def copy(self) -> Frame:
        """A frame with the same columns; adding to one does not add to the other."""
        made = Frame(self._num_rows, self._what, self._device, dict(self._columns))
        made._initializers = self._initializers
        return made

    def without_columns(self) -> Frame:
        """A frame for the same rows, with no column yet."""
        made = Frame(self._num_rows, self._what, self._device)
        made._initializers = self._initializers
        return made

    # --- rows that nobody has given ---

    def set_initializer(self, initializer: Initializer, column: str | None = None) -> None:
        """Let a function fill new rows of a column, or of every column that has none of its own."""
        if not callable(initializer):
            raise TypeError(f"initializer: expected a function, got {type(initializer).__name__}")
        if column is not None and not isinstance(column, str):
            raise TypeError(f"field: expected the name of a column, got {type(column).__name__}")
        self._initializers = {**(self._initializers or {}), column: initializer}

    def fill_as(self, other: Frame) -> Frame:
        """This frame, with the initialisers of another."""
        self._initializers = other._initializers
        return self

    def initial(self, key: str, like: Tensor, rows: slice) -> Tensor:
        """Values for rows of a column that nobody has given: 0, or what the initialiser says.

        ``like`` are other rows of it; the result has their dtype and device.
        """
        known = self._initializers or {}
        initializer = known.get(key, known.get(None))
        if initializer is None:
            return like.new_zeros((rows.stop - rows.start, *like.shape[1:]))
        return initial_rows(f"{self._what} column {key!r}", initializer, like, rows)

    def map(
        self,
        f: Callable[[Tensor], Tensor],
        device: torch.device,
        stored: Callable[[StoredColumn], Column] | None = None,
    ) -> Frame:
        """A frame with ``f`` applied to every column (or ``stored``), lazily if not read yet."""

        def apply(column: Column) -> Column:
            if isinstance(column, StoredColumn):
                return column.map(f) if stored is None else stored(column)
            if isinstance(column, LazyColumn) and not column.is_read:
                return LazyColumn(lambda: f(column.read()))
            return f(column.read() if isinstance(column, LazyColumn) else column)

        columns = {key: apply(column) for key, column in self._columns.items()}
        return Frame(self._num_rows, self._what, device, columns).fill_as(self)

    def snapshot(self) -> dict[str, Column]:
        """The columns as they are now, those not read yet unread."""
        return dict(self._columns)


def read(column: Column) -> Tensor:
    """A column's tensor, computed now if it has not been yet."""
    return column.read() if isinstance(column, LazyColumn) else column


def _scheme(column: Column) -> Scheme:
    if isinstance(column, LazyColumn) and not column.is_read:
        behind = column.behind if isinstance(column, (LazyRows, InheritedRows)) else None
        if behind is not None:
            return _scheme(behind)
        column = column.read()
    value = column if isinstance(column, (Tensor, StoredColumn)) else column.read()
    return Scheme(tuple(value.shape[1:]), value.dtype)


def resident(column: Column) -> list[Tensor]:
    """The tensors in memory that rows of a column are gathered from: none of one on disk."""
    return column.tensors() if isinstance(column, StoredColumn) else [read(column)]


def take_rows(name: str, column: Column, ids: Tensor) -> Tensor:
    """Copy rows of a column to where the ids are: the usual :data:`Take`.

    A column in host memory is read in place by the GPU if it is pinned, else gathered on the CPU.
    """
    if isinstance(column, StoredColumn):
        return column.gather(ids)
    x = read(column)
    if x.device == ids.device or (ids.device.type == "cuda" and ops.is_pinned(x)):
        return ops.gather_rows(x, ids)
    return ops.gather_rows(x, ids.to(x.device)).to(ids.device)


class LazyRows(LazyColumn):
    """Rows of another column, gathered on first read and then kept."""

    __slots__ = ("source",)

    def __init__(self, name: str, column: Column, ids: Tensor) -> None:
        super().__init__(lambda: take_rows(name, column, ids))
        self.source: tuple[Column, Tensor] | None = (column, ids)

    @property
    def behind(self) -> Column | None:
        """The column that rows are yet to be gathered from."""
        return None if self.source is None else self.source[0]

    def read(self) -> Tensor:
        """The rows, gathered now if they have not been yet."""
        value = super().read()
        self.source = None
        return value


def _taken(name: str, column: Column, ids: Callable[[], Tensor], take: Take) -> Tensor:
    return take(name, column, ids())


class InheritedRows(LazyColumn):
    """Rows of a parent graph's column, gathered on first read and then kept.

    Attributes
    ----------
    is_in_place : bool
        Whether somebody has asked for the rows where they are (:meth:`in_table`).
    """

    __slots__ = ("is_in_place",)

    def __init__(self, name: str, column: Column, ids: Callable[[], Tensor], take: Take) -> None:
        # What the base does, as every batch makes several.
        self._compute = partial(_taken, name, column, ids, take)
        self._value = None
        self.is_in_place = False

    @property
    def behind(self) -> Column | None:
        """The column that rows are yet to be gathered from."""
        compute = self._compute
        return compute.args[1] if isinstance(compute, partial) else None

    def in_table(self) -> tuple[Tensor, Tensor] | None:
        """The column and the ids of the rows, if they are best left where they are until they are
        used: the column is a tensor on the CPU without a gradient, and no rows are at hand."""
        compute = self._compute
        if compute is None or ops.is_compiling():
            return None
        assert isinstance(compute, partial)
        name, column, ids, take = compute.args
        is_at_hand = getattr(take, "is_at_hand", None)
        if isinstance(column, StoredColumn) or (is_at_hand is not None and is_at_hand(name)):
            return None
        table = read(column)
        is_plain = type(table) is Tensor and table.device.type == "cpu" and table.dim() == 2
        if not is_plain or table.requires_grad or not table[:1].is_contiguous():
            return None
        wanted = ids()
        # A batch on a GPU whose graph is on the CPU.
        if wanted.device != table.device:
            return None
        self.is_in_place = True
        return table, wanted


def rows_of(
    parent: dict[str, Column], ids: Tensor, id_name: str | None, idtype: torch.dtype
) -> dict[str, Column]:
    """:func:`inherit` for ids that are at hand; ``id_name`` None leaves them out.

    Rows of rows that nobody has read are rows of the column behind these: a part of a part of a
    part, and so on, costs no more than a part.
    """
    columns: dict[str, Column] = {}
    composed: dict[int, Tensor] = {}
    # A graph outlives the mode that it is made in, and a backward pass saves the ids.
    ids = ops.outlasting(ids)
    for name, column in parent.items():
        source = column.source if isinstance(column, LazyRows) else None
        if source is None:
            columns[name] = LazyRows(name, column, ids)
            continue
        column, behind = source
        if id(behind) not in composed:  # the columns of a frame share their ids
            composed[id(behind)] = ops.made_to_last(partial(ops.gather_rows, behind, ids))
        columns[name] = LazyRows(name, column, composed[id(behind)])
    if id_name is not None:
        columns[id_name] = LazyColumn(lambda: ids.to(idtype, copy=True))
    return columns


def inherit(
    parent: dict[str, Column],
    ids: Callable[[], Tensor],
    id_name: str,
    idtype: torch.dtype,
    take: Take = take_rows,
) -> dict[str, Column]:
    """Another frame's columns at ``ids``, to be read when they are asked for, and the ids."""

    columns: dict[str, Column] = {
        name: InheritedRows(name, column, ids, take) for name, column in parent.items()
    }
    # A copy: what the user does with it must not change the rows gathered later.
    columns[id_name] = LazyColumn(lambda: ids().to(idtype, copy=True))
    return columns

"""What a source holds, as far as it is known before anything is converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from hopflow.datasets.conversion.edges import EdgeRows
from hopflow.datasets.conversion.rows import Rows
from hopflow.datasets.conversion.tables import Table
from hopflow.datasets.dataset import Array


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """Edges in a table.

    Attributes
    ----------
    table : Table
        The table.
    source, target : object
        Its columns of ids.
    columns : tuple
        Its further columns.
    """

    table: Table
    source: Any
    target: Any
    columns: tuple[Any, ...]


ColumnRows: TypeAlias = "Rows | Table"


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What a source holds.

    Attributes
    ----------
    name : str
        What the data set is called.
    files : tuple of Path
        All that is read: when one of them changes a conversion starts anew.
    edges : EdgeRows or EdgeTable
        The edges.
    num_nodes : int or None
        Number of nodes; None if the largest id says it.
    num_edges : int or None
        How many edges there must be, where the source says it.
    node_columns, edge_columns : mapping
        Columns by name.
    further : mapping
        Arrays that are columns of nodes or of edges, as many rows as they have.
    feature_ids : object
        Column of ids in the table of features; None if its rows are in the order of nodes.
    label_ids : tuple or None
        Table of labels, and its column of ids; None if its rows are in the order of nodes.
    labels : callable or None
        Reads the labels as they are, a row a node.
    labels_name : str
        Their file.
    split : callable or None
        Reads the parts of the split: ids or masks by name.
    split_name : str
        Its file or folder.
    needs_split : bool
        Whether there is none unless one is given: labels get a random one.
    """

    name: str
    files: tuple[Path, ...]
    edges: EdgeRows | EdgeTable
    num_nodes: int | None = None
    num_edges: int | None = None
    node_columns: Mapping[str, ColumnRows] = field(default_factory=dict)
    edge_columns: Mapping[str, ColumnRows] = field(default_factory=dict)
    feature_ids: Any = None
    label_ids: tuple[Table, Any] | None = None
    further: Mapping[str, Rows] = field(default_factory=dict)
    labels: Callable[[], Array] | None = None
    labels_name: str = ""
    split: Callable[[], Mapping[str, Array]] | None = None
    split_name: str = ""

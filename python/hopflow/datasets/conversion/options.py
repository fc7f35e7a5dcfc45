"""What a conversion is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IDS = ("row", "number", "text")
"""What the ids of a source may be: numbers of rows from 0, any whole numbers, any texts."""
BY_ROW_DTYPE = "int8"
"""What asks for a byte a number: rows that hold their own scales."""
DTYPES = ("float16", "bfloat16", "float32", BY_ROW_DTYPE)
"""What a feature column may be converted to."""

LEAST_EDGES = 1 << 14
"""Edges that are at hand at a time, however little memory there is."""
_MOST_EDGES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a conversion is asked for.

    Attributes
    ----------
    memory : int
        Bytes for what grows with edges or features.
    split, features, labels, num_nodes, seed
        As :func:`hopflow.datasets.load` takes them.
    ids : {"row", "number", "text"}
        What the ids of edges are.
    undirected, add_self_loops, remove_self_loops : bool
        Which edges to add or to leave out.
    keep_edge_ids : bool
        Whether edges keep the numbers that they have in the source.
    dtypes : mapping
        Names of node columns to what they are converted to.
    link : bool
        Whether a column that is as it must be is linked instead of copied.
    """

    memory: int = 4 << 30
    split: Path | None = None
    features: Path | None = None
    labels: Path | None = None
    num_nodes: int | None = None
    seed: int = 0
    ids: str = "row"
    undirected: bool = False
    add_self_loops: bool = False
    remove_self_loops: bool = False
    keep_edge_ids: bool = False
    dtypes: Mapping[str, str] = field(default_factory=dict)
    link: bool = False

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory: expected at least 1 byte, got {self.memory}")
        if self.ids not in IDS:
            raise ValueError(f"ids: expected one of {', '.join(IDS)}, got {self.ids!r}")
        for name, dtype in self.dtypes.items():
            if dtype not in DTYPES:
                raise ValueError(
                    f"dtype of {name!r}: expected one of {', '.join(DTYPES)}, got {dtype!r}"
                )
        if self.num_nodes is not None and self.num_nodes < 1:
            raise ValueError(f"num_nodes: expected at least 1, got {self.num_nodes}")

    def to_json(self) -> dict[str, Any]:
        """All of them as plain values: with other options a conversion starts anew."""
        values = dict(vars(self))
        values["dtypes"] = dict(sorted(self.dtypes.items()))
        for name in ("split", "features", "labels"):
            path = values[name]
            values[name] = None if path is None else str(path.resolve())
        return values

    @property
    def piece_bytes(self) -> int:
        """Bytes of a column that are read at a time; several copies of them are at hand."""
        return max(64 << 10, min(64 << 20, self.memory // 8))

    def chunk_edges(self, edge_bytes: int) -> int:
        """Edges that are partitioned at a time, of so many bytes each with their columns."""
        # Both ends as they came and as int64, the order, the bucket, and all of it once more.
        fitting = self.memory // 4 // (64 + 2 * edge_bytes)
        return max(LEAST_EDGES, min(_MOST_EDGES, fitting))

    def group_edges(self, edge_bytes: int, widest: int) -> int:
        """Edges that are sorted at a time; a column of them is reordered at a time."""
        return max(LEAST_EDGES, self.memory // 2 // (24 + edge_bytes + 2 * widest))

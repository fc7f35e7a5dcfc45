"""Synthetic graphs and arrays as numpy files: the same bytes for every engine.

Made once and kept in a cache folder; engines map the files into memory. A graph is stored as the
in-edges of each node: ``indptr`` int64 [N + 1] and ``indices`` int32 [E].
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopbench.degrees import Arrays, Shape, degrees
from hopbench.typed_arrays import NODES, make_typed, make_typed_features

# Raise it when what a maker writes changes: the files are made anew.
VERSION = 1


# Sizes of the OGB data sets of these names after their edges are reversed and added; "papers" is
# cut down so that the graph and its making stay under 8 GB.
SHAPES = {
    "arxiv": Shape(169_343, 2_332_486, 1.3, 13_000, 90_941, 128, 40),
    "products": Shape(2_449_029, 123_718_280, 1.28, 17_481, 196_615, 100, 47),
    "papers": Shape(30_000_000, 300_000_000, 1.2, 250_000, 1_207_179, is_symmetric=False),
    "tiny": Shape(1_000, 12_000, 1.0, 200, 400, 8, 3),
}


def default_cache() -> Path:
    """Where workloads are kept unless told otherwise: the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("hopflow")) / "benchmarks"


def data_folder() -> Path:
    """Where graphs that are not synthetic are looked for: $HOPFLOW_DATA or ``../shared/data``."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("HOPFLOW_DATA", beside))


def make_graph(shape: Shape, seed: int) -> Arrays:
    """A random graph with these degrees: ends of edges are paired at random."""
    rng = np.random.default_rng(seed)
    degree = degrees(shape, rng)
    indptr = np.zeros(shape.num_nodes + 1, np.int64)
    np.cumsum(degree, out=indptr[1:])
    owner = np.repeat(np.arange(shape.num_nodes, dtype=np.int32), degree)
    indices = np.empty(shape.num_edges, np.int32)
    if shape.is_symmetric:
        # Positions of ``indices`` are matched in pairs: each one's node is the other's neighbour.
        # This yields the edges already grouped by destination; nothing is sorted.
        matched = rng.permutation(shape.num_edges)
        left, right = matched[0::2], matched[1::2]
        indices[left], indices[right] = owner[right], owner[left]
    else:
        step = 1 << 24
        for begin in range(0, shape.num_edges, step):
            size = min(step, shape.num_edges - begin)
            indices[begin : begin + size] = owner[rng.integers(shape.num_edges, size=size)]
    train = rng.permutation(shape.num_nodes)[: shape.num_train].astype(np.int64)
    return {"indptr": indptr, "indices": indices, "train": train}


def _graph(name: str) -> Arrays:
    return make_graph(SHAPES[name], seed=1)


def _features(name: str) -> Arrays:
    shape, rng = SHAPES[name], np.random.default_rng(2)
    return {
        "feat": rng.standard_normal((shape.num_nodes, shape.num_feats), dtype=np.float32),
        "label": rng.integers(shape.num_classes, size=shape.num_nodes),
    }


def _cornell5(_: str) -> Arrays:
    path = data_folder() / "cornell5.npz"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; $HOPFLOW_DATA names the folder of the data")
    with np.load(path) as data:
        src = np.concatenate([data["src"], data["dst"]])
        dst = np.concatenate([data["dst"], data["src"]])
    num_nodes = int(max(src.max(), dst.max())) + 1
    indptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(dst, minlength=num_nodes), out=indptr[1:])
    indices = src[np.argsort(dst, kind="stable")].astype(np.int32)
    return {"indptr": indptr, "indices": indices, "train": np.arange(num_nodes, dtype=np.int64)}


MAKERS: Mapping[str, Callable[[str], Arrays]] = {
    **dict.fromkeys(SHAPES, _graph),
    "cornell5": _cornell5,
    **{f"{name}-features": _features for name, s in SHAPES.items() if s.num_feats},
    **dict.fromkeys(NODES, make_typed),
    **dict.fromkeys((f"{name}-features" for name in NODES), make_typed_features),
}


def make(name: str, cache: Path) -> Path:
    """Make a workload unless the cache has it; returns its folder."""
    folder = cache / f"{name}-v{VERSION}"
    if folder.is_dir():
        return folder
    arrays = MAKERS[name](name.removesuffix("-features"))
    cache.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: an interrupted run leaves no half-made workload behind.
    partial = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache))
    try:
        for key, array in arrays.items():
            np.save(partial / f"{key}.npy", array)
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():  # else another process was faster
            raise
    return folder


@dataclass(frozen=True)
class Workloads:
    """The workloads of a cache folder, as an engine sees them."""

    cache: Path

    def array(self, name: str, key: str) -> NDArray[Any]:
        """One array of a workload, read into memory of its own."""
        return np.load(self.cache / f"{name}-v{VERSION}" / f"{key}.npy")

    def graph(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """``indptr`` and ``indices`` of a graph."""
        return self.array(name, "indptr"), self.array(name, "indices")

    def batches(self, name: str, batch_size: int, count: int) -> NDArray[np.int64]:
        """Training nodes for ``count`` full batches, none of which holds a node twice."""
        rng = np.random.default_rng(3)
        train = self.array(name, "train")
        full = len(train) // batch_size
        if not full:
            raise ValueError(f"{name}: {len(train)} training nodes are fewer than {batch_size}")
        parts = [rng.permutation(train)[: full * batch_size] for _ in range(-(-count // full))]
        return np.concatenate(parts)[: count * batch_size]

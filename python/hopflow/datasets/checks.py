"""Checks that turn whatever a file held into well-formed arrays, or say what is wrong with it.

Every function takes `what`, the words an error message starts with: the file, and the part of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hopflow.structure.types import Relation

from .dataset import SPLIT_NAMES, Array, Ids

_SPLIT_SEED_STREAM = 0x5711  # keeps split draws apart from other uses of the same seed
_FLOAT32_EXACT = 1 << 24
_CHECK_ROWS = 1 << 16


def as_ids(array: Array, *, what: str, limit: int | None = None) -> Ids:
    """Check node ids (or any counts): whole numbers in ``[0, limit)``.

    Parameters
    ----------
    array
        ``[num_ids]`` or ``[num_ids, 1]``, integers, or floats that hold whole numbers.
    what
        Start of the error message.
    limit
        Number of nodes; None checks no upper bound.

    Returns
    -------
    ndarray
        int64 ``[num_ids]``.

    Raises
    ------
    ValueError
        Wrong shape, missing or fractional values, ids below 0 or not below `limit`.
    """
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{what}: expected one column of ids, got shape {array.shape}")
    if array.dtype.kind == "f":
        _refuse(np.isnan(array), array, f"{what}: an id is missing (NaN)")
        _refuse(array != np.floor(array), array, f"{what}: expected whole-number ids")
    elif array.dtype.kind not in "iu":
        raise ValueError(f"{what}: expected whole-number ids, got {_kind(array)}")
    if array.size:
        if array.min() < 0:
            _refuse(array < 0, array, f"{what}: ids must not be negative")
        if limit is not None and array.max() >= limit:
            bad = f"{what}: ids must be below num_nodes = {limit}"
            _refuse(array >= limit, array, bad)
    return np.ascontiguousarray(array, dtype=np.int64)


def as_edges(src: Array, dst: Array, *, num_nodes: int | None, what: str) -> tuple[Ids, Ids, int]:
    """Check both ends of the edges; without `num_nodes` it becomes the largest id + 1.

    Returns
    -------
    src, dst, num_nodes
        int64 ``[num_edges]`` twice, and the number of nodes.

    Raises
    ------
    ValueError
        Either end is malformed, the two differ in length, or there is no edge.
    """
    src = as_ids(src, what=f"{what} (source)", limit=num_nodes)
    dst = as_ids(dst, what=f"{what} (destination)", limit=num_nodes)
    if len(src) != len(dst):
        raise ValueError(
            f"{what}: expected as many sources as destinations, got {len(src)} and {len(dst)}"
        )
    if not len(src):
        raise ValueError(f"{what}: expected at least one edge, got none")
    if num_nodes is None:
        num_nodes = int(max(src.max(), dst.max())) + 1
    return src, dst, num_nodes


def as_typed_edges(
    src: Array, dst: Array, *, relation: Relation, num_nodes: Mapping[str, int], what: str
) -> tuple[Ids, Ids]:
    """Check both ends of a relation's edges.

    Returns
    -------
    src, dst
        int64 ``[num_edges]`` twice.

    Raises
    ------
    ValueError
        Either end is malformed, or the two differ in length.
    """
    source, _, destination = relation
    src = as_ids(src, what=f"{what} (source, {source!r})", limit=num_nodes[source])
    dst = as_ids(dst, what=f"{what} (destination, {destination!r})", limit=num_nodes[destination])
    if len(src) != len(dst):
        raise ValueError(
            f"{what}: expected as many sources as destinations, got {len(src)} and {len(dst)}"
        )
    return src, dst


def as_column(array: Array, *, rows: int, what: str) -> Array:
    """Check a node or edge column: numbers, one row per node (or edge).

    Returns
    -------
    ndarray
        ``[rows, ...]`` in a type torch has: unsigned integers wider than a byte become int64, and
        the byte order is the machine's.

    Raises
    ------
    ValueError
        Wrong number of rows, or not numbers.
    """
    array = np.asarray(array)
    if array.ndim == 0 or len(array) != rows:
        raise ValueError(f"{what}: expected {rows} rows, got shape {array.shape}")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"{what}: expected numbers, got {_kind(array)}")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.dtype.itemsize == 8 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{what}: values above 2**63 - 1 do not fit int64")
        array = array.astype(np.int64)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def as_features(array: Array, *, rows: int, what: str) -> Array:
    """Check a feature matrix and make it floating point.

    Text files cannot tell ``0`` from ``0.0``, so integers become float32 everywhere (OGB's own
    readers leave int64 there, which no linear layer takes). float64 becomes float32 as in OGB;
    float16 and float32 stay.

    Returns
    -------
    ndarray
        float16 or float32, ``[rows, num_features]``.

    Raises
    ------
    ValueError
        Wrong shape, not finite numbers, or integers that float32 cannot hold.
    """
    array = as_column(array, rows=rows, what=what)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{what}: expected a matrix [{rows}, num_features], got {array.shape}")
    if array.shape[1] == 0:
        raise ValueError(f"{what}: expected at least one feature column, got none")
    # A slice at a time: a mask of all features could be as large as they are.
    for begin in range(0, len(array), _CHECK_ROWS) if array.dtype.kind == "f" else ():
        finite = np.isfinite(array[begin : begin + _CHECK_ROWS]).all(axis=1)
        if not finite.all():
            row = begin + int(finite.argmin())
            raise ValueError(f"{what}: expected finite features, got NaN or infinity in row {row}")
    if array.dtype.kind == "i" and array.size:
        low, high = int(array.min()), int(array.max())
        if max(-low, high) > _FLOAT32_EXACT:
            raise ValueError(f"{what}: integers beyond 2**24 do not fit float32 features")
    if array.dtype not in (np.float16, np.float32):
        array = array.astype(np.float32)
    return array


def as_named_column(key: str, array: Array, *, rows: int, what: str) -> Array:
    """Check a named column: ``feat`` is made floating, ``year`` gets OGB's shape ``[rows, 1]``."""
    if key == "feat":
        return as_features(array, rows=rows, what=what)
    column = as_column(array, rows=rows, what=what)
    return column[:, None] if key == "year" and column.ndim == 1 else column


def as_labels(array: Array, *, rows: int, what: str) -> Ids:
    """Check class labels; NaN (OGB's mark for "no label") and -1 both become -1.

    Returns
    -------
    ndarray
        int64 ``[rows, num_tasks]``.

    Raises
    ------
    ValueError
        Wrong shape, or a label that is neither a whole number >= 0 nor missing.
    """
    array = as_column(array, rows=rows, what=what)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{what}: expected labels [{rows}, num_tasks], got {array.shape}")
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(-1), array)
        _refuse(array != np.floor(array), array, f"{what}: expected whole-number class labels")
    if array.size and array.min() < -1:
        _refuse(array < -1, array, f"{what}: labels must be classes >= 0, or -1 for no label")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_labels_or_numbers(array: Array, *, rows: int, what: str) -> Array:
    """Check labels that may be numbers to predict: floats that are not all classes stay floats.

    Returns
    -------
    ndarray
        ``[rows, num_tasks]``: int64 as :func:`as_labels`; or float32, NaN where there is none, if
        some number has a fraction or is below -1.

    Raises
    ------
    ValueError
        Wrong shape, an infinite number, or integers below -1.
    """
    array = as_column(array, rows=rows, what=what)
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        return as_labels(array, rows=rows, what=what)
    known = array[~np.isnan(array)]
    if (known == np.floor(known)).all() and (known >= -1).all():
        return as_labels(array, rows=rows, what=what)
    array = array[:, None] if array.ndim == 1 else array
    _refuse(np.isinf(array), array, f"{what}: expected finite numbers, or NaN for none")
    return np.ascontiguousarray(array, dtype=np.float32)


def is_labelled(labels: Array) -> Array:
    """Which rows of labels have one: a class, or a number that is not NaN."""
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    return np.asarray(known.any(axis=1))


def count_classes(labels: Array | None) -> int:
    """Number of classes: the largest label + 1; 0 where nothing is labelled, or with numbers."""
    if labels is None or not labels.size or labels.dtype.kind == "f":
        return 0
    return max(int(labels.max()) + 1, 0)


def as_splits(
    parts: Mapping[str, Array], *, num_nodes: int, labels: Array | None, what: str
) -> dict[str, Ids]:
    """Check a split: three disjoint sets of nodes, given as ids or as boolean masks.

    Parameters
    ----------
    parts
        ``train``, ``valid`` and ``test``.
    num_nodes
        Number of nodes.
    labels
        Labels ``[num_nodes, num_tasks]`` or None; training nodes must have one.
    what
        Start of the error message.

    Returns
    -------
    dict
        int64 node ids of each part, in the order given.

    Raises
    ------
    ValueError
        A part is missing, empty, malformed or out of range; a node stands in a split twice; a
        training node has no label.
    """
    missing = [key for key in SPLIT_NAMES if key not in parts]
    if missing:
        raise ValueError(f"{what}: expected train, valid and test, missing {', '.join(missing)}")
    splits: dict[str, Ids] = {}
    taken = np.zeros(num_nodes, dtype=bool)
    for key in SPLIT_NAMES:
        part = np.asarray(parts[key])
        if part.dtype == np.bool_:
            if part.shape not in ((num_nodes,), (num_nodes, 1)):
                raise ValueError(
                    f"{what} ({key}): expected a mask [{num_nodes}], got shape {part.shape}"
                )
            part = np.flatnonzero(part)
        ids = as_ids(part, what=f"{what} ({key})", limit=num_nodes)
        if not len(ids):
            raise ValueError(f"{what} ({key}): expected at least one node, got none")
        # A node in two parts leaks the answer; one listed twice weighs double. Neither is meant.
        twice = taken[ids]
        taken[ids] = True
        if twice.any():
            raise ValueError(
                f"{what} ({key}): node {ids[twice.argmax()]} already stands in an earlier part"
            )
        if len(ids) != len(np.unique(ids)):
            raise ValueError(f"{what} ({key}): expected each node once, got a node twice")
        splits[key] = ids
    if labels is not None:
        bare = ~is_labelled(labels[splits["train"]])
        if bare.any():
            raise ValueError(
                f"{what} (train): {int(bare.sum())} training nodes have no label, "
                f"the first is node {splits['train'][bare.argmax()]}"
            )
    return splits


def random_splits(labels: Array, *, seed: int, what: str) -> dict[str, Ids]:
    """Split the labelled nodes 60/20/20 at random, the same way for the same seed.

    Raises
    ------
    ValueError
        Fewer than three labelled nodes.
    """
    ids = np.flatnonzero(is_labelled(labels))
    if len(ids) < 3:
        raise ValueError(f"{what}: a random split needs 3 labelled nodes, got {len(ids)}")
    rng = np.random.Generator(np.random.PCG64([_SPLIT_SEED_STREAM, seed]))
    ids = ids[np.argsort(rng.random(len(ids)), kind="stable")]
    num_valid = max(1, len(ids) // 5)
    train, valid, test = np.split(ids, [len(ids) - 2 * num_valid, len(ids) - num_valid])
    return {"train": np.sort(train), "valid": np.sort(valid), "test": np.sort(test)}


def _refuse(bad: Array, array: Array, message: str) -> None:
    if bad.any():
        at = np.unravel_index(int(bad.argmax()), bad.shape)
        raise ValueError(f"{message}, got {array[at]} in row {at[0]} (counted from 0)")


def _kind(array: Array) -> str:
    if array.dtype.kind in "OUST":
        flat = array.reshape(-1)
        for value in flat[:100_000]:
            try:
                float(value)
            except (TypeError, ValueError):
                return f"{value!r}"
    return f"dtype {array.dtype}"

"""One door to every data set: a name, a folder or a file."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any, Union

from .dataset import NodePropDataset, RawDataset
from .files import TABLE_SUFFIXES, suffix_of
from .graph_folder.manifest import is_graph_folder
from .graph_folder.reader import open_graph
from .mag import mag_like
from .manifest import MANIFEST
from .synthetic import arxiv_like
from .typed_dataset import RawTypedDataset, TypedNodePropDataset, with_reverse

_ARXIV_LIKE = ("arxiv-like", "arxiv_like")
_MAG_LIKE = ("mag-like", "mag_like")
_FORMS = (
    f"a folder that hopflow convert wrote, in OGB's raw layout or with {MANIFEST}, an .npz file or"
    f" an edge list ({', '.join(TABLE_SUFFIXES)})"
)

PathLike = Union[str, "os.PathLike[str]"]


def load(
    name_or_folder: PathLike,
    root: PathLike = "dataset",
    *,
    split: PathLike | None = None,
    features: PathLike | None = None,
    labels: PathLike | None = None,
    num_nodes: int | None = None,
    seed: int = 0,
    add_reverse: bool = False,
    memory: int | str | None = None,
    edges: str = "mapped",
) -> NodePropDataset | TypedNodePropDataset:
    """Load a node-property data set.

    Parameters
    ----------
    name_or_folder
        One of

        - ``"arxiv-like"``: :func:`arxiv_like` at its defaults, with `seed`;
        - ``"mag-like"``: :func:`mag_like` at its defaults, with `seed` and `add_reverse`;
        - a name OGB knows, such as ``"ogbn-arxiv"``: downloaded once by the `ogb` package;
        - a folder in OGB's raw layout, text or binary (see :mod:`.ogb_layout`, and
          :mod:`.ogb_typed` for several types);
        - a folder that :func:`convert` or :func:`save_folder` wrote, which opens at once;
        - a folder of tables with a manifest ``hopflow.json``, or that file (see
          :mod:`.manifest`);
        - an `.npz` file, or a folder with such arrays as `.npy` files (see
          :func:`.arrays.read_npz_dataset`);
        - an edge list, CSV, TSV or Parquet (see :func:`.table.read_edge_list`).

        A name goes before a file of the same name.
    root
        Folder that holds the data sets OGB names.
    split
        Names and folders: which folder under ``split`` to use; needed where there are several
        and OGB names none. Files: a folder with ``train``, ``valid``, ``test`` as `.csv` or
        `.csv.gz`, or an `.npz` with arrays of those names. Labels that come without a split are
        split 60/20/20 at random, by `seed`.
    features, labels
        Edge lists only: files with one row per node, in order of ids; CSV, TSV, Parquet, `.npy`
        or `.npz`. Without labels ``dataset[0]`` is ``(graph, None)``, `num_classes` is 0, and
        there is no split unless `split` gives one.
    num_nodes
        Files only: number of nodes, where nothing in the files says it and the largest id + 1
        is not meant.
    seed
        Seed of the random split, of ``"arxiv-like"`` and of ``"mag-like"``.
    add_reverse
        Of several types only: add to each relation ``NAME`` the one that leads back, as
        ``rev_NAME``.

    memory, edges
        Graph folders only: see :func:`.graph_folder.reader.open_graph`. ``memory="8GiB"`` leaves
        columns that are larger on disk, behind caches of that size in all; ``edges="memory"``
        reads the edges into memory instead of mapping them.

    Returns
    -------
    NodePropDataset or TypedNodePropDataset
        ``dataset[0]`` is ``(graph, labels)``; of several types labels, and each part of the split,
        are dicts by node type. Edges are as stored: reverse ones are not added,
        except where OGB's own loader adds them (ogbn-products, ogbn-proteins).

    Raises
    ------
    FileNotFoundError
        A file or folder is missing.
    ValueError
        An unknown name, an option that does not apply, or a malformed file; the message names
        the file, what was expected and what came.
    TypeError
        An argument of the wrong type.
    ImportError
        A name without `ogb`, or Parquet without `pyarrow`.
    ConnectionError, RuntimeError
        A download failed, or was declined.
    FileExistsError
        The folder of a named data set is there without its raw files.

    Notes
    -----
    No pickle is ever executed: OGB's `processed` cache is left alone, numpy files are read with
    ``allow_pickle=False``, and a ``split_dict.pt`` goes through torch's restricted unpickler.
    """
    try:
        if not os.fspath(name_or_folder):
            raise ValueError("name_or_folder: expected a name or a path, got an empty one")
    except TypeError as error:
        kind = type(name_or_folder).__name__
        raise TypeError(f"name_or_folder: expected a name or a path, got {kind}") from error
    if num_nodes is not None:
        num_nodes = operator.index(num_nodes)
        if num_nodes < 1:
            raise ValueError(f"num_nodes: expected at least 1, got {num_nodes}")
    seed = operator.index(seed)
    options = {"split": split, "features": features, "labels": labels, "num_nodes": num_nodes}
    is_folder = is_graph_folder(Path(name_or_folder)) and name_or_folder not in _names()
    if not is_folder and (memory is not None or edges != "mapped"):
        raise ValueError(
            f"memory=, edges=: expected neither for {str(name_or_folder)!r}, which is read into"
            " memory whole; hopflow convert makes a graph folder of it"
        )
    if name_or_folder in _MAG_LIKE:
        _refuse_options(options, (), "mag-like")
        return mag_like(seed=seed, add_reverse=add_reverse)
    if name_or_folder in _ARXIV_LIKE:
        _refuse_options({**options, "add_reverse": add_reverse or None}, (), "arxiv-like")
        return arxiv_like(seed=seed)
    if is_folder:
        _refuse_options({**options, "add_reverse": add_reverse or None}, (), "a graph folder")
        return open_graph(name_or_folder, memory=memory, edges=edges)
    raw = _read(name_or_folder, Path(root), options, seed)
    if isinstance(raw, RawTypedDataset):
        return TypedNodePropDataset(with_reverse(raw) if add_reverse else raw)
    if add_reverse:
        raise ValueError(
            f"add_reverse= does not apply to {raw.name!r}, which has one type; use"
            " hopflow.add_reverse_edges"
        )
    return NodePropDataset(raw)


def _names() -> tuple[str, ...]:
    from . import ogb_names

    return ogb_names.known_names()


def _read(
    source: PathLike, root: Path, options: dict[str, Any], seed: int
) -> RawDataset | RawTypedDataset:
    from . import ogb_names

    names = _names()
    split = options["split"]
    if isinstance(source, str) and source in names:
        _refuse_options(options, ("split",), source)
        return ogb_names.read_named(source, root, split=None if split is None else str(split))
    path = Path(source)
    if path.is_dir():
        return _read_folder(path, options, seed)
    suffix = suffix_of(path)
    if suffix == ".json":
        return _read_tables(path, options, seed)
    if suffix == ".npz":
        from .arrays import read_npz_dataset

        _refuse_options(options, ("split", "num_nodes"), f"{path}, an .npz file")
        return read_npz_dataset(path, split=_path(split), num_nodes=options["num_nodes"], seed=seed)
    if suffix in TABLE_SUFFIXES:
        from .table import read_edge_list

        return read_edge_list(
            path,
            features=_path(options["features"]),
            labels=_path(options["labels"]),
            split=_path(split),
            num_nodes=options["num_nodes"],
            seed=seed,
        )
    if path.exists():
        raise ValueError(f"{path}: expected {_FORMS}, got a file with suffix {suffix!r}")
    if isinstance(source, os.PathLike) or os.sep in source or suffix:
        raise FileNotFoundError(f"{path}: no such file or folder; expected {_FORMS}")
    raise ValueError(
        f"unknown data set {str(source)!r}: expected arxiv-like, mag-like, "
        f"{', '.join(names)}, or {_FORMS}"
    )


def _read_folder(path: Path, options: dict[str, Any], seed: int) -> RawDataset | RawTypedDataset:
    from .arrays import is_npy_folder, read_npz_dataset
    from .ogb_layout import read_folder
    from .ogb_typed import is_typed_layout, read_typed_folder

    if (path / MANIFEST).is_file():
        return _read_tables(path / MANIFEST, options, seed)
    if is_npy_folder(path):
        _refuse_options(options, ("split", "num_nodes"), f"{path}, a folder of .npy files")
        return read_npz_dataset(
            path, split=_path(options["split"]), num_nodes=options["num_nodes"], seed=seed
        )
    _refuse_options(options, ("split",), f"{path}, a folder")
    split = None if options["split"] is None else str(options["split"])
    if is_typed_layout(path):
        return read_typed_folder(path, split=split)
    return read_folder(path, split=split)


def _read_tables(path: Path, options: dict[str, Any], seed: int) -> RawTypedDataset:
    from .typed_tables import read_tables

    _refuse_options(options, (), f"{path}, a manifest, which says it")
    return read_tables(path, seed=seed)


def _path(value: PathLike | None) -> Path | None:
    return None if value is None else Path(value)


def _refuse_options(options: dict[str, Any], allowed: tuple[str, ...], what: str) -> None:
    for key, value in options.items():
        if value is not None and key not in allowed:
            raise ValueError(f"{key}= does not apply to {what}")

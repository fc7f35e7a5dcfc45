"""The conversion itself, step by step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hopflow.datasets.conversion.journal import Journal, key_of
from hopflow.datasets.conversion.open_source import open_source
from hopflow.datasets.conversion.options import Options
from hopflow.datasets.conversion.source import Source
from hopflow.datasets.conversion.steps import PLACING, Conversion, OnProgress, folder_number
from hopflow.datasets.graph_folder.manifest import VERSION, read_manifest
from hopflow.datasets.graph_folder.reader import open_graph
from hopflow.datasets.graph_folder.writer import check_place
from hopflow.storage.sizes import size_in_bytes

_REVISION = 4
"""Of the steps: a conversion that another revision began starts anew."""


def convert(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    memory: int | str = "4GiB",
    split: str | os.PathLike[str] | None = None,
    features: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    num_nodes: int | None = None,
    seed: int = 0,
    ids: str = "row",
    undirected: bool = False,
    add_self_loops: bool = False,
    remove_self_loops: bool = False,
    keep_edge_ids: bool = False,
    dtypes: Mapping[str, str] | None = None,
    link: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_message: Callable[[str], None] | None = None,
) -> str:
    """Write a graph larger than memory as a folder that :func:`load` opens at once.

    The graph is the one that ``load(source)`` makes, and samples the same blocks: in-edges of a
    node keep the source's order. Edges are numbered by destination, and their columns go along,
    unless ``keep_edge_ids``. What a run that was ended has finished stays in ``FOLDER.converting``,
    and the same call goes on from there.

    Parameters
    ----------
    source : str or path
        A folder in OGB's raw layout, one of `.npy` files or of Parquet files with edges; an `.npz`
        file; an edge list as CSV, TSV or Parquet. Of one node type.
    folder : str or path
        Where to write; its parent exists.
    memory : int or str
        Bytes, such as ``"4GiB"``, for all that grows with edges and features. Beside them are a few
        integers a node: labels, the split, ids that are no numbers.
    split, features, labels, num_nodes, seed
        As :func:`load` takes them.
    ids : {"row", "number", "text"}
        What the ids of an edge list are: numbers of nodes from 0; any whole numbers; or any texts,
        as they are written. The last two are numbered in the order in which they appear, and
        ``dataset.node_ids`` tells which is which.
    undirected : bool
        Add the reverse of every edge, as :func:`hopflow.add_reverse_edges` does: behind the others,
        self-loops single. Edge columns go along.
    add_self_loops : bool
        Then give every node a self-loop, as :func:`hopflow.add_self_loop` does: behind the others,
        with 1 in edge columns.
    remove_self_loops : bool
        Before both leave out self-loops, as :func:`hopflow.remove_self_loop` does.
    keep_edge_ids : bool
        Let edges keep the numbers, and edge columns the order, that they have in the source:
        4 or 8 bytes an edge more.
    dtypes : mapping, optional
        ``{"feat": "float16"}``: node columns to store as float16, bfloat16, float32 or int8. The
        last is for matrices of floats alone, [N, D], and by row: each row is D bytes between its
        least number and its greatest, then 8 more that say where these are
        (:func:`hopflow.ops.quantize_by_row`). A number is at most 1/510 of its row's span off, and
        what float32 rounds. :func:`load` decodes rows to float32 as they are gathered.
    link : bool
        Link a node column that is an `.npy` file as it must be, instead of copying it. It must not
        be changed afterwards. Across file systems it is copied.
    overwrite : bool
        Whether a graph folder that is there already is replaced, once the new one is whole.
    on_progress : callable, optional
        Called with what is being done, how much of it is done, and how much there is.
    on_message : callable, optional
        Called with a line for people: of a conversion that goes on, or starts anew.

    Returns
    -------
    str
        The graph id: a hash of all numbers and all checksums.

    Raises
    ------
    FileExistsError
        There is something at ``folder`` that is no graph folder, or one without ``overwrite``.
    FileNotFoundError
        A file is missing, or the folder to put it in.
    BlockingIOError
        Another conversion to the same folder is at work.
    ImportError
        Parquet without `pyarrow`.
    ValueError
        A source that is malformed in any part, of a form or of types that are not converted; the
        message names the file and the row. Options that do not apply.
    OSError
        The disk is full, or cannot be written.
    """
    options = Options(
        memory=size_in_bytes("memory", memory),
        split=_path(split),
        features=_path(features),
        labels=_path(labels),
        num_nodes=num_nodes,
        seed=seed,
        ids=ids,
        undirected=undirected,
        add_self_loops=add_self_loops,
        remove_self_loops=remove_self_loops,
        keep_edge_ids=keep_edge_ids,
        dtypes=dict(dtypes or {}),
        link=link,
    )
    path, target = Path(source), Path(os.path.realpath(folder))
    made = open_source(path, options)
    if not made.name:  # of a hidden file
        made = replace(made, name=target.name)
    working = target.with_name(f"{target.name}.converting")
    key = _key(path, made, options)

    def check() -> None:
        check_place(target, overwrite=overwrite)
        changed = [now[0] for then, now in zip(key["files"], _stats(made)) if then != now]
        if changed:
            raise ValueError(f"{changed[0]}: it was changed while it was converted")

    if key_of(working) != key:
        check()  # before anything is written
    journal = Journal(working, key, on_message)
    try:
        placing = journal.result(PLACING)
        if placing is not None and _is(target, placing):
            # Ended between putting the folder in place and cleaning up.
            journal.remove()
            return str(placing["id"])
        check()  # another conversion may have ended while this one waited to begin
        conversion = Conversion(journal, made, options, target, on_progress, check, overwrite)
        if placing is not None:
            if _is(working / "made", placing):
                return conversion.place(placing["id"])
            journal.restart()  # somebody has taken away what was made
        return conversion.run()
    except ValueError:
        # The source or an option must change, and then nothing of this is of use.
        journal.remove()
        raise
    finally:
        journal.close()


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


def _key(path: Path, source: Source, options: Options) -> dict[str, Any]:
    """All that the steps of a conversion depend on."""
    return {
        "revision": [VERSION, _REVISION],
        "source": str(path.resolve()),
        "files": _stats(source),
        **options.to_json(),
    }


def _stats(source: Source) -> list[Any]:
    """What tells whether the files of a source have changed."""
    stats = [(str(file.resolve()), file.stat()) for file in source.files]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _is(folder: Path, placing: Mapping[str, Any]) -> bool:
    """Whether a folder is the one that a conversion has made, and whole."""
    if folder_number(folder) != placing["folder"]:
        return False
    try:
        open_graph(folder)  # looks at every file
        return bool(read_manifest(folder).graph_id == placing["id"])
    except (FileNotFoundError, ValueError):
        return False

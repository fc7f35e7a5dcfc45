"""Graphs and tensors in files, for ``dgl.data.utils.save_graphs``, ``load_graphs`` and the like.

What is written is in a format of hopflow's own (:mod:`hopflow.as_dgl.own_files`), which DGL does
not read. DGL's files are read too (:mod:`hopflow.as_dgl.dgl_files`). Nothing in a file is executed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hopflow.as_dgl.dgl_files import (
    GRAPHS_MAGIC,
    TENSORS_MAGIC,
    DglFile,
    GraphInFile,
    UnknownKind,
    read_tensors,
)
from hopflow.as_dgl.own_files import MAGIC, OwnFile, PathLike, assembled, write_file
from hopflow.graphs.create import graph
from hopflow.graphs.graph import Graph
from hopflow.ops import as_int
from hopflow.structure.types import ONE_TYPE


def save_graphs(
    filename: PathLike,
    g_list: Graph | Sequence[Graph],
    labels: Mapping[str, Tensor] | None = None,
    formats: Any = None,
) -> None:
    """Write graphs with all their columns, and tensors that belong to the file as a whole.

    The file appears whole or not at all; folders above it are made.

    Parameters
    ----------
    filename : str or path
        Any name.
    g_list : Graph or sequence of Graph
        What to write, from any device.
    labels : mapping of str to Tensor, optional
        Such as the labels of the nodes.
    formats : optional
        Accepted for DGL's sake and without effect.

    Raises
    ------
    TypeError
        Something else than graphs and tensors, or a dtype that a file cannot hold.
    ValueError
        A block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.save_graphs.html
    """
    graphs = [g_list] if isinstance(g_list, Graph) else list(g_list)
    named = {str(name): (f"labels[{name!r}]", x) for name, x in (labels or {}).items()}
    write_file(filename, graphs, named)


def load_graphs(
    filename: PathLike, idx_list: Sequence[int] | None = None
) -> tuple[list[Graph], dict[str, Tensor]]:
    """Read what :func:`save_graphs`, or the real DGL's, has written.

    Parameters
    ----------
    filename : str or path
        The file.
    idx_list : sequence of int, optional
        Which of its graphs to read; all by default.

    Returns
    -------
    graphs : list of Graph
        On the CPU. DGL writes columns of bool as uint8, so of its files they are uint8 here too.
    labels : dict of str to Tensor
        Those of the whole file; empty if it has none.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is another program's, or damaged, or something in it is of a kind that DGL did not
        write when this was made.
    IndexError
        There are fewer graphs in it.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.load_graphs.html
    """
    if idx_list is not None:
        if not isinstance(idx_list, Iterable):
            raise TypeError(f"idx_list: expected a sequence of ints, got {type(idx_list).__name__}")
        idx_list = [as_int("idx_list", i) for i in idx_list]
    with _opened(filename, "graphs") as contents:
        assert isinstance(contents, (DglFile, OwnFile))
        wanted = range(len(contents)) if idx_list is None else idx_list
        for i in wanted:
            if not 0 <= i < len(contents):
                raise _NoSuchGraph(f"idx_list: {filename} holds {len(contents)} graphs, got {i}")
        if isinstance(contents, DglFile):
            return [_converted(contents.graph(i)) for i in wanted], contents.labels
        return [contents.graph(i) for i in wanted], contents.labels()


def load_labels(filename: PathLike) -> dict[str, Tensor]:
    """Read only the labels of a file of graphs.

    Parameters
    ----------
    filename : str or path
        As in :func:`load_graphs`, which tells of errors too.

    References
    ----------
    https://www.dgl.ai/dgl_docs/api/python/dgl.data.html
    """
    with _opened(filename, "graphs") as contents:
        if isinstance(contents, DglFile):
            return contents.labels
        assert isinstance(contents, OwnFile)
        return contents.labels()


def save_tensors(filename: PathLike, tensor_dict: Mapping[str, Tensor]) -> bool:
    """Write tensors under names, in the format of :func:`save_graphs`, without graphs.

    Parameters
    ----------
    filename : str or path
        Any name.
    tensor_dict : mapping of str to Tensor
        From any device.

    Returns
    -------
    bool
        True, as in DGL: what cannot be written is an error.

    Raises
    ------
    TypeError
        A name that is no text, or something else than tensors that a file can hold.

    References
    ----------
    https://www.dgl.ai/dgl_docs/api/python/dgl.data.html
    """
    for name in tensor_dict:
        if not isinstance(name, str):
            raise TypeError(f"tensor_dict: expected names of str, got {type(name).__name__}")
    write_file(
        filename, [], {name: (f"tensor_dict[{name!r}]", x) for name, x in tensor_dict.items()}
    )
    return True


def load_tensors(filename: PathLike, return_dgl_ndarray: bool = False) -> dict[str, Tensor]:
    """Read what :func:`save_tensors`, or the real DGL's, has written.

    Parameters
    ----------
    filename : str or path
        The file.
    return_dgl_ndarray : bool
        Only False: there is no other kind of array here.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is another program's or damaged; or ``return_dgl_ndarray``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/api/python/dgl.data.html
    """
    if return_dgl_ndarray:
        raise ValueError("return_dgl_ndarray: expected False; results are tensors")
    with _opened(filename, "tensors") as contents:
        if isinstance(contents, dict):
            return contents
        assert isinstance(contents, OwnFile)
        return contents.labels()


class _NoSuchGraph(IndexError):
    """Not the file's fault."""


@contextlib.contextmanager
def _opened(filename: PathLike, what: str) -> Iterator[OwnFile | DglFile | dict[str, Tensor]]:
    """What is in a file of graphs or of tensors; errors inside say which file it is."""
    path = Path(filename)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        start = file.read(len(MAGIC))
        file.seek(0)
        try:
            if start == MAGIC:
                yield OwnFile(file)
            elif start.startswith(GRAPHS_MAGIC) and what == "graphs":
                yield DglFile(file)
            elif start.startswith(TENSORS_MAGIC) and what == "tensors":
                yield read_tensors(file)
            else:
                raise _Foreign
        except _Foreign:
            raise ValueError(
                f"{path}: written by another program, expected a file of hopflow's or DGL's"
                f" save_{what}; move it away, and data sets that keep their {what} in it will make"
                " it anew"
            ) from None
        except UnknownKind as error:
            raise ValueError(
                f"{path}: holds {error}, which hopflow does not read; load it with DGL"
            ) from None
        except _NoSuchGraph:
            raise
        except (
            ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError,
            OverflowError,
        ) as error:  # fmt: skip
            raise _damaged(path, str(error)) from error


class _Foreign(Exception):
    """Neither hopflow nor DGL has written this."""


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path}: damaged ({why}); remove it")


def _converted(found: GraphInFile) -> Graph:
    """A graph of DGL's."""
    if list(found.edges) == list(ONE_TYPE.relations):
        (edges,), (num_nodes,) = found.edges.values(), found.num_nodes.values()
        made = graph((edges.form, edges.arrays), num_nodes=num_nodes, idtype=found.idtype)
    else:
        edges_of = {name: (one.form, one.arrays) for name, one in found.edges.items()}
        made = assembled(found.num_nodes, edges_of, found.idtype)
    for ntype, columns in found.ndata.items():
        made.node_frame(ntype).update(columns)
    for relation, columns in found.edata.items():
        made.relation(relation).edge_frame.update(columns)
    return made

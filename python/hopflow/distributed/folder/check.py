"""Reading all of a partition to say what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hopflow.distributed.folder.manifest import part_name
from hopflow.distributed.folder.reader import PartFiles, PartsFolder, open_folder
from hopflow.storage.array_checks import are_rising, changed_files, csc_faults, is_below, pieces
from hopflow.storage.array_files import CHUNK_BYTES, as_array, in_edge_positions, spans

Array = NDArray[Any]


def check_folder(
    folder: str | os.PathLike[str], *, parts: Sequence[int] | None = None
) -> list[str]:
    """Read all of a folder and say what is wrong with it.

    Compared are the checksums of whole files; that the ids of a part rise, that every node is of
    one part and that ``place`` says the same; that edges are compressed rows of ids in range and,
    where the whole topology is there, the same as in it.

    Parameters
    ----------
    folder : str or path
        The folder.
    parts : sequence of int, optional
        The parts to look at; by default all.

    Returns
    -------
    list of str
        A line for each fault, none if all is well. Of files that are not what was written the
        contents are not looked at.

    Raises
    ------
    IndexError
        ``parts`` names one that there cannot be.
    """
    try:
        opened = open_folder(folder)
    except (OSError, ValueError) as error:
        return [str(error)]
    numbers = range(opened.num_parts) if parts is None else parts
    for number in numbers:
        if not 0 <= number < opened.num_parts:
            raise IndexError(f"parts: expected 0 <= part < {opened.num_parts}, got {number}")
    faults = list(changed_files(opened.path, opened.manifest.files))
    is_whole = not faults
    if is_whole:
        faults += _root_faults(opened)
    for number in numbers:
        try:
            files = opened.part(number)
        except (OSError, ValueError) as error:
            faults.append(str(error))
            continue
        changed = list(changed_files(files.path, files.files))
        faults += changed
        if is_whole and not changed:
            faults += _part_faults(opened, files)
    return faults


def _root_faults(opened: PartsFolder) -> Iterator[str]:
    for ntype, count in opened.num_nodes.items():
        place = as_array(opened.place(ntype))
        seen = np.zeros(count, np.bool_)
        is_in_range = True
        for piece in pieces(place):
            is_in_range &= is_below(piece, count)
            if is_in_range:
                seen[piece] = True
        if not is_in_range or not seen.all():
            yield f"{opened.path}: place of {ntype!r} is no order of its {count} nodes"
    for name, by_type in opened.splits().items():
        for ntype, ids in by_type.items():
            if not all(is_below(x, opened.num_nodes[ntype]) for x in pieces(as_array(ids))):
                yield f"{opened.path}: split {name!r} has ids that are no {ntype!r} nodes"
    if not opened.has_topology:
        return
    for relation, one in opened.topology().relations.items():
        edges = one.adjacency
        where = f"{opened.path}: topology of {relation!r}"
        yield from csc_faults(
            where, edges.indptr, edges.indices, edges.eids, edges.num_src, edges.num_edges
        )


def _part_faults(opened: PartsFolder, files: PartFiles) -> Iterator[str]:
    where = f"{opened.path / part_name(files.part)}"
    has_valid_ids = {}
    for ntype, count in opened.num_nodes.items():
        ids = as_array(files.ids(ntype))
        first = opened.first_rows(ntype)[files.part]
        has_valid_ids[ntype] = (
            are_rising(ids) and is_below(ids[:1], count) and is_below(ids[-1:], count)
        )
        if not has_valid_ids[ntype]:
            yield f"{where}: ids of {ntype!r} do not rise within [0, {count})"
            continue
        place = as_array(opened.place(ntype))
        for a, b in spans(len(ids), 24, CHUNK_BYTES):
            if not (place[ids[a:b]] == np.arange(first + a, first + b)).all():
                yield f"{where}: ids of {ntype!r} are not those that place has in this part"
                break
    topology = opened.topology() if opened.has_topology else None
    for relation in opened.relations:
        src, _, dst = relation
        indptr, indices, eids = files.edges(relation)
        name = f"{where}: in-edges of {relation!r}"
        faults = list(
            csc_faults(
                name, indptr, indices, eids, opened.num_nodes[src], opened.num_edges[relation]
            )
        )
        yield from faults
        if faults or topology is None or not has_valid_ids[dst]:
            continue
        whole = topology.relation(relation).adjacency
        if not _is_same(as_array(whole.indptr), whole.indices, whole.eids, files, relation):
            yield f"{name} are not those of the topology"


def _is_same(
    whole: Array, indices: Tensor, eids: Tensor | None, files: PartFiles, relation: Any
) -> bool:
    """Whether a part has the edges that the whole graph has for its nodes."""
    own, sources, numbers = map(as_array, files.edges(relation))
    nodes = as_array(files.ids(relation[2]))
    if not np.array_equal(whole[nodes + 1] - whole[nodes], np.diff(own)):
        return False
    first = 0
    for positions in in_edge_positions(whole, nodes, own, CHUNK_BYTES):
        here = slice(first, first + len(positions))
        first += len(positions)
        ids = positions if eids is None else as_array(eids)[positions]
        if not np.array_equal(as_array(indices)[positions], sources[here]):
            return False
        if not np.array_equal(ids, numbers[here]):
            return False
    return True

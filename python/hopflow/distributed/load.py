"""From the folder of a partitioned graph to the rank's view of the graph."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist

import hopflow.ops as ops
from hopflow.distributed.folder.reader import PartsFolder, open_folder
from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.part import Part, PartEdges
from hopflow.graphs.graph import Graph
from hopflow.storage.memory import available_memory

TOPOLOGIES = ("auto", "replicated", "parts")


def load(
    folder: str | os.PathLike[str],
    *,
    topology: str = "auto",
    timeout: float = 60.0,
) -> PartitionedGraph:
    """Open a graph that ``hopflow partition`` wrote, on every rank; part ``p`` is rank ``p``'s.

    Files are mapped into memory and read where they are used: ranks on one machine share what they
    both read. A machine needs the folder's own files and those of its ranks' parts.

    Parameters
    ----------
    folder : str or path
        The folder, which may be another on each machine.
    topology : {"auto", "replicated", "parts"}
        Whether every rank samples from all edges, which the folder then holds as a whole, or each
        hop asks the owners of its nodes. "auto" replicates where that is there on every rank and
        takes at most half of the memory that is free.
    timeout : float
        Seconds after which a rank that does not answer is given up.

    Returns
    -------
    PartitionedGraph
        What samplers and the DataLoader (``use_ddp=True``) take.

    Raises
    ------
    FileNotFoundError, ValueError
        The folder or a file of it is missing, cut off, changed, or of another partitioning.
    HopflowError
        No process group, another number of ranks than of parts, or a rank that cannot open its
        part; on every rank.
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology: expected one of {', '.join(TOPOLOGIES)}, got {topology!r}")
    has_group = dist.is_available() and dist.is_initialized()
    rank = dist.get_rank() if has_group else 0
    opened: PartsFolder | None = None
    part: Part | None = None
    error: Exception | None = None
    try:
        opened = open_folder(folder)
        if rank < opened.num_parts:
            part = _part(opened, rank)
    except Exception as own:
        error = own
    if has_group:
        _all_or_none(rank, error, topology, None if opened is None else opened.num_parts)
    elif error is not None:
        raise error
    assert opened is not None
    if part is None or (has_group and opened.num_parts != dist.get_world_size()):
        raise ops.HopflowError(
            f"{opened.path}: a graph in {opened.num_parts} parts: expected as many ranks, got"
            f" {dist.get_world_size() if has_group else 1}; partition it anew or start"
            f" {opened.num_parts} processes"
        )
    whole = _topology(opened, topology, has_group)
    return PartitionedGraph(part, topology=whole, timeout=timeout)


def _part(folder: PartsFolder, number: int) -> Part:
    files = folder.part(number)
    ntypes, relations = folder.ntypes, folder.relations
    return Part(
        number=number,
        num_parts=folder.num_parts,
        partition_id=folder.partition_id,
        schema=folder.schema,
        idtype=folder.idtype,
        num_edges=[folder.num_edges[relation] for relation in relations],
        place=[folder.place(ntype) for ntype in ntypes],
        starts=[torch.tensor(folder.first_rows(ntype)) for ntype in ntypes],
        ids=[files.ids(ntype) for ntype in ntypes],
        columns=[files.columns(ntype) for ntype in ntypes],
        edges=[PartEdges(*files.edges(relation)) for relation in relations],
        edge_columns=[files.edge_columns(relation) for relation in relations],
        splits=folder.splits(),
        num_classes=folder.num_classes,
    )


def _all_or_none(rank: int, error: Exception | None, topology: str, num_parts: int | None) -> None:
    """Raise on every rank if one of them has failed, or wants something else."""
    every: list[Any] = [None] * dist.get_world_size()
    told = None if error is None else f"{type(error).__name__}: {error}"
    dist.all_gather_object(every, (told, topology, num_parts))
    if error is not None:
        raise error
    for other, (text, wanted, count) in enumerate(every):
        if text is not None:
            raise ops.HopflowError(f"rank {other} could not open its part: {text}")
        if (wanted, count) != every[0][1:]:
            raise ValueError(
                f"load: expected the same on every rank, but rank {other} has {count} parts and"
                f" topology={wanted!r}, rank 0 {every[0][2]} and {every[0][1]!r}"
            )


def _topology(folder: PartsFolder, wanted: str, has_group: bool) -> Graph | None:
    """The whole graph's edges, or None where hops ask the owners; alike on every rank."""
    if wanted == "parts" or (wanted == "auto" and folder.num_parts == 1):
        return None
    if wanted == "replicated":
        return folder.topology()
    size = sum(
        8 * (folder.num_nodes[dst] + 1) + 4 * folder.num_edges[src, name, dst]
        for src, name, dst in folder.relations
    )
    fits = folder.has_topology and size <= (available_memory() or 0) / 2
    if has_group:
        every: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(every, fits)
        fits = all(every)
    return folder.topology() if fits else None

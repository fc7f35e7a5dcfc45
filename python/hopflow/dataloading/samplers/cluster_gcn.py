"""Batches of whole clusters: Cluster-GCN."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.samplers.subgraph import SubgraphColumns, SubgraphSampler
from hopflow.graphs.graph import Graph
from hopflow.partitioning.metis import metis_partition_assignment
from hopflow.structure.graph_base import require_graph
from hopflow.structure.ids import as_node_ids

_CHUNK = 1 << 22  # ids looked at at a time


class ClusterGCNSampler(SubgraphSampler):
    """The subgraph of some clusters of a graph, and of the edges among them.

    The loader's indices are numbers of clusters, ``torch.arange(k)``; a batch is the subgraph that
    all nodes of its clusters induce.

    Parameters
    ----------
    g : Graph
        The graph, of one node type and one edge type, on the CPU.
    k : int
        Clusters.
    cache_path : str or None
        A file that keeps the clusters, read if it is there; None keeps them in memory alone. (DGL's
        is a pickle, this is numpy's ``.npz``; one is not read for the other.)
    balance_ntypes, balance_edges, mode
        As in :func:`hopflow.metis_partition_assignment`.
    prefetch_ndata, prefetch_edata : sequence of str, optional
        Columns of the subgraph to gather with the batch.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves subgraphs.

    Attributes
    ----------
    partition_offset : Tensor
        Where the nodes of each cluster begin in ``partition_node_ids``, int64, shape [k + 1].
    partition_node_ids : Tensor
        The nodes, one cluster after the other, int64, shape [N].

    Raises
    ------
    HopflowError
        The file holds no clusters, or those of a graph with other edges, of another number or
        balance.

    References
    ----------
    Chiang et al., "Cluster-GCN", KDD 2019;
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.ClusterGCNSampler.html
    """

    def __init__(
        self,
        g: Graph,
        k: int,
        cache_path: str | os.PathLike[str] | None = "cluster_gcn.npz",
        balance_ntypes: Any = None,
        balance_edges: bool = False,
        mode: str = "k-way",
        prefetch_ndata: Any = None,
        prefetch_edata: Any = None,
        output_device: Any = None,
    ) -> None:
        g = require_graph(g, one_type=True)
        k = ops.as_int("k", k)
        names = ("prefetch_ndata", "prefetch_edata")
        super().__init__(SubgraphColumns(prefetch_ndata, prefetch_edata, names), output_device)
        file = None if cache_path is None else Path(cache_path)
        about = [] if file is None else _about(g, k, balance_ntypes)
        if file is not None and file.is_file():
            parts = _read(file, about)
        else:
            parts = metis_partition_assignment(g, k, balance_ntypes, balance_edges, mode)
            if file is not None:
                _write(file, about, parts)
        self.partition_node_ids = torch.argsort(parts, stable=True)
        counts = torch.bincount(parts, minlength=k)
        self.partition_offset = torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    def sample(self, g: Graph, partition_ids: Any) -> Graph:
        """The subgraph of some clusters.

        Parameters
        ----------
        g : Graph
            The graph that the clusters are of.
        partition_ids : Tensor, numpy array or sequence of int
            Clusters; one that is given twice is there once.

        Returns
        -------
        Graph
            The nodes cluster by cluster, with ids in ``ndata[hopflow.NID]`` and
            ``edata[hopflow.EID]``, and the columns of ``g``.

        Raises
        ------
        IndexError
            There is no such cluster.
        ValueError
            Another graph, by its number of nodes.
        KeyError
            A column to prefetch that the graph lacks.
        """
        g = self.checked(g)
        offset, nodes = self.partition_offset, self.partition_node_ids
        if g.num_nodes() != nodes.shape[0]:
            raise ValueError(
                f"g: expected the graph of {nodes.shape[0]} nodes that the clusters are of, got one"
                f" of {g.num_nodes()}"
            )
        chosen = as_node_ids("partition_ids", partition_ids, offset.shape[0] - 1, what="cluster")
        chosen = chosen.to(offset.device)
        chosen, _, _ = ops.compact_ids(chosen, chosen[:0])
        parts = [nodes[int(offset[i]) : int(offset[i + 1])] for i in chosen.tolist()]
        return self.induced(g, torch.cat([nodes[:0], *parts]).to(g.device))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.partition_offset.shape[0] - 1} clusters)"


def _about(g: Graph, k: int, balance_ntypes: Any) -> list[int]:
    """What clusters depend on: their number, the graph's sizes, its edges and what is balanced."""
    edges = g.adjacency.full()
    of_edges = 0
    for ids in (edges.indptr, edges.indices):
        for chunk in torch.split(ids, _CHUNK):  # int32 or int64, the clusters are the same
            of_edges = zlib.crc32(chunk.long().cpu().numpy().tobytes(), of_edges)
    balanced = -1
    if balance_ntypes is not None:
        balanced = zlib.crc32(torch.as_tensor(balance_ntypes).long().cpu().numpy().tobytes())
    return [k, g.num_nodes(), g.num_edges(), of_edges, balanced]


def _read(file: Path, wanted: list[int]) -> Tensor:
    k, num_nodes, num_edges = wanted[:3]
    try:
        with np.load(file, allow_pickle=False) as found:
            parts, about = found["parts"], found["about"]
        if about.shape != (len(wanted),) or parts.dtype.kind != "i":
            raise ValueError("it is of another form")
        if bool(((parts < 0) | (parts >= about[0])).any()):
            raise ValueError("a cluster is none of them")
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ops.HopflowError(
            f"cache_path: {file} holds no clusters of hopflow's ({error}); remove it, or name"
            " another file"
        ) from None
    if about[:3].tolist() != wanted[:3] or parts.shape != (num_nodes,):
        raise ops.HopflowError(
            f"cache_path: {file} holds {about[0]} clusters of a graph of {about[1]} nodes and"
            f" {about[2]} edges, expected {k} of {num_nodes} and {num_edges}; remove it, or name"
            " another file"
        )
    if about.tolist() != wanted:
        what = "of a graph with other edges" if about[3] != wanted[3] else "balanced otherwise"
        raise ops.HopflowError(
            f"cache_path: {file} holds clusters {what}; remove it, or name another file"
        )
    return torch.from_numpy(parts).long()


def _write(file: Path, about: list[int], parts: Tensor) -> None:
    """Write the file whole or not at all."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            np.savez(out, parts=parts.to(torch.int16).numpy(), about=np.array(about))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)

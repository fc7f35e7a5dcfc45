"""Comparing what two data sets hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import hopflow as hf


def assert_alike(one: Any, other: Any, *, with_ids: bool = False) -> None:
    """Raise unless two data sets are the same up to the numbers of edges.

    In-edges of a node come in the same order, with the same columns; with ``with_ids`` they have
    the same numbers too.
    """
    (g, labels), (h, other_labels) = one[0], other[0]
    assert (g.ntypes, g.canonical_etypes) == (h.ntypes, h.canonical_etypes)
    assert g.idtype == h.idtype
    for ntype in g.ntypes:
        assert_columns_alike(g.nodes[ntype].data, h.nodes[ntype].data)
    for relation in g.canonical_etypes:
        x, y = (graph.relations[relation] for graph in (g, h))
        assert torch.equal(x.adjacency.indptr, y.adjacency.indptr)
        assert torch.equal(x.adjacency.indices, y.adjacency.indices)
        assert x.adjacency.indices.dtype == y.adjacency.indices.dtype
        assert_columns_alike(by_position(x), by_position(y))
        if with_ids:
            for mine, theirs in zip(g.edges(etype=relation), h.edges(etype=relation)):
                assert torch.equal(mine, theirs)
    if not isinstance(labels, dict):
        labels, other_labels = ({} if x is None else {"": x} for x in (labels, other_labels))
    assert_columns_alike(labels, other_labels)
    assert one.has_split == other.has_split
    if one.has_split:
        mine, theirs = one.get_idx_split(), other.get_idx_split()
        assert list(mine) == list(theirs)
        for name, part in mine.items():
            is_typed = isinstance(part, dict)
            assert_columns_alike(
                part if is_typed else {"": part}, theirs[name] if is_typed else {"": theirs[name]}
            )
    assert (one.num_classes, one.num_tasks) == (other.num_classes, other.num_tasks)


def by_position(relation: Any) -> dict[str, torch.Tensor]:
    """Edge columns in the order in which in-edges are stored."""
    eids = relation.adjacency.eids
    frame = relation.edge_frame
    return {k: x if eids is None else x[eids.long()] for k, x in frame.items()}


def assert_columns_alike(one: Any, other: Any) -> None:
    """Raise unless columns are the same, bit for bit."""
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


def assert_blocks_alike(one: Any, other: Any) -> None:
    """Raise unless the first batch of a loader has the same nodes and edges."""
    batches = []
    for dataset in (one, other):
        g = dataset[0][0]
        seeds = torch.arange(min(g.num_nodes(), 64))
        hf.seed(7)
        loader = hf.dataloading.DataLoader(
            g, seeds, hf.dataloading.NeighborSampler([3, 2]), batch_size=32, shuffle=True
        )
        batches.append(next(iter(loader)))
    for x, y in zip(*batches):
        if isinstance(x, torch.Tensor):
            assert torch.equal(x, y)
            continue
        for mine, theirs in zip(x, y):
            assert torch.equal(mine.srcdata[hf.NID], theirs.srcdata[hf.NID])
            for a, b in zip(mine.edges(), theirs.edges()):
                assert torch.equal(a, b)


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder, by their paths in it."""
    return {str(x.relative_to(folder)): x.read_bytes() for x in folder.rglob("*") if x.is_file()}

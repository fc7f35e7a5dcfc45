"""Sampling in time against GraphBolt: the same eligible edges, and as many drawn of each seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow.dataloading import TemporalNeighborSampler

RECORD = Path(__file__).parent / "records" / "temporal.npz"
COLUMNS = {
    "edges": {"edge_time": "t"},
    "nodes": {"node_time": "born"},
    "both": {"edge_time": "t", "node_time": "born"},
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    with np.load(RECORD, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays if name != "versions"}


def by_seed(indptr: Tensor, eids: Tensor) -> list[list[int]]:
    return [sorted(part.tolist()) for part in eids.split(indptr.diff().tolist())]


@pytest.mark.parametrize("columns", COLUMNS)
def test_eligible_edges_are_graphbolts(recorded, columns):
    g = hf.graph(("csc", (recorded["indptr"], recorded["indices"], [])))
    g.edata["t"], g.ndata["born"] = recorded["edge_time"], recorded["node_time"]
    for fanout in (-1, 3):
        sampler = TemporalNeighborSampler([fanout], strict=True, **COLUMNS[columns])
        _, _, (block,) = sampler.sample_at(g, recorded["seeds"], recorded["times"])
        rows = torch.arange(block.num_dst_nodes())
        if block.seed_inverse is not None:
            rows = block.seed_inverse
        theirs = recorded[f"{columns} {fanout} indptr"]
        assert torch.equal(block.in_degrees()[rows].long(), theirs.diff())
        if fanout > 0:
            continue
        v, eids = block.edges()[1].long(), block.edata[hf.EID]
        ours = [sorted(eids[v == row].tolist()) for row in rows]
        assert ours == by_seed(theirs, recorded[f"{columns} eids"])
        assert len(eids) > 100

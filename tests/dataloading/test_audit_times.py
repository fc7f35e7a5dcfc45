"""The audit of temporal batches: it finds the edge that is late."""

from __future__ import annotations

import pytest
import torch
from timed_graphs import NUM_NODES, timed_graph

import hopflow as hf
from hopflow.dataloading import DataLoader, TemporalNeighborSampler, audit_times


def test_the_audit_names_the_edge_that_is_late():
    g = timed_graph()
    sampler = TemporalNeighborSampler([-1, 3], "t", "born", "asked")
    _, _, blocks = sampler.sample(g, torch.arange(NUM_NODES))
    assert audit_times(blocks, edge_time="t", node_time="born") > 0
    eid = int(blocks[0].edata[hf.EID][17])
    late = g.edata["t"].clone()
    late[eid] = 1000
    with pytest.raises(
        ValueError, match=rf"block 0: edge {eid} from node \d+ to node \d+ has time 1000"
    ):
        audit_times(blocks, edge_time=late)
    born = g.ndata["born"].clone()
    node = int(g.edges()[0][eid])
    born[node] = 999
    with pytest.raises(ValueError, match=rf"from node {node} .*source node has time 999"):
        audit_times(blocks, node_time=born)
    # A seed that nothing leads to is looked at too, if that is asked for.
    _, _, alone = sampler.sample_at(g, torch.tensor([119]), torch.tensor([-5]))
    with pytest.raises(ValueError, match="seed 119 has time"):
        audit_times(alone, node_time="born")
    assert audit_times(alone, node_time="born", seeds=False) == 0
    # What an untimed sampler makes is not taken for what a temporal one makes.
    _, _, untimed = hf.dataloading.NeighborSampler([2]).sample(g, [1])
    with pytest.raises(ValueError, match="expected a column 'seed_time'"):
        audit_times(untimed, edge_time="t")
    with pytest.raises(ValueError, match="expected one of them at least"):
        audit_times(blocks)
    blocks[0].dstdata["seed_time"][3] += 1
    with pytest.raises(ValueError, match=r"leads from one seed's time|do not begin|has time"):
        audit_times(blocks, edge_time="t")


def test_untimed_blocks_are_late():
    """That the audit can fail: edges drawn without a look at time are caught in every batch."""
    g = timed_graph()
    for _, _, blocks in DataLoader(
        g, torch.arange(NUM_NODES - 10), hf.dataloading.NeighborSampler([10]), batch_size=40
    ):
        for side in (blocks[0].srcdata, blocks[0].dstdata):
            side["seed_time"] = torch.full(side[hf.NID].shape, 50)
        with pytest.raises(ValueError, match="expected one not after its seed's, 50"):
            audit_times(blocks, edge_time="t")

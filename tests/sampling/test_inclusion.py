"""How likely nodes are to be in a batch, against batches."""

import pytest
import torch

import hopflow as hf
from hopflow.sampling.inclusion import expected_inclusion, most_likely

pytestmark = pytest.mark.cpu_only


def test_a_chain_by_hand():
    # 0 -> 1 -> 2, and three more nodes lead to 2.
    graph = hf.graph(([0, 1, 3, 4, 5], [1, 2, 2, 2, 2]), num_nodes=6)
    edges = graph.adjacency
    relation = hf.ops.Relation(edges.indptr, edges.indices, 0, 0)
    (found,) = expected_inclusion([relation], [6], [torch.tensor([2])], 1.0, [[2], [5]])
    # The second hop takes in-edges of the seed once more, this time all of them.
    assert found.tolist() == pytest.approx([0.5, 1, 1, 1, 1, 1], abs=1e-5)
    (found,) = expected_inclusion([relation], [6], [torch.tensor([2])], 1.0, [[2], [2]])
    assert found.tolist() == pytest.approx([0.5, 0.75, 1, 0.75, 0.75, 0.75], abs=1e-5)
    (found,) = expected_inclusion([relation], [6], [torch.tensor([2])], 0.5, [[-1], [0]])
    assert found.tolist() == pytest.approx([0, 0.5, 0.5, 0.5, 0.5, 0.5], abs=1e-5)


def test_near_to_what_batches_hold():
    torch.manual_seed(0)
    src = (torch.rand(6000) ** 3 * 800).long()
    graph = hf.graph((src, torch.randint(800, (6000,))), num_nodes=800)
    seeds = torch.arange(0, 800, 2)
    sampler = hf.dataloading.NeighborSampler([3, 2])
    edges = sampler.edges_of(graph)
    (chance,) = expected_inclusion(
        edges.relations, edges.num_nodes, [seeds], 20 / 400, edges.fanouts(sampler.fanouts)
    )
    loader = hf.dataloading.DataLoader(graph, seeds, sampler, batch_size=20, shuffle=True)
    counts, batches = torch.zeros(800), 0
    for _ in range(40):
        for input_nodes, _, _ in loader:
            counts[input_nodes] += 1
            batches += 1
    share = counts / batches
    # Nodes of a batch are not quite independent of one another.
    assert float((share - chance).abs().mean()) < 0.02
    assert float(share.sum() / chance.sum()) == pytest.approx(1, abs=0.1)
    assert float(torch.corrcoef(torch.stack([share, chance]))[0, 1]) > 0.99


def test_most_likely():
    chances = torch.tensor([0.0, 0.5, 0.2, 0.5, 0.0, 0.9, 0.2])
    assert most_likely(chances, 0).tolist() == []
    assert most_likely(chances, 2).tolist() == [1, 5]
    assert most_likely(chances, 4).tolist() == [1, 2, 3, 5]
    assert most_likely(chances, 7).tolist() == [1, 2, 3, 5, 6]
    assert most_likely(chances, 99).tolist() == [1, 2, 3, 5, 6]
    assert most_likely(torch.empty(0), 3).tolist() == []

"""khop_in_subgraph and khop_out_subgraph, against networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from helpers import IDS, graph_form

import hopflow as hf

FORMS = ("graph", "sorted", "sampled", "shuffled", "no_edges")


def within(g, seeds, k, way):
    """Nodes within ``k`` steps, by networkx."""
    made = nx.MultiDiGraph()
    made.add_nodes_from(range(g.num_nodes()))
    made.add_edges_from(zip(*(x.tolist() for x in g.edges())))
    made = made.reverse() if way == "in" else made
    return sorted(
        {v for s in seeds for v in nx.single_source_shortest_path_length(made, s, cutoff=k)}
    )


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("way", ["in", "out"])
@pytest.mark.parametrize("form", FORMS)
def test_nodes_and_edges(form, way, idtype):
    g = graph_form(form, idtype)
    g.ndata["x"], g.edata["w"] = torch.arange(g.num_nodes()), torch.arange(g.num_edges())
    khop = getattr(hf, f"khop_{way}_subgraph")
    src, dst = g.edges()
    for k in range(4):
        seeds = [3, 0]
        made, new_ids = khop(g, seeds, k)
        nodes = within(g, seeds, k, way)
        assert made.ndata[hf.NID].tolist() == made.ndata["x"].tolist() == nodes
        assert made.ndata[hf.NID].dtype == made.idtype == idtype
        assert new_ids.dtype == torch.int64
        assert torch.tensor(nodes)[new_ids].tolist() == seeds
        inside = [u in nodes and v in nodes for u, v in zip(src.tolist(), dst.tolist())]
        kept = made.edata[hf.EID].long()
        assert kept.sort().values.tolist() == np.flatnonzero(inside).tolist()
        assert made.edata["w"].tolist() == kept.tolist()
        for mine, theirs in zip(made.edges(), (src, dst)):
            assert torch.equal(torch.tensor(nodes)[mine.long()], theirs[kept].long())
        whole = getattr(g, f"khop_{way}_subgraph")(seeds, k, relabel_nodes=False)
        assert whole.num_nodes() == g.num_nodes()
        assert torch.equal(whole.edata[hf.EID].long(), kept)
        assert hf.NID not in whole.ndata


def test_forms_of_seeds():
    g = hf.graph(([0, 1, 2, 3], [1, 2, 3, 4]))
    made, new_ids = hf.khop_in_subgraph(g, 3, 1)
    assert made.ndata[hf.NID].tolist() == [2, 3]
    assert new_ids.tolist() == [1]
    twice, new_ids = hf.khop_in_subgraph(g, [3, 1, 3], 1)
    assert twice.ndata[hf.NID].tolist() == [0, 1, 2, 3]
    assert new_ids.tolist() == [3, 1, 3]
    masked, new_ids = hf.khop_out_subgraph(g, torch.tensor([0, 1, 0, 1, 0]).bool(), 1)
    assert masked.ndata[hf.NID].tolist() == [1, 2, 3, 4]
    assert new_ids.tolist() == [0, 2]
    by_type, new_ids = hf.khop_out_subgraph(g, {"_N": [1]}, 9)
    assert by_type.num_nodes() == 4
    assert new_ids["_N"].tolist() == [0]
    none, new_ids = hf.khop_in_subgraph(g, [], 2)
    assert none.num_nodes() == none.num_edges() == len(new_ids) == 0
    bare = hf.khop_in_subgraph(g, 3, 1, store_ids=False)[0]
    assert not bare.ndata
    assert not bare.edata


def test_several_types():
    g = hf.heterograph(
        {
            ("user", "plays", "game"): ([0, 1, 1, 2], [0, 0, 2, 1]),
            ("user", "follows", "user"): ([0, 1, 1], [1, 2, 2]),
            ("shop", "sells", "game"): ([0], [1]),
        }
    )
    made, new_ids = hf.khop_in_subgraph(g, {"game": [0]}, 1)
    assert made.nodes["user"].data[hf.NID].tolist() == [0, 1]
    assert made.num_nodes("shop") == 0
    assert made.num_edges("follows") == 1  # among the users, though no game is at its end
    assert {ntype: x.tolist() for ntype, x in new_ids.items()} == {"game": [0]}
    made, _ = hf.khop_in_subgraph(g, {"game": [1]}, 2)
    assert made.nodes["user"].data[hf.NID].tolist() == [1, 2]
    assert made.num_nodes("shop") == 1
    assert made.num_edges("follows") == 2


def test_errors():
    g = hf.graph(([0], [1]))
    with pytest.raises(ValueError, match="k: expected 0 or more, got -1"):
        hf.khop_in_subgraph(g, 0, -1)
    with pytest.raises(TypeError, match="k: expected an int, got float"):
        hf.khop_in_subgraph(g, 0, 1.5)
    with pytest.raises(IndexError, match=r"nodes\[0\] is 2"):
        hf.khop_out_subgraph(g, 2, 1)
    with pytest.raises(ValueError, match="expected a graph, got a block"):
        hf.khop_in_subgraph(hf.to_block(g), 0, 1)

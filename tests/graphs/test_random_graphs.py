"""rand_graph and rand_bipartite: all sets of pairs are as likely."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import hopflow as hf


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_sizes(idtype):
    g = hf.rand_graph(40, 300, idtype=idtype)
    assert (g.num_nodes(), g.num_edges(), g.idtype) == (40, 300, idtype)
    assert not g.is_multigraph
    g = hf.rand_bipartite("user", "buys", "game", 7, 5, 35, idtype=idtype)
    assert g.canonical_etypes == [("user", "buys", "game")]
    assert (g.num_nodes("user"), g.num_nodes("game"), g.idtype) == (7, 5, idtype)
    assert {*zip(*(x.tolist() for x in g.edges()))} == {(u, v) for u in range(7) for v in range(5)}
    assert hf.rand_graph(0, 0).num_nodes() == hf.rand_graph(3, 0).num_edges() == 0
    assert hf.rand_bipartite("a", "r", "b", 0, 4, 0).num_nodes("b") == 4
    assert hf.rand_bipartite("a", "r", "a", 3, 3, 9).ntypes == ["a"]
    huge = hf.rand_graph(2**22, 1000)
    assert not huge.is_multigraph
    assert int(huge.edges()[0].max()) > 2**20


def test_seeds():
    def drawn():
        return [x.tolist() for x in hf.rand_graph(50, 60).edges()]

    torch.manual_seed(4)
    first, second = drawn(), drawn()
    torch.manual_seed(4)
    assert (drawn(), drawn()) == (first, second)
    assert first != second
    hf.seed(9)
    third = drawn()
    torch.manual_seed(4)
    assert drawn() != first
    hf.seed(9)
    assert drawn() == third


def test_every_set_of_pairs_is_as_likely():
    """Chi-square over the C(6, 2) = 15 sets of two pairs; 14 degrees of freedom, p = 1e-6."""
    draws = 750
    counts: Counter[tuple[tuple[int, int], ...]] = Counter()
    for _ in range(draws):
        ends = hf.rand_bipartite("a", "r", "b", 2, 3, 2).edges()
        counts[tuple(sorted(zip(*(x.tolist() for x in ends))))] += 1
    assert len(counts) == 15
    expected = draws / 15
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 55.0


def test_errors():
    with pytest.raises(
        ValueError, match="num_edges: expected at most 4, one a pair of nodes, got 5"
    ):
        hf.rand_graph(2, 5)
    with pytest.raises(ValueError, match="num_nodes: expected at least 0, got -1"):
        hf.rand_graph(-1, 0)
    with pytest.raises(TypeError, match="num_edges"):
        hf.rand_graph(2, 1.5)
    with pytest.raises(ValueError, match=r"num_nodes: expected at most 2\^38"):
        hf.rand_graph(2**39, 1)
    with pytest.raises(ValueError, match="num_dst_nodes: expected 3, as sources and destinations"):
        hf.rand_bipartite("a", "r", "a", 3, 4, 1)
    with pytest.raises(TypeError, match=r"idtype: expected torch.int32 or torch.int64"):
        hf.rand_graph(2, 1, idtype=torch.float32)
    with pytest.raises(TypeError, match="relation: expected a tuple"):
        hf.rand_bipartite("a", 1, "b", 2, 2, 1)

"""Products and sums of weighted graphs, against dense matrices and their gradients."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS

import hopflow as hf


def weighted(ends, num_nodes, edges, idtype=torch.int64, dtype=torch.float64, seed=0):
    """A graph of one relation with parallel edges and weights, and its dense matrix."""
    generator = torch.Generator().manual_seed(seed)
    num_src, num_dst = (num_nodes[t] for t in ends)
    src = torch.randint(max(num_src, 1), (edges,), generator=generator)
    dst = torch.randint(max(num_dst, 1), (edges,), generator=generator)
    g = hf.heterograph({(ends[0], "to", ends[1]): (src, dst)}, {t: num_nodes[t] for t in ends})
    g = g.int() if idtype == torch.int32 else g
    w = torch.randn(edges, generator=generator, dtype=dtype).requires_grad_()
    g.edata["w"] = w
    empty = torch.zeros(num_src, num_dst, dtype=dtype)
    return g, w, empty.index_put((src, dst), w, accumulate=True)


def dense_of(g):
    src, dst = (x.long() for x in g.edges())
    assert len({*zip(src.tolist(), dst.tolist())}) == len(src)
    empty = torch.zeros(g.num_src_nodes(), g.num_dst_nodes(), dtype=g.edata["w"].dtype)
    return empty.index_put((src, dst), g.edata["w"])


def same_gradients(made, expected, weights):
    probe = torch.randn(expected.shape, dtype=expected.dtype)
    got = torch.autograd.grad((made * probe).sum(), weights)
    want = torch.autograd.grad((expected * probe).sum(), weights)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)


COUNTS = {"a": 6, "b": 5, "c": 4}


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("last", ["a", "c"])
def test_product(last, idtype):
    first, u, left = weighted("ab", COUNTS, 15, idtype, seed=1)
    second, v, right = weighted(("b", last), COUNTS, 12, idtype, seed=2)
    made = hf.adj_product_graph(first, second, "w", "twice")
    assert made.canonical_etypes == [("a", "twice", last)]
    assert made.ntypes == sorted({"a", last})
    assert made.idtype == idtype
    torch.testing.assert_close(dense_of(made), left @ right)
    same_gradients(dense_of(made), left @ right, (u, v))


def test_product_keeps_weights_that_cancel():
    g = hf.graph(([0, 0, 1, 2], [1, 2, 3, 3]))
    g.edata["w"] = torch.tensor([1.0, 1, 1, -1])
    made = hf.adj_product_graph(g, g, "w")
    assert [x.tolist() for x in made.edges()] == [[0], [3]]
    assert made.edata["w"].tolist() == [0]
    assert made.canonical_etypes == [("_N", "_E", "_N")]


def test_product_of_nothing():
    g = hf.graph(([], []), num_nodes=3)
    g.edata["w"] = torch.zeros(0, 1)
    made = hf.adj_product_graph(g, g, "w")
    assert (made.num_nodes(), made.num_edges()) == (3, 0)


@pytest.mark.parametrize("ends", ["ab", "aa"])
def test_sum(ends):
    parts = [weighted(ends, COUNTS, n, seed=n) for n in (9, 0, 14)]
    made = hf.adj_sum_graph([g for g, _, _ in parts], "w")
    assert made.schema == parts[0][0].schema
    expected = sum(m for _, _, m in parts)
    torch.testing.assert_close(dense_of(made), expected)
    same_gradients(dense_of(made), expected, [parts[0][1], parts[2][1]])


def test_refusals():
    first, _, _ = weighted("ab", COUNTS, 5)
    second, _, _ = weighted("bc", COUNTS, 5)
    single, _, _ = weighted("bc", COUNTS, 5, dtype=torch.float32)
    with pytest.raises(ValueError, match="as many nodes as those of A lead to, 5, got 6"):
        hf.adj_product_graph(first, first, "w")
    with pytest.raises(TypeError, match=r"B: expected weights of torch.float64"):
        hf.adj_product_graph(first, single, "w")
    with pytest.raises(KeyError, match=r"no .* column 'z'"):
        hf.adj_product_graph(first, second, "z")
    with pytest.raises(ValueError, match=r"graphs\[1\]: expected the types"):
        hf.adj_sum_graph([first, second], "w")
    with pytest.raises(ValueError, match="at least one graph"):
        hf.adj_sum_graph([], "w")
    other, _, _ = weighted("ab", {"a": 7, "b": 5}, 5)
    with pytest.raises(ValueError, match=r"graphs\[1\]: expected as many nodes"):
        hf.adj_sum_graph([first, other], "w")
    first.edata["ids"] = torch.arange(5)
    first.edata["wide"] = torch.zeros(5, 2)
    with pytest.raises(TypeError, match="expected weights of floating point, got int64"):
        hf.adj_sum_graph([first], "ids")
    with pytest.raises(ValueError, match=r"shape \[E\] or \[E, 1\], got \[5, 2\]"):
        hf.adj_sum_graph([first], "wide")

"""Weights by degree, normalised rows and features diffused ahead, against dense matrices."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.transforms import GCNNorm, RowFeatNormalizer, SIGNDiffusion, norm_by_dst

FORMS = ["graph", "sampled", "shuffled", "no_edges", "empty"]


def dense(g, weight):
    """Destinations by row."""
    src, dst = (x.long() for x in g.edges())
    made = torch.zeros(g.num_nodes(), g.num_nodes(), dtype=weight.dtype)
    return made.index_put((dst, src), weight, accumulate=True)


def symmetric(matrix):
    root = matrix.sum(1).rsqrt()
    root[root.isinf()] = 0
    return root[:, None] * matrix * root


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("shape", [None, (), (1,)])
@pytest.mark.parametrize("form", FORMS)
def test_gcn_norm(form, shape, idtype):
    g = graph_form(form, idtype)
    count = g.num_edges()
    weight = torch.ones(count)
    if shape is not None:
        weight = torch.rand(count, dtype=torch.float64)
        g.edata["a"] = weight.view(count, *shape)
    made = GCNNorm("a")(g)
    found = made.edata["a"]
    assert (found.shape, found.dtype) == ((count, *(shape or ())), weight.dtype)
    torch.testing.assert_close(dense(g, found.flatten()), symmetric(dense(g, weight)))
    assert ("a" in g.edata) == (shape is not None)
    if shape is not None:
        assert torch.equal(g.edata["a"], weight.view(count, *shape))


def test_gcn_norm_of_several_types():
    g = typed_graph()
    made = GCNNorm("norm")(g)
    for relation in g.canonical_etypes:
        assert ("norm" in made.edges[relation].data) == (relation[0] == relation[2])
    one = g["follows"]
    found = dense(one, made.edges["follows"].data["norm"])
    torch.testing.assert_close(found, symmetric(dense(one, torch.ones(one.num_edges()))))
    (grad,) = _gradient(g)
    assert grad.isfinite().all()
    assert grad.abs().sum() > 0


def _gradient(g):
    w = (torch.rand(g.num_edges("follows")) + 0.1).requires_grad_()
    g.edges["follows"].data["v"] = w
    return torch.autograd.grad(GCNNorm("v")(g).edges["follows"].data["v"].square().sum(), w)


def test_norm_by_dst():
    g = typed_graph()
    _, dst = g.edges(etype="plays")
    expected = 1 / g.in_degrees(etype="plays")[dst].float()
    assert torch.equal(norm_by_dst(g, "plays"), expected)
    assert norm_by_dst(hf.graph(([0, 1, 1], [1, 1, 2]))).tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("subtract", [True, False])
def test_row_feat_normalizer(subtract):
    g = typed_graph()
    g.edges["plays"].data["r"] = torch.randn(g.num_edges("plays"), 2, 3)
    made = RowFeatNormalizer(subtract, ["feat"], ["r"])(g)
    pairs = [(g.nodes[t].data["feat"], made.nodes[t].data["feat"]) for t in ("user", "game")]
    pairs.append((g.edges["plays"].data["r"], made.edges["plays"].data["r"]))
    for before, after in pairs:
        moved = before - before.min() if subtract else before
        torch.testing.assert_close(after, moved / moved.sum(-1, keepdim=True).clamp(min=1))
        assert not torch.equal(before, after)
    with pytest.raises(KeyError, match="no edge column 'feat'"):
        RowFeatNormalizer(edge_feat_names=["feat"])(g)
    with pytest.raises(TypeError, match="expected a column of floating point, got int64"):
        RowFeatNormalizer().row_normalize(torch.ones(2, 2, dtype=torch.int64))
    assert RowFeatNormalizer(True).row_normalize(torch.zeros(0, 2)).shape == (0, 2)


# --- SIGN


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("op", ["raw", "rw", "gcn", "ppr"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_sign(form, weighted, op, idtype):
    g = graph_form(form, idtype)
    feat = torch.rand(g.num_nodes(), 2, 3, dtype=torch.float64)
    weight = torch.rand(g.num_edges(), 1, dtype=torch.float64) + 0.1
    g.ndata["h"], g.edata["w"] = feat, weight
    matrix = dense(g, weight.view(-1) if weighted else torch.ones_like(weight).view(-1))
    if op == "rw":
        matrix = matrix / matrix.sum(1, keepdim=True).clamp(min=1e-30)
    elif op in ("gcn", "ppr"):
        matrix = symmetric(matrix)
    name = "w" if weighted else None
    made = SIGNDiffusion(3, "h", "far", name, op, alpha=0.3)(g)
    assert sorted(made.ndata.keys() - g.ndata.keys()) == ["far_1", "far_2", "far_3"]
    h = feat
    for i in (1, 2, 3):
        h = torch.einsum("vu,uhd->vhd", matrix, h)
        if op == "ppr":
            h = 0.7 * h + 0.3 * feat
        # Degrees without weights are float32.
        rtol = 1e-9 if weighted else 1e-6
        torch.testing.assert_close(made.ndata[f"far_{i}"], h, rtol=rtol, atol=1e-6)
    assert torch.equal(g.ndata["h"], feat)
    assert "far_1" not in g.ndata


def test_sign_refuses():
    g = hf.graph(([0, 1], [1, 0]))
    with pytest.raises(ValueError, match="diffuse_op: expected one of raw, rw, gcn, ppr, got 'ar'"):
        SIGNDiffusion(1, diffuse_op="ar")
    with pytest.raises(ValueError, match="k: expected a positive number of steps, got 0"):
        SIGNDiffusion(0)
    with pytest.raises(KeyError, match="no node column 'feat'"):
        SIGNDiffusion(1)(g)
    g.ndata["feat"] = torch.ones(2, 1, dtype=torch.int64)
    with pytest.raises(TypeError, match="expected features of floating point, got int64"):
        SIGNDiffusion(1)(g)
    with pytest.raises(ValueError, match="one node type"):
        SIGNDiffusion(1)(typed_graph())

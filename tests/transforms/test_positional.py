"""Positional encodings against dense eigenvalues, singular values and powers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.transforms import SVDPE, LapPE, RandomWalkPE, _spectrum, positional


def adjacency(g):
    src, dst = (x.long() for x in g.edges())
    made = torch.zeros(g.num_nodes(), g.num_nodes(), dtype=torch.float64)
    return made.index_put((src, dst), torch.ones(len(src), dtype=torch.float64), accumulate=True)


def laplacian(g):
    root = g.in_degrees().clamp(min=1).double().rsqrt()
    return torch.eye(g.num_nodes(), dtype=torch.float64) - root[:, None] * adjacency(g) * root


def undirected(count=20, edges=60, seed=0, idtype=torch.int64):
    """Both directions of random edges: two parts, a self-loop, two nodes without edges."""
    generator = torch.Generator().manual_seed(seed)
    half = (count - 2) // 2
    src, dst = (torch.randint(half, (edges,), generator=generator) for _ in range(2))
    part = torch.randint(2, (edges,), generator=generator) * half
    g = hf.graph((src + part, dst + part), num_nodes=count, idtype=idtype)
    return hf.to_bidirected(g)


def is_eigenbasis(g, vectors, values):
    """Orthonormal eigenvectors of these eigenvalues, at right angles to some other of value 0."""
    assert vectors.dtype == values.dtype == torch.float32
    vectors, values = vectors.double(), values.double()
    eye = torch.eye(vectors.shape[1], dtype=torch.float64)
    torch.testing.assert_close(vectors.T @ vectors, eye, atol=2e-6, rtol=0)
    residual = laplacian(g) @ vectors - vectors * values
    assert float(residual.abs().max()) < 2e-6
    every = torch.linalg.eigvalsh(laplacian(g))
    torch.testing.assert_close(values, every[1 : len(values) + 1], atol=2e-6, rtol=0)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("solver", ["dense", "arpack"])
@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_lap_pe(k, solver, idtype, monkeypatch):
    if solver == "arpack":
        monkeypatch.setattr(_spectrum, "MOST_DENSE", 5)
    g = undirected(idtype=idtype)
    vectors, values = hf.lap_pe(g, k, return_eigval=True)
    is_eigenbasis(g, vectors, values)
    assert hf.lap_pe(g, k).shape == (20, k)


@pytest.mark.parametrize("k", [3, 4, 8])
def test_repeated_eigenvalues_are_found_as_often_as_they_are_there(k, monkeypatch):
    monkeypatch.setattr(_spectrum, "MOST_DENSE", 5)
    nodes = torch.arange(60)
    ring = hf.to_bidirected(hf.graph((nodes, (nodes + 1) % 60)))
    vectors, values = hf.lap_pe(ring, k, return_eigval=True)
    is_eigenbasis(ring, vectors, values)
    each = 1 - torch.cos(2 * torch.pi * torch.arange(1, 9) / 60)
    torch.testing.assert_close(values, each.repeat_interleave(2)[:k], atol=1e-6, rtol=0)
    many = hf.graph(([2 * i for i in range(15)], [2 * i + 1 for i in range(15)]))
    _, values = hf.lap_pe(hf.to_bidirected(many), k, return_eigval=True)
    torch.testing.assert_close(values, torch.zeros(k), atol=1e-6, rtol=0)


def test_lap_pe_padding_and_signs():
    g = undirected(12)
    full, all_values = hf.lap_pe(g, 11, return_eigval=True)
    vectors, values = hf.lap_pe(g, 14, padding=True, return_eigval=True)
    assert vectors.shape == (12, 14)
    assert not vectors[:, 11:].any()
    assert values[11:].isnan().all()
    torch.testing.assert_close(values[:11], all_values)
    torch.testing.assert_close(vectors[:, :11].abs(), full.abs())
    torch.manual_seed(3)
    first = [hf.lap_pe(g, 4) for _ in range(6)]
    assert any(not torch.equal(first[0], other) for other in first)
    torch.manual_seed(3)
    assert torch.equal(hf.lap_pe(g, 4), first[0])
    one = hf.graph(([], []), num_nodes=1)
    assert hf.lap_pe(one, 2, padding=True).tolist() == [[0, 0]]
    assert hf.lap_pe(hf.graph(([], []), num_nodes=0), 2, padding=True).shape == (0, 2)


def test_lap_pe_refuses():
    g = undirected(12)
    with pytest.raises(
        ValueError, match=r"k: expected fewer eigenvectors than the 12 nodes, got 12"
    ):
        hf.lap_pe(g, 12)
    with pytest.raises(ValueError, match="k: expected a positive number, got 0"):
        hf.lap_pe(g, 0)
    with pytest.raises(ValueError, match=r"the reverse of every edge, and found\s+\(1, 2\) more"):
        hf.lap_pe(hf.graph(([0, 1, 1], [1, 0, 2])), 1)
    with pytest.raises(ValueError, match="one node type"):
        hf.lap_pe(typed_graph(), 2)


@pytest.mark.parametrize("solver", ["dense", "arpack"])
@pytest.mark.parametrize("both", [True, False])
def test_lambda_max(both, solver, monkeypatch):
    if solver == "arpack":
        monkeypatch.setattr(_spectrum, "MOST_DENSE", 5)
    g = undirected() if both else graph_form("graph")
    every = torch.linalg.eigvals(laplacian(g))
    (found,) = hf.laplacian_lambda_max(g)
    assert isinstance(found, float)
    assert found == pytest.approx(float(every[every.abs().argmax()].real), abs=1e-7)


def test_lambda_max_of_each_graph_of_a_batch():
    graphs = [undirected(), graph_form("graph"), hf.graph(([], []), num_nodes=1)]
    g = hf.batch(graphs)
    found = hf.laplacian_lambda_max(g)
    assert found == [pytest.approx(hf.laplacian_lambda_max(one)[0], abs=1e-9) for one in graphs]
    layer = hf.nn.ChebConv(2, 2, 2)
    assert layer(g, torch.ones(g.num_nodes(), 2), found).shape == (g.num_nodes(), 2)
    with pytest.raises(ValueError, match="at least one node, got none in graph 1"):
        hf.laplacian_lambda_max(hf.batch([graphs[2], hf.graph(([], []), num_nodes=0)]))
    apart = hf.graph(([0, 1], [1, 0]))
    apart.set_batch_num_nodes([1, 1])
    with pytest.raises(ValueError, match="leads from one to another"):
        hf.laplacian_lambda_max(apart)


def test_lambda_max_of_few_nodes():
    assert hf.laplacian_lambda_max(hf.graph(([0, 1], [1, 0]))) == [pytest.approx(2)]
    assert hf.laplacian_lambda_max(hf.graph(([], []), num_nodes=1)) == [pytest.approx(1)]
    with pytest.raises(ValueError, match="at least one node"):
        hf.laplacian_lambda_max(hf.graph(([], []), num_nodes=0))


@pytest.mark.parametrize("solver", ["dense", "arpack"])
@pytest.mark.parametrize("k", [1, 4])
def test_svd_pe(k, solver, monkeypatch):
    if solver == "arpack":
        monkeypatch.setattr(_spectrum, "MOST_DENSE", 5)
    g = graph_form("graph")
    left, values, right = torch.linalg.svd(adjacency(g))
    best = left[:, :k] * values[:k] @ right[:k]
    found = hf.svd_pe(g, k, random_flip=False)
    assert (found.shape, found.dtype) == ((11, 2 * k), torch.float32)
    torch.testing.assert_close(found[:, :k] @ found[:, k:].T, best.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, :k].square().sum(0), values[:k].float())
    torch.manual_seed(1)
    flipped = hf.svd_pe(g, k)
    signs = (flipped / found).nan_to_num(nan=1).sign()
    torch.testing.assert_close(flipped.abs(), found.abs())
    assert (signs * signs[:, :1] >= 0).all()  # one a node
    assert {1.0, -1.0} <= {*signs[:, 0].tolist()}


def test_svd_pe_of_a_ring_by_arpack(monkeypatch):
    monkeypatch.setattr(_spectrum, "MOST_DENSE", 5)
    nodes = torch.arange(40)
    ring = hf.to_bidirected(hf.graph((nodes, (nodes + 1) % 40)))
    found = hf.svd_pe(ring, 6, random_flip=False).double()
    each = (2 * torch.cos(2 * torch.pi * torch.arange(20) / 40)).abs()
    every = torch.linalg.svdvals(adjacency(ring))
    torch.testing.assert_close(found[:, :6].square().sum(0), every[:6], atol=1e-6, rtol=0)
    assert float(each[0]) == pytest.approx(float(every[0]))


def test_svd_pe_padding_and_refusals():
    g = hf.graph(([0, 1], [1, 2]))
    made = hf.svd_pe(g, 5, padding=True)
    assert made.shape == (3, 10)
    assert not made[:, 6:].any()
    with pytest.raises(ValueError, match="no more singular values than the 3 nodes, got 4"):
        hf.svd_pe(g, 4)


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", ["graph", "sampled", "shuffled", "no_edges", "empty"])
def test_random_walk_pe(form, weighted, idtype, monkeypatch):
    monkeypatch.setattr(positional, "_WALK_BLOCK", 25)  # starting nodes by twos
    g = graph_form(form, idtype)
    src, dst = (x.long() for x in g.edges())
    weight = torch.rand(len(src), 1) if weighted else torch.ones(len(src), 1)
    g.edata["w"] = weight
    step = torch.zeros(g.num_nodes(), g.num_nodes(), dtype=torch.float64)
    step.index_put_((src, dst), weight.view(-1).double(), accumulate=True)
    step = step / step.sum(1, keepdim=True).clamp(min=1e-30)
    expected = [torch.linalg.matrix_power(step, i).diagonal() for i in range(1, 6)]
    found = hf.random_walk_pe(g, 5, "w" if weighted else None)
    assert found.shape == (g.num_nodes(), 5)
    torch.testing.assert_close(found, torch.stack(expected, 1).float())


def test_columns_and_the_graph_stays_as_it_was():
    g = undirected(12)
    g.edata["w"] = torch.rand(g.num_edges())
    made = LapPE(2, "pe", "value", padding=True)(g)
    assert (made.ndata["pe"].shape, made.ndata["value"].shape) == ((12, 2), (12, 2))
    assert np.allclose(made.ndata["value"], made.ndata["value"][:1])
    assert SVDPE(3, "s", random_flip=False)(g).ndata["s"].shape == (12, 6)
    expected = hf.random_walk_pe(g, 4, "w")
    assert torch.equal(RandomWalkPE(4, eweight_name="w")(g).ndata["PE"], expected)
    assert not g.ndata


def test_without_scipy(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match="lap_pe needs scipy: pip install scipy"):
        hf.lap_pe(undirected(12), 2)

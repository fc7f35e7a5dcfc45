"""Diffusion against inverses, exponentials and powers of dense matrices."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, graph_form, typed_graph

import hopflow as hf
from hopflow.transforms import GDC, PPR, GCNNorm, HeatKernel

FORMS = ["graph", "sampled", "shuffled", "no_edges", "empty"]


def diffused(name, dense):
    """The diffusion of a matrix with destinations by row."""
    eye = torch.eye(len(dense), dtype=dense.dtype)
    if name == "PPR":
        return 0.2 * torch.linalg.inv(eye - 0.8 * dense)
    if name == "HeatKernel":
        term, total = eye, eye
        for i in range(1, 60):
            term = term @ (1.5 * (dense - eye)) / i
            total = total + term
        return total
    return 0.5 * eye + 0.3 * dense + 0.2 * dense @ dense


MAKE = {
    "PPR": lambda **o: PPR(0.2, **o),
    "HeatKernel": lambda **o: HeatKernel(1.5, **o),
    "GDC": lambda **o: GDC([0.5, 0.3, 0.2], **o),
}


@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MAKE)
def test_matrices(name, form, weighted, idtype):
    g = graph_form(form, idtype)
    g.ndata["x"] = torch.arange(g.num_nodes())
    count, (src, dst) = g.num_nodes(), (x.long() for x in g.edges())
    dtype = torch.float64 if weighted else torch.float32
    weight = torch.ones(len(src), dtype=dtype)
    if weighted:
        g.edata["w"] = GCNNorm()(g).edata["w"].double()
        weight = g.edata["w"]
    dense = torch.zeros(count, count, dtype=dtype).index_put((dst, src), weight, accumulate=True)
    expected = diffused(name, dense)

    def check(made, kept):
        assert made.edata["w"].dtype == dtype
        assert torch.equal(made.ndata["x"], g.ndata["x"])
        at = tuple(x.long() for x in made.edges())
        assert torch.equal(torch.stack(at[::-1], 1), kept.nonzero())
        torch.testing.assert_close(made.edata["w"], expected[at[1], at[0]], rtol=1e-4, atol=1e-5)

    check(MAKE[name](eps=-torch.inf)(g), torch.ones_like(expected, dtype=torch.bool))
    check(MAKE[name](avg_degree=max(count, 1))(g), torch.ones_like(expected, dtype=torch.bool))
    if weighted:
        check(MAKE[name](eps=0.05)(g), expected >= 0.05)
        if form in ("graph", "shuffled"):
            least = expected.flatten().sort(descending=True).values[3 * count - 1]
            check(MAKE[name](avg_degree=3)(g), expected >= least - 1e-12)


def test_weights_have_gradients():
    g = graph_form("graph")
    w = (torch.rand(g.num_edges(), dtype=torch.float64) / 9).requires_grad_()
    g.edata["w"] = w
    for name in MAKE:
        (grad,) = torch.autograd.grad(MAKE[name](eps=0.01)(g).edata["w"].sum(), w)
        assert (grad > 0).any()


def test_refusals():
    with pytest.raises(ValueError, match="alpha: expected a number above 0 and at most 1, got 0"):
        PPR(0)
    with pytest.raises(ValueError, match="coefs: expected at least one"):
        GDC([])
    with pytest.raises(ValueError, match="avg_degree: expected a positive number, got 0"):
        HeatKernel(avg_degree=0)
    large = hf.graph(([0], [1]), num_nodes=30_000)
    for transform, size in ((PPR(), "10.1"), (HeatKernel(), "26.8"), (GDC([1.0]), "10.1")):
        match = rf"dense arrays of shape \[30000, 30000\] would take {size} GiB"
        with pytest.raises(ValueError, match=match):
            transform(large)
    with pytest.raises(ValueError, match="one node type"):
        PPR()(typed_graph())
    ring = hf.graph(([0, 1], [1, 0]))
    ring.edata["w"] = torch.full((2,), 2.0)
    with pytest.raises(ValueError, match=r"alpha: .* has no inverse with alpha = 0.5"):
        PPR(0.5)(ring)
    ring.edata["w"] = torch.ones(2, dtype=torch.float16)
    with pytest.raises(TypeError, match="expected float32 or float64, got float16"):
        PPR()(ring)

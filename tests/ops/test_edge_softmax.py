"""Softmax over in-edges: values, gradients, edge cases."""

import pytest
import torch
from helpers import FLOATS, IDS, random_csc

import hopflow as hf
from hopflow import _native, ops
from hopflow.nn.functional import edge_softmax


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (1,), (4,), (7, 1), (2, 3)])
def test_equals_reference(shape, dtype, ids):
    csc = random_csc(dtype=ids, hub=300)
    x = (8 * torch.randn(csc.num_edges, *shape)).to(dtype)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-6}.get(dtype, 1e-2)
    for eids in (None, csc.eids):
        got = ops.edge_softmax(csc.indptr, x, eids=eids)
        expected = ops.edge_softmax_reference(csc.indptr, x, eids=eids)
        assert got.shape == x.shape
        assert got.dtype == dtype
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
        total = ops.segment_reduce(csc.indptr, got.double(), eids=eids)[csc.indptr.diff() > 0]
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=20 * tolerance)


@pytest.mark.parametrize("with_eids", [False, True])
def test_gradients(with_eids):
    csc = random_csc(7, 8, 25)
    x = torch.randn(25, 2, dtype=torch.float64, requires_grad=True)

    def function(x):
        return ops.edge_softmax(csc.indptr, x, eids=csc.eids if with_eids else None)

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_equals_the_references(dtype):
    csc = random_csc(hub=100)
    grads = []
    for function in (ops.edge_softmax, ops.edge_softmax_reference):
        torch.manual_seed(1)
        x = torch.randn(csc.num_edges, 3).to(dtype).requires_grad_()
        out = function(csc.indptr, x, eids=csc.eids)
        out.backward(torch.randn(out.shape).to(dtype))
        grads.append(x.grad)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(*grads, rtol=tolerance, atol=tolerance)


def test_every_exponent_of_a_float_is_within_two_ulp():
    # exp() is hopflow's own: one row a value beside 0, so that the weight is e^x / (1 + e^x).
    x = -torch.cat([torch.logspace(-40, 1.93, 20_000), torch.zeros(1)])
    scores = torch.stack([x, torch.zeros(len(x))], 1).flatten()
    indptr = torch.arange(0, 2 * len(x) + 1, 2)
    got = ops.edge_softmax(indptr, scores).view(-1, 2)
    odds = got[:, 0].double() / got[:, 1].double()
    expected = x.double().exp()
    assert ((odds - expected).abs() <= 4 * 2.0**-23 * expected + 1e-45).all()


def test_extreme_scores():
    inf = float("inf")
    indptr = torch.tensor([0, 2, 4, 6, 7, 7])
    scores = torch.tensor([1e30, -1e30, -inf, 0.0, float("nan"), 0.0, -1e30])
    got = ops.edge_softmax(indptr, scores)
    assert got[:4].tolist() == [1, 0, 0, 1]
    assert got[4:6].isnan().all()
    assert got[6] == 1


@pytest.mark.cpu_only
def test_same_bits_for_any_threads_and_instruction_set():
    csc = random_csc(300, 200, 9000, hub=2000)
    x = torch.randn(csc.num_edges, 3)
    results = []
    try:
        for isa in ("baseline", "avx2", "avx512"):
            _native.limit_isa(isa)
            for threads in (1, 3):
                ops.set_num_threads(threads)
                results.append(ops.edge_softmax(csc.indptr, x, eids=csc.eids))
    finally:
        _native.limit_isa("avx512")
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_no_edges():
    x = torch.empty(0, 3, requires_grad=True)
    out = ops.edge_softmax(torch.zeros(4, dtype=torch.int64), x)
    assert out.shape == (0, 3)
    out.sum().backward()
    assert x.grad.shape == (0, 3)
    assert ops.edge_softmax(torch.tensor([0, 1]), torch.empty(1, 0)).shape == (1, 0)


def softmax_by_loop(groups, scores):
    out = torch.empty_like(scores)
    for group in groups.unique():
        out[groups == group] = scores[groups == group].softmax(0)
    return out


@pytest.mark.parametrize("norm_by", ["dst", "src"])
def test_of_a_graph(small_graph, norm_by):
    src, dst = small_graph.edges()
    scores = torch.randn(small_graph.num_edges(), 2, 1)
    ends = dst if norm_by == "dst" else src
    got = edge_softmax(small_graph, scores, norm_by=norm_by)
    torch.testing.assert_close(got, softmax_by_loop(ends, scores))
    some = torch.randperm(small_graph.num_edges())[:300]
    got = edge_softmax(small_graph, scores[some], eids=some, norm_by=norm_by)
    torch.testing.assert_close(got, softmax_by_loop(ends[some], scores[some]))


def test_bad_arguments(small_graph):
    with pytest.raises(ValueError, match="logits: expected one row for each of the 2000 edges"):
        edge_softmax(small_graph, torch.zeros(3))
    with pytest.raises(ValueError, match='norm_by: expected "dst" or "src", got'):
        edge_softmax(small_graph, torch.zeros(2000), norm_by="both")
    with pytest.raises(IndexError, match="eids"):
        edge_softmax(small_graph, torch.zeros(1), eids=[2000])
    with pytest.raises(ValueError, match="indptr"):
        ops.edge_softmax(torch.tensor([0, 3]), torch.zeros(2))
    with pytest.raises(TypeError, match="x: expected float32"):
        ops.edge_softmax(torch.tensor([0, 2]), torch.zeros(2, dtype=torch.int64))
    assert hf.nn.edge_softmax is edge_softmax


def test_operands_of_other_types_are_named(small_graph):
    with pytest.raises(TypeError, match=r"logits: expected a torch\.Tensor, got list"):
        edge_softmax(small_graph, [1, 2])
    with pytest.raises(TypeError, match=r"graph: expected a hopflow\.Graph, got NoneType"):
        edge_softmax(None, torch.zeros(3))

"""Message passing on tensors, with the graph as the first argument."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import hopflow as hf
from hopflow import functional as HF
from hopflow import ops

REDUCERS = ["sum", "mean", "max", "min"]
OPS = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}


def edgeless() -> hf.Graph:
    return hf.graph(([], []), num_nodes=4)


def block() -> hf.Graph:
    """Edge ids in no order of destinations; destination 1 has no in-edge."""
    return hf.create_block(([4, 0, 4, 4, 2], [2, 0, 2, 0, 2]), num_src_nodes=5, num_dst_nodes=3)


def operands(g: hf.Graph, *shape: int, dtype=torch.float64) -> dict[str, torch.Tensor]:
    rows = {"u": g.num_src_nodes(), "v": g.num_dst_nodes(), "e": g.num_edges()}
    return {side: torch.rand(n, *shape).to(dtype) + 1 for side, n in rows.items()}


def reduced(messages, dst, num_dst, reduce_op):
    """By a loop over destinations, so that nothing is shared with what is tested."""
    rows = []
    for v in range(num_dst):
        mine = messages[dst == v]
        if not len(mine):
            rows.append(torch.zeros_like(messages[:1].sum(0)))
        else:
            rows.append({"sum": mine.sum(0), "mean": mine.mean(0), "max": mine.amax(0),
                         "min": mine.amin(0)}[reduce_op])  # fmt: skip
    return torch.stack(rows)


@pytest.mark.parametrize("reduce_op", REDUCERS)
@pytest.mark.parametrize("op", [*OPS, "copy_u", "copy_e"])
def test_spmm_on_graphs_and_blocks(small_graph, op, reduce_op):
    for g in (small_graph, block(), edgeless()):
        x = operands(g, 5)
        x["e"] = x["e"][:, :1]
        src, dst = g.edges()
        if op in OPS:
            out = getattr(HF, f"u_{op}_e_{reduce_op}")(g, x["u"], x["e"])
            messages = OPS[op](x["u"][src], x["e"])
        else:
            side = op[-1]
            out = getattr(HF, f"{op}_{reduce_op}")(g, x[side])
            messages = x["u"][src] if side == "u" else x["e"]
        torch.testing.assert_close(out, reduced(messages, dst, g.num_dst_nodes(), reduce_op))


def test_no_column_is_touched(small_graph):
    """Nor does an operand of the name of a column hide it."""
    before = {name: x.clone() for name, x in small_graph.ndata.items()}
    HF.u_mul_e_sum(small_graph, small_graph.ndata["feat"], small_graph.edata["weight"].view(-1, 1))
    HF.u_add_v(small_graph, small_graph.ndata["feat"], small_graph.ndata["feat"])
    assert sorted(small_graph.ndata) == sorted(before)
    assert all(torch.equal(small_graph.ndata[name], x) for name, x in before.items())
    assert sorted(small_graph.edata) == ["weight"]


@pytest.mark.parametrize("lhs", "uve")
@pytest.mark.parametrize("rhs", "uve")
@pytest.mark.parametrize("op", [*OPS, "dot"])
def test_sddmm_on_graphs_and_blocks(small_graph, op, lhs, rhs):
    for g in (small_graph, block(), edgeless()):
        x, y = operands(g, 2, 3), operands(g, 2, 3)
        src, dst = g.edges()
        eids = torch.arange(g.num_edges())
        at = {"u": src, "v": dst, "e": eids}
        left, right = x[lhs][at[lhs]], y[rhs][at[rhs]]
        wanted = (left * right).sum(-1, keepdim=True) if op == "dot" else OPS[op](left, right)
        torch.testing.assert_close(HF.gsddmm(g, op, x[lhs], y[rhs], lhs, rhs), wanted)
        if lhs != rhs:
            named = getattr(HF, f"{lhs}_{op}_{rhs}")
            torch.testing.assert_close(named(g, x[lhs], y[rhs]), wanted)


def test_copies_to_the_edges(small_graph):
    for g in (small_graph, block(), edgeless()):
        x = operands(g, 3)
        src, dst = g.edges()
        assert torch.equal(HF.copy_u(g, x["u"]), x["u"][src])
        assert torch.equal(HF.copy_v(g, x["v"]), x["v"][dst])
        assert torch.equal(HF.copy_e(g, x["e"]), x["e"])
        assert torch.equal(HF.gsddmm(g, "copy_rhs", None, x["v"]), x["v"][dst])


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_sampled_subgraphs_and_both_id_widths(small_graph, idtype):
    """A sampled subgraph names only the rows that it has."""
    g = small_graph.astype(idtype) if hasattr(small_graph, "astype") else small_graph
    g = hf.sample_neighbors(g, torch.tensor([7, 3], dtype=idtype), 4)
    x = operands(g, 2)
    src, dst = (i.long() for i in g.edges())
    messages = x["u"][src] * x["e"]
    torch.testing.assert_close(
        HF.u_mul_e_mean(g, x["u"], x["e"]), reduced(messages, dst, 200, "mean")
    )
    torch.testing.assert_close(HF.u_sub_v(g, x["u"], x["v"]), x["u"][src] - x["v"][dst])
    assert torch.equal(HF.copy_v(g, x["v"]), x["v"][dst])


def test_integers_stay_exact():
    g = hf.graph(([0, 1], [1, 0]))
    big = torch.tensor([2**53 + 1, 3])
    assert HF.u_add_v(g, big, big).tolist() == [2**53 + 4, 2**53 + 4]
    assert HF.copy_v(g, big).tolist() == [3, 2**53 + 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_results_have_the_operands_dtype(dtype):
    g = block()
    x = operands(g, 1, dtype=dtype)
    src, dst = g.edges()
    wide = (x["u"][src] * x["e"]).double()
    out = HF.u_mul_e_sum(g, x["u"], x["e"])
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), reduced(wide, dst, 3, "sum"), rtol=0.02, atol=0.02)
    assert HF.u_dot_e(g, x["u"], x["e"]).dtype == dtype


@pytest.mark.parametrize("reduce_op", REDUCERS)
def test_gradients(reduce_op):
    for g in (hf.graph(([0, 1, 1, 2], [1, 1, 2, 1])), block()):
        x = operands(g, 2)
        u, v = x["u"].requires_grad_(), x["v"].requires_grad_()
        e = x["e"][:, :1].clone().requires_grad_()
        spmm = getattr(HF, f"u_mul_e_{reduce_op}")
        assert torch.autograd.gradcheck(lambda u, e, g=g, f=spmm: f(g, u, e), (u, e))
        copy_e = getattr(HF, f"copy_e_{reduce_op}")
        assert torch.autograd.gradcheck(lambda e, g=g, f=copy_e: f(g, e), (e,))
        assert torch.autograd.gradcheck(lambda u, v, g=g: HF.u_div_v(g, u, v), (u, v))
        assert torch.autograd.gradcheck(lambda v, g=g: HF.copy_v(g, v), (v,))


def test_errors():
    g = block()
    x = operands(g, 2)
    u, v, e = x["u"], x["v"], x["e"]
    with pytest.raises(ValueError, match="op: expected add, sub"):
        HF.gspmm(g, "dot", "sum", u, e)
    with pytest.raises(ValueError, match="reduce_op: expected"):
        HF.gspmm(g, "add", "prod", u, e)
    with pytest.raises(ValueError, match="lhs_data: expected a tensor for mul, got None"):
        HF.gspmm(g, "mul", "sum", None, e)
    with pytest.raises(ValueError, match="op: expected add, sub, mul, div, dot"):
        HF.gsddmm(g, "pow", u, v)
    with pytest.raises(ValueError, match='lhs_target: expected "u", "v" or "e"'):
        HF.gsddmm(g, "mul", u, e, lhs_target="src")
    with pytest.raises(TypeError, match=r"g: expected a hopflow.Graph, got Tensor"):
        HF.u_add_v(u, u, v)
    with pytest.raises(TypeError, match=r"rhs_data: expected a torch.Tensor, got list"):
        HF.u_add_v(g, u, [1.0])
    with pytest.raises(TypeError, match="lhs_data: expected a dense tensor, got sparse_coo"):
        HF.copy_u_sum(g, u.to_sparse())
    # Too many source rows too: the kernel alone could not tell.
    for rows in (4, 6):
        with pytest.raises(ValueError, match="one row for each of the 5 sources, got shape"):
            HF.copy_u_sum(g, torch.ones(rows, 2))
    with pytest.raises(ValueError, match="rhs_data: expected one row for each of the 3 destinat"):
        HF.u_add_v(g, u, u)
    with pytest.raises(
        ValueError, match=r"expected one row for each of the 5 edges, got shape \[\]"
    ):
        HF.copy_e_sum(g, torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"lhs_data: expected a tensor on cpu, got meta"):
        HF.copy_u_sum(g, u.to("meta"))
    with pytest.raises(TypeError, match=r"expected float32, .* got complex64"):
        HF.copy_u_sum(g, u.to(torch.complex64))
    with pytest.raises(TypeError, match="one dtype, got float64 and float32"):
        HF.u_mul_e_sum(g, u, e.float())


@pytest.mark.parametrize("reducer", REDUCERS)
def test_segment_reduce(reducer):
    lengths = torch.tensor([1, 0, 3, 2])
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    owner = torch.tensor([0, 2, 2, 2, 3, 3])
    out = HF.segment_reduce(lengths, x, reducer)
    torch.testing.assert_close(out, reduced(x, owner, 4, reducer))
    assert torch.autograd.gradcheck(lambda x: HF.segment_reduce(lengths, x, reducer), (x,))
    assert HF.segment_reduce(torch.zeros(2, dtype=torch.int64), x[:0], reducer).tolist() == [
        [0, 0],
        [0, 0],
    ]


def test_segment_softmax():
    lengths = torch.tensor([1, 0, 3, 2])
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    want = torch.cat([torch.softmax(part, 0) for part in x.split(lengths.tolist())])
    torch.testing.assert_close(HF.segment_softmax(lengths, x), want)
    assert torch.autograd.gradcheck(lambda x: HF.segment_softmax(lengths, x), (x,))
    with pytest.raises(ValueError, match="add up to the 6 rows of value, got 5"):
        HF.segment_softmax(torch.tensor([5]), x)


def test_segment_reduce_errors():
    lengths, x = torch.tensor([1, 0, 3, 2]), torch.ones(6, 1)
    with pytest.raises(ValueError, match="add up to the 6 rows of value, got 5"):
        HF.segment_reduce(torch.tensor([1, 0, 4]), x)
    with pytest.raises(ValueError, match="seglen: expected lengths of at least 0, got -1"):
        HF.segment_reduce(torch.tensor([7, -1]), x)
    with pytest.raises(ValueError, match="reducer: expected sum, mean, max, min, got 'prod'"):
        HF.segment_reduce(lengths, x, "prod")
    with pytest.raises(TypeError, match=r"value: expected a torch\.Tensor"):
        HF.segment_reduce(lengths, [1.0])


def test_names():
    """Every name is one of ``hopflow.ops`` too, but for the kernels that were there before."""
    assert len(HF.__all__) == len(set(HF.__all__)) >= 3 + 8 + 16 + 3 + 30
    kernels = {"edge_softmax", "segment_mm", "segment_reduce"}
    for name in set(HF.__all__) - kernels:
        function = getattr(HF, name)
        assert function.__name__ == name
        assert function.__doc__
        assert pickle.loads(pickle.dumps(function)) is copy.deepcopy(function) is function
        assert getattr(ops, name) is function
    assert ops.segment_reduce is not HF.segment_reduce
    assert ops.segment_reduce(torch.tensor([0, 2, 2]), torch.ones(2)).tolist() == [2, 0]
    assert not set(HF.__all__) & set(ops.__all__) - kernels


def test_a_type_of_edges_may_be_named():
    g = hf.heterograph({("user", "likes", "song"): ([0, 1, 1], [2, 0, 1]),
                        ("user", "knows", "user"): ([0], [1])})  # fmt: skip
    users, songs = torch.randn(2, 3), torch.randn(3, 3)
    one = g["likes"]
    assert torch.equal(HF.copy_u(g, users, etype="likes"), users[[0, 1, 1]])
    assert torch.equal(HF.u_dot_v(g, users, songs, etype="likes"), HF.u_dot_v(one, users, songs))

"""update_all and apply_edges against a loop over the edges, written out in torch."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import hopflow as hf
import hopflow.function as fn
from hopflow.messages import built_in as message

MESSAGES = [name for name in fn.__all__ if "_" in name]
REDUCERS = ("sum", "mean", "max", "min")
NUM_SRC, NUM_DST, NUM_EDGES = 9, 7, 31
WIDE = torch.float64


def bipartite(idtype: torch.dtype = torch.int64, *, num_edges: int = NUM_EDGES) -> hf.Block:
    """Unsorted edges with duplicates; the last two destinations have none."""
    generator = torch.Generator().manual_seed(3)
    src = torch.randint(NUM_SRC, (num_edges,), generator=generator)
    dst = torch.randint(NUM_DST - 2, (num_edges,), generator=generator)
    edges = (src.to(idtype), dst.to(idtype))
    return hf.create_block(edges, num_src_nodes=NUM_SRC, num_dst_nodes=NUM_DST)


def nonzero(rows: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Random numbers of both signs, away from 0."""
    x = torch.rand(rows, *shape, dtype=WIDE) + 0.5
    return (x * (torch.randint(2, x.shape) * 2 - 1)).to(dtype)


def columns(
    u: tuple[int, ...], v: tuple[int, ...], e: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """One column for each side."""
    return {
        "u": nonzero(NUM_SRC, u, dtype),
        "v": nonzero(NUM_DST, v, dtype),
        "e": nonzero(NUM_EDGES, e, dtype),
    }


def one_message(name: str, row: dict[str, Tensor]) -> Tensor:
    """The message of a single edge, from the rows of its ends and itself."""
    if name.startswith("copy"):
        return row[name[-1]]
    lhs, op, rhs = name.split("_")
    a, b = row[lhs], row[rhs]
    results = {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "div": lambda: a / b,
        "dot": lambda: (a * b).sum(-1, keepdim=True),
    }
    return results[op]()


def by_loop(
    graph: hf.Graph, name: str, data: dict[str, Tensor], reducer: str | None = None
) -> Tensor:
    """What update_all (or, without a reducer, apply_edges) should give; in float64."""
    src, dst = graph.edges()
    wide = {side: x.to(WIDE) for side, x in data.items()}
    messages = [
        one_message(name, {"u": wide["u"][s], "v": wide["v"][d], "e": wide["e"][i]})
        for i, (s, d) in enumerate(zip(src.tolist(), dst.tolist()))
    ]
    if reducer is None:
        return torch.stack(messages)
    reduce = {
        "sum": lambda x: x.sum(0),
        "mean": lambda x: x.mean(0),
        "max": lambda x: x.amax(0),
        "min": lambda x: x.amin(0),
    }[reducer]
    rows = []
    for v in range(graph.num_dst_nodes()):
        mine = [m for m, d in zip(messages, dst.tolist()) if d == v]
        rows.append(reduce(torch.stack(mine)) if mine else torch.zeros_like(messages[0]))
    return torch.stack(rows)


def function(name: str) -> fn.MessageFunction:
    """The built-in, reading columns named after their sides."""
    sides = (name[-1],) if name.startswith("copy") else (name[0], name[-1])
    result: fn.MessageFunction = getattr(fn, name)(*sides, "m")
    return result


def run(graph: hf.Graph, name: str, data: dict[str, Tensor], reducer: str | None = None) -> Tensor:
    """The same by hopflow."""
    with graph.local_scope():
        graph.srcdata["u"], graph.dstdata["v"] = data["u"], data["v"]
        graph.edata["e"] = data["e"]
        if reducer is None:
            graph.apply_edges(function(name))
            return graph.edata["m"]
        graph.update_all(function(name), getattr(fn, reducer)("m", "out"))
        return graph.dstdata["out"]


def close(got: Tensor, want: Tensor, what: str, tolerance: float = 1e-5) -> None:
    """Same shape, near values; ``want`` is in float64."""
    assert got.shape == want.shape, f"{what}: {list(got.shape)} for {list(want.shape)}"
    torch.testing.assert_close(
        got.to(WIDE), want, rtol=tolerance, atol=tolerance, msg=lambda m: f"{what}: {m}"
    )


def test_there_are_32_messages_and_4_reducers() -> None:
    assert len(MESSAGES) == 32
    assert all(callable(getattr(fn, name)) for name in (*MESSAGES, *REDUCERS))
    assert len({function(name) for name in MESSAGES}) == 32
    assert [function(name).name for name in MESSAGES] == MESSAGES


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("width", [1, 3, 17])
@pytest.mark.parametrize("reducer", [*REDUCERS, None])
def test_every_message_and_reducer(reducer: str | None, width: int, idtype: torch.dtype) -> None:
    graph, data = bipartite(idtype), columns((width,), (width,), (width,))
    for name in MESSAGES:
        out = run(graph, name, data, reducer)
        assert out.dtype == torch.float32
        close(out, by_loop(graph, name, data, reducer), name)


@pytest.mark.parametrize("reducer", [*REDUCERS, None])
def test_edges_given_by_csc_with_permuted_ids(reducer: str | None) -> None:
    """Edge columns follow edge ids, wherever the edge is stored."""
    indptr = torch.tensor([0, 3, 3, 7, 8])
    indices, eids = torch.tensor([1, 0, 3, 2, 2, 0, 1, 3]), torch.randperm(8)
    graph = hf.graph(("csc", (indptr, indices, eids)))
    node, edge = nonzero(4, (3,)), nonzero(8, (3,))
    data = {"u": node, "v": node, "e": edge}
    for name in MESSAGES:
        with graph.local_scope():
            graph.ndata["u"] = graph.ndata["v"] = node
            got = run(graph, name, data, reducer)
        close(got, by_loop(graph, name, data, reducer), name)


SHAPES = {
    "scalars": ((), (), ()),
    "factor": ((5,), (5,), (1,)),
    "scalar factor": ((5,), (1,), ()),
    "heads": ((2, 3), (1, 3), (2, 1)),
    "outer": ((2, 1), (1, 3), (2, 3)),
    "head of one": ((1, 3), (4, 3), (4, 1)),
    "more dimensions": ((3,), (2, 3), (4, 1, 3)),
}


@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_broadcasting(kind: str, op: str) -> None:
    """Trailing dimensions are aligned from the right, as in numpy; [E] counts as [E, 1]."""
    graph, data = bipartite(), columns(*SHAPES[kind])
    for name, reducer in itertools.product(
        [m for m in MESSAGES if f"_{op}_" in m], [*REDUCERS, None]
    ):
        close(run(graph, name, data, reducer), by_loop(graph, name, data, reducer), name)


def test_dot_broadcasts_heads_and_takes_scalars() -> None:
    graph = bipartite()
    dots = [name for name in MESSAGES if "_dot_" in name]
    for reducer in (*REDUCERS, None):
        data = columns((4, 3), (1, 3), (3,))
        for name in dots:
            close(run(graph, name, data, reducer), by_loop(graph, name, data, reducer), name)
    # One number a node: DGL treats it as a vector of one and gives [E] back.
    data = columns((), (), ())
    for name in dots:
        got, product = run(graph, name, data), run(graph, name.replace("dot", "mul"), data)
        assert torch.equal(got, product), name


def test_dot_needs_one_last_dimension() -> None:
    """Anything else would repeat a number silently; DGL refuses it too."""
    graph = bipartite()
    for shapes in (((3,), (1,), (1,)), ((2, 3), (2, 1), (2, 1))):
        for name in ("u_dot_v", "u_dot_e", "e_dot_u", "v_dot_u"):
            with pytest.raises(ValueError, match=r"3.*1|1.*3"):
                run(graph, name, columns(*shapes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("reducer", [*REDUCERS, None])
def test_other_floats(reducer: str | None, dtype: torch.dtype) -> None:
    graph, data = bipartite(), columns((3,), (3,), (3,), dtype)
    tolerance = {torch.float16: 1e-2, torch.bfloat16: 6e-2, torch.float64: 1e-12}[dtype]
    for name in MESSAGES:
        out = run(graph, name, data, reducer)
        assert out.dtype == dtype
        close(out, by_loop(graph, name, data, reducer), name, tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["copy_u", "copy_e", "u_add_v", "u_mul_e"])
def test_half_sums_do_not_stall(name: str, dtype: torch.dtype) -> None:
    """4,096 ones: an accumulator in the features' own type would stop at 2,048 or 256."""
    n = 4096
    graph = hf.create_block((range(n), [0] * n), num_src_nodes=n, num_dst_nodes=1)
    ones, zero = torch.ones(n, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype)
    data = {"u": ones, "v": zero, "e": ones}
    assert run(graph, name, data, "sum").item() == n
    assert run(graph, name, data, "mean").item() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_infinities_survive_and_nan_spreads(dtype: torch.dtype) -> None:
    inf, nan = float("inf"), float("nan")
    graph = hf.graph(([0, 0, 1, 1, 2], [3, 4, 4, 5, 6]), num_nodes=8)
    graph.ndata["h"] = torch.tensor([inf, -inf, nan, 1, 1, 1, 1, 1], dtype=dtype)
    want = {"max": [inf, inf, -inf, nan, 0], "min": [inf, -inf, -inf, nan, 0]}
    want |= {"sum": [inf, nan, -inf, nan, 0], "mean": [inf, nan, -inf, nan, 0]}
    for reducer, values in want.items():
        graph.update_all(fn.copy_u("h", "m"), getattr(fn, reducer)("m", "o"))
        expected = torch.tensor(values, dtype=dtype)
        assert torch.allclose(graph.ndata["o"][3:], expected, equal_nan=True), reducer
        assert graph.ndata["o"][:3].tolist() == [0, 0, 0]


VIEWS: dict[str, Any] = {
    "transposed": lambda rows: nonzero(4, (rows,)).t(),
    "slice of columns": lambda rows: nonzero(rows, (9,))[:, 2:6],
    "every other column": lambda rows: nonzero(rows, (8,))[:, ::2],
    "every other row": lambda rows: nonzero(2 * rows, (4,))[::2],
    "one row for all": lambda rows: nonzero(1, (4,)).expand(rows, 4),
    "one column for all": lambda rows: nonzero(rows, (1,)).expand(rows, 4),
    "overlapping": lambda rows: nonzero(2 * rows + 4, ()).as_strided((rows, 4), (2, 1)),
    "negated view": lambda rows: torch._neg_view(nonzero(rows, (4,))),
    "parameter": lambda rows: torch.nn.Parameter(nonzero(rows, (4,))),
}


@pytest.mark.parametrize("view", list(VIEWS))
def test_views(view: str) -> None:
    """No layout of a column changes the result."""
    graph, make = bipartite(), VIEWS[view]
    data = {"u": make(NUM_SRC), "v": make(NUM_DST), "e": make(NUM_EDGES)}
    for name, reducer in itertools.product(MESSAGES, ("sum", "max", None)):
        close(run(graph, name, data, reducer), by_loop(graph, name, data, reducer), name)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_zero_width(shape: tuple[int, ...]) -> None:
    graph = bipartite()
    for name, reducer in itertools.product(MESSAGES, [*REDUCERS, None]):
        data = {side: x.requires_grad_() for side, x in columns(shape, shape, shape).items()}
        out = run(graph, name, data, reducer)
        close(out, by_loop(graph, name, data, reducer), name)
        out.sum().backward()


def test_per_head_factor_of_no_heads() -> None:
    graph = bipartite()
    data = columns((0, 2), (0, 2), (0, 1))
    assert run(graph, "u_mul_e", data, "sum").shape == (NUM_DST, 0, 2)


@pytest.mark.parametrize("sizes", [(0, 0), (4, 4)])
def test_no_edges(sizes: tuple[int, int]) -> None:
    graph = hf.graph(([], []), num_nodes=sizes[0])
    node, edge = torch.ones(sizes[0], 3), torch.ones(0, 3)
    for name, reducer in itertools.product(MESSAGES, REDUCERS):
        graph.ndata["u"] = graph.ndata["v"] = node.clone().requires_grad_()
        graph.edata["e"] = edge.clone().requires_grad_()
        graph.update_all(function(name), getattr(fn, reducer)("m", "out"))
        out = graph.ndata["out"]
        assert out.shape == (sizes[0], 1 if "_dot_" in name else 3)
        assert not out.any()
        out.sum().backward()
        graph.apply_edges(function(name))
        assert graph.edata["m"].shape[0] == 0


@pytest.mark.parametrize("reducer", [*REDUCERS, None])
def test_gradients(reducer: str | None) -> None:
    """Analytic against numeric gradients for all operands of every message."""
    graph = bipartite()
    for name in MESSAGES:
        shapes = ((2, 3), (1, 3), (2, 3)) if "_dot_" in name else ((2, 2), (1, 2), (2, 1))
        data = columns(*shapes, WIDE)
        sides = sorted({name[-1]} if name.startswith("copy") else {name[0], name[-1]})
        for side in sides:
            data[side].requires_grad_()

        def f(*xs: Tensor, name: str = name, data: Any = data, sides: Any = sides) -> Tensor:
            return run(graph, name, {**data, **dict(zip(sides, xs))}, reducer)

        assert torch.autograd.gradcheck(f, [data[s] for s in sides], fast_mode=True), name


@pytest.mark.parametrize("name", ["copy_u", "copy_e", "u_mul_e", "u_add_v", "u_dot_v"])
@pytest.mark.parametrize("reducer", [*REDUCERS, None])
def test_second_gradients(name: str, reducer: str | None) -> None:
    data = columns((2,), (2,), (1,), WIDE)
    sides = sorted({name[-1]} if name.startswith("copy") else {name[0], name[-1]})
    graph = bipartite()

    def f(*xs: Tensor) -> Tensor:
        return run(graph, name, {**data, **dict(zip(sides, xs))}, reducer)

    leaves = [data[s].requires_grad_() for s in sides]
    assert torch.autograd.gradgradcheck(f, leaves, fast_mode=True)


@pytest.mark.parametrize("reducer", ["max", "min"])
def test_ties_give_the_gradient_to_one_edge(reducer: str) -> None:
    graph = hf.graph(([0, 1, 2], [3, 3, 3]))
    x = torch.ones(4, 2, requires_grad=True)
    graph.ndata["h"] = x
    graph.update_all(fn.copy_u("h", "m"), getattr(fn, reducer)("m", "o"))
    graph.ndata["o"].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("threads", [1, 2])
def test_backward_is_deterministic(threads: int) -> None:
    """Bit for bit, again and with any number of threads."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    src, dst = torch.randint(300, (2, 6000), generator=generator)
    graph = hf.graph((src, dst), num_nodes=300)
    x, w = torch.randn(300, 33, generator=generator), torch.randn(6000, 1, generator=generator)

    def gradients(name: str, reducer: str) -> list[Tensor]:
        u, e = x.clone().requires_grad_(), w.clone().requires_grad_()
        out = run(graph, name, {"u": u, "v": x, "e": e}, reducer)
        (out * x[:, : out.shape[1]]).sum().backward()
        return [g for g in (out.detach(), u.grad, e.grad) if g is not None]

    # run() writes "u" and "v" to one frame on a graph: they are two names of nodes here.
    for name, reducer in itertools.product(("copy_u", "u_mul_e", "u_add_v"), REDUCERS):
        torch.set_num_threads(1)
        first = gradients(name, reducer)
        torch.set_num_threads(threads)
        assert all(torch.equal(a, b) for a, b in zip(first, gradients(name, reducer)))


def test_fused_messages_are_never_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs that training uses go straight to a kernel."""

    def fail(*_: Any) -> Tensor:
        raise AssertionError("messages were gathered")

    monkeypatch.setattr(message.ops, "gather_rows", fail)
    graph = bipartite()
    for reducer in REDUCERS:
        run(graph, "copy_u", columns((3,), (3,), (3,)), reducer)
        run(graph, "copy_e", columns((3,), (3,), (3,)), reducer)
    for reducer in ("sum", "mean"):
        for shapes in (((3,), (3,), (1,)), ((3,), (3,), ()), ((2, 3), (3,), (2, 1))):
            run(graph, "u_mul_e", columns(*shapes), reducer)
            run(graph, "e_mul_u", columns(*shapes), reducer)
    run(graph, "u_dot_v", columns((2, 3), (2, 3), (1,)))


def test_integers_pass_apply_edges_exactly() -> None:
    """2**24 + 1 is no float32."""
    graph, big = bipartite(), 2**24 + 1
    data = {
        "u": torch.full((NUM_SRC, 2), big),
        "v": torch.full((NUM_DST, 2), 2),
        "e": torch.full((NUM_EDGES, 2), 1),
    }
    assert set(run(graph, "copy_u", data).flatten().tolist()) == {big}
    assert set(run(graph, "u_mul_v", data).flatten().tolist()) == {2 * big}
    for name, want in (("u_dot_e", 2 * big), ("e_dot_u", 2 * big), ("v_dot_e", 4)):
        try:
            got = run(graph, name, data)
        except TypeError:
            continue  # refused is right too; a rounded answer is not
        assert set(got.flatten().tolist()) == {want}, name


def test_results_do_not_depend_on_other_columns() -> None:
    """update_all writes one column and apply_edges one; everything else is untouched."""
    graph = bipartite()
    graph.srcdata["u"], graph.dstdata["v"] = torch.ones(NUM_SRC, 1), torch.ones(NUM_DST, 1)
    graph.update_all(fn.u_add_v("u", "v", "m"), fn.sum("m", "v2"))
    graph.apply_edges(fn.u_add_v("u", "v", "w"))
    assert (set(graph.srcdata), set(graph.dstdata), set(graph.edata)) == (
        {"u"}, {"v", "v2"}, {"w"},
    )  # fmt: skip

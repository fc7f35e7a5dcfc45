"""CUDA kernels on rows and edges against the CPU's and against the references.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

import pytest
import torch
from helpers import FLOATS, IDS, assert_same, csc_on, is_emulated, needs_gpu, operands

import hopflow as hf
from hopflow import ops

WIDTHS = [1, 3, 4, 8, 47, 100, 130, 256]


# --- rows ---


@pytest.mark.parametrize("ids_dtype", IDS)
@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.bool, torch.complex64])
def test_gather(cuda, dtype, ids_dtype):
    for width in (1, 2, 3, 7, 16, 100):
        x = torch.randint(2, (50, width)).to(dtype)
        ids = torch.randint(50, (83,)).to(ids_dtype)
        assert torch.equal(ops.gather_rows(x.to(cuda), ids.to(cuda)).cpu(), x[ids.long()])
        # Rows apart, and at odd addresses.
        wide = torch.randint(2, (50, width + 3)).to(dtype)
        got = ops.gather_rows(wide.to(cuda)[:, 1 : 1 + width], ids.to(cuda))
        assert torch.equal(got.cpu(), wide[:, 1 : 1 + width][ids.long()])


def test_gather_of_nothing_and_bad_ids(cuda):
    x = torch.randn(5, 3, device=cuda)
    assert ops.gather_rows(x, torch.empty(0, dtype=torch.int64, device=cuda)).shape == (0, 3)
    assert ops.gather_rows(x[:, :0], torch.tensor([1], device=cuda)).shape == (1, 0)
    for bad in (-1, 5):
        ids = torch.tensor([0, bad], device=cuda)
        with pytest.raises(IndexError, match=rf"ids\[1\] is {bad}, expected 0 <= id < 5"):
            ops.gather_rows(x, ids)
    ids = torch.tensor([0, 1], device=cuda)
    ops.gather_rows(x, ids)
    ids[0] = 7  # it was checked; the change must be noticed
    with pytest.raises(IndexError, match=r"ids\[0\] is 7"):
        ops.gather_rows(x, ids)


@pytest.mark.parametrize("ids_dtype", IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["by column", "by row", *(d for d in FLOATS if d.itemsize < 8)])
def test_gather_decoded(cuda, kind, dtype, ids_dtype):
    """The CPU's bits, of rows that lie well and of such that do not."""
    for width in (1, 2, 3, 4, 8, 16, 24, 47, 100, 128, 300):
        options = {}
        x = torch.randn(50, width) * 100
        if kind == "by column":
            x, scale, offset = ops.quantize_by_column(x)
            options = {"scale": scale, "offset": offset}
        elif kind == "by row":
            x, options = ops.quantize_by_row(x), {"by_row": True}
        else:
            x = x.to(kind)
        there = {k: v if v is True else v.to(cuda) for k, v in options.items()}
        ids = torch.randint(50, (83,)).to(ids_dtype)
        expected = ops.gather_decoded_reference(x, ids, dtype=dtype, **options)
        got = ops.gather_decoded(x.to(cuda), ids.to(cuda), dtype=dtype, **there)
        assert_same(got, expected)
        if not is_emulated():
            assert_same(got, ops.gather_decoded(x, ids, dtype=dtype, **options))
            pinned = ops.gather_decoded(x.pin_memory(), ids.to(cuda), dtype=dtype, **there)
            assert_same(pinned, expected)
        everything = ops.gather_decoded(x.to(cuda), None, dtype=dtype, **there)
        assert_same(everything, ops.gather_decoded_reference(x, None, dtype=dtype, **options))
        # Rows apart, and at odd addresses.
        wide = torch.zeros(50, x.shape[1] + 3, dtype=x.dtype)
        wide[:, 1 : 1 + x.shape[1]] = x
        apart = wide.to(cuda)[:, 1 : 1 + x.shape[1]]
        assert_same(ops.gather_decoded(apart, ids.to(cuda), dtype=dtype, **there), expected)


def test_gather_decoded_refuses(cuda):
    x, ids = torch.zeros(5, 3, dtype=torch.int8, device=cuda), torch.tensor([0, 5], device=cuda)
    scale = torch.ones(3, device=cuda)
    with pytest.raises(IndexError, match=r"ids\[1\] is 5, expected 0 <= id < 5"):
        ops.gather_decoded(x, ids, scale=scale)
    if is_emulated():
        return  # all is on one device
    with pytest.raises(ValueError, match=r"scale is on cpu, the result on cuda"):
        ops.gather_decoded(x, ids[:1], scale=scale.cpu())
    with pytest.raises(hf.HopflowError, match="x is in ordinary host memory"):
        ops.gather_decoded(x.cpu(), ids[:1], scale=scale)
    with pytest.raises(ValueError, match="expected one device"):
        ops.gather_decoded(x, ids[:1].cpu(), scale=scale.cpu())


@pytest.mark.parametrize("encode", [ops.quantize_by_column, ops.quantize_by_row])
def test_encoders(cuda, encode):
    x = torch.randn(300, 37)
    ours, expected = encode(x.to(cuda)), encode(x)
    for a, b in zip(*((y,) if torch.is_tensor(y) else y for y in (ours, expected))):
        assert a.device == cuda
        assert torch.equal(a.cpu(), b)


@pytest.mark.parametrize("width", [1, 3, 64])
def test_cached_rows(cuda, width):
    x = torch.randn(60, width)
    source = x.to(cuda) if is_emulated() else x.pin_memory()
    cache = ops.RowCache(source, torch.tensor([5, 59, 7]), cuda)
    ids = torch.tensor([5, 6, 7, 5, 0, 59, 58], device=cuda)
    assert torch.equal(cache.gather(ids).cpu(), x[ids.cpu()])
    assert torch.equal(cache.gather(ids[:1]).cpu(), x[[5]])
    assert cache.hit_rate() == 5 / 8
    with pytest.raises(IndexError, match=r"ids\[0\] is 60"):
        cache.gather(torch.tensor([60], device=cuda))


# --- reductions ---


@pytest.mark.parametrize("ids_dtype", IDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_spmm_and_its_gradient(cuda, reduce, dtype, ids_dtype):
    indptr, indices, _, csc = csc_on(cuda, dtype=ids_dtype, hub=90)
    for width in WIDTHS:
        x = torch.randn(csc.num_src, width).to(dtype)
        x[3, 0], x[4, -1] = float("inf"), -0.0
        ours = x.to(cuda).requires_grad_()
        out = ops.spmm(indptr, indices, ours, reduce=reduce)
        expected = ops.spmm_reference(csc.indptr, csc.indices, x, reduce=reduce)
        tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}.get(dtype, 1e-2)
        torch.testing.assert_close(out.cpu(), expected, rtol=tolerance, atol=tolerance)
        up = torch.randn_like(expected)
        (grad,) = torch.autograd.grad(out, ours, up.to(cuda))
        if is_emulated():
            continue  # there is no CPU kernel beside it
        theirs = x.clone().requires_grad_()
        cpu = ops.spmm(csc.indptr, csc.indices, theirs, reduce=reduce)
        assert_same(out.detach(), cpu.detach())
        assert_same(grad, torch.autograd.grad(cpu, theirs, up)[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("heads", [1, 3, 4])
def test_weighted_spmm_and_sddmm(cuda, heads, dtype):
    indptr, indices, eids, csc = csc_on(cuda, hub=40)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}.get(dtype, 2e-2)
    for width in (1, 5, 8, 32):
        x = torch.randn(csc.num_src, heads, width).to(dtype)
        v = torch.randn(csc.num_dst, heads, width).to(dtype)
        weight = torch.randn(csc.num_edges, heads).to(dtype)
        out = ops.spmm(
            indptr, indices, x.to(cuda), reduce="mean", weight=weight.to(cuda), eids=eids
        )
        expected = ops.spmm_reference(
            csc.indptr, csc.indices, x, reduce="mean", weight=weight, eids=csc.eids
        )
        torch.testing.assert_close(out.cpu(), expected, rtol=tolerance, atol=tolerance)
        scores = ops.sddmm(indptr, indices, x.to(cuda), v.to(cuda), eids=eids)
        expected = ops.sddmm_reference(csc.indptr, csc.indices, x, v, eids=csc.eids)
        torch.testing.assert_close(scores.cpu(), expected, rtol=tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "dot"])
def test_messages_of_two_operands(cuda, op, dtype):
    """Reduced and written out, with the CPU's bits where a CPU is there, else the reference's."""
    *arrays, csc = csc_on(cuda, hub=100)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 2e-2)
    for targets in (("u", "e"), ("v", "u"), ("e", "v")):
        for shapes in (((3, 20), (3, 20)), ((2, 5), (1, 5))):
            given = [x.to(cuda) for x in operands(csc, targets, shapes, dtype)]
            sides = {"lhs_target": targets[0], "rhs_target": targets[1]}
            for reduce in (None, "sum", "mean", "max", "min"):
                name = "sddmm_binary" if reduce is None else "spmm_binary"
                how = {} if reduce is None else {"reduce": reduce}
                pairs = []
                for place, leaves in ((cuda, given), ("cpu", [x.cpu() for x in given])):
                    here = place == cuda
                    function = getattr(ops, name if here else f"{name}_reference")
                    leaves = [x.clone().requires_grad_() for x in leaves]
                    indptr, indices, eids = arrays if here else csc[:3]
                    out = function(indptr, indices, op, *leaves, **sides, **how, eids=eids)
                    out.backward(torch.ones_like(out))
                    pairs.append([out, *(x.grad for x in leaves)])
                # Messages of halves are equal now and then; torch shares such a gradient.
                count = 1 if reduce in ("max", "min") and dtype.itemsize == 2 else 3
                for got, expected in list(zip(*pairs))[:count]:
                    torch.testing.assert_close(
                        got.cpu(), expected.cpu(), rtol=tolerance, atol=100 * tolerance
                    )
                if not is_emulated():
                    ours = getattr(ops, name)(
                        *csc[:2], op, *(x.cpu() for x in given), **sides, **how, eids=csc.eids
                    )
                    assert_same(pairs[0][0], ours)


@pytest.mark.parametrize("dtype", FLOATS)
def test_attention(cuda, dtype):
    indptr, indices, eids, csc = csc_on(cuda, hub=100)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 2e-2)
    scores = torch.randn(csc.num_edges, 3).to(dtype)
    shapes = ((csc.num_src, 3, 20), (csc.num_dst, 3, 20), (3, 20))
    rows = [torch.randn(shape).to(dtype) for shape in shapes]
    for name, given in (("edge_softmax", [scores]), ("gatv2_scores", rows)):
        structure = (indptr,) if name == "edge_softmax" else (indptr, indices)
        pairs = []
        for place in (cuda, torch.device("cpu")):
            here = place == cuda and not pairs
            leaves = [x.to(place).requires_grad_() for x in given]
            function = getattr(ops, name if here else f"{name}_reference")
            index = structure if here else csc[: len(structure)]
            out = function(*index, *leaves, eids=eids if here else csc.eids)
            out.backward(
                torch.cos(torch.arange(out.numel(), device=place)).view(out.shape).to(dtype)
            )
            pairs.append([out, *(x.grad for x in leaves)])
        for got, expected in zip(*pairs):
            torch.testing.assert_close(got.cpu(), expected, rtol=tolerance, atol=20 * tolerance)
        if not is_emulated() and dtype != torch.float64:
            ours = getattr(ops, name)(*csc[: len(structure)], *given, eids=csc.eids)
            assert_same(pairs[0][0], ours)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_segment_reduce(cuda, reduce):
    indptr, _, eids, csc = csc_on(cuda)
    x = torch.randn(csc.num_edges, 7)
    ours = x.to(cuda).requires_grad_()
    out = ops.segment_reduce(indptr, ours, reduce=reduce, eids=eids)
    theirs = x.clone().requires_grad_()
    expected = ops.segment_reduce_reference(csc.indptr, theirs, reduce=reduce, eids=csc.eids)
    torch.testing.assert_close(out.cpu(), expected, rtol=1e-5, atol=1e-5)
    up = torch.randn_like(expected)
    grads = torch.autograd.grad(out, ours, up.to(cuda)), torch.autograd.grad(expected, theirs, up)
    torch.testing.assert_close(grads[0][0].cpu(), grads[1][0], rtol=1e-5, atol=1e-5)


def test_gradcheck(cuda):
    indptr, indices, eids, csc = csc_on(cuda, num_src=9, num_dst=7, num_edges=20)
    x = torch.randn(9, 2, 3, dtype=torch.float64, device=cuda, requires_grad=True)
    v = torch.randn(7, 2, 3, dtype=torch.float64, device=cuda, requires_grad=True)
    w = torch.randn(csc.num_edges, 2, dtype=torch.float64, device=cuda, requires_grad=True)
    check = torch.autograd.gradcheck
    for reduce in ("sum", "mean"):
        assert check(
            lambda x, w, reduce=reduce: ops.spmm(
                indptr, indices, x, reduce=reduce, weight=w, eids=eids
            ),
            (x, w),
        )
    for reduce in ("max", "min"):
        assert check(lambda x, reduce=reduce: ops.spmm(indptr, indices, x, reduce=reduce), (x,))
    assert check(lambda x, v: ops.sddmm(indptr, indices, x, v, eids=eids), (x, v))
    assert check(lambda x: ops.gather_rows(x, indices), (x,))
    assert check(lambda x: ops.spmm_with_own(indptr, indices, x), (x,))


def test_edges_that_are_no_csc_are_refused(cuda):
    x = torch.randn(3, 2, device=cuda)
    ids = torch.tensor([0, 2, 1], device=cuda)
    with pytest.raises(IndexError, match=r"rows\[2\] is 3, expected 0 <= id < 3"):
        ops.spmm(torch.tensor([0, 3], device=cuda), torch.tensor([0, 2, 3], device=cuda), x)
    with pytest.raises(ValueError, match="indptr falls from 2 to 1 at 2"):
        ops.spmm(torch.tensor([0, 2, 1, 3], device=cuda), ids, x)
    with pytest.raises(ValueError, match=r"indptr\[-1\]: expected the number of edges, 3, got 2"):
        ops.spmm(torch.tensor([0, 2], device=cuda), ids, x)
    weight = torch.randn(3, device=cuda)
    with pytest.raises(ValueError, match="expected each edge once, got edge 1 twice"):
        ops.spmm(
            torch.tensor([0, 3], device=cuda), ids, x, weight=weight,
            eids=torch.tensor([1, 1, 0], device=cuda),
        )  # fmt: skip


# --- graphs ---


def test_coo_to_csc_and_message_passing(cuda):
    src, dst = torch.randint(40, (300,)), torch.randint(40, (300,))
    ours = ops.coo_to_csc(src.to(cuda), dst.to(cuda), 40, 40)
    expected = ops.coo_to_csc_reference(src, dst, 40, 40)
    for a, b in zip(ours, expected):
        assert torch.equal(a.cpu().long(), b.long())
    graph = hf.graph((src, dst), num_nodes=40, device=cuda)
    assert graph.device == cuda
    graph.ndata["x"] = torch.randn(40, 6, device=cuda)
    graph.edata["w"] = torch.rand(300, 1, device=cuda)
    graph.update_all(hf.function.u_mul_e("x", "w", "m"), hf.function.sum("m", "h"))
    expected = torch.zeros(40, 6).index_add(
        0, dst, graph.ndata["x"].cpu()[src] * graph.edata["w"].cpu()
    )
    torch.testing.assert_close(graph.ndata["h"].cpu(), expected, rtol=1e-5, atol=1e-5)
    graph.apply_edges(hf.function.u_dot_v("x", "x", "score"))
    assert graph.edata["score"].shape == (300, 1)
    degrees = graph.in_degrees()
    assert degrees.device == cuda
    assert torch.equal(degrees.cpu(), torch.bincount(dst, minlength=40))
    reverse = hf.add_reverse_edges(graph)
    looped = hf.add_self_loop(hf.remove_self_loop(reverse))
    assert reverse.device == looped.device == cuda
    sub = hf.sample_neighbors(graph, [0, 1, 2], 3)
    block = hf.to_block(sub, [0, 1, 2])
    assert block.device == cuda
    assert block.num_dst_nodes() == 3


def test_operands_on_two_devices_are_refused(cuda):
    needs_gpu()
    x, ids = torch.randn(5, 3), torch.tensor([1, 2], device=cuda)
    with pytest.raises(hf.HopflowError, match="x is in ordinary host memory"):
        ops.gather_rows(x, ids)
    with pytest.raises(ValueError, match="expected one device"):
        ops.gather_rows(x.to(cuda), ids.cpu())
    with pytest.raises(ValueError, match="expected one device"):
        ops.spmm(torch.tensor([0, 2], device=cuda), ids, x)


def test_what_does_not_fit_says_so_with_sizes(cuda, monkeypatch, small_graph):
    needs_gpu()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(ops.pinned, "_LEAST_CHECKED", 0)
    with pytest.raises(hf.HopflowError, match=r"graph\.to needs .* GiB on cuda:0, of whose 1\.0"):
        small_graph.to(cuda)


def test_kernels_run_on_the_current_stream(cuda):
    needs_gpu()
    ids = torch.arange(1000, device=cuda)
    x = torch.zeros(1000, 64, device=cuda)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        x.fill_(1)
        out = ops.gather_rows(x, ids)  # on another stream it would read zeros
    stream.synchronize()
    assert (out == 1).all()


def test_running_out_of_memory_is_torchs_error_and_leaves_no_trace(cuda):
    needs_gpu()
    total = torch.cuda.get_device_properties(cuda).total_memory
    ids = torch.zeros(total // 200, dtype=torch.int32, device=cuda)
    x = torch.zeros(1, 64, device=cuda)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        ops.gather_rows(x, ids)  # 256 bytes for each id
    x = torch.randn(5, 3, device=cuda)
    assert torch.equal(ops.gather_rows(x, torch.tensor([4], device=cuda)), x[4:])

"""CUDA kernels against the CPU's and against the references.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cuda_cases
import pytest
import torch
from helpers import FLOATS, IDS, operands, random_csc

import hopflow as hf
from hopflow import ops
from hopflow.dataloading import DataLoader, NeighborSampler

WIDTHS = [1, 3, 4, 8, 47, 100, 130, 256]


def is_emulated() -> bool:
    return ops.on_cuda(torch.empty(0))


def needs_gpu() -> None:
    if is_emulated():
        pytest.skip("needs a real GPU: streams, allocators and page-locked memory are not emulated")


def csc_on(device, *, dtype=torch.int32, **options):
    csc = random_csc(dtype=dtype, **options)
    eids = None if csc.eids is None else csc.eids.to(device)
    return csc.indptr.to(device), csc.indices.to(device), eids, csc


def assert_same(got, expected):
    """Bits, but for the payload of a NaN."""
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got.cpu(), expected.cpu(), rtol=0, atol=0, equal_nan=True)


# --- sampling and renumbering ---


def test_samples_are_the_cpus_bit_for_bit(cuda, tmp_path):
    if is_emulated():
        path = tmp_path / "answers.pt"
        subprocess.run([sys.executable, cuda_cases.__file__, str(path)], check=True)
        expected = torch.load(path)
    else:
        expected = cuda_cases.answers(torch.device("cpu"))
    got = cuda_cases.answers(cuda)
    assert len(got) == len(expected) == cuda_cases.NUM_GRAPHS
    for case, (ours, theirs) in enumerate(zip(got, expected)):
        assert ours.keys() == theirs.keys()
        for name, x in ours.items():
            assert x.dtype == theirs[name].dtype, (case, name)
            assert torch.equal(x, theirs[name]), (case, name)


@pytest.mark.parametrize("fanout", [33, 100, 1000])
def test_large_fanouts_are_the_references(cuda, fanout):
    indptr = torch.tensor([0, 5000, 5040, 5040, 6040])
    indices = torch.arange(6040, dtype=torch.int32)
    seeds = torch.tensor([3, 0, 1, 2, 0])
    got = ops.sample_neighbors(
        indptr.to(cuda), indices.to(cuda), seeds.to(cuda), fanout, key=fanout
    )
    expected = ops.sample_neighbors_reference(indptr, indices, seeds, fanout, key=fanout)
    for ours, theirs in zip(got, expected):
        assert torch.equal(ours.cpu().long(), theirs.long())


@pytest.mark.parametrize("fanout", [3, 40, 300])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("is_wide", [False, True])
def test_weighted_samples_are_the_references(cuda, fanout, replace, is_wide):
    indptr = torch.tensor([0, 900, 940, 940, 1540])
    generator = torch.Generator().manual_seed(fanout)
    values = torch.rand(1540, generator=generator, dtype=torch.float64) + 0.01
    if is_wide:  # what is left of a row has to be added up anew
        values *= 2.0 ** torch.randint(-200, 200, (1540,), generator=generator).double()
    seeds = torch.tensor([3, 0, 1, 2, 0])
    excluded = torch.arange(0, 1540, 5)
    weights = ops.row_weights(indptr.to(cuda), values.to(cuda))
    got = ops.sample_weighted(
        indptr.to(cuda), 1540, seeds.to(cuda), fanout, key=fanout, replace=replace,
        weights=weights, excluded=excluded.to(cuda),
    )  # fmt: skip
    expected = ops.sample_weighted_reference(
        indptr, 1540, seeds, fanout, key=fanout, replace=replace,
        weights=ops.RowWeights(weights.sums.cpu(), values), excluded=excluded,
    )  # fmt: skip
    for ours, theirs in zip(got, expected):
        assert torch.equal(ours.cpu(), theirs)


def test_bad_operands_of_weighted_samples_are_named(cuda):
    indptr = torch.tensor([0, 2, 3], device=cuda)
    weights = ops.row_weights(indptr, torch.ones(3, device=cuda))

    def sample(seed, indptr=indptr, excluded=None):
        seeds = torch.tensor([seed], device=cuda)
        bars = None if excluded is None else torch.tensor(excluded, device=cuda)
        options = {"weights": weights, "excluded": bars}
        return ops.sample_weighted(indptr, 3, seeds, 2, key=0, **options)[1].tolist()

    assert sample(0) == [0, 1]
    for seed in (2, -1):
        with pytest.raises(IndexError, match=rf"seeds\[0\] is {seed}"):
            sample(seed)
    bad = torch.tensor([0, 9, 3], device=cuda)
    with pytest.raises(ValueError, match="indptr"):
        sample(0, indptr=bad)
    with pytest.raises(ValueError, match="excluded: expected strictly rising"):
        sample(0, excluded=[1, 1])


@pytest.mark.parametrize(
    "options",
    [{"prob": "w"}, {"mask": "m"}, {"edge_dir": "out"}, {"edge_dir": "out", "prob": "w"}],
)
@pytest.mark.parametrize("excluded", [None, range(0, 2000, 3)])
def test_samplers_with_options_draw_on_the_device(cuda, small_graph, options, excluded):
    small_graph.edata["w"] = torch.arange(2000).remainder(7).float()
    small_graph.edata["m"] = torch.arange(2000) % 3 > 0
    sampler = NeighborSampler([4, 40], **options)
    batches = []
    for graph in (small_graph, small_graph.to(cuda)):
        with hf.rng.batch_stream(1, 2, 3):
            batches.append(sampler.sample(graph, range(0, 200, 5), exclude_eids=excluded))
    (want_in, _, want), (got_in, _, got) = batches
    assert torch.equal(got_in.cpu(), want_in)
    for ours, theirs in zip(got, want):
        assert ours.device.type == cuda.type
        assert torch.equal(ours.edata[hf.EID].cpu(), theirs.edata[hf.EID])
        assert torch.equal(ours.adjacency.indices.cpu(), theirs.adjacency.indices)
    part = hf.sample_neighbors(
        small_graph.to(cuda), range(50), 3, exclude_edges=[1, 2],
        edge_dir=options.get("edge_dir", "in"), prob=options.get("prob"),
    )  # fmt: skip
    assert part.device.type == cuda.type
    src, dst = small_graph.edges()
    eids = part.edata[hf.EID].cpu()
    assert torch.equal(part.edges()[0].cpu(), src[eids])
    assert torch.equal(part.edges()[1].cpu(), dst[eids])


def test_repeated_runs_give_the_same_bits(cuda):
    indptr, indices, seeds = (x.to(cuda) for x in cuda_cases.graph_and_seeds(3))
    x = torch.randn(indptr.shape[0] - 1, 33, device=cuda)
    first = None
    for _ in range(3 if is_emulated() else 100):
        blocks = ops.sample_blocks(indptr, indices, seeds, [10, 10], keys=[1, 2])
        hop = blocks.hops[1]
        out = ops.spmm(hop.indptr, hop.indices, ops.gather_rows(x, blocks.src_ids), reduce="mean")
        now = [blocks.input_nodes, hop.indptr, hop.indices, hop.positions, out]
        first = now if first is None else first
        assert all(torch.equal(a, b) for a, b in zip(first, now))


def test_bad_seeds_and_graphs_are_named(cuda):
    indptr = torch.tensor([0, 2, 3], device=cuda)
    indices = torch.tensor([1, 0, 1], dtype=torch.int32, device=cuda)

    def sample(seeds, indptr=indptr, indices=indices):
        seeds = torch.tensor(seeds, dtype=torch.int32, device=cuda)
        return ops.sample_blocks(indptr, indices, seeds, [2, 2], keys=[1, 2])

    assert sample([1, 0]).input_nodes.tolist() == [1, 0]
    with pytest.raises(IndexError, match=r"seeds\[1\] is 2, but the graph has 2 nodes"):
        sample([0, 2])
    with pytest.raises(IndexError, match=r"seeds\[0\] is -1"):
        sample([-1])
    with pytest.raises(ValueError, match=r"indptr\[0:2\] is \[0, 9\]: no range of the 3 edges"):
        sample([0], indptr=torch.tensor([0, 9, 3], device=cuda))
    with pytest.raises(ValueError, match=r"indices\[1\] is 7, but the graph has 2 nodes"):
        sample([0], indices=torch.tensor([1, 7, 1], dtype=torch.int32, device=cuda))
    with pytest.raises(IndexError, match="ids: expected ids >= 0, got -3"):
        ops.compact_ids(torch.tensor([4, -3], device=cuda), torch.tensor([4], device=cuda))
    with pytest.raises(IndexError, match=r"seeds\[0\] is 5"):
        ops.sample_neighbors(indptr, indices, torch.tensor([5], device=cuda), 2, key=0)
    assert sample([1, 0]).input_nodes.tolist() == [1, 0]  # nothing is left behind


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


# --- the loader ---


def batches_of(graph, device, seeds=150, *, epochs=2, sampler=None, **options):
    sampler = sampler or NeighborSampler([3, 5, 2])
    loader = DataLoader(
        graph, torch.arange(seeds), sampler, device=device, batch_size=16, shuffle=True, seed=5,
        **options,
    )  # fmt: skip
    found = []
    for _ in range(epochs):
        for input_nodes, output_nodes, blocks in loader:
            x = blocks[0].srcdata["feat"]
            y = blocks[-1].dstdata["label"]
            w = blocks[1].edata["weight"]
            h = x
            for block in blocks:
                with block.local_scope():
                    block.srcdata["h"] = h
                    block.update_all(hf.function.copy_u("h", "m"), hf.function.mean("m", "h"))
                    h = block.dstdata["h"]
            batch = [input_nodes, output_nodes, x, y, w, h]
            for block in blocks:
                batch += [*block.edges(), block.srcdata[hf.NID], block.edata[hf.EID]]
            assert all(t.device == torch.device(device) for t in batch)
            found.append([t.detach().cpu() for t in batch])
    return found


WAYS = {
    "graph on the GPU": {"where": "cuda"},
    "graph in pinned memory": {"where": "cpu", "use_uva": True},
    "rows kept on the GPU": {
        "where": "cpu", "use_uva": True, "gpu_cache": {"node": {"feat": 50}},
    },
    "sampled on the CPU": {"where": "cpu"},
    "sampled on the CPU by threads": {"where": "cpu", "num_workers": 2},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_the_cpus(cuda, small_graph, way):
    needs_gpu()
    options = dict(WAYS[way])
    graph = small_graph.to(cuda) if options.pop("where") == "cuda" else small_graph
    for prefetch in (None, ["feat"]):
        sampler = NeighborSampler([3, 5, 2], prefetch_node_feats=prefetch)
        ours = batches_of(graph, cuda, sampler=sampler, **options)
        theirs = batches_of(small_graph, torch.device("cpu"), sampler=sampler)
        assert len(ours) == len(theirs) == 20
        for a, b in zip(ours, theirs):
            assert all(torch.equal(x, y) for x, y in zip(a, b))


def test_a_cache_counts_its_hits_and_notices_changes(cuda, small_graph):
    graph = small_graph
    if is_emulated():
        # There a graph "on the GPU" may have a cache too.
        loader = DataLoader(
            graph, torch.arange(100), NeighborSampler([4, 4]), batch_size=10,
            gpu_cache={"node": {"feat": 200}},
        )  # fmt: skip
    else:
        loader = DataLoader(
            graph, torch.arange(100), NeighborSampler([4, 4]), batch_size=10, device=cuda,
            use_uva=True, gpu_cache={"node": {"feat": 200}},
        )  # fmt: skip
    for input_nodes, _, blocks in loader:
        assert torch.equal(blocks[0].srcdata["feat"].cpu(), graph.ndata["feat"][input_nodes.cpu()])
    assert loader.cache_hit_rates() == {"feat": 1.0}
    for input_nodes, output_nodes, blocks in loader:
        rows = blocks[0].srcdata["feat"].cpu()
        assert torch.equal(rows, graph.ndata["feat"][input_nodes.cpu()])
        graph.ndata["feat"][output_nodes.cpu()] += 1


def test_batches_overlap_training_without_harm(cuda):
    needs_gpu()
    graph = hf.graph((torch.randint(5000, (60000,)), torch.randint(5000, (60000,))), num_nodes=5000)
    graph.ndata["feat"] = torch.arange(5000.0).view(-1, 1).repeat(1, 64)
    graph = graph.to(cuda)
    loader = DataLoader(graph, torch.arange(5000), NeighborSampler([10, 10]), batch_size=50)
    sums, nodes = [], []
    for input_nodes, _, blocks in loader:
        x = blocks[0].srcdata["feat"]
        torch.cuda._sleep(2_000_000)  # the consumer lags behind: memory must not be reused early
        sums.append(x.sum(1) / 64)
        nodes.append(input_nodes)
        del x, blocks
    assert all(torch.equal(s, n.float()) for s, n in zip(sums, nodes))


def test_leaving_and_resuming(cuda, small_graph):
    graph = small_graph.to(cuda)
    loader = DataLoader(graph, torch.arange(90), NeighborSampler([3]), batch_size=10, seed=4)
    whole = [batch[0].tolist() for batch in loader]
    other = DataLoader(graph, torch.arange(90), NeighborSampler([3]), batch_size=10, seed=4)
    for i, batch in enumerate(other):
        assert batch[0].tolist() == whole[i]
        if i == 3:
            break
    state = other.state_dict()
    assert state["batch"] == 4
    other.load_state_dict(state)
    assert [batch[0].tolist() for batch in other] == whole[4:]


def test_training_in_bfloat16(cuda, small_graph):
    graph = small_graph.to(cuda)
    graph.ndata["feat"] = torch.randn(200, 16, device=cuda)
    graph.ndata["label"] = (graph.ndata["feat"][:, 0] > 0).long()
    layers = torch.nn.ModuleList([hf.nn.SAGEConv(16, 32, "mean"), hf.nn.SAGEConv(32, 2, "mean")])
    layers.to(cuda)
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.02)
    losses = []
    for _ in range(4 if is_emulated() else 12):
        for _, _, blocks in DataLoader(
            graph, torch.arange(200), NeighborSampler([5, 5]), batch_size=50
        ):
            with torch.autocast(cuda.type, dtype=torch.bfloat16):
                h = blocks[0].srcdata["feat"]
                h = layers[1](blocks[1], torch.relu(layers[0](blocks[0], h)))
            loss = torch.nn.functional.cross_entropy(h.float(), blocks[-1].dstdata["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    with torch.inference_mode():
        for _, _, blocks in DataLoader(
            graph, torch.arange(200), NeighborSampler([5, 5]), batch_size=50
        ):
            x = blocks[0].srcdata["feat"].bfloat16()
            layer = hf.nn.SAGEConv(16, 8, "mean").to(cuda, torch.bfloat16)
            assert layer(blocks[0], x).dtype == torch.bfloat16


# --- pinned memory ---


def test_pinned_once_and_released(cuda, small_graph):
    graph, twin = small_graph, small_graph.int()
    assert not graph.is_pinned()
    graph.pin_memory_()
    assert graph.is_pinned()
    assert twin.is_pinned()  # the same memory
    twin.pin_memory_()
    graph.unpin_memory_()
    assert graph.is_pinned()  # the twin still holds it
    ids = torch.tensor([3, 1], device=cuda)
    expected = small_graph.ndata["feat"][[3, 1]]
    assert torch.equal(ops.gather_rows(graph.ndata["feat"], ids).cpu(), expected)
    twin.unpin_memory_()
    assert not graph.is_pinned()


def test_neighbours_on_the_heap_are_pinned_one_by_one(cuda):
    tensors = [torch.arange(float(n)) for n in [*range(1, 100), *range(1000, 60_000, 3000)]]
    expected = [x.clone() for x in tensors]
    alias = tensors[50]
    pins = [ops.pin_memory(x) for x in tensors]
    assert all(ops.is_pinned(x) for x in tensors)
    assert not any(ops.is_pinned(x) for x in expected)  # nothing but what was asked for
    alias[0] = expected[50][0] = 5  # still the same tensor
    for i in range(0, len(tensors), 2):
        pins[i] = None
    assert all(ops.is_pinned(x) for x in tensors[1::2])
    assert not any(ops.is_pinned(x) for x in tensors[::2])
    for i in range(0, len(tensors), 2):
        pins[i] = ops.pin_memory(tensors[i])
    assert all(ops.is_pinned(x) for x in tensors)
    if not is_emulated():
        for x, e in zip(tensors, expected):
            assert torch.equal(x.to(cuda, non_blocking=True).cpu(), e)
            ids = torch.arange(x.shape[0], device=cuda)
            assert torch.equal(ops.gather_rows(x, ids).cpu(), e)
    pins.clear()
    assert not any(ops.is_pinned(x) for x in tensors)
    assert ops.pin_memory(torch.empty(0)) is None
    assert all(torch.equal(x, e) for x, e in zip(tensors, expected))


def test_large_tensors_are_pinned_where_they_are(cuda):
    x = torch.arange(float(10**7))
    address = x.data_ptr()
    pin, again = ops.pin_memory(x), ops.pin_memory(x[1000:2000])
    assert x.data_ptr() == address
    assert ops.is_pinned(x)
    del pin
    assert ops.is_pinned(x)  # the slice holds the lock still
    assert again is not None
    del again
    assert not ops.is_pinned(x)


def test_memory_locked_in_part_is_refused(cuda):
    x = torch.arange(float(10**7))
    pin = ops.pin_memory(x[: 9 * 10**6])
    assert pin is not None
    assert ops.is_pinned(x[:1000])
    assert not ops.is_pinned(x)
    with pytest.raises(hf.HopflowError, match="a part is locked already"):
        ops.pin_memory(x)
    if not is_emulated():
        with pytest.raises(hf.HopflowError, match="ordinary host memory"):
            ops.gather_rows(x, torch.tensor([0], device=cuda))


def test_pool_buffers_are_copied_whole(cuda):
    needs_gpu()
    ops.set_pool_pinned(True)
    try:
        for count in (20_000, 100_000, 300_000):  # below and above where huge pages begin
            x = ops.pooled(torch.arange(count), torch.int64)
            assert ops.is_pinned(x)
            assert torch.equal(x.to(cuda, non_blocking=True).cpu(), torch.arange(count))
    finally:
        ops.set_pool_pinned(False)


def test_an_epoch_outlives_its_loader(cuda, small_graph):
    needs_gpu()
    expected = small_graph.ndata["feat"].clone()

    def batches():
        # Nobody holds the loader while its epoch is under way.
        return iter(
            DataLoader(
                small_graph, torch.arange(200), NeighborSampler([3, 3]), batch_size=50,
                device=cuda, use_uva=True,
            )
        )  # fmt: skip

    for input_nodes, _, blocks in batches():
        assert torch.equal(blocks[0].srcdata["feat"].cpu(), expected[input_nodes.cpu()])
    assert not ops.is_pinned(small_graph.ndata["feat"])


# --- benchmarks ---


def test_every_cuda_benchmark_runs(cuda, tmp_path, monkeypatch):
    benchmarks = Path(__file__).resolve().parents[1] / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("the benchmarks are not beside the tests")
    monkeypatch.syspath_prepend(str(benchmarks))
    import bench_cuda
    from hopbench import workloads
    from hopbench.blocks import Block

    if is_emulated():
        monkeypatch.setattr(bench_cuda, "device", lambda: cuda)
    for name in ("tiny", "tiny-features"):
        workloads.make(name, tmp_path)
    made = workloads.Workloads(tmp_path)
    monkeypatch.setattr(bench_cuda, "TABLE", (2_000, 8))
    monkeypatch.setattr(bench_cuda, "COPY_BYTES", 4096)
    monkeypatch.setattr(bench_cuda, "BATCH", 20)
    block = Block(20, 4, 8)
    tasks = [
        bench_cuda.device_copy(made),
        bench_cuda.host_copy(made),
        bench_cuda.hopflow_gather(50, made),
        bench_cuda.hopflow_gather(50, made, pinned=True),
        bench_cuda.torch_gather(50, made),
        bench_cuda.torch_gather_and_copy(50, made),
        bench_cuda.hopflow_spmm(block, made),
        bench_cuda.hopflow_spmm(block, made, dtype="bfloat16"),
        bench_cuda.hopflow_spmm(block, made, backward=True),
        bench_cuda.torch_spmm(block, made),
        bench_cuda.torch_spmm(block, made, backward=True),
        bench_cuda.hopflow_sddmm(block, made),
        bench_cuda.torch_sddmm(block, made),
        bench_cuda.hopflow_messages(block, made),
        bench_cuda.torch_messages(block, made),
        bench_cuda.hopflow_softmax(block, made),
        bench_cuda.torch_softmax(block, made),
        bench_cuda.hopflow_transpose(block, made),
        bench_cuda.torch_sort(block, made),
        bench_cuda.hopflow_compact(5, 20, made),
        bench_cuda.torch_unique(5, 20, made),
        *(
            setup("tiny", (2, 2), 2, made, graph=graph)
            for setup in (bench_cuda.hopflow_loader, bench_cuda.hopflow_training)
            for graph in ("gpu", "pinned", "cpu")
        ),
    ]
    for task in tasks:
        task.run()
    assert tasks[-1].measure() > 0

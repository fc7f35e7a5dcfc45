"""Columns kept in fewer bits, in graphs, blocks and loaders, from memory and from disk."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow import ops
from hopflow.storage import DiskColumn, EncodedColumn, encode

pytestmark = pytest.mark.cpu_only

CODES = ["int8", "int8-by-row", "float16", "bfloat16"]


def graph_of(num_nodes=200):
    torch.manual_seed(0)
    ends = torch.randint(num_nodes, (2, 2000))
    graph = hf.graph((ends[0], ends[1]), num_nodes=num_nodes)
    return graph, torch.randn(num_nodes, 20)


def on_disk(column, folder, **options):
    """The same column with its table in a file."""
    rows = column._rows
    table, name = column.table, str(column.table.dtype).replace("torch.", "")
    array = table.view(torch.int16) if name == "bfloat16" else table
    np.save(folder / "table.npy", array.numpy())
    disk = DiskColumn(folder / "table.npy", dtype=name, **options)
    return EncodedColumn(
        disk, scale=rows.scale, offset=rows.offset, by_row=rows.by_row, dtype=column.dtype
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_errors_are_as_small_as_promised(code, dtype):
    x = torch.randn(300, 7) * torch.logspace(-2, 2, 7)
    column = encode(x, code, dtype=dtype)
    assert column.shape == x.shape
    assert column.dtype == dtype
    found = column.read().float()
    span = {
        "int8": (x.amax(0) - x.amin(0)) / 510,
        "int8-by-row": ((x.amax(1) - x.amin(1)) / 510)[:, None],
        "float16": x.abs() / 2048,
        "bfloat16": x.abs() / 256,
    }[code]
    rounding = x.abs() / 256 if dtype == torch.bfloat16 else 1e-6 * x.abs().amax()
    assert ((found - x).abs() <= span * 1.001 + rounding).all()
    ids = torch.tensor([5, 299, 5], dtype=torch.int32)
    assert torch.equal(column.gather(ids), column.read()[ids.long()])
    assert column.nbytes < x.nbytes


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("place", ["memory", "disk", "cached"])
def test_batches_have_the_rows(tmp_path, code, num_workers, place):
    graph, x = graph_of()
    column = encode(x, code)
    expected = column.read()
    if place != "memory":
        column = on_disk(column, tmp_path, memory="3kB" if place == "cached" else None)
    graph.ndata["feat"] = column
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(200), hf.dataloading.NeighborSampler([4, 3]), batch_size=20,
        num_workers=num_workers,
    )  # fmt: skip
    for _ in range(2):
        for input_nodes, output_nodes, blocks in loader:
            assert torch.equal(blocks[0].srcdata["feat"], expected[input_nodes])
            assert torch.equal(blocks[-1].dstdata["feat"], expected[output_nodes])


def test_as_any_column_of_a_graph():
    graph, x = graph_of()
    graph.ndata["feat"] = column = encode(x)
    whole = column.read()
    assert torch.equal(graph.ndata["feat"], whole)
    assert torch.equal(graph.nodes[[3, 7]].data["feat"], whole[[3, 7]])
    assert "'feat': Scheme(shape=(20,), dtype=torch.float32)" in repr(graph)
    assert torch.equal(hf.node_subgraph(graph, torch.arange(9)).ndata["feat"], whole[:9])
    for other in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph), graph.int()):
        assert isinstance(other.node_frames()["_N"].column("feat"), EncodedColumn)
        assert torch.equal(other.ndata["feat"], whole)
    moved = graph.to("cpu").node_frames()["_N"].column("feat")
    assert torch.equal(moved.read(), whole)
    with pytest.raises(ValueError, match="not writable"):
        graph.nodes[[3]].data["feat"] = torch.zeros(1, 20)


def test_a_change_of_the_table_is_seen():
    graph, x = graph_of()
    graph.ndata["feat"] = column = encode(x, "float16")
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(200), hf.dataloading.NeighborSampler([2]), batch_size=20, num_workers=2
    )
    for step, (input_nodes, _, blocks) in enumerate(loader):
        rows = blocks[0].srcdata["feat"]
        assert torch.equal(rows, column.read()[input_nodes])
        column.table.add_(step)


def test_more_dimensions_and_half_precision_results():
    graph, _ = graph_of()
    x = torch.randn(200, 3, 4)
    q, scale, offset = ops.quantize_by_column(x.view(200, 12))
    graph.ndata["feat"] = EncodedColumn(
        q.view(200, 3, 4), scale=scale.view(3, 4), offset=offset.view(3, 4), dtype=torch.float16
    )
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(200), hf.dataloading.NeighborSampler([2]), batch_size=50, num_workers=1
    )
    expected = graph.ndata["feat"]
    assert expected.shape == (200, 3, 4)
    assert expected.dtype == torch.float16
    for input_nodes, _, blocks in loader:
        assert torch.equal(blocks[0].srcdata["feat"], expected[input_nodes])


def test_errors():
    x = torch.randn(5, 4)
    with pytest.raises(ValueError, match="code: expected one of int8, int8-by-row"):
        encode(x, "int4")
    with pytest.raises(ValueError, match="scale: expected one"):
        EncodedColumn(torch.zeros(5, 4, dtype=torch.int8))
    with pytest.raises(TypeError, match="table: expected a Tensor or a DiskColumn, got list"):
        EncodedColumn([1, 2])
    with pytest.raises(TypeError, match="dtype: expected float32, float16 or bfloat16"):
        EncodedColumn(x, dtype=torch.float64)
    x[2, 1] = float("nan")
    with pytest.raises(ValueError, match="1"):
        encode(x)
    graph, _ = graph_of()
    with pytest.raises(ValueError, match="expected one row for each of the 200 nodes"):
        graph.ndata["feat"] = encode(torch.randn(5, 4))


def test_a_table_that_is_replaced_while_batches_are_made(tmp_path):
    """The threads go on reading the memory that they were given."""
    graph, _ = graph_of()
    wide = torch.randn(200, 4000)
    graph.ndata["feat"] = column = encode(wide)
    sampler = hf.dataloading.NeighborSampler([4, 4], prefetch_node_feats=["feat"])
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(200).repeat(20), sampler, batch_size=20, num_workers=2
    )
    for step, (input_nodes, _, blocks) in enumerate(loader):
        if step == 3:
            column.table.data = torch.zeros_like(column.table)
        if step > 20:  # what was asked for anew since
            assert torch.equal(blocks[0].srcdata["feat"], column.gather(input_nodes))


def test_a_column_is_freed_with_its_last_reference(tmp_path):
    graph, x = graph_of()
    for make in (lambda: encode(x), lambda: on_disk(encode(x), tmp_path, memory="1MB")):
        graph.ndata["feat"] = made = make()
        gone = weakref.ref(made.source)
        del made
        gc.disable()
        try:
            graph.ndata["feat"] = x
            assert gone() is None
        finally:
            gc.enable()


def test_moves_and_locks_are_of_the_table(tmp_path):
    graph, x = graph_of()
    graph.ndata["feat"] = column = encode(x)
    graph.ndata["disk"] = on_disk(encode(x), tmp_path)
    tensors = graph._tensors()
    assert any(one is column.table for one in tensors)
    assert all(one.dtype != torch.float32 for one in tensors)


@pytest.mark.parametrize("is_fixed", [False, True])
def test_plan_and_kept_rows_see_it_on_disk_and_in_memory(tmp_path, is_fixed):
    graph, x = graph_of()
    graph.ndata["feat"] = on_disk(encode(x), tmp_path, memory=800 + 60 * 29)
    graph.ndata["label"] = torch.zeros(200, dtype=torch.int64)
    loader = hf.dataloading.DataLoader(
        graph, torch.arange(200), hf.dataloading.NeighborSampler([3]), batch_size=10, shuffle=True
    )
    if is_fixed:
        (kept,) = loader.keep_expected_rows().values()
        assert kept.rows == 60
    plan = hf.plan(loader, lambda batch: batch[2][0].srcdata["feat"])
    assert plan.disk_rows == pytest.approx(plan.input_nodes)
    assert plan.disk_bytes > 0
    assert plan.memory["cache"] > 0
    assert 0 < plan.hit_rate < 1
    graph.ndata["feat"] = column = encode(x)
    plan = hf.plan(loader, lambda batch: batch[2][0].srcdata["feat"])
    assert plan.gathered_bytes == pytest.approx(20 * plan.input_nodes)
    assert plan.memory["columns"] == column.nbytes + 1600


CASTS = [
    (hf.to_half, torch.float16), (hf.to_bfloat16, torch.bfloat16), (hf.to_float, torch.float32),
    (hf.to_double, torch.float64),
]  # fmt: skip


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("cast", "dtype"), CASTS)
def test_casts_change_what_rows_are_decoded_to(code, cast, dtype, tmp_path):
    graph, x = graph_of()
    column = encode(x, code)
    graph.ndata["x"], graph.ndata["disk"] = column, on_disk(column, tmp_path)
    graph.ndata["label"] = torch.arange(200)
    made = cast(graph)
    expected = column.read().to(dtype)
    block = hf.to_block(hf.in_subgraph(made, [3, 9]), [3, 9])
    for name in ("x", "disk"):
        assert made.ndata[name].dtype == dtype
        torch.testing.assert_close(made.ndata[name], expected)
        torch.testing.assert_close(block.srcdata[name], expected[block.srcdata[hf.NID].long()])
        kept = made.node_frame().column(name)
        if dtype != torch.float64:  # still kept in few bits, where it was
            assert isinstance(kept, EncodedColumn)
            assert kept.table is graph.node_frame().column(name).table
        assert graph.ndata[name].dtype == torch.float32
    assert made.ndata["label"].dtype == torch.int64

"""Results in reused memory."""

import copy
import gc
import pickle
import threading

import pytest
import torch

import hopflow as hf
from hopflow import ops

ROWS = 20_000  # of 400 bytes: 8 MB


def gather(value: float) -> torch.Tensor:
    return ops.gather_rows(torch.full((10, 100), value), torch.zeros(ROWS, dtype=torch.int64))


@pytest.fixture(autouse=True)
def _empty_pool():
    """Every test starts with nothing kept, and leaves the default limit."""
    limit = ops.pool_usage().limit
    ops.set_pool_limit(0)
    ops.set_pool_limit(limit)
    yield
    ops.set_pool_limit(limit)


def test_memory_is_reused_after_the_last_view_is_gone():
    x = gather(1.0)
    address, view = x.data_ptr(), x[5:]
    used = ops.pool_usage().used
    del x
    assert ops.pool_usage().used == used  # the view holds it
    other = gather(2.0)
    assert other.data_ptr() != address
    assert (view == 1).all()
    del view
    assert ops.pool_usage().used < used * 2
    assert gather(3.0).data_ptr() == address


def test_small_results_do_not_use_the_pool():
    used = ops.pool_usage().used
    kept = ops.gather_rows(torch.zeros(10, 4), torch.zeros(100, dtype=torch.int64))
    assert ops.pool_usage().used == used
    assert kept.shape == (100, 4)


def test_the_limit_bounds_what_is_kept():
    ops.set_pool_limit(10 << 20)
    several = [gather(float(i)) for i in range(4)]
    del several
    gc.collect()
    assert 0 < ops.pool_usage().cached <= 10 << 20
    ops.set_pool_limit(0)
    assert ops.pool_usage().cached == 0
    with pytest.raises(ValueError, match="bytes: expected at least 0, got -1"):
        ops.set_pool_limit(-1)


def test_a_much_larger_buffer_is_not_wasted_on_a_small_result():
    x = ops.gather_rows(torch.zeros(1, 100), torch.zeros(20 * ROWS, dtype=torch.int64))
    address = x.data_ptr()
    del x
    assert gather(1.0).data_ptr() != address


def test_repeated_work_keeps_memory_flat():
    for _ in range(3):
        gather(1.0)
    usage = ops.pool_usage()
    for _ in range(50):
        gather(1.0)
    assert ops.pool_usage() == usage


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int64, torch.bool])
def test_results_are_ordinary_tensors(dtype):
    x = torch.ones(10, 7, 19).to(dtype)
    y = ops.gather_rows(x, torch.arange(10).repeat(2000))
    assert y.dtype == dtype
    assert y.shape == (20_000, 7, 19)
    assert y.is_contiguous()
    y[0] = 0
    assert torch.equal(copy.deepcopy(y), y)
    assert torch.equal(pickle.loads(pickle.dumps(y)), y)
    assert not y.numpy()[0].any()


def test_gradients_flow_through_pooled_results():
    x = torch.randn(500, 100, requires_grad=True)
    ids = torch.randint(500, (ROWS,))
    y = ops.gather_rows(x, ids)
    indptr = torch.arange(0, ROWS + 1, 4)
    z = ops.segment_reduce(indptr, y, reduce="max")
    z.sum().backward()
    expected = x.detach().clone().requires_grad_()
    expected[ids].view(-1, 4, 100).amax(1).sum().backward()
    torch.testing.assert_close(x.grad, expected.grad)


def test_threads_share_the_pool():
    failures = []

    def work(value: float) -> None:
        for _ in range(20):
            x = gather(value)
            if not (x == value).all():
                failures.append(value)

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


RESULTS = {
    "copy_u sum": lambda g, x, e: hf.functional.copy_u_sum(g, x),
    "copy_u max": lambda g, x, e: hf.functional.copy_u_max(g, x),
    "copy_e mean": lambda g, x, e: hf.functional.copy_e_mean(g, e),
    "u_mul_e": lambda g, x, e: hf.functional.u_mul_e_sum(g, x, e),
    "u_add_v": lambda g, x, e: hf.functional.u_add_v(g, x, x),
    "u_dot_v": lambda g, x, e: hf.functional.u_dot_v(g, x, x),
    "copy_u": lambda g, x, e: hf.functional.copy_u(g, x),
    "copy_e edges": lambda g, x, e: hf.functional.segment_reduce(g.in_degrees(), e),
    "with own": lambda g, x, e: hf.ops.spmm_with_own(g.adjacency.indptr, g.adjacency.indices, x)[1],
    "with own, heads": lambda g, x, e: hf.ops.spmm_with_own(
        g.adjacency.indptr, g.adjacency.indices, x.view(-1, 2, 4)
    )[0],
    "gatv2": lambda g, x, e: hf.nn.GATv2Conv(8, 4, 2, allow_zero_in_degree=True)(g, x),
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("num_nodes", [50, 20_000])
def test_results_may_be_changed_in_place(name, num_nodes):
    """Those in the pool's memory too, as torch's own results may."""
    generator = torch.Generator().manual_seed(0)
    ends = (torch.randint(num_nodes, (4 * num_nodes,), generator=generator) for _ in range(2))
    graph = hf.graph(tuple(ends), num_nodes=num_nodes)
    x = torch.rand(num_nodes, 8, requires_grad=True)
    e = torch.rand(4 * num_nodes, 8, requires_grad=True)
    RESULTS[name](graph, x, e).relu_().sum().backward()


@pytest.mark.parametrize("name", [*RESULTS, "edge_softmax"])
def test_results_made_without_gradients_mix_with_parameters(name):
    """torch refuses that for views made under no_grad, so results are none there."""
    graph = hf.graph((torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])))
    make = {**RESULTS, "edge_softmax": lambda g, x, e: hf.nn.edge_softmax(g, e)}[name]
    with torch.no_grad():
        made = make(graph, torch.rand(3, 8), torch.rand(3, 8))
    parameter = torch.ones((), requires_grad=True)
    made.add_(parameter)
    made.sum().backward()
    assert parameter.grad == made.numel()


def test_a_saved_result_is_not_changed_in_silence():
    """edge_softmax's backward reads its result: changed meanwhile, that must not go unnoticed."""
    graph = hf.graph((torch.tensor([0, 1, 2]), torch.tensor([1, 1, 0])))
    scores = torch.rand(3, 2, requires_grad=True)
    made = hf.nn.edge_softmax(graph, scores)
    made.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        made.sum().backward()

"""Row gather, forward and backward."""

import pytest
import torch
from helpers import IDS

from hopflow import ops


@pytest.mark.parametrize("ids_dtype", IDS)
@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3), (50, 128), (50, 4, 5), (50, 0)])
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int8,
        torch.bool,
    ],
)
def test_equals_reference(dtype, shape, ids_dtype):
    x = (torch.randn(shape) * 10).to(dtype)
    ids = torch.randint(50, (70,), dtype=ids_dtype)
    assert torch.equal(ops.gather_rows(x, ids), ops.gather_rows_reference(x, ids))


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, ::2],
        lambda x: x.t(),
        lambda x: x[:, 3:17],
        lambda x: x[::3],
        lambda x: x[0].expand(9, -1),
        lambda x: x.flip(0),
        lambda x: torch.nn.Parameter(x),
    ],
)
def test_any_layout(make):
    x = make(torch.randn(20, 20))
    ids = torch.randint(x.shape[0], (33,))
    assert torch.equal(ops.gather_rows(x, ids), x[ids])


def test_complex_and_empty():
    x = torch.randn(6, 2, dtype=torch.complex64)
    assert torch.equal(ops.gather_rows(x, torch.tensor([5, 0])), x[[5, 0]])
    assert ops.gather_rows(torch.randn(0, 3), torch.empty(0, dtype=torch.int64)).shape == (0, 3)
    assert ops.gather_rows(torch.randn(4, 3), torch.empty(0, dtype=torch.int32)).shape == (0, 3)


def test_large_gather_in_parallel():
    x, ids = torch.randn(5000, 100), torch.randint(5000, (60_000,))
    torch.set_num_threads(4)
    assert torch.equal(ops.gather_rows(x, ids), x[ids])


def test_gradients():
    x = torch.randn(6, 2, 2, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([1, 1, 5, 0, 1])
    assert torch.autograd.gradcheck(lambda x: ops.gather_rows(x, ids), (x,))
    assert torch.autograd.gradgradcheck(lambda x: ops.gather_rows(x, ids), (x,))


def test_backward_is_deterministic_and_equals_torch():
    ids = torch.randint(300, (50_000,))
    weight = torch.randn(50_000, 9)
    grads = []
    for threads in (1, 4, 4):
        torch.set_num_threads(threads)
        x = torch.ones(300, 9, requires_grad=True)
        (ops.gather_rows(x, ids) * weight).sum().backward()
        grads.append(x.grad)
    assert torch.equal(grads[0], grads[1])
    assert torch.equal(grads[1], grads[2])
    expected = torch.zeros(300, 9, dtype=torch.float64).index_add(0, ids, weight.double())
    torch.testing.assert_close(grads[0].double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("x", "ids", "error", "match"),
    [
        (
            torch.zeros(3, 2),
            torch.tensor([0, 3]),
            IndexError,
            r"ids\[1\] is 3, expected 0 <= id < 3",
        ),
        (torch.zeros(3, 2), torch.tensor([-1]), IndexError, r"ids\[0\] is -1"),
        (torch.zeros(3, 2), torch.tensor([2**40]), IndexError, "1099511627776"),
        (torch.zeros(0, 2), torch.tensor([0]), IndexError, "expected 0 <= id < 0"),
        (torch.zeros(3, 2), torch.tensor([0.0]), TypeError, "ids: expected int32 or int64"),
        (torch.zeros(3, 2), torch.tensor([True]), TypeError, "got bool"),
        (torch.zeros(3, 2), torch.tensor([[0]]), ValueError, "ids: expected 1 dimension"),
        (torch.tensor(1.0), torch.tensor([0]), ValueError, "x: expected at least 1 dimension"),
        ([1.0], torch.tensor([0]), TypeError, "x: expected a torch.Tensor, got list"),
        (
            torch.zeros(3),
            torch.zeros(1, dtype=torch.int64, device="meta"),
            ValueError,
            "one device",
        ),
    ],
)
def test_bad_arguments(x, ids, error, match):
    with pytest.raises(error, match=match):
        ops.gather_rows(x, ids)

"""Mixed precision: message passing under torch.autocast, and training in half types."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
from hopflow import function as fn

HALVES = [torch.bfloat16, torch.float16]
MESSAGES = {
    "copy_u sum": (fn.copy_u("h", "m"), fn.sum("m", "out")),
    "copy_u mean": (fn.copy_u("h", "m"), fn.mean("m", "out")),
    "copy_u max": (fn.copy_u("h", "m"), fn.max("m", "out")),
    "u_mul_e sum": (fn.u_mul_e("h", "w", "m"), fn.sum("m", "out")),
    "u_dot_v mean": (fn.u_dot_v("h", "h", "m"), fn.mean("m", "out")),
    "u_mul_e max": (fn.u_mul_e("h", "w", "m"), fn.max("m", "out")),
}


def make_graph() -> hf.Graph:
    """40 nodes, 200 edges with duplicates."""
    ends = torch.randint(40, (2, 200), generator=torch.Generator().manual_seed(1))
    return hf.graph((ends[0], ends[1]), num_nodes=40)


def run(name: str, h: Tensor, w: Tensor) -> Tensor:
    graph = make_graph()
    graph.ndata["h"], graph.edata["w"] = h, w
    graph.update_all(*MESSAGES[name])
    return graph.ndata["out"]


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    h, w = torch.randn(40, 6, generator=generator), torch.rand(200, 1, generator=generator)
    return h.to(dtype).requires_grad_(), w.to(dtype).requires_grad_()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", MESSAGES)
def test_half_features(name: str, dtype: torch.dtype, autocast: bool) -> None:
    """The dtype of the features, one rounding away from the float32 result; gradients alike."""
    h, w = inputs(dtype)
    wide = [x.detach().float().requires_grad_() for x in (h, w)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = run(name, h, w)
    expected = run(name, *wide)
    assert out.dtype == dtype
    rtol = {torch.bfloat16: 1e-2, torch.float16: 2e-3}[dtype]
    torch.testing.assert_close(out.float(), expected, rtol=rtol, atol=rtol)
    out.float().sum().backward()
    expected.sum().backward()
    for narrow, exact in zip((h, w), wide, strict=True):
        if exact.grad is None:
            assert narrow.grad is None
            continue
        assert narrow.grad is not None
        assert narrow.grad.dtype == dtype
        torch.testing.assert_close(narrow.grad.float(), exact.grad, rtol=5 * rtol, atol=5 * rtol)


@pytest.mark.parametrize("dtype", HALVES)
def test_sums_are_kept_in_float32(dtype: torch.dtype) -> None:
    """No half type could count to 5,000 by ones."""
    star = hf.graph((torch.arange(1, 5001), torch.zeros(5000, dtype=torch.int64)), num_nodes=5001)
    star.ndata["h"] = torch.ones(5001, 3, dtype=dtype)
    star.edata["w"] = torch.ones(5000, 1, dtype=dtype)
    for message in (fn.copy_u("h", "m"), fn.u_mul_e("h", "w", "m")):
        star.update_all(message, fn.sum("m", "out"))
        assert star.ndata["out"][0, 0].item() == torch.tensor(5000.0).to(dtype).item()


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("dtype", HALVES)
def test_autocast_promotes_operands(dtype: torch.dtype, side: int) -> None:
    """As torch's own product does; without autocast, operands of two dtypes are an error."""
    operands = [x.detach() for x in inputs(torch.float32)]
    operands[side] = operands[side].to(dtype)
    operands = [x.requires_grad_() for x in operands]
    graph = make_graph()
    graph.ndata["h"], graph.edata["w"] = operands
    wide = run("u_mul_e sum", *(x.detach().float() for x in operands))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        graph.update_all(fn.u_mul_e("h", "w", "m"), fn.sum("m", "out"))
        graph.apply_edges(fn.u_mul_e("h", "w", "product"))
        own = operands[0][graph.edges()[0]] * operands[1]
    assert graph.ndata["out"].dtype == graph.edata["product"].dtype == own.dtype == torch.float32
    torch.testing.assert_close(graph.ndata["out"], wide)
    torch.testing.assert_close(graph.edata["product"], own)
    graph.ndata["out"].sum().backward()
    assert [x.grad.dtype for x in operands if x.grad is not None] == [x.dtype for x in operands]
    for call in (
        lambda: graph.update_all(fn.u_mul_e("h", "w", "m"), fn.sum("m", "out")),
        lambda: graph.apply_edges(fn.u_mul_e("h", "w", "product")),
    ):
        with pytest.raises(TypeError, match="operands of one dtype"):
            call()


def test_autocast_leaves_integers_to_torchs_promotion() -> None:
    graph = make_graph()
    graph.ndata["h"], graph.edata["w"] = torch.randn(40, 2), torch.arange(200).view(-1, 1)
    found = []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            graph.update_all(fn.u_mul_e("h", "w", "m"), fn.sum("m", "out"))
        found.append(graph.ndata["out"])
    assert found[0].dtype == torch.float32
    assert torch.equal(*found)


class Scored(nn.Module):
    """Scores come from a product that autocast narrows; features stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.out = nn.Linear(6, 1), nn.Linear(6, 2)

    def forward(self, graph: hf.Graph, x: Tensor) -> Tensor:
        with graph.local_scope():
            graph.ndata["h"], graph.ndata["s"] = x, self.score(x)
            graph.apply_edges(fn.u_add_v("s", "s", "w"))
            graph.update_all(fn.u_mul_e("h", "w", "m"), fn.mean("m", "o"))
            return self.out(graph.ndata["o"])


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="on the CPU since torch 2.3")
@pytest.mark.parametrize("dtype", HALVES)
def test_training_with_a_gradient_scaler(dtype: torch.dtype) -> None:
    graph, model = make_graph(), Scored()
    x, labels = inputs(torch.float32)[0].detach(), torch.randint(2, (40,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype):
            out = model(graph, x)
            assert out.dtype == dtype
            loss = nn.functional.cross_entropy(out.float(), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
    assert losses[-1] < 0.9 * losses[0]

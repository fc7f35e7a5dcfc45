"""PNAConv and DGNConv against their formulas, one destination at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow.nn import DGNConv, PNAConv

PLAIN = ["mean", "max", "min", "sum", "std", "var", "moment3", "moment4", "moment5"]
DIRECTED = [f"dir{k}-{kind}" for k in (1, 2, 3) for kind in ("av", "dx")]
SCALERS = ["attenuation", "identity", "amplification"]
DELTA = 1.7


def aggregate(name: str, m: Tensor, slopes: Tensor, own: Tensor) -> Tensor:
    """Of one destination's messages [D, W]; the slopes of its edges are [D, K]."""
    if name.startswith("dir"):
        w = slopes[:, int(name[3]) - 1, None]
        w = w / (w.abs().sum() + 1e-30)
        return (
            (w.abs() * m).sum(0) if name.endswith("av") else ((w * m).sum(0) - w.sum() * own).abs()
        )
    if name in ("max", "min"):
        return getattr(m, f"a{name}")(0)
    if name in ("mean", "sum"):
        return getattr(m, name)(0)
    central = m - m.mean(0)
    if name in ("var", "std"):
        var = central.square().mean(0)
        return var if name == "var" else (var + 1e-30).sqrt()
    n = int(name[-1])
    moment = central.pow(n).mean(0)
    return moment.sign() * (moment.abs() + 1e-30).pow(1 / n)


def reference(
    layer: PNAConv, graph: hf.Graph, x: Tensor, own: Tensor, e: Tensor | None, eig: Any = None
) -> Tensor:
    src, dst = (i.long() for i in graph.edges())
    width, out = layer.tower_in_size, []
    for i, tower in enumerate(layer.towers):
        there, here = (z[:, i * width : (i + 1) * width] for z in (x, own))
        ends = [there[src], here[dst], *([] if e is None else [e])]
        messages, rows = tower.M(torch.cat(ends, 1)), []
        for v in range(graph.num_dst_nodes()):
            mine = dst == v
            count = int(mine.sum())
            found = torch.zeros(len(tower.aggregators) * len(SCALERS) * width, dtype=x.dtype)
            if count:
                slopes = torch.zeros(count, 1) if eig is None else eig[0][src[mine]] - eig[1][v]
                joined = torch.cat(
                    [aggregate(a, messages[mine], slopes, here[v]) for a in tower.aggregators]
                )
                log = math.log(count + 1)
                found = torch.cat([joined * DELTA / log, joined, joined * log / DELTA])
            rows.append(torch.cat([here[v], found]))
        h = tower.U(torch.stack(rows))
        if not graph.is_block:
            h = h / math.sqrt(graph.num_nodes())
        out.append(tower.batchnorm(h))
    mixed = layer.mixing_layer(torch.cat(out, 1))
    return mixed + own if layer.residual else mixed


def world(kind: str) -> tuple[hf.Graph, Tensor, Tensor]:
    """In-degrees 0, 1 and 4 to 7: roots of odd moments of few messages are all rounding."""
    generator = torch.Generator().manual_seed(3)
    counts = torch.tensor([5, 1, 7, 0, 4, 6])
    dst = torch.arange(6).repeat_interleave(counts)
    src = torch.cat([torch.randperm(9, generator=generator)[:n] for n in counts.tolist()])
    if kind == "block":
        graph = hf.create_block((src, dst), num_src_nodes=9, num_dst_nodes=6)
    else:
        graph = hf.graph((src, dst), num_nodes=9)
    x = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    return graph, x, torch.randn(23, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("edge", [0, 2])
@pytest.mark.parametrize("kind", ["graph", "block", "pair"])
@pytest.mark.parametrize("is_dgn", [False, True])
def test_formula(kind: str, edge: int, is_dgn: bool) -> None:
    """Results and the gradients of everything, of plain maps and of one with a hook."""
    graph, x, e = world("block" if kind == "pair" else kind)
    names = [*DIRECTED, "var"] if is_dgn else PLAIN
    make = DGNConv if is_dgn else PNAConv
    layer = make(6, 6, names, SCALERS, DELTA, num_towers=2, edge_feat_size=edge).double()
    num_dst, leaves = graph.num_dst_nodes(), [x, e] if edge else [x]
    leaves = [z.requires_grad_() for z in leaves] + list(layer.parameters())
    own = x[:num_dst] + 1 if kind == "pair" else x[:num_dst]
    given, extra = ((x, own) if kind == "pair" else x), (e if edge else None)
    eig = torch.randn(9, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    options = {"eig_vec": eig} if is_dgn else {}
    want = reference(layer, graph, x, own, extra, (eig, eig))
    wanted = torch.autograd.grad(want.square().sum(), leaves, retain_graph=True)
    for hooked in (False, True):
        if hooked:
            for tower in layer.towers:
                tower.M.register_forward_hook(lambda m, given, out: None)
        got = layer(graph, given, extra, **options)
        torch.testing.assert_close(got, want, atol=1e-8, rtol=1e-6)
        found = torch.autograd.grad(got.square().sum(), leaves, retain_graph=True)
        for a, b in zip(found, wanted):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_spread_of_one_message_is_nothing() -> None:
    """Where the roots have no slope, the gradient is 0 and never NaN."""
    graph = hf.graph(([0, 1, 1], [1, 2, 2]), num_nodes=4)
    layer = PNAConv(2, 2, ["std", "var", "moment4"], ["identity"], 1.0)
    x = torch.randn(4, 2, requires_grad=True)
    layer(graph, x).square().sum().backward()
    assert torch.isfinite(x.grad).all()
    found = [p.grad for p in layer.parameters() if p.grad is not None]
    assert len(found) == 7  # no spread depends on the bias of M
    assert all(torch.isfinite(grad).all() for grad in found)


@pytest.mark.parametrize("edge", [0, 2])
def test_floats_and_autocast(edge: int) -> None:
    graph, x, e = world("graph")
    layer = DGNConv(6, 6, [*DIRECTED, "mean", "std"], SCALERS, DELTA, edge_feat_size=edge).eval()
    eig = torch.randn(9, 3)
    x, e = x.float(), e.float()
    want = layer(graph, x, e, eig)
    size = want.abs().max().item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(layer(graph, x, e, eig).float(), want, atol=0.05 * size)
    narrow = layer.bfloat16()(graph, x.bfloat16(), e.bfloat16(), eig.bfloat16())
    assert narrow.dtype == torch.bfloat16
    assert torch.allclose(narrow.float(), want, atol=0.1 * size)


def test_no_edges() -> None:
    for make in (PNAConv, DGNConv):
        names = PLAIN if make is PNAConv else [*PLAIN, *DIRECTED]
        layer = make(2, 2, names, SCALERS, 1.0).eval()
        options = {} if make is PNAConv else {"eig_vec": torch.randn(3, 3)}
        x = torch.randn(3, 2, requires_grad=True)
        out = layer(hf.graph(([], []), num_nodes=3), x, **options)
        tower = layer.towers[0]
        lone = torch.nn.functional.linear(x, tower.U.weight[:, :2], tower.U.bias) / 3**0.5
        assert torch.allclose(out, layer.mixing_layer(tower.batchnorm(lone)) + x, atol=1e-6)
        out.sum().backward()
        assert torch.isfinite(x.grad).all()


def test_wrong_inputs() -> None:
    for options, error, match in (
        ({"aggregators": ["mode"]}, KeyError, "mode"),
        ({"aggregators": ["dir1-av"]}, KeyError, "dir1-av"),
        ({"scalers": ["loud"]}, KeyError, "loud"),
        ({"num_towers": 4}, ValueError, "divisor"),
        ({"num_towers": 0}, ValueError, "divisor"),
    ):
        given = {"aggregators": ["mean"], "scalers": ["identity"], **options}
        with pytest.raises(error, match=match):
            PNAConv(6, 6, delta=1.0, **given)
    graph, x, e = world("graph")
    layer = DGNConv(6, 3, ["dir2-av"], ["identity"], 1.0, edge_feat_size=2).double()
    assert not layer.residual
    eig = torch.randn(9, 2, dtype=torch.float64)
    assert layer(graph, x, e, eig).shape == (9, 3)
    for given, match in (
        ((x[:8], e, eig), "9 rows"), ((x[:, :5], e, eig), "6 features"),
        ((x, None, eig), "got None"),
        ((x, e[:5], eig), "23 edges"), ((x, e[:, :1], eig), "2 features"), ((x, e), "eigenvectors"),
        ((x, e, eig[:, :1]), "2 eigenvectors"), ((x, e, eig[:5]), "9 rows"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            layer(graph, *given)
    assert list(graph.ndata) == list(graph.edata) == []


def test_parameters_are_dgls() -> None:
    layer = PNAConv(4, 6, ["mean", "max"], SCALERS, 1.0, num_towers=2, edge_feat_size=3)
    norm = {f"batchnorm.{k}": (3,) for k in ("weight", "bias", "running_mean", "running_var")}
    tower = {
        "M.weight": (2, 7), "M.bias": (2,), "U.weight": (3, 14), "U.bias": (3,), **norm,
        "batchnorm.num_batches_tracked": (),
    }  # fmt: skip
    shapes = {f"towers.{i}.{k}": v for i in (0, 1) for k, v in tower.items()}
    shapes |= {"mixing_layer.0.weight": (6, 6), "mixing_layer.0.bias": (6,)}
    assert {k: tuple(x.shape) for k, x in layer.state_dict().items()} == shapes
    assert list(layer.state_dict()) == list(shapes)


@pytest.mark.parametrize("way", ["half", "half, wide vectors", "autocast"])
def test_an_even_direction_in_16_bits(way: str) -> None:
    """Where an eigenvector is the same all round, nothing is divided by a size rounded to 0."""
    graph = hf.add_self_loop(hf.graph(([0], [1]), num_nodes=3))
    x, vectors = torch.rand(3, 4, requires_grad=True), torch.rand(3, 2)
    layer = DGNConv(4, 4, ["dir1-av", "dir2-dx"], SCALERS, DELTA).eval()
    wanted = layer(graph, x, eig_vec=vectors)
    if way == "autocast":
        with torch.autocast("cpu", torch.float16):
            found = layer(graph, x, eig_vec=vectors)
    else:
        vectors = vectors if "wide" in way else vectors.half()
        found = layer.half()(graph, x.half(), eig_vec=vectors)
        assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
    found.float().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())

"""``compare.py``: layers over edge features, dense layers, utilities and segments."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from compare_cases import DTYPES
from compare_engine import Case, Engine, Tensors, with_gradients
from compare_layers import Layer, fill, run_layer
from torch import Tensor, nn

# Of two messages the third and the fifth central moment are 0 but for rounding, whose roots are not
# to be compared; tests/nn/test_towers.py has them.
AGGREGATORS = ["mean", "max", "min", "sum", "std", "var", "moment4"]
SCALERS = ["identity", "amplification", "attenuation"]
DIRECTIONS = [f"dir{k}-{kind}" for k in (1, 2, 3) for kind in ("av", "dx")]
Run = Callable[[Engine, str, torch.dtype], Tensors]


def edge_layers() -> Iterator[Layer]:
    """Layers that are called with a graph, features and edge features."""
    zero = {"allow_zero_in_degree": True}
    networks = {
        "linear": lambda: nn.Linear(4, 3 * 2),
        "mlp": lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3 * 2)),
        "no bias": lambda: nn.Sequential(nn.Linear(4, 1), nn.Tanh(), nn.Linear(1, 6, bias=False)),
        "tanh": lambda: nn.Sequential(nn.Linear(4, 3 * 2), nn.Tanh()),
    }
    for kind in ("sum", "mean", "max"):
        for residual in (False, True):
            for out in (2, 5):
                yield Layer(
                    "GMMConv", f"{kind} residual {residual} 3-{out}",
                    lambda c, k=kind, r=residual, o=out: c(3, o, 2, 4, k, r, **zero),
                    edges={"pseudo": (2,)},
                )  # fmt: skip
            for name, make in networks.items():
                yield Layer(
                    "NNConv", f"{kind} residual {residual} {name}",
                    lambda c, k=kind, r=residual, m=make: c(3, 2, m(), k, r),
                    edges={"efeat": (4,)},
                )  # fmt: skip
        yield Layer(
            "GMMConv", f"{kind} (3, 4)-4 no bias",
            lambda c, k=kind: c((3, 4), 4, 2, 1, k, True, False, **zero), (3, 4), ("pair",),
            {"pseudo": (2,)},
        )  # fmt: skip
        yield Layer(
            "NNConv", f"{kind} (3, 2)-2 no bias",
            lambda c, k=kind: c((3, 2), 2, nn.Linear(4, 6), k, True, False), (3, 2), ("pair",),
            {"efeat": (4,)},
        )  # fmt: skip
    yield Layer("CFConv", "plain", lambda c: c(3, 4, 5, 2), edges={"edge_feats": (4,)})
    for towers, out, edge in ((1, 6, 0), (2, 6, 0), (3, 9, 4), (2, 6, 4)):
        yield Layer(
            "PNAConv", f"{towers} towers 6-{out} edges {edge}",
            lambda c, t=towers, o=out, e=edge: c(
                6, o, AGGREGATORS, SCALERS, 1.5, num_towers=t, edge_feat_size=e
            ), 6, ("graph",), {"edge_feat": (edge,)} if edge else {},
        )  # fmt: skip


def _with_state(engine: Engine, path: str, layer: nn.Module, dtype: torch.dtype) -> nn.Module:
    layer = layer.to(dtype)
    if engine.states is None:
        fill(path, layer)
        engine.made_states[path] = {k: x.clone() for k, x in layer.state_dict().items()}
    else:
        layer.load_state_dict(engine.states[path])
    return layer.eval()


def _results(layer: nn.Module, out: Tensor, leaves: Tensors) -> Tensors:
    named = {f"parameter {k}": p for k, p in layer.named_parameters()}
    return with_gradients({"out": out}, leaves | named)


def _directed(towers: int, edge: int) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        made = engine.find("DGNConv", "nn")(
            6, 6, [*DIRECTIONS, "mean"], SCALERS, 1.5, num_towers=towers, edge_feat_size=edge
        )
        layer = _with_state(engine, path, made, dtype)
        leaves = {
            "u": engine.leaf("graph", "u", (6,), dtype),
            "eig": engine.leaf("graph", "u", (3,), dtype),
        }
        if edge:
            leaves["e"] = engine.leaf("graph", "e", (edge,), dtype)
        out = layer(engine.graph("graph"), leaves["u"], leaves.get("e"), leaves["eig"])
        return _results(layer, out, leaves)

    return run


def _atomic(uses_features: bool) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        made = engine.find("AtomicConv", "nn")(
            torch.tensor([1.0, 1.2, 2.0]), torch.tensor([0.3, 1.0, 1.5]),
            torch.tensor([2.0, 0.5, 1.0]),
            torch.tensor([1.0, 6.0, 8.0, 7.0]) if uses_features else None,
        ).to(dtype)  # fmt: skip
        rows = engine.leaf("graph", "u", (1,), dtype)
        atoms = torch.tensor([1.0, 6.0, 8.0], dtype=dtype)[(rows.detach() * 9).long().abs() % 3]
        far = engine.leaf("graph", "e", (1,), dtype).detach().abs().requires_grad_()
        out = made(engine.graph("graph"), atoms if uses_features else rows, far)
        return _results(made, out, {"far": far} if uses_features else {"far": far, "u": rows})

    return run


def _adjacency(engine: Engine, dtype: torch.dtype) -> Tensor:
    src, dst = (torch.from_numpy(engine.inputs[f"graph/{end}"]) for end in ("src", "dst"))
    adj = torch.zeros(24, 24, dtype=dtype)
    adj[dst, src] = 1
    return adj


def _dense(cls: str, make: Callable[[Any], nn.Module], **options: Any) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        layer = _with_state(engine, path, make(engine.find(cls, "nn")), dtype)
        x = engine.leaf("graph", "u", (5,), dtype)
        return _results(layer, layer(_adjacency(engine, dtype), x, **options), {"u": x})

    return run


def _jumping(mode: str) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        made = engine.find("JumpingKnowledge", "nn")(mode, 5, 3)
        layer = _with_state(engine, path, made, dtype)
        xs = engine.leaf("graph", "u", (15,), dtype)
        return _results(layer, layer(list(xs.split(5, 1))), {"u": xs})

    return run


def _spread(**options: Any) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        layer = engine.find("LabelPropagation", "nn")(alpha=0.6, **options)
        rng = np.random.default_rng(zlib.crc32(b"labels"))
        labels = torch.from_numpy(rng.integers(4, size=24))
        mask = torch.from_numpy(rng.random(24) < 0.5)
        g = engine.graph("graph")
        rows = engine.leaf("graph", "u", (3,), dtype).detach().abs()
        return {"masked": layer(g, labels, mask), "all": layer(g, labels),
                "ids": layer(g, labels.view(-1, 1), mask.nonzero().view(-1)),
                "rows": layer(g, rows, mask)}  # fmt: skip

    return run


def _pairs(cls: str, make: Callable[[Any], nn.Module], relations: bool = True) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        layer = _with_state(engine, path, make(engine.find(cls, "nn")), dtype)
        both = engine.leaf("graph", "e", (8,), dtype)
        head, tail = both.split(4, 1)
        rels = torch.arange(90) * 7 % 5
        given = (head, tail, rels) if relations else (head, tail)
        return _results(layer, layer(*given), {"both": both})

    return run


def _basis(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
    made = engine.find("WeightBasis", "nn.pytorch.utils", "nn")((4, 3), 2, 5)
    layer = _with_state(engine, path, made, dtype)
    return _results(layer, layer(), {})


def _reversible(groups: int) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        conv = engine.find("GraphConv", "nn")(12 // groups, 12 // groups, norm="right",
                                              allow_zero_in_degree=True)  # fmt: skip
        made = engine.find("GroupRevRes", "nn")(conv, groups)
        layer = _with_state(engine, path, made, dtype)
        x = engine.leaf("graph", "u", (12,), dtype)
        # DGL's frees the memory of what it is given and, in the backward pass, of what it gave.
        out = layer(engine.graph("graph"), x * 1.0)
        return _results(layer, out.clone(), {"u": x})

    return run


def _segments(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
    lengths = torch.tensor([20, 0, 30, 1, 39])
    a, b = engine.leaf("graph", "e", (4,), dtype), engine.leaf("graph", "u", (4, 3), dtype)
    number = torch.arange(90) * 7 % 24
    segment_mm = engine.find("segment_mm", "ops" if engine.name == "dgl" else "functional")
    gather_mm, softmax = (engine.find(n, "ops") for n in ("gather_mm", "segment_softmax"))
    return with_gradients(
        {
            "segment_mm": segment_mm(a, b[:5], lengths),
            "gather_mm": gather_mm(a, b, idx_b=number),
            "softmax": softmax(lengths, a),
        },
        {"a": a, "b": b},
    )


def _sparse(cls: str, **options: Any) -> Run:
    def run(engine: Engine, path: str, dtype: torch.dtype) -> Tensors:
        start = engine.leaf("graph", "u", (3,), torch.float32).detach()
        name = f"compare{zlib.crc32(path.encode())}"  # of a piece of shared memory, in DGL
        rows = engine.find("NodeEmbedding", "nn")(24, 3, name, lambda x: x.copy_(start))
        optimizer = engine.find(cls, "optim")([rows], lr=0.1, **options)
        for i in range(4):
            ids = torch.arange(9) * (i + 2) % 13
            x = rows(ids)
            optimizer.zero_grad()
            (x * torch.linspace(0.5, 2, 27).view(9, 3)).square().sum().backward()
            optimizer.step()
        state = optimizer.state_dict()["state"][name]
        return {"weight": rows.weight, **{f"state {i}": x for i, x in enumerate(state)}}

    return run


def others() -> Iterator[tuple[str, str, Run]]:
    """(group, name, how) of what is called in its own way."""
    for towers, edge in ((1, 0), (2, 4)):
        yield "DGNConv", f"directions, {towers} towers, edges {edge}", _directed(towers, edge)
    for uses in (True, False):
        yield "AtomicConv", f"features_to_use {uses}", _atomic(uses)
    for norm in ("both", "right", "none"):
        for out in (2, 7):
            yield (
                "DenseGraphConv",
                f"{norm} 5-{out}",
                _dense("DenseGraphConv", lambda c, n=norm, o=out: c(5, o, n)),
            )
    yield "DenseSAGEConv", "plain", _dense("DenseSAGEConv", lambda c: c(5, 2))
    for k in (1, 2, 4):
        yield (
            "DenseChebConv",
            f"k {k}",
            _dense("DenseChebConv", lambda c, k=k: c(5, 2, k), lambda_max=1.7),
        )
    for mode in ("cat", "max", "lstm"):
        yield "JumpingKnowledge", mode, _jumping(mode)
    for options in (
        {"k": 0}, {"k": 3}, {"k": 3, "norm_type": "row"}, {"k": 2, "clamp": False},
        {"k": 2, "normalize": True}, {"k": 2, "clamp": False, "reset": True},
    ):  # fmt: skip
        yield "LabelPropagation", str(options), _spread(**options)
    for op in ("dot", "cos", "ele", "cat"):
        yield "EdgePredictor", op, _pairs("EdgePredictor", lambda c, op=op: c(op), False)
        yield (
            "EdgePredictor",
            f"{op} linear",
            _pairs("EdgePredictor", lambda c, op=op: c(op, 4, 3, bias=True), False),
        )
    for p in (1, 2):
        yield "TransE", f"p {p}", _pairs("TransE", lambda c, p=p: c(5, 4, p))
        yield "TransR", f"p {p}", _pairs("TransR", lambda c, p=p: c(5, 3, 4, p))
    yield "WeightBasis", "plain", _basis
    for groups in (2, 3):
        yield "GroupRevRes", f"groups {groups}", _reversible(groups)
    yield "segments", "all", _segments
    yield "SparseAdagrad", "plain", _sparse("SparseAdagrad")
    yield "SparseAdam", "plain", _sparse("SparseAdam", betas=(0.8, 0.95))


def edge_layer_cases() -> Iterator[Case]:
    """Every one of them in both dtypes."""
    for spec in edge_layers():
        for form in spec.forms:
            for dtype in DTYPES:
                name = f"{spec.name}, {dtype}"
                path = f"{spec.cls}/{form}/{name}"

                def run(
                    engine: Engine, path: str = path, spec: Layer = spec, form: str = form,
                    dtype: str = dtype,
                ) -> Tensors:  # fmt: skip
                    return run_layer(engine, path, spec, form, dtype)

                yield Case(spec.cls, form, name, run)
    for group, what, how in others():
        for dtype in DTYPES:
            name = f"{what}, {dtype}"
            path = f"{group}/graph/{name}"

            def call(
                engine: Engine, how: Run = how, path: str = path, dtype: str = dtype
            ) -> Tensors:
                return how(engine, path, DTYPES[dtype])

            yield Case(group, "graph", name, call)

"""The layers that ``compare.py`` compares, with DGL's parameters in both."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from compare_cases import DTYPES
from compare_engine import Case, Engine, Shape, Tensors, with_gradients
from torch import nn

Make = Callable[[Any], nn.Module]
FORMS = ("graph", "block", "pair")


@dataclass(frozen=True)
class Layer:
    """A layer and how it is called.

    Attributes
    ----------
    cls, name : str
        Its class, and which of its forms this is.
    make : callable
        ``make(cls)`` gives the layer.
    width : int or pair of int
        Of the features; of the sources' and the destinations' in a pair.
    forms : sequence of str
        On a graph, on a block with the sources' features, on a block with a pair.
    edges : mapping
        Shape of each edge operand that it is called with, by keyword.
    positive : bool
        Whether edge operands must be positive.
    options : mapping
        Other keywords of the call.
    """

    cls: str
    name: str
    make: Make
    width: int | tuple[int, int] = 3
    forms: tuple[str, ...] = FORMS
    edges: dict[str, Shape] = field(default_factory=dict)
    positive: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def fill(path: str, layer: nn.Module) -> None:
    """Numbers of the case's own in every parameter and running mean."""
    rng = np.random.default_rng(zlib.crc32(path.encode()))
    for name, x in layer.state_dict().items():
        if x.is_floating_point():
            numbers = torch.from_numpy(rng.normal(size=tuple(x.shape)) * 0.5)
            x.copy_(numbers.abs() + 0.5 if name.endswith("running_var") else numbers)


def run_layer(engine: Engine, path: str, spec: Layer, form: str, dtype: str) -> Tensors:
    """One call, with the gradients of features, edge operands and parameters."""
    layer = spec.make(engine.find(spec.cls, "nn")).to(DTYPES[dtype])
    if engine.states is None:
        fill(path, layer)
        engine.made_states[path] = {k: x.clone() for k, x in layer.state_dict().items()}
    else:
        layer.load_state_dict(engine.states[path])
    layer.eval()
    name = "graph" if form == "graph" else "block"
    g = engine.graph(name)
    leaves = {}
    if isinstance(spec.width, tuple) and form == "pair":
        leaves["u"] = engine.leaf(name, "u", (spec.width[0],), DTYPES[dtype])
        leaves["v"] = engine.leaf(name, "v", (spec.width[1],), DTYPES[dtype])
    elif spec.width:
        width = (spec.width,)
        leaves["u"] = engine.leaf(name, "u", width, DTYPES[dtype])
        if form == "pair":
            leaves["v"] = engine.leaf(name, "v", width, DTYPES[dtype])
    given = {k: engine.leaf(name, "e", shape, DTYPES[dtype]) for k, shape in spec.edges.items()}
    edges = {k: x.abs() if spec.positive else x for k, x in given.items()}
    feat = (leaves["u"], leaves["v"]) if form == "pair" else leaves.get("u")
    out = layer(g, *([] if feat is None else [feat]), **edges, **spec.options)
    outputs = dict(zip(("out", "attention"), out, strict=True)) if isinstance(out, tuple) else {
        "out": out
    }  # fmt: skip
    parameters = {f"parameter {k}": p for k, p in layer.named_parameters()}
    return with_gradients(outputs, leaves | given | parameters)


def _weights(edge_shape: Shape = ()) -> Iterator[tuple[str, dict[str, Shape]]]:
    yield "plain", {}
    yield "weighted", {"edge_weight": edge_shape}


def convolutions() -> Iterator[Layer]:
    """SAGEConv, GraphConv and the rest without attention."""
    for kind, edges in _weights():
        for aggregator in ("mean", "gcn", "pool", "lstm"):
            for a, b in ((5, 2), (2, 5)):
                for bias in (True, False):
                    yield Layer(
                        "SAGEConv", f"{aggregator} {a}-{b} bias {bias} {kind}",
                        lambda c, a=a, b=b, k=aggregator, bias=bias: c(a, b, k, bias=bias),
                        a, edges=edges,
                    )  # fmt: skip
            if aggregator != "gcn":
                yield Layer(
                    "SAGEConv", f"{aggregator} (4, 3)-2 {kind}",
                    lambda c, k=aggregator: c((4, 3), 2, k), (4, 3), ("pair",), edges,
                )  # fmt: skip
        for norm in ("none", "both", "right", "left"):
            for a, b in ((5, 2), (2, 5)):
                yield Layer(
                    "GraphConv", f"{norm} {a}-{b} {kind}",
                    lambda c, a=a, b=b, norm=norm: c(a, b, norm=norm, allow_zero_in_degree=True),
                    a, edges=edges,
                )  # fmt: skip
            yield Layer(
                "GraphConv", f"{norm} 3-2 no weight {kind}",
                lambda c, norm=norm: c(3, 3, norm, weight=False, bias=False,
                                       allow_zero_in_degree=True), 3, edges=edges,
            )  # fmt: skip
        for aggregator in ("sum", "max", "mean"):
            for learn in (False, True):
                yield Layer(
                    "GINConv", f"{aggregator} learn_eps {learn} {kind}",
                    lambda c, k=aggregator, learn=learn: c(nn.Linear(3, 2), k, 0.3, learn),
                    edges=edges,
                )  # fmt: skip
        yield Layer("GINConv", f"no function {kind}", lambda c: c(None, "sum"), edges=edges)
        for k in (1, 2, 3):
            yield Layer(
                "SGConv", f"k {k} {kind}",
                lambda c, k=k: c(3, 2, k=k, bias=k != 3, allow_zero_in_degree=True),
                3, ("graph",), edges, positive=True,
            )  # fmt: skip
            yield Layer(
                "APPNPConv", f"k {k} {kind}", lambda c, k=k: c(k, 0.2), 3, ("graph",), edges,
                positive=True,
            )  # fmt: skip
    for learn in (False, True):
        yield Layer(
            "GINEConv", f"learn_eps {learn}",
            lambda c, learn=learn: c(nn.Linear(3, 2), 0.3, learn), edges={"edge_feat": (3,)},
        )  # fmt: skip
    for normed in (False, True):
        yield Layer(
            "EdgeConv", f"batch_norm {normed}",
            lambda c, normed=normed: c(3, 2, normed, allow_zero_in_degree=True),
        )  # fmt: skip
    for norm in ("both", "right", "none"):
        yield Layer(
            "EdgeWeightNorm", norm, lambda c, norm=norm: c(norm, eps=0.1), 0, FORMS[:2],
            {"edge_weight": ()}, positive=True,
        )  # fmt: skip


def attentions() -> Iterator[Layer]:
    """GATConv and GATv2Conv, with and without a residual of each kind."""
    zero = {"allow_zero_in_degree": True}
    for cls in ("GATConv", "GATv2Conv"):
        for heads in (1, 3):
            for residual in (False, True):
                for slope in (0.2, 0.01):
                    yield Layer(
                        cls, f"heads {heads} residual {residual} slope {slope}",
                        lambda c, h=heads, r=residual, s=slope: c(
                            5, 4, h, negative_slope=s, residual=r, **zero
                        ), 5,
                    )  # fmt: skip
            yield Layer(
                cls, f"heads {heads} residual as it is",
                lambda c, h=heads: c(4 * h, 4, h, residual=True, **zero), 4 * heads,
            )  # fmt: skip
            yield Layer(
                cls, f"heads {heads} residual no bias, elu",
                lambda c, h=heads: c(5, 4, h, residual=True, bias=False,
                                     activation=nn.functional.elu, **zero), 5,
            )  # fmt: skip
            yield Layer(
                cls, f"heads {heads} (5, 3)",
                lambda c, h=heads: c((5, 3), 4, h, residual=True, **zero), (5, 3), ("pair",),
            )  # fmt: skip
            yield Layer(
                cls, f"heads {heads} with attention", lambda c, h=heads: c(5, 4, h, **zero), 5,
                options={"get_attention": True},
            )  # fmt: skip
            if cls == "GATConv":
                yield Layer(
                    cls, f"heads {heads} weighted", lambda c, h=heads: c(5, 4, h, **zero), 5,
                    edges={"edge_weight": ()},
                )  # fmt: skip
            else:
                for bias in (False, True):
                    yield Layer(
                        cls, f"heads {heads} share_weights bias {bias}",
                        lambda c, h=heads, b=bias: c(5, 4, h, share_weights=True, bias=b, **zero),
                        5,
                    )  # fmt: skip


def layer_cases() -> Iterator[Case]:
    """Every layer in its forms."""
    for spec in (*convolutions(), *attentions()):
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

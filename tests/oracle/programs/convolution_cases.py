"""Further layers and how each is called: code that runs under DGL and under hopflow.

``record_convolutions.py`` records what DGL computes in the cases marked so, for
``test_dgl_convolutions.py``; ``compare.py`` compares all of them. Nothing here imports either
engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Leaf = Callable[[str, Shape], Tensor]
BOTH_SIDES = ("graph", "block", "pair")


@dataclass(frozen=True)
class Conv:
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
    nodes, edges : mapping
        Shape of each further operand of the nodes and of the edges, by keyword.
    positive : bool
        Whether edge operands must be positive.
    types : int
        How many types edges have; 0 if the layer takes none.
    loops : bool or None
        True for a self-loop on every destination beside the other edges; False for none at all:
        where an edge joins a node with itself, DGL's EGNNConv has no gradient.
    recorded : bool
        Whether DGL's results are in the record.
    options : mapping
        Other keywords of the call.
    """

    cls: str
    name: str
    make: Callable[[Any], nn.Module]
    width: int | tuple[int, int] = 3
    forms: tuple[str, ...] = ("graph",)
    nodes: dict[str, Shape] = field(default_factory=dict)
    edges: dict[str, Shape] = field(default_factory=dict)
    positive: bool = False
    types: int = 0
    loops: bool | None = None
    recorded: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def rebuilt(self, src: Tensor, dst: Tensor, num_dst: int) -> tuple[Tensor, Tensor]:
        """The edges of its graph, from those of any."""
        if self.loops is None:
            return src, dst
        if not self.loops:
            return src[src != dst], dst[src != dst]
        loops = torch.arange(num_dst)
        return torch.cat([src, loops]), torch.cat([dst, loops])

    def leaves(self, form: str, leaf: Leaf) -> dict[str, Tensor]:
        """Its operands: ``leaf(side, shape)`` gives the rows of "u", "v" or "e"."""
        widths = self.width if isinstance(self.width, tuple) else (self.width, self.width)
        made = {"u": leaf("u", (widths[0],))}
        if form == "pair":
            made["v"] = leaf("v", (widths[1],))
        made |= {name: leaf("u", shape) for name, shape in self.nodes.items()}
        return made | {name: leaf("e", shape) for name, shape in self.edges.items()}

    def call(self, layer: nn.Module, graph: Any, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
        """Its results."""
        given = {name: leaves[name] for name in self.nodes}
        for name in self.edges:
            given[name] = leaves[name].abs() if self.positive else leaves[name]
        if self.types:
            given["etypes"] = torch.arange(graph.num_edges()) * 7 % 5 % self.types
        feat = (leaves["u"], leaves["v"]) if "v" in leaves else leaves["u"]
        out = layer(graph, feat, **given, **self.options)
        results = out if isinstance(out, tuple) else (out,)
        return {f"out {i}": x for i, x in enumerate(results)}


def propagations() -> Iterator[Conv]:
    """Layers that take steps of a normalised adjacency."""
    for kind, edges in (("plain", {}), ("weighted", {"edge_weight": ()})):
        weighted: dict[str, Any] = {"edges": edges, "positive": True}
        for k in (0, 1, 2, 3):
            for a, b in ((5, 2), (2, 5)):
                yield Conv(
                    "TAGConv", f"k {k} {a}-{b} {kind}",
                    lambda c, a=a, b=b, k=k: c(a, b, k=k, bias=k != 1), a, recorded=k == 2,
                    **weighted,
                )  # fmt: skip
        for project in (True, False):
            yield Conv(
                "GCN2Conv", f"project {project} {kind}",
                lambda c, p=project: c(3, 2, 0.3, 0.7, p, allow_zero_in_degree=True, bias=p),
                nodes={"feat_0": (3,)}, **weighted,
            )  # fmt: skip
    for k in (1, 2, 3, 4):
        for name, largest in (("none", None), ("list", [1.6]), ("tensor", torch.tensor([1.0]))):
            yield Conv(
                "ChebConv", f"k {k} lambda_max {name}",
                lambda c, k=k: c(3, 2, k, bias=k != 2, activation=torch.tanh),
                options={"lambda_max": largest}, recorded=k == 3,
            )  # fmt: skip


def gates() -> Iterator[Conv]:
    """Layers of gates and recurrent cells, and the equivariant one."""
    for steps in (0, 1, 3):
        for types in (1, 2, 5):
            for bias in (True, False):
                yield Conv(
                    "GatedGraphConv", f"{steps} steps, {types} types, bias {bias}",
                    lambda c, s=steps, t=types, b=bias: c(3, 4, s, t, bias=b),
                    types=types if types > 1 else 0, recorded=bias and steps == 3,
                )  # fmt: skip
    yield Conv(
        "GatedGraphConv", "a type of one", lambda c: c(4, 4, 2, 1), 4, types=1, recorded=False
    )
    for norm in (True, False):
        for width, residual in ((3, True), (4, True), (4, False)):
            yield Conv(
                "GatedGCNConv", f"batch_norm {norm}, {width}-4, residual {residual}",
                lambda c, n=norm, w=width, r=residual: c(w, 4, 4, batch_norm=n, residual=r), width,
                edges={"edge_feat": (4,)},
            )  # fmt: skip
    yield Conv(
        "GatedGCNConv", "no activation", lambda c: c(3, 2, 4, activation=None),
        edges={"edge_feat": (2,)}, recorded=False,
    )  # fmt: skip
    yield Conv("EGNNConv", "edges", lambda c: c(3, 4, 2, 2), nodes={"coord_feat": (2,)},
               edges={"edge_feat": (2,)}, loops=False)  # fmt: skip
    yield Conv("EGNNConv", "no edges", lambda c: c(3, 4, 2), nodes={"coord_feat": (3,)},
               loops=False)  # fmt: skip


def attentions() -> Iterator[Conv]:
    """Layers of attention."""
    zero = {"allow_zero_in_degree": True}
    for learn in (True, False):
        yield Conv("AGNNConv", f"learn_beta {learn}", lambda c, n=learn: c(0.7, n, **zero),
                   forms=BOTH_SIDES)  # fmt: skip
    for heads in (1, 3):
        many = heads > 1
        yield Conv(
            "DotGatConv", f"heads {heads}", lambda c, h=heads: c(5, 4, h, **zero), 5,
            BOTH_SIDES[:2], options={"get_attention": many}, recorded=many,
        )  # fmt: skip
        yield Conv(
            "DotGatConv", f"heads {heads} (5, 3)", lambda c, h=heads: c((5, 3), 4, h, **zero),
            (5, 3), ("pair",), recorded=many,
        )  # fmt: skip
        for kind, edges in (("plain", {}), ("weighted", {"edge_weight": ()})):
            given: dict[str, Shape] = {"efeats": (2,), **edges}
            yield Conv(
                "EGATConv", f"heads {heads} {kind}", lambda c, h=heads: c(5, 2, 4, 3, h), 5,
                edges=given, loops=True, recorded=many, options={"get_attention": not many},
            )  # fmt: skip
            yield Conv(
                "EGATConv", f"heads {heads} (5, 3) {kind}",
                lambda c, h=heads: c((5, 3), 2, 4, 3, h), (5, 3), ("pair",),
                edges=given, loops=True, recorded=many, options={"get_attention": many},
            )  # fmt: skip
        for residual in (True, False):
            options = {"residual": residual, "bias": residual, "negative_slope": 0.1, **zero}
            yield Conv(
                "EdgeGATConv", f"heads {heads} residual {residual}",
                lambda c, h=heads, o=options: c(5, 2, 4, h, **o), 5, BOTH_SIDES,
                edges={"edge_feat": (2,)}, recorded=many, options={"get_attention": many},
            )  # fmt: skip
        yield Conv(
            "EdgeGATConv", f"heads {heads} (5, 3) elu",
            lambda c, h=heads: c((5, 3), 2, 4, h, activation=nn.functional.elu, **zero), (5, 3),
            ("pair",), edges={"edge_feat": (2,)}, recorded=many,
        )  # fmt: skip


def unfoldings() -> Iterator[Conv]:
    """TWIRLS."""
    for precond in (True, False):
        for name, options in {
            "plain": {},
            "alp": {"alp": 0.3, "lam": 0.6},
            "attention": {"attn_aft": 2, "tau": 0.4, "p": 0.5},
            "T": {"attn_aft": 1, "T": 2.0, "p": 0.0, "init_att": True},
            "eta": {"attn_aft": 0, "use_eta": True, "init_att": True},
        }.items():
            given = {"alp": 0, "lam": 1, "prop_step": 4, **options, "precond": precond}
            yield Conv(
                "TWIRLSUnfoldingAndAttention", f"precond {precond} {name}",
                lambda c, o=given: c(3, **o), loops=True,
            )  # fmt: skip
    yield Conv(
        "TWIRLSUnfoldingAndAttention", "no in-edges", lambda c: c(3, 0.2, 0.5, 3), recorded=False
    )
    for name, options in {
        "plain": {},
        "attention": {"attention": True, "attn_bef": True, "use_eta": True},
        "deep": {"num_mlp_before": 2, "num_mlp_after": 3, "norm": "layer"},
        "batch": {"num_mlp_before": 3, "num_mlp_after": 2, "norm": "batch", "precond": False},
        "kept": {"num_mlp_before": 0, "num_mlp_after": 2},
        "none after": {"num_mlp_after": 0, "attention": True},
    }.items():
        yield Conv("TWIRLSConv", name, lambda c, o=options: c(3, 2, 4, 4, **o))


def convolutions() -> list[Conv]:
    """All of them."""
    return [*propagations(), *gates(), *attentions(), *unfoldings()]

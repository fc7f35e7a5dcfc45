"""hopflow's layers for several types compute what DGL's do: ``record_typed_layers.py`` recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from test_dgl_parity import Recorded, assert_near, cotangent, make
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import (
    GraphConv,
    HeteroEmbedding,
    HeteroGraphConv,
    HeteroLinear,
    HGTConv,
    RelGraphConv,
    SAGEConv,
    TypedLinear,
)

RECORD = Path(__file__).parent / "records" / "typed_layers.npz"
LINEARS = {"plain": (None, None), "basis": ("basis", 2), "bdd": ("bdd", 2)}
RELATIONS = [("item", "in", "shop"), ("user", "buys", "item"), ("user", "sees", "item"),
             ("user", "knows", "user")]  # fmt: skip
COUNTS = {"item": 5, "shop": 3, "user": 6}
KEY = ("user", "knows", "user")
Rows = dict[str, Tensor]
Case = tuple[Callable[[], nn.Module], Callable[[nn.Module, Rows, Any], Any]]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The recorded results."""
    return Recorded(RECORD)


def typed_graph(recorded: Recorded) -> hf.Graph:
    given = recorded.below("typed_graph")
    edges = {r: (given[f"{r[1]}/src"].clone(), given[f"{r[1]}/dst"].clone()) for r in RELATIONS}
    return hf.heterograph(edges, num_nodes_dict=COUNTS)


def typed_block(recorded: Recorded) -> hf.Block:
    seeds = {name: x.clone() for name, x in recorded.below("typed_graph/seeds").items()}
    return hf.to_block(hf.in_subgraph(typed_graph(recorded), seeds), seeds)


def graph_for(recorded: Recorded, path: str) -> hf.Graph | None:
    form = path.rsplit("/", 1)[-1]
    if path.startswith("hetero/"):
        return typed_graph(recorded) if form == "graph" else typed_block(recorded)
    return make(recorded, form) if form in ("graph", "block") else None


def hetero(aggregate: str) -> nn.Module:
    return HeteroGraphConv(
        {
            "in": SAGEConv((4, 3), 2, "mean"),
            ("user", "buys", "item"): GraphConv(3, 2, norm="right"),
            "sees": SAGEConv((3, 4), 2, "mean"),
            "knows": SAGEConv(3, 2, "mean"),
        },
        aggregate,
    )


def with_pair(layer: nn.Module, given: Rows, g: Any) -> Any:
    return layer(g, tuple({n: given[f"{to}{n}"] for n in COUNTS} for to in ("", "to ")))


def by_key(layer: nn.Module, given: Rows, _: Any) -> Rows:
    found = layer({"user": given["user"], KEY: given["key"]})
    return {"key" if name == KEY else name: x for name, x in found.items()}


def with_operands(layer: nn.Module, given: Rows, g: Any) -> Any:
    return layer(g, **given)


def cases() -> dict[str, Case]:
    """Every recorded call: the layer made as DGL's was, and how it is called."""
    made: dict[str, Case] = {}
    for name, options in LINEARS.items():
        made[f"typed_linear/{name}"] = (
            partial(TypedLinear, 4, 6, 5, *options),
            lambda layer, given, _: layer(given["x"], given["x_type"]),
        )
        for a, b in ((4, 2), (2, 4)):
            is_narrow = a > b
            layer = partial(
                RelGraphConv, a, b, 4, *options, bias=is_narrow, self_loop=is_narrow,
                layer_norm=is_narrow, activation=torch.tanh,
            )  # fmt: skip
            for form in ("graph", "block"):
                made[f"rel_graph_conv/{name}/{a}-{b}/{form}"] = (layer, with_operands)
    for width in (4, 6):
        layer = partial(HGTConv, width, 3, 2, 4, 4, use_norm=width == 4)
        for form in ("graph", "block"):
            made[f"hgt_conv/{width}/{form}"] = (layer, with_operands)
    for aggregate in ("sum", "mean", "max", "min", "stack"):
        made[f"hetero/{aggregate}/graph"] = (
            partial(hetero, aggregate), lambda layer, given, g: layer(g, given),
        )  # fmt: skip
    made["hetero/sum/block"] = (partial(hetero, "sum"), made["hetero/sum/graph"][1])
    made["hetero/sum/pair"] = (partial(hetero, "sum"), with_pair)
    made["hetero_linear"] = (lambda: HeteroLinear({"user": 3, KEY: 2}, 4), by_key)
    made["hetero_embedding"] = (lambda: HeteroEmbedding({"user": 3, KEY: 2}, 4), by_key)
    return made


CASES = cases()
INITIAL: dict[str, Callable[[], nn.Module]] = {
    "typed_linear": lambda: TypedLinear(3, 2, 2),
    "typed_linear_basis": lambda: TypedLinear(3, 2, 3, "basis", 2),
    "typed_linear_bdd": lambda: TypedLinear(4, 2, 3, "bdd", 2),
    "rel_graph_conv": lambda: RelGraphConv(3, 2, 2, layer_norm=True),
    "rel_graph_conv_bdd": lambda: RelGraphConv(2, 4, 2, "bdd"),
    "hgt_conv": lambda: HGTConv(3, 2, 2, 2, 2, use_norm=True),
    "hetero_linear": lambda: HeteroLinear({"a": 2, "b": 1}, 2),
    "hetero_embedding": lambda: HeteroEmbedding({"a": 2, "b": 1}, 2),
}


def test_every_record_is_compared(recorded: Recorded) -> None:
    assert recorded.about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 100_000
    assert {k.split("/out")[0] for k in recorded.tensors if "/out" in k} == set(CASES)
    names = {k.split("/")[1] for k in recorded.tensors if k.startswith("initial/")}
    assert names == set(INITIAL)


def test_blocks_number_their_nodes_alike(recorded: Recorded) -> None:
    block = typed_block(recorded)
    for name, ids in recorded.below("typed_graph/source").items():
        assert torch.equal(block.srcnodes[name].data[hf.NID], ids)


@pytest.mark.parametrize("path", sorted(CASES))
def test_layer(recorded: Recorded, path: str) -> None:
    """With DGL's own state dict: results and the gradients of everything."""
    stored = recorded.below(path)
    parts = {
        part: {k[len(part) + 1 :]: x for k, x in stored.items() if k.startswith(part + "/")}
        for part in ("state", "given", "out", "given_grad", "state_grad")
    }
    make_layer, call = CASES[path]
    layer = make_layer().eval()
    layer.load_state_dict(parts["state"])
    assert list(layer.state_dict()) == list(parts["state"])
    given = {k: x.clone() for k, x in parts["given"].items()}
    for x in given.values():
        if x.is_floating_point():
            x.requires_grad_()
    found = call(layer, given, graph_for(recorded, path))
    outs = found if isinstance(found, dict) else {"": found}
    want = parts["out"] or {"": stored["out"]}
    assert set(outs) == set(want)
    for name, out in outs.items():
        assert_near(f"result {name}", out, want[name], 1e-5)
    sum((x * cotangent(x.shape)).sum() for x in outs.values()).backward()
    assert {k for k, x in given.items() if x.grad is not None} == set(parts["given_grad"])
    for name, grad in parts["given_grad"].items():
        assert_near(f"gradient of {name}", given[name].grad, grad, 2e-4)
    grads = {k: p.grad for k, p in layer.named_parameters() if p.grad is not None}
    assert sorted(grads) == sorted(parts["state_grad"])
    for name, grad in parts["state_grad"].items():
        assert_near(f"gradient of {name}", grads[name], grad, 2e-4)


@pytest.mark.parametrize("name", sorted(INITIAL))
def test_initialisation(recorded: Recorded, name: str) -> None:
    """The same numbers drawn in the same order, so that one seed makes one model."""
    torch.manual_seed(0)
    layer = INITIAL[name]()
    for when in ("made", "again"):
        stored = recorded.below(f"initial/{name}/{when}")
        if when == "again" and stored:
            layer.reset_parameters()
        state = layer.state_dict()
        for key, value in stored.items():
            torch.testing.assert_close(state[key], value, rtol=0, atol=1e-7)
    if name != "hetero_embedding":  # at first it is normal, as nn.Embedding is
        first = recorded.below(f"initial/{name}/made")
        torch.manual_seed(0)
        layer.reset_parameters()
        assert {k: x.shape for k, x in layer.state_dict().items()} == {
            k: x.shape for k, x in first.items()
        }

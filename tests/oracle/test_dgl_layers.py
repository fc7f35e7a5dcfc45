"""hopflow's layers compute what DGL's do: results recorded by ``record_layers.py``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from test_dgl_parity import Recorded, assert_near, cotangent, make
from torch import nn

from hopflow.nn import (
    APPNPConv,
    EdgeConv,
    EdgeWeightNorm,
    GATConv,
    GATv2Conv,
    GINConv,
    GINEConv,
    GraphConv,
    SAGEConv,
    SGConv,
)

RECORD = Path(__file__).parent / "records" / "layers.npz"
FORMS = ("graph", "block", "pair")
Make = Callable[[], nn.Module]


def cases() -> dict[str, Make]:
    """Every recorded call but its last part, with the layer made as DGL's was."""
    made: dict[str, Make] = {}
    for kind in ("plain", "weighted"):
        for norm in ("none", "both", "right", "left"):
            for size, (a, b) in {"narrow": (4, 2), "wide": (2, 4)}.items():
                for form in FORMS:
                    made[f"graph_conv/{norm}/{size}/{kind}/{form}"] = lambda a=a, b=b, norm=norm: (
                        GraphConv(a, b, norm=norm, allow_zero_in_degree=True)
                    )
        for form in FORMS:
            for kinds in ("sum", "max", "mean"):
                made[f"gin/{kinds}/{kind}/{form}"] = lambda kinds=kinds: GINConv(
                    nn.Linear(3, 2), kinds, init_eps=0.3, learn_eps=True
                )
            made[f"sage_lstm/{kind}/{form}"] = lambda: SAGEConv(3, 2, "lstm")
        made[f"sg/{kind}/graph"] = lambda: SGConv(3, 2, k=2, allow_zero_in_degree=True)
        made[f"appnp/{kind}/graph"] = lambda: APPNPConv(3, 0.2)
    for form in FORMS:
        made[f"gine/{form}"] = lambda: GINEConv(nn.Linear(3, 2), 0.3, True)
        for normed in (False, True):
            made[f"edge_conv/{normed}/{form}"] = lambda normed=normed: EdgeConv(
                3, 2, normed, allow_zero_in_degree=True
            )
    for residual in (False, True):
        for width in (3, 6):
            options = {"residual": residual, "allow_zero_in_degree": True}
            made[f"gat_pair/{residual}/{width}/pair"] = partial(
                GATConv, (width, width), 3, 2, **options
            )
            for form in FORMS:
                for kind in ("plain", "weighted"):
                    made[f"gat/{residual}/{width}/{kind}/{form}"] = partial(
                        GATConv, width, 3, 2, **options
                    )
                for shared in (False, True):
                    made[f"gatv2/{residual}/{width}/{shared}/{form}"] = partial(
                        GATv2Conv, width, 3, 2, share_weights=shared, **options
                    )
    return made


CASES = cases()


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The recorded results."""
    return Recorded(RECORD)


def test_every_record_is_compared(recorded: Recorded) -> None:
    assert recorded.about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 100_000
    paths = {k[: -len("/out")] for k in recorded.tensors if k.endswith("/out")}
    norms = {p for p in paths if p.startswith("edge_weight_norm/")}
    assert paths - norms == set(CASES)
    assert len(norms) == 6


@pytest.mark.parametrize("path", sorted(CASES))
def test_layer(recorded: Recorded, path: str) -> None:
    """With DGL's own state dict: results and the gradients of everything."""
    given = recorded.below(path)
    graph = make(recorded, "graph" if path.endswith("/graph") else "block")
    parts = {
        part: {k[len(part) + 1 :]: x for k, x in given.items() if k.startswith(part + "/")}
        for part in ("state", "feat", "extra", "feat_grad", "extra_grad", "state_grad")
    }
    layer = CASES[path]()
    layer.load_state_dict(parts["state"])
    assert list(layer.state_dict()) == list(parts["state"])
    feat = [x.clone().requires_grad_() for x in parts["feat"].values()]
    extra = {k: x.clone().requires_grad_() for k, x in parts["extra"].items()}
    out = layer(graph, tuple(feat) if len(feat) > 1 else feat[0], **extra)
    assert_near("result", out, given["out"], 1e-5)
    out.backward(cotangent(out.shape))
    for i, want in parts["feat_grad"].items():
        got = feat[int(i)].grad
        assert got is not None
        assert_near(f"gradient of feat {i}", got, want, 2e-4)
    for name, want in parts["extra_grad"].items():
        got = extra[name].grad
        assert got is not None
        assert_near(f"gradient of {name}", got, want, 2e-4)
    grads = {k: p.grad for k, p in layer.named_parameters() if p.grad is not None}
    assert sorted(grads) == sorted(parts["state_grad"])
    for name, want in parts["state_grad"].items():
        assert_near(f"gradient of {name}", grads[name], want, 2e-4)


@pytest.mark.parametrize("form", ["graph", "block"])
@pytest.mark.parametrize("norm", ["both", "right", "none"])
def test_edge_weight_norm(recorded: Recorded, norm: str, form: str) -> None:
    given = recorded.below(f"edge_weight_norm/{norm}/{form}")
    weight = given["edge_weight"].clone().requires_grad_()
    out = EdgeWeightNorm(norm, eps=0.1)(make(recorded, form), weight)
    assert_near("result", out, given["out"], 1e-5)
    out.backward(cotangent(out.shape))
    assert weight.grad is not None
    assert_near("gradient", weight.grad, given["edge_weight_grad"], 2e-4)

"""Record what DGL's layers compute, for ``tests/oracle/test_dgl_layers.py`` to compare with.

Run with an interpreter that has DGL; hopflow need not be there::

    python tests/oracle/programs/record_layers.py tests/oracle/records/layers.npz

The file has the form of ``fixtures.npz``, see ``record.py``. Names are paths such as
``graph_conv/both/block/weighted/out``; below each are the ``feat``, ``state`` and perhaps
``edge_weight`` or ``edge_feat`` given, the result ``out`` and the gradients of all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import dgl
import dgl.nn.pytorch as dglnn
import record
from record import cotangent, features, graphs, put, put_all
from torch import Tensor, nn

FORMS = ("graph", "block", "pair")
WIDTHS = {"narrow": (4, 2), "wide": (2, 4)}


def fill(layer: nn.Module) -> None:
    """Weights from the recorder's own generator, whatever the layer's initialisation."""
    for parameter in layer.parameters():
        parameter.data = 0.5 * features(1, parameter.shape)[0]


def run(
    path: str,
    layer: nn.Module,
    graph: dgl.DGLGraph,
    feat: list[Tensor],
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Record one call of a layer, with its gradients."""
    extra = extra or {}
    leaves = [*feat, *extra.values()]
    for x in leaves:
        x.requires_grad_()
    put_all(f"{path}/state", layer.state_dict())
    put_all(f"{path}/feat", {str(i): x for i, x in enumerate(feat)})
    put_all(f"{path}/extra", extra)
    out = layer(graph, tuple(feat) if len(feat) > 1 else feat[0], **extra)
    out.backward(cotangent(out.shape))
    put(f"{path}/out", out)
    put_all(f"{path}/feat_grad", {str(i): x.grad for i, x in enumerate(feat) if x.grad is not None})
    put_all(f"{path}/extra_grad", {k: x.grad for k, x in extra.items()})
    grads = {k: p.grad for k, p in layer.named_parameters() if p.grad is not None}
    put_all(f"{path}/state_grad", grads)


def record_forms(
    path: str,
    make: Callable[[], nn.Module],
    made: dict[str, dgl.DGLGraph],
    width: int,
    *,
    forms: tuple[str, ...] = FORMS,
    extra: str | None = None,
    extra_shape: tuple[int, ...] = (),
    positive: bool = False,
) -> None:
    """A layer on a graph, a block and a pair; ``extra`` names an edge operand to give too."""
    for form in forms:
        graph = made["graph" if form == "graph" else "block"]
        feat = [features(graph.num_src_nodes(), (width,))]
        if form == "pair":
            feat.append(features(graph.num_dst_nodes(), (width,)))
        layer = make()
        fill(layer)
        given = {}
        if extra is not None:
            x = features(graph.num_edges(), extra_shape)
            given[extra] = x.abs() if positive else x
        run(f"{path}/{form}", layer, graph, feat, given)


def record_all(made: dict[str, dgl.DGLGraph]) -> None:
    """Every layer in its forms."""
    for kind in ("plain", "weighted"):
        weight = None if kind == "plain" else "edge_weight"
        positive = {"extra": weight, "positive": True}
        for norm in ("none", "both", "right", "left"):
            for size, (in_feats, out_feats) in WIDTHS.items():
                record_forms(
                    f"graph_conv/{norm}/{size}/{kind}",
                    lambda a=in_feats, b=out_feats, norm=norm: dglnn.GraphConv(
                        a, b, norm=norm, allow_zero_in_degree=True
                    ),
                    made, in_feats, extra=weight,
                )  # fmt: skip
        for aggregator in ("sum", "max", "mean"):
            record_forms(
                f"gin/{aggregator}/{kind}",
                lambda aggregator=aggregator: dglnn.GINConv(
                    nn.Linear(3, 2), aggregator, init_eps=0.3, learn_eps=True
                ),
                made, 3, extra=weight,
            )  # fmt: skip
        record_forms(
            f"sage_lstm/{kind}", lambda: dglnn.SAGEConv(3, 2, "lstm"), made, 3, extra=weight
        )
        record_forms(
            f"sg/{kind}",
            lambda: dglnn.SGConv(3, 2, k=2, allow_zero_in_degree=True),
            made, 3, forms=("graph",), **positive,
        )  # fmt: skip
        record_forms(
            f"appnp/{kind}", lambda: dglnn.APPNPConv(3, 0.2), made, 3, forms=("graph",), **positive
        )
    record_forms(
        "gine", lambda: dglnn.GINEConv(nn.Linear(3, 2), 0.3, True), made, 3,
        extra="edge_feat", extra_shape=(3,),
    )  # fmt: skip
    for normed in (False, True):
        record_forms(
            f"edge_conv/{normed}",
            lambda normed=normed: dglnn.EdgeConv(3, 2, normed, allow_zero_in_degree=True),
            made, 3,
        )  # fmt: skip
    for norm in ("both", "right", "none"):
        for form in ("graph", "block"):
            graph = made[form]
            weight = features(graph.num_edges(), ()).abs().requires_grad_()
            out = dglnn.EdgeWeightNorm(norm, eps=0.1)(graph, weight)
            out.backward(cotangent(out.shape))
            path = f"edge_weight_norm/{norm}/{form}"
            put_all(path, {"edge_weight": weight, "edge_weight_grad": weight.grad, "out": out})
    # Attention: with a residual that keeps its width (6) and one that is projected (3).
    for residual in (False, True):
        for width in (3, 6):
            options = {"residual": residual, "allow_zero_in_degree": True}
            for kind in ("plain", "weighted"):
                record_forms(
                    f"gat/{residual}/{width}/{kind}",
                    lambda w=width, o=options: dglnn.GATConv(w, 3, 2, **o),
                    made, width, extra=None if kind == "plain" else "edge_weight",
                )  # fmt: skip
            record_forms(
                f"gat_pair/{residual}/{width}",
                lambda w=width, o=options: dglnn.GATConv((w, w), 3, 2, **o),
                made, width, forms=("pair",),
            )  # fmt: skip
            for shared in (False, True):
                record_forms(
                    f"gatv2/{residual}/{width}/{shared}",
                    lambda w=width, o=options, s=shared: dglnn.GATv2Conv(
                        w, 3, 2, share_weights=s, **o
                    ),
                    made, width,
                )  # fmt: skip


def main() -> None:
    """Record everything into the file that the command line names."""
    made = graphs()
    record_all(made)
    record.save(sys.argv[1], {})
    print(f"{len(record.recorded)} tensors from DGL {dgl.__version__}")


if __name__ == "__main__":
    main()

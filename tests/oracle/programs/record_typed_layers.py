"""Record what DGL's layers for several types compute, for ``test_dgl_typed_layers.py``.

Run with an interpreter that has DGL; hopflow need not be there::

    python tests/oracle/programs/record_typed_layers.py tests/oracle/records/typed_layers.npz

The file has the form of ``fixtures.npz``, see ``record.py``. Below a path such as
``rel_graph_conv/basis/block`` are the operands ``given/...``, the ``state``, the result ``out`` and
the gradients of all of them; below ``initial/...`` what layers are made with after
``torch.manual_seed(0)``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import dgl
import dgl.nn.pytorch as dglnn
import record
import torch
from record import cotangent, features, generator, graphs, put, put_all
from record_layers import fill
from torch import Tensor, nn

LINEARS = {"plain": (None, None), "basis": ("basis", 2), "bdd": ("bdd", 2)}
RELATIONS = [("item", "in", "shop"), ("user", "buys", "item"), ("user", "sees", "item"),
             ("user", "knows", "user")]  # fmt: skip
COUNTS = {"item": 5, "shop": 3, "user": 6}


def types(count: int, num_types: int) -> Tensor:
    """A type for each of ``count`` rows; the last is nobody's."""
    return torch.randint(num_types - 1, (count,), generator=generator)


def run(
    path: str,
    layer: nn.Module,
    given: dict[str, Tensor],
    call: Callable[[nn.Module, dict[str, Tensor]], Tensor | dict[str, Tensor]],
) -> None:
    """Record one call of a layer, with its gradients."""
    fill(layer)
    for x in given.values():
        if x.is_floating_point():
            x.requires_grad_()
    put_all(f"{path}/state", layer.state_dict())
    put_all(f"{path}/given", given)
    layer.eval()
    found = call(layer, given)
    outs = found if isinstance(found, dict) else {"": found}
    sum((x * cotangent(x.shape)).sum() for x in outs.values()).backward()
    for name, out in outs.items():
        put(f"{path}/out/{name}" if name else f"{path}/out", out)
    put_all(f"{path}/given_grad", {k: x.grad for k, x in given.items() if x.grad is not None})
    grads = {k: p.grad for k, p in layer.named_parameters() if p.grad is not None}
    put_all(f"{path}/state_grad", grads)


def record_layers(made: dict[str, dgl.DGLGraph]) -> None:
    """TypedLinear, RelGraphConv and HGTConv."""
    for name, options in LINEARS.items():
        run(
            f"typed_linear/{name}",
            dglnn.TypedLinear(4, 6, 5, *options),
            {"x": features(13, (4,)), "x_type": types(13, 5)},
            lambda layer, given: layer(given["x"], given["x_type"]),
        )
        for width in ((4, 2), (2, 4)):
            for form in ("graph", "block"):
                g = made[form]
                given = {
                    "feat": features(g.num_src_nodes(), (width[0],)),
                    "etypes": types(g.num_edges(), 4),
                }
                is_narrow = width == (4, 2)
                if is_narrow:
                    given["norm"] = features(g.num_edges(), (1,))
                run(
                    f"rel_graph_conv/{name}/{width[0]}-{width[1]}/{form}",
                    dglnn.RelGraphConv(
                        *width, 4, *options, bias=is_narrow, self_loop=is_narrow,
                        layer_norm=is_narrow, activation=torch.tanh,
                    ),
                    given,
                    lambda layer, given, g=g: layer(g, **given),
                )  # fmt: skip
    for width in (4, 6):
        for form in ("graph", "block"):
            g = made[form]
            given = {
                "x": features(g.num_src_nodes(), (width,)),
                "ntype": types(g.num_src_nodes(), 4),
                "etype": types(g.num_edges(), 4),
            }
            run(
                f"hgt_conv/{width}/{form}",
                dglnn.HGTConv(width, 3, 2, 4, 4, use_norm=width == 4),
                given,
                lambda layer, given, g=g: layer(g, **given),
            )


def typed_graph() -> dgl.DGLGraph:
    """Three node types; one relation has no edges."""
    edges = {}
    for source, name, destination in RELATIONS:
        count = 0 if name == "sees" else 9
        ends = [
            torch.randint(COUNTS[t], (count,), generator=generator) for t in (source, destination)
        ]
        edges[source, name, destination] = tuple(ends)
        put_all(f"typed_graph/{name}", dict(zip(("src", "dst"), ends)))
    return dgl.heterograph(edges, num_nodes_dict=COUNTS)


def hetero(aggregate: str) -> nn.Module:
    """A layer for each relation, by name and by triple."""
    return dglnn.HeteroGraphConv(
        {
            "in": dglnn.SAGEConv((4, 3), 2, "mean"),
            ("user", "buys", "item"): dglnn.GraphConv(3, 2, norm="right"),
            "sees": dglnn.SAGEConv((3, 4), 2, "mean"),
            "knows": dglnn.SAGEConv(3, 2, "mean"),
        },
        aggregate,
    )


def record_hetero() -> None:
    """HeteroGraphConv, HeteroLinear and HeteroEmbedding."""
    g = typed_graph()
    seeds = {"item": torch.tensor([3, 0, 1]), "shop": torch.tensor([2, 0])}
    block = dgl.to_block(dgl.in_subgraph(g, seeds), seeds)
    widths = {"item": 4, "shop": 3, "user": 3}
    for name in widths:
        put(f"typed_graph/source/{name}", block.srcnodes[name].data[dgl.NID])
    put_all("typed_graph/seeds", seeds)
    for aggregate in ("sum", "mean", "max", "min", "stack"):
        run(
            f"hetero/{aggregate}/graph",
            hetero(aggregate),
            {name: features(COUNTS[name], (width,)) for name, width in widths.items()},
            lambda layer, given: layer(g, given),
        )
    given = {name: features(block.num_src_nodes(name), (w,)) for name, w in widths.items()}
    run("hetero/sum/block", hetero("sum"), given, lambda layer, given: layer(block, given))
    given = {name: features(block.num_src_nodes(name), (w,)) for name, w in widths.items()}
    given |= {f"to {name}": features(block.num_dst_nodes(name), (w,)) for name, w in widths.items()}

    def with_pair(layer: nn.Module, given: dict[str, Tensor]) -> Any:
        return layer(block, tuple({n: given[f"{to}{n}"] for n in widths} for to in ("", "to ")))

    run("hetero/sum/pair", hetero("sum"), given, with_pair)
    key = ("user", "knows", "user")
    for name, layer, given in (
        ("linear", dglnn.HeteroLinear({"user": 3, key: 2}, 4),
         {"user": features(5, (3,)), "key": features(2, (2,))}),
        ("embedding", dglnn.HeteroEmbedding({"user": 3, key: 2}, 4),
         {"user": torch.tensor([2, 0, 2]), "key": torch.tensor([1])}),
    ):  # fmt: skip
        run(
            f"hetero_{name}", layer, given,
            lambda layer, given: {
                "key" if k == key else k: x
                for k, x in layer({"user": given["user"], key: given["key"]}).items()
            },
        )  # fmt: skip


def record_initial() -> None:
    """Weights that layers are made with."""
    for name, make in {
        "typed_linear": lambda: dglnn.TypedLinear(3, 2, 2),
        "typed_linear_basis": lambda: dglnn.TypedLinear(3, 2, 3, "basis", 2),
        "typed_linear_bdd": lambda: dglnn.TypedLinear(4, 2, 3, "bdd", 2),
        "rel_graph_conv": lambda: dglnn.RelGraphConv(3, 2, 2, layer_norm=True),
        "rel_graph_conv_bdd": lambda: dglnn.RelGraphConv(2, 4, 2, "bdd"),
        "hgt_conv": lambda: dglnn.HGTConv(3, 2, 2, 2, 2, use_norm=True),
        "hetero_linear": lambda: dglnn.HeteroLinear({"a": 2, "b": 1}, 2),
        "hetero_embedding": lambda: dglnn.HeteroEmbedding({"a": 2, "b": 1}, 2),
    }.items():
        torch.manual_seed(0)
        layer = make()
        put_all(f"initial/{name}/made", layer.state_dict())
        if name == "hetero_embedding":
            layer.reset_parameters()
            put_all(f"initial/{name}/again", layer.state_dict())


def main() -> None:
    """Record everything into the file that the command line names."""
    record_layers(graphs())
    record_hetero()
    record_initial()
    record.save(sys.argv[1], {})
    print(f"{len(record.recorded)} tensors from DGL {dgl.__version__}")


if __name__ == "__main__":
    main()

"""The layers of ``convolution_cases.py`` for ``compare.py``, with DGL's parameters in both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from compare_cases import DTYPES
from compare_engine import GRAPHS, Case, Engine, Shape, Tensors, with_gradients
from compare_layers import fill
from convolution_cases import Conv, convolutions
from torch import Tensor


def run_convolution(engine: Engine, path: str, spec: Conv, form: str, dtype: str) -> Tensors:
    """One call, with the gradients of every operand and parameter."""
    layer = spec.make(engine.find(spec.cls, "nn")).to(DTYPES[dtype])
    if engine.states is None:
        fill(path, layer)
        engine.made_states[path] = {k: x.clone() for k, x in layer.state_dict().items()}
    else:
        layer.load_state_dict(engine.states[path])
    layer.eval()
    name = "graph" if form == "graph" else "block"
    graph = rebuilt(engine, spec, name)

    def leaf(side: str, shape: Shape) -> Tensor:
        made = engine.leaf(name, side, shape, DTYPES[dtype]).detach()
        if side == "e" and spec.loops:
            made = torch.cat([made, made[: graph.num_edges() - len(made)]])
        return (made[: graph.num_edges()] if side == "e" else made).clone().requires_grad_()

    leaves = spec.leaves(form, leaf)
    parameters = {f"parameter {k}": p for k, p in layer.named_parameters()}
    return with_gradients(spec.call(layer, graph, leaves), leaves | parameters)


def rebuilt(engine: Engine, spec: Conv, name: str) -> Any:
    """A graph or block of :data:`GRAPHS` with the edges that a case wants."""
    num_src, num_dst, _ = GRAPHS[name]
    src, dst = (torch.from_numpy(engine.inputs[f"{name}/{end}"]) for end in ("src", "dst"))
    edges = spec.rebuilt(src, dst, num_dst)
    if name == "graph":
        return engine.module().graph(edges, num_nodes=num_dst)
    return engine.module().create_block(edges, num_src_nodes=num_src, num_dst_nodes=num_dst)


def run_initial(engine: Engine, spec: Conv) -> Tensors:
    """The parameters of a new layer: the same draws, in the same order, from one seed."""
    torch.manual_seed(1)
    layer = spec.make(engine.find(spec.cls, "nn"))
    return {k: x.clone() for k, x in layer.state_dict().items()}


def convolution_cases() -> Iterator[Case]:
    """Every layer in its forms."""
    for spec in convolutions():
        yield Case(spec.cls, "new", f"{spec.name} {spec.forms[0]}",
                   lambda engine, spec=spec: run_initial(engine, spec))  # fmt: skip
        for form in spec.forms:
            for dtype in DTYPES:
                name = f"{spec.name}, {dtype}"
                path = f"{spec.cls}/{form}/{name}"

                def run(
                    engine: Engine, path: str = path, spec: Conv = spec, form: str = form,
                    dtype: str = dtype,
                ) -> Tensors:  # fmt: skip
                    return run_convolution(engine, path, spec, form, dtype)

                yield Case(spec.cls, form, name, run)

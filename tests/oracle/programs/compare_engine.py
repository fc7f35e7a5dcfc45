"""What ``compare.py`` runs under DGL and under hopflow: the same code, for they share their names.

Nothing here imports either of them; :func:`open_engine` does, by name.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]
Shape = tuple[int, ...]

# name: sources, destinations, edges; nodes above `reached` have no edges.
GRAPHS = {
    "graph": (24, 24, 90),
    "block": (30, 12, 70),
    "no_edges": (5, 5, 0),
    "no_edges_block": (6, 3, 0),
}


class Missing(Exception):
    """hopflow does not have a name (yet)."""


@dataclass(frozen=True)
class Case:
    """One call to compare.

    Attributes
    ----------
    group, graph, name : str
        Rows of the table, and what tells this case from the others there.
    run : callable
        ``run(engine)`` gives the tensors to compare.
    known : str or None
        Why it is not compared: a difference that is meant, as README.md lists them.
    but : str or None
        What of it is not compared, for such a reason.
    """

    group: str
    graph: str
    name: str
    run: Callable[[Engine], Tensors]
    known: str | None = None
    but: str | None = None

    @property
    def path(self) -> str:
        """The case among all."""
        return f"{self.group}/{self.graph}/{self.name}"


@dataclass
class Engine:
    """DGL or hopflow, and the inputs.

    Attributes
    ----------
    name : str
        "dgl" or "hopflow".
    inputs : mapping
        What :func:`make_inputs` made.
    states : mapping or None
        Of every layer that DGL ran, by the path of its case; None under DGL, which makes them.
    """

    name: str
    inputs: Mapping[str, np.ndarray]
    states: dict[str, Tensors] | None = None
    made_states: dict[str, Tensors] = field(default_factory=dict)

    def module(self, name: str = "") -> Any:
        """The package, or one of its modules."""
        return importlib.import_module(f"{self.name}.{name}" if name else self.name)

    def find(self, what: str, *modules: str) -> Any:
        """A name in the first of the modules that has it."""
        for name in modules:
            try:
                found = getattr(self.module(name), what, None)
            except ModuleNotFoundError:
                continue
            if found is not None:
                return found
        raise Missing(f"{self.name} has no {what}")

    def graph(self, name: str) -> Any:
        """A graph or block of :data:`GRAPHS`; "graph32" is "graph" with int32 ids."""
        plain = name.removesuffix("32")
        src, dst = (torch.from_numpy(self.inputs[f"{plain}/{end}"]) for end in ("src", "dst"))
        num_src, num_dst, _ = GRAPHS[plain]
        if "block" in plain:
            make = self.module().create_block
            made = make((src, dst), num_src_nodes=num_src, num_dst_nodes=num_dst)
        else:
            made = self.module().graph((src, dst), num_nodes=num_dst)
        return made.int() if name != plain else made

    def leaf(self, graph: str, side: str, shape: Shape, dtype: torch.dtype) -> Tensor:
        """Random features of one side of a graph, with a gradient."""
        plain = graph.removesuffix("32")
        rows = dict(zip("uve", GRAPHS[plain], strict=True))[side]
        flat = self.inputs[f"{plain}/{side}"]
        width = math.prod(shape)
        # Every shape reads other numbers, so that no two operands are alike.
        start = (sum(shape) * 7919) % (flat.shape[0] - rows * width)
        taken = flat[start : start + rows * width].reshape(rows, *shape)
        return torch.from_numpy(taken).to(dtype, copy=True).requires_grad_()


def make_inputs(seed: int) -> Arrays:
    """Edges in no order, with duplicates, self-loops and nodes that none enters; random numbers."""
    rng = np.random.default_rng(seed)
    made: Arrays = {}
    for name, (num_src, num_dst, num_edges) in GRAPHS.items():
        src = rng.integers(max(num_src - 4, 1), size=num_edges)
        dst = rng.integers(max(num_dst - 3, 1), size=num_edges)
        if num_edges:
            dst[dst == 2] = 3  # none enters node 2, in the midst of the others
            src[-6:], dst[-6:] = src[:6], dst[:6]
            dst[20:24] = [0, 3, 4, 7]  # nodes that cases pull at
            if num_src == num_dst:
                src[10:13] = dst[10:13]
        order = rng.permutation(num_edges)
        made[f"{name}/src"], made[f"{name}/dst"] = src[order], dst[order]
        for side, rows in zip("uve", (num_src, num_dst, num_edges), strict=True):
            # Of both signs and away from 0, so that they can divide.
            size = rng.random(rows * 64 + 9000) + 0.5
            made[f"{name}/{side}"] = size * (rng.integers(2, size=size.shape) * 2 - 1)
    return made


def with_gradients(outputs: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> Tensors:
    """The results, and the gradient that one made-up loss of them gives every leaf."""
    found = dict(outputs)
    used = [x for x in outputs.values() if x.requires_grad]
    if not used:
        return found
    total = sum((x * torch.cos(torch.arange(x.numel()).to(x.dtype)).view(x.shape)).sum()
                for x in used)  # fmt: skip
    total.backward()
    return found | {f"grad of {k}": x.grad for k, x in leaves.items() if x.grad is not None}


def run_all(cases: Iterable[Case], engine: Engine) -> tuple[dict[str, Tensors], dict[str, str]]:
    """What every case gives, and what it raised instead."""
    results: dict[str, Tensors] = {}
    errors: dict[str, str] = {}
    for case in cases:
        if case.known is not None:
            continue
        try:
            results[case.path] = {k: x.detach() for k, x in case.run(engine).items()}
        except Missing as error:
            errors[case.path] = f"missing: {error}"
        except Exception as error:  # whatever an engine raises is its answer
            errors[case.path] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return results, errors


def save(path: Path, tensors: Mapping[str, Tensors], about: Mapping[str, Any]) -> None:
    """Many small tensors as one flat array a dtype and an index."""
    index: dict[str, dict[str, tuple[str, int, list[int]]]] = {}
    flat: dict[str, list[np.ndarray]] = {}
    ends: dict[str, int] = {}
    for case, values in tensors.items():
        index[case] = {}
        for name, value in values.items():
            dtype = str(value.dtype).removeprefix("torch.")
            index[case][name] = (dtype, ends.get(dtype, 0), list(value.shape))
            flat.setdefault(dtype, []).append(value.reshape(-1).numpy())
            ends[dtype] = ends.get(dtype, 0) + value.numel()
    arrays = {f"flat_{dtype}": np.concatenate(parts) for dtype, parts in flat.items()}
    text = json.dumps({**about, "index": index}).encode()
    np.savez(path, about=np.frombuffer(text, dtype=np.uint8), **arrays)


def load(path: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """What :func:`save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        flat = {k[5:]: torch.from_numpy(arrays[k]) for k in arrays if k.startswith("flat_")}
    tensors = {
        case: {
            name: flat[dtype][start : start + math.prod(shape)].view(shape)
            for name, (dtype, start, shape) in values.items()
        }
        for case, values in about.pop("index").items()
    }
    return tensors, about

"""Checks that layers share: what they raise before any work is done."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module

from hopflow.graphs.graph import Graph
from hopflow.ops import HopflowError
from hopflow.ops import is_compiling as is_compiling

_ALLOW = "construct the layer with allow_zero_in_degree=True to accept such nodes"


class ChecksInDegrees(nn.Module):
    """A layer that refuses destinations without in-edges, unless told to accept them."""

    _allow_zero_in_degree: bool

    def set_allow_zero_in_degree(self, set_value: bool) -> None:
        """Change ``allow_zero_in_degree``."""
        self._allow_zero_in_degree = set_value


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer is of this kind as torch made it, without hooks (pruning is one) or wrappers.

    Then it may be computed without calling it, and its result is its caller's alone.
    """
    hooks = (
        layer._forward_hooks or layer._backward_hooks or layer._backward_pre_hooks
        or layer._forward_pre_hooks or module._global_forward_pre_hooks
        or module._global_forward_hooks or module._global_backward_hooks
        or module._global_backward_pre_hooks
    )  # fmt: skip
    return type(layer) is kind and not hooks and "forward" not in vars(layer)


def require_in_degrees(graph: Graph, allow: bool, instead: str = _ALLOW) -> None:
    """Raise unless every destination has an in-edge, or ``allow`` says that it need not.

    In a compiled model the check is part of the model and raises torch's RuntimeError.

    Parameters
    ----------
    graph : Graph or Block
        Whose destinations are looked at; on CUDA the host waits for the answer.
    allow : bool
        A layer's ``allow_zero_in_degree``.
    instead : str
        What else than an in-edge for each would do.

    Raises
    ------
    HopflowError
        A destination without in-edges, where DGL raises a ``DGLError``.
    """
    if allow:
        return
    empty = graph.adjacency.in_degrees() == 0
    if is_compiling():
        assert_compiled(
            empty.logical_not().all(),
            "graph: there are 0-in-degree nodes in the graph; see allow_zero_in_degree",
        )
        return
    count = int(empty.sum())
    if count:
        raise HopflowError(
            f"graph: {count} of {empty.shape[0]} destination nodes have no in-edge (the first is"
            f" {int(empty.nonzero()[0])}): there are 0-in-degree nodes in the graph, and a layer's"
            " output for them is invalid, which can cost accuracy without notice. Expected an"
            f" in-edge for each: hopflow.add_self_loop(graph) adds one, or {instead}"
        )


def assert_compiled(condition: Tensor, message: str) -> None:
    """Check a bool tensor when the compiled model runs; the host does not wait on CUDA."""
    torch._assert_async(condition, message)  # type: ignore[call-arg, arg-type, unused-ignore]


def require_rows(name: str, x: Tensor, num_rows: int) -> None:
    """Raise a ValueError unless ``x`` has shape [num_rows, ..., features]."""
    if x.dim() < 2 or x.shape[0] != num_rows:
        raise ValueError(f"{name}: expected {num_rows} rows of features, got shape {list(x.shape)}")


def require_matrix(name: str, x: Tensor) -> None:
    """Raise a ValueError unless ``x`` has rows of one dimension, shape [rows, features]."""
    if x.dim() != 2:
        raise ValueError(f"{name}: expected rows of one dimension, got shape {list(x.shape)}")


def require_edge_rows(name: str, x: Tensor, num_edges: int) -> None:
    """Raise a ValueError unless ``x`` has one row an edge, shape [num_edges, ...]."""
    if x.dim() < 1 or x.shape[0] != num_edges:
        raise ValueError(
            f"{name}: expected one row for each of the {num_edges} edges, got shape {list(x.shape)}"
        )


def require_edge_numbers(name: str, x: object, num_edges: int) -> None:
    """Raise unless ``x`` is a tensor of one number an edge."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dim() < 1 or x.shape[0] != num_edges or x.numel() != num_edges:
        raise ValueError(
            f"{name}: expected one number for each of the {num_edges} edges, got shape"
            f" {list(x.shape)}"
        )


def require_width(name: str, x: Tensor, width: int) -> None:
    """Raise a ValueError unless the last dimension of ``x`` is ``width``."""
    if x.shape[-1] != width:
        raise ValueError(f"{name}: expected {width} features a row, got shape {list(x.shape)}")


def require_input(name: str, x: Tensor, layer: object) -> None:
    """Raise a ValueError unless rows are as wide as the linear layer that is to take them.

    Parameters
    ----------
    name : str
        What to call the rows in the message.
    x : Tensor
        Shape [..., features].
    layer : object
        Asked if it is an ``nn.Linear``, or an ``nn.Sequential`` that begins with one. Another
        module or function, which somebody may have put in its place, takes what it likes.
    """
    while type(layer) is nn.Sequential and len(layer):
        layer = layer[0]
    if isinstance(layer, nn.Linear) and not isinstance(layer, nn.LazyLinear):
        require_width(name, x, layer.in_features)


def require_inputs(source: Tensor, own: Tensor, of_source: object, of_own: object) -> None:
    """:func:`require_input` of the sources' rows and the destinations'."""
    require_input("feat of sources", source, of_source)
    require_input("feat of destinations", own, of_own)


def require_messages(
    name: str, source: Tensor, edge_name: str, edges: Tensor, num_edges: int, layer: object
) -> None:
    """Raise a ValueError unless sources' and edges' rows broadcast, to what a layer takes.

    Parameters
    ----------
    name, edge_name : str
        What to call the rows of the sources and of the edges in messages.
    source : Tensor
        Shape [U, ...].
    edges : Tensor
        Shape [E], or [E, ...] with dimensions that broadcast with the sources' and are no more:
        these would pair destinations with other rows than their own.
    num_edges : int
        The E that is expected.
    layer : object
        As :func:`require_input` takes it.
    """
    require_edge_rows(edge_name, edges, num_edges)
    own, other = source.shape[1:], edges.shape[1:]
    if own[-1] != 1:
        require_input(name, source, layer)
    fits = len(other) <= len(own) and all(
        x == y or 1 in (x, y) for x, y in zip(reversed(own), reversed(other))
    )
    if not fits:
        raise ValueError(
            f"{edge_name}: expected shape [{num_edges}], or [{num_edges}, ...] whose rows broadcast"
            f" with those of {name}, {list(own)}, got {list(edges.shape)}"
        )
    if own[-1] == 1:
        is_wider = bool(other) and other[-1] != 1
        require_input(*((edge_name, edges) if is_wider else (name, source)), layer)


def require_same_widths(source: Tensor, own: Tensor) -> None:
    """Raise a ValueError unless sources and destinations have features of one shape."""
    if source.shape[1:] != own.shape[1:]:
        raise ValueError(
            "feat: expected features of one shape for sources and destinations, got"
            f" {list(source.shape)} and {list(own.shape)}"
        )


def require_one_step(graph: Graph, steps: int, name: str = "k", one: int = 1) -> None:
    """Raise a ValueError where several steps are to be made over a block, which has one.

    Parameters
    ----------
    graph : Graph or Block
        Where steps are to be made.
    steps : int
        The layer's setting, which says how many.
    name : str
        What the layer calls it.
    one : int
        The setting that makes one step.
    """
    if graph.is_block and steps > one:
        raise ValueError(
            f"graph: a block carries features one step, the layer takes {name} = {steps}; expected"
            f" a graph, or a layer with {name} = {one} for each block"
        )


def autocasts_on_cpu() -> bool:
    """Whether autocast is on for the CPU."""
    try:
        return bool(torch.is_autocast_enabled("cpu"))
    except TypeError:  # torch before 2.4 asks of CUDA with this, and of the CPU otherwise
        return bool(torch.is_autocast_cpu_enabled())


def autocast_state(device: str) -> tuple[bool, torch.dtype]:
    """Whether autocast is on for a type of device, and to what it casts there."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    if device == "cpu":  # before torch 2.4 there was one question a device
        return torch.is_autocast_cpu_enabled(), torch.get_autocast_cpu_dtype()
    return torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype()

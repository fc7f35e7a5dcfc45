"""The loader's options, checked: its own, and those that DGL hands on to torch's DataLoader."""

from __future__ import annotations

import difflib
import math
import multiprocessing
import numbers
import warnings
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
import torch

import hopflow.ops as ops
from hopflow.dataloading.parts import GraphInParts
from hopflow.graphs.graph import Graph

# What torch's loader takes and this one has no place for: what to do instead.
_INSTEAD = {
    "collate_fn": "a batch is what the sampler's sample(graph, seeds) returns; change it there",
    "sampler": "give indices in the order wanted, without shuffle",
    "batch_sampler": "give indices in the order wanted, without shuffle, and a batch_size",
}


def require_int(name: str, value: object, least: int, most: int = 2**63 - 1) -> int:
    """Return an int of that range, or raise an error that names it."""
    number = ops.as_wide_int(name, value)  # seeds go up to 2^64 - 1
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {number}")
    if number > most:
        raise ValueError(f"{name}: expected at most {most}, got {number}")
    return number


def require_bool(name: str, value: object) -> bool:
    """Return a bool; what is merely true, such as ``"no"``, is refused."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {value!r}")


def refuse_unknown(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Raise a TypeError that names an unknown keyword, and the known one that is closest to it."""
    known = [name for name in known if name != "unknown"]  # what takes up the others
    for name in unknown:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TypeError(f"DataLoader got an unexpected keyword argument {name!r}{hint}")


def refuse_replacements(**given: object) -> None:
    """Raise for an option of torch's loader that would replace what this one does itself."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: expected None, got {type(value).__name__}; {_INSTEAD[name]}")


def refuse_device_options(**given: object) -> None:
    """Raise for an option that only batches on CUDA have."""
    for name, value in given.items():
        if value:
            raise ValueError(
                f"{name}: expected None or False for batches on the CPU, got {value!r}"
            )


def refuse_for_parts(graph: GraphInParts, sampler: Any, use_ddp: object, use_uva: object) -> None:
    """Raise for what a graph in parts cannot do."""
    if graph.ranks()[1] > 1 and not use_ddp:
        raise ValueError("use_ddp: expected True for a graph in parts, got False")
    if use_uva:
        raise ValueError("use_uva: expected False for a graph in parts, got True")
    kind = getattr(sampler, "index_kind", None)
    if kind != "node":
        why = "it draws from a whole graph, which no process has"
        if kind == "edge":
            why = "edge prediction is not possible there yet"
        raise ValueError(
            "graph_sampler: expected one of batches of nodes for a graph in parts, got"
            f" {type(sampler).__name__}; {why}"
        )


def require_sampler(sampler: Any, base: type) -> None:
    """Raise unless it has ``sample(graph, seeds)``."""
    if isinstance(sampler, type) and issubclass(sampler, base):
        raise TypeError(
            f"graph_sampler: expected a sampler, got the class {sampler.__name__}; make one of it"
        )
    if not callable(getattr(sampler, "sample", None)):
        raise TypeError(
            "graph_sampler: expected an object with sample(graph, seeds), got"
            f" {type(sampler).__name__}"
        )


def as_device(graph: Graph, device: str | torch.device | None) -> torch.device:
    """Where the batches go; a CUDA device with its number."""
    if device is None:
        return graph.device
    wanted = torch.device(device)
    if wanted.type == "cuda":
        if not torch.cuda.is_available():
            raise ops.HopflowError(
                f"device: got {str(wanted)!r}, but torch finds no CUDA device; `hopflow doctor`"
                " says what is missing"
            )
        if getattr(wanted, "index", None) is None:  # torch's types say that it always is one
            wanted = torch.device("cuda", torch.cuda.current_device())
    if graph.device.type == "cuda" and wanted != graph.device:
        raise ValueError(
            f"device: got {str(wanted)!r}, but the graph is on {graph.device}; expected the same"
        )
    return wanted


def require_generator(generator: object) -> torch.Generator | None:
    """Return a generator on the CPU, or None."""
    if generator is None:
        return None
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator: expected a torch.Generator, got {type(generator).__name__}; a number"
            " goes to seed="
        )
    if generator.device.type != "cpu":
        raise ValueError(f"generator: expected one on the CPU, got one on {generator.device}")
    return generator


def as_timeout(timeout: object, num_workers: int) -> float:
    """Seconds to wait for a batch; 0 for any time."""
    if isinstance(timeout, (bool, np.bool_)) or not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout: expected seconds, got {type(timeout).__name__}")
    seconds = ops.as_float("timeout", timeout)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"timeout: expected 0 or more seconds, got {timeout}")
    if seconds and not num_workers:
        raise ValueError(
            f"timeout: expected 0 without workers, got {timeout}; nobody waits for a batch that is"
            " made in the thread that asks for it"
        )
    return seconds


def require_init_fn(worker_init_fn: Any) -> Callable[[int], Any] | None:
    """Return a function of the worker's number, or None."""
    if not (worker_init_fn is None or callable(worker_init_fn)):
        raise TypeError(
            "worker_init_fn: expected a function of the worker's number, got"
            f" {type(worker_init_fn).__name__}"
        )
    return worker_init_fn  # type: ignore[no-any-return]


def require_context(context: object) -> str | BaseContext | None:
    """Return what torch takes as ``multiprocessing_context``."""
    if context is None or isinstance(context, BaseContext):
        return context
    known = multiprocessing.get_all_start_methods()
    if not isinstance(context, str):
        raise TypeError(
            "multiprocessing_context: expected the name of a start method or a context, got"
            f" {type(context).__name__}"
        )
    if context not in known:
        raise ValueError(
            f"multiprocessing_context: expected one of {', '.join(known)}, got {context!r}"
        )
    return context


def require_pin_device(pin_memory_device: object) -> str:
    """Return what torch takes as ``pin_memory_device``: a device's name, or nothing."""
    if not isinstance(pin_memory_device, str):
        raise TypeError(
            f"pin_memory_device: expected a str, got {type(pin_memory_device).__name__}"
        )
    if pin_memory_device:
        try:
            torch.device(pin_memory_device)
        except RuntimeError:
            raise ValueError(
                f"pin_memory_device: expected the name of a device, got {pin_memory_device!r}"
            ) from None
    return pin_memory_device


def pins_batches(wanted: bool, device: torch.device) -> bool:
    """Whether batches are to be page-locked: those that stay on the CPU, where CUDA is there."""
    if wanted and not torch.cuda.is_available():
        warnings.warn("pin_memory=True is without effect: torch finds no CUDA device", stacklevel=4)
        return False
    return wanted and device.type == "cpu"

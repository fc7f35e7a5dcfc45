"""The state of a loader, taken up by another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops


def checked_state(
    state: Mapping[str, Any],
    ours: Mapping[str, int],
    num_batches: int,
    generator: torch.Generator | None,
) -> dict[str, int]:
    """A state as ints, if a loader can go on from it; its generator's goes to ``generator``.

    Parameters
    ----------
    state : mapping
        What ``state_dict`` of a loader gave.
    ours : mapping
        What it must share with the loader that takes it up.
    num_batches : int
        Batches an epoch of this loader.
    generator : torch.Generator or None
        Of this loader.

    Raises
    ------
    ValueError
        The state is of a loader with other seeds or options, or incomplete.
    TypeError
        A value in it is no int, or the generator's state no tensor.
    """
    given = dict(state)
    drawn = given.pop("generator", None)
    if generator is None and drawn is not None:
        raise ValueError("state: it is of a loader with a generator, this one has none")
    missing = {"seed", "epoch", "batch", *ours} - set(given)
    if generator is not None and drawn is None:
        missing.add("generator")
    if missing:
        raise ValueError(f"state: no {', '.join(sorted(missing))}")
    if generator is not None and not isinstance(drawn, Tensor):
        raise TypeError(f"state: generator: expected a tensor, got {type(drawn).__name__}")
    checked = {name: ops.as_wide_int(f"state: {name}", value) for name, value in given.items()}
    for name, value in ours.items():
        if checked[name] != value:
            told = f"{name} is {checked[name]}, this loader's is {value}"
            raise ValueError(f"state: {'it is of other seeds' if name == 'fingerprint' else told}")
    if not 0 <= checked["batch"] <= num_batches:
        raise ValueError(f"state: expected batch 0 to {num_batches}, got {checked['batch']}")
    if generator is not None:
        try:
            generator.set_state(drawn.cpu())
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"state: generator: it is of no such generator ({error})") from None
    return checked

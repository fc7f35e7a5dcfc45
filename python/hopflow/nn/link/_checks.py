"""What the scores of pairs check."""

from __future__ import annotations

from torch import Tensor


def require_pairs(first: str, x: Tensor, second: str, y: Tensor) -> None:
    """Raise a ValueError unless both have a row for each pair, of one shape [E, D]."""
    if x.dim() != 2 or x.shape != y.shape:
        raise ValueError(
            f"{first}, {second}: expected a row for each pair, of one shape [E, D], got"
            f" {list(x.shape)} and {list(y.shape)}"
        )


def require_relations(rels: Tensor, num_pairs: int) -> None:
    """Raise a ValueError unless there is one relation for each pair."""
    if rels.dim() != 1 or rels.shape[0] != num_pairs:
        raise ValueError(
            f"rels: expected one for each of the {num_pairs} triples, got shape {list(rels.shape)}"
        )

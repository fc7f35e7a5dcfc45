"""Where samplers get their randomness: :mod:`hopflow.ops.random_stream`."""

from hopflow.ops.random_stream import (
    batch_coordinates,
    batch_stream,
    draw_seed,
    generator,
    next_key,
    seed,
)

__all__ = ["batch_coordinates", "batch_stream", "draw_seed", "generator", "next_key", "seed"]

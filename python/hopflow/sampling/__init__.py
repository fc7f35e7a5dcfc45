"""What draws: neighbours, pairs without an edge, and the random stream behind them."""

from hopflow.sampling.negatives import global_uniform_negative_sampling
from hopflow.sampling.neighbors import sample_neighbors
from hopflow.sampling.random import seed
from hopflow.sampling.temporal_neighbors import temporal_sample_neighbors

__all__ = [
    "global_uniform_negative_sampling",
    "sample_neighbors",
    "seed",
    "temporal_sample_neighbors",
]

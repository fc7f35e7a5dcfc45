"""What draws: neighbours, pairs without an edge, and the random stream behind them."""

from hopflow.sampling.by_tag import sample_etype_neighbors, sample_neighbors_biased
from hopflow.sampling.labor import sample_labors
from hopflow.sampling.negatives import global_uniform_negative_sampling
from hopflow.sampling.neighbors import sample_neighbors
from hopflow.sampling.random import seed
from hopflow.sampling.topk import select_topk

__all__ = [
    "global_uniform_negative_sampling",
    "sample_etype_neighbors",
    "sample_labors",
    "sample_neighbors",
    "sample_neighbors_biased",
    "seed",
    "select_topk",
]

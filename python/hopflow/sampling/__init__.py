"""What draws: neighbours, walks, pairs without an edge, and the random stream behind them."""

from hopflow.sampling.by_tag import sample_etype_neighbors, sample_neighbors_biased
from hopflow.sampling.labor import sample_labors
from hopflow.sampling.negatives import global_uniform_negative_sampling
from hopflow.sampling.neighbors import sample_neighbors
from hopflow.sampling.pagerank import ppr_neighbors
from hopflow.sampling.pinsage import PinSAGESampler, RandomWalkNeighborSampler
from hopflow.sampling.random import seed
from hopflow.sampling.random_walks import node2vec_random_walk, pack_traces, random_walk
from hopflow.sampling.temporal_neighbors import temporal_sample_neighbors
from hopflow.sampling.topk import select_topk

__all__ = [
    "PinSAGESampler",
    "RandomWalkNeighborSampler",
    "global_uniform_negative_sampling",
    "node2vec_random_walk",
    "pack_traces",
    "ppr_neighbors",
    "random_walk",
    "sample_etype_neighbors",
    "sample_labors",
    "sample_neighbors",
    "sample_neighbors_biased",
    "seed",
    "select_topk",
    "temporal_sample_neighbors",
]

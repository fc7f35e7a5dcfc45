"""Mini-batches: samplers and the loader that runs them."""

from hopflow.dataloading.loader import DataLoader
from hopflow.dataloading.sampler import (
    BlockSampler,
    MultiLayerFullNeighborSampler,
    MultiLayerNeighborSampler,
    NeighborSampler,
    Sampler,
)

__all__ = [
    "BlockSampler",
    "DataLoader",
    "MultiLayerFullNeighborSampler",
    "MultiLayerNeighborSampler",
    "NeighborSampler",
    "Sampler",
]

"""Mini-batches: samplers and the loader that runs them."""

from hopflow.dataloading import negative_sampler
from hopflow.dataloading.kept_rows import KeptRows, keep_expected_rows
from hopflow.dataloading.loader import DataLoader
from hopflow.dataloading.plan import TrainingPlan, plan
from hopflow.dataloading.report import LoaderReport
from hopflow.dataloading.samplers.edge_prediction import (
    EdgePredictionSampler,
    as_edge_prediction_sampler,
    find_exclude_eids,
)
from hopflow.dataloading.samplers.labor_sampler import LaborSampler
from hopflow.dataloading.samplers.neighbor_sampler import (
    MultiLayerFullNeighborSampler,
    MultiLayerNeighborSampler,
    NeighborSampler,
)
from hopflow.dataloading.samplers.sampler import BlockSampler, Sampler
from hopflow.dataloading.samplers.spot_target import SpotTarget

__all__ = [
    "BlockSampler",
    "DataLoader",
    "EdgePredictionSampler",
    "KeptRows",
    "LaborSampler",
    "LoaderReport",
    "MultiLayerFullNeighborSampler",
    "MultiLayerNeighborSampler",
    "NeighborSampler",
    "Sampler",
    "SpotTarget",
    "TrainingPlan",
    "as_edge_prediction_sampler",
    "find_exclude_eids",
    "keep_expected_rows",
    "negative_sampler",
    "plan",
]

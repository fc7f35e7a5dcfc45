"""Mini-batches: samplers and the loader that runs them."""

from hopflow.dataloading import negative_sampler
from hopflow.dataloading.graph_loader import GraphCollator, GraphDataLoader
from hopflow.dataloading.kept_rows import KeptRows, keep_expected_rows
from hopflow.dataloading.loader import DataLoader
from hopflow.dataloading.plan import TrainingPlan, plan
from hopflow.dataloading.report import LoaderReport
from hopflow.dataloading.samplers.audit_times import audit_times
from hopflow.dataloading.samplers.cluster_gcn import ClusterGCNSampler
from hopflow.dataloading.samplers.edge_prediction import (
    EdgePredictionSampler,
    as_edge_prediction_sampler,
    find_exclude_eids,
)
from hopflow.dataloading.samplers.labor_sampler import LaborSampler
from hopflow.dataloading.samplers.layer_samplers import FastGCNSampler, LadiesSampler
from hopflow.dataloading.samplers.neighbor_sampler import (
    MultiLayerFullNeighborSampler,
    MultiLayerNeighborSampler,
    NeighborSampler,
)
from hopflow.dataloading.samplers.ppr_sampler import PPRSampler
from hopflow.dataloading.samplers.saint import SAINTSampler
from hopflow.dataloading.samplers.sampler import BlockSampler, Sampler
from hopflow.dataloading.samplers.shadow import ShaDowKHopSampler
from hopflow.dataloading.samplers.spot_target import SpotTarget
from hopflow.dataloading.samplers.temporal_edge_prediction import TemporalEdgePredictionSampler
from hopflow.dataloading.samplers.temporal_neighbor_sampler import TemporalNeighborSampler

__all__ = [
    "BlockSampler",
    "ClusterGCNSampler",
    "DataLoader",
    "EdgePredictionSampler",
    "FastGCNSampler",
    "GraphCollator",
    "GraphDataLoader",
    "KeptRows",
    "LaborSampler",
    "LadiesSampler",
    "LoaderReport",
    "MultiLayerFullNeighborSampler",
    "MultiLayerNeighborSampler",
    "NeighborSampler",
    "PPRSampler",
    "SAINTSampler",
    "Sampler",
    "ShaDowKHopSampler",
    "SpotTarget",
    "TemporalEdgePredictionSampler",
    "TemporalNeighborSampler",
    "TrainingPlan",
    "as_edge_prediction_sampler",
    "audit_times",
    "find_exclude_eids",
    "keep_expected_rows",
    "negative_sampler",
    "plan",
]

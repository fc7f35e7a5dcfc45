"""Training on a data set: what the command ``hopflow train`` does, from Python too."""

from hopflow.train.checkpoint import load_checkpoint, save_checkpoint
from hopflow.train.config import TrainConfig
from hopflow.train.inference import layerwise_inference
from hopflow.train.loop import Trainer
from hopflow.train.models.sage import GraphSAGE
from hopflow.train.records import EpochRecord, Observer, TrainResult
from hopflow.train.task import Task, task_of
from hopflow.train.typed_inference import planned_nodes, typed_layerwise_inference
from hopflow.train.typed_layers import TypedLayer
from hopflow.train.typed_model import TypedModel

__all__ = [
    "EpochRecord",
    "GraphSAGE",
    "Observer",
    "Task",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TypedLayer",
    "TypedModel",
    "layerwise_inference",
    "load_checkpoint",
    "planned_nodes",
    "save_checkpoint",
    "task_of",
    "typed_layerwise_inference",
]

"""Training GraphSAGE on a data set: what the command ``hopflow train`` does, from Python too."""

from hopflow.train.checkpoint import load_checkpoint, save_checkpoint
from hopflow.train.config import TrainConfig
from hopflow.train.inference import layerwise_inference
from hopflow.train.loop import EpochRecord, Observer, Trainer, TrainResult
from hopflow.train.model import GraphSAGE

__all__ = [
    "EpochRecord",
    "GraphSAGE",
    "Observer",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "layerwise_inference",
    "load_checkpoint",
    "save_checkpoint",
]

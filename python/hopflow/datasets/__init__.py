"""Node-property data sets: OGB names, folders and files, and a synthetic default."""

from .dataset import NodePropDataset, RawDataset
from .loading import load
from .synthetic import arxiv_like

__all__ = ["NodePropDataset", "RawDataset", "arxiv_like", "load"]

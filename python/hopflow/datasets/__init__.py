"""Node-property data sets: OGB names, folders and files, and synthetic ones."""

from .conversion.run import convert
from .dataset import NodePropDataset, RawDataset
from .graph_folder.check import check_graph
from .graph_folder.writer import save_folder
from .loading import load
from .mag import mag_like
from .synthetic import arxiv_like
from .typed_dataset import RawTypedDataset, TypedNodePropDataset

__all__ = [
    "NodePropDataset",
    "RawDataset",
    "RawTypedDataset",
    "TypedNodePropDataset",
    "arxiv_like",
    "check_graph",
    "convert",
    "load",
    "mag_like",
    "save_folder",
]

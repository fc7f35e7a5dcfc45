"""The models that the command trains on graphs of one type: a file each, and this table."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from hopflow.train.config import TrainConfig
from hopflow.train.models.attention import GAT, GATv2
from hopflow.train.models.gcn import GCN
from hopflow.train.models.gin import GIN
from hopflow.train.models.layered import LayeredModel
from hopflow.train.models.sage import GraphSAGE

_CLASSES: dict[str, Callable[..., LayeredModel]] = {
    "sage": GraphSAGE,
    "gcn": GCN,
    "gat": GAT,
    "gatv2": GATv2,
    "gin": GIN,
}


def model_of(
    config: TrainConfig, in_feats: int, out_feats: int, output: nn.Module | None = None
) -> LayeredModel:
    """The model that a configuration asks for.

    Parameters
    ----------
    config : TrainConfig
        Which one, its hidden width, its layers and its own options.
    in_feats, out_feats : int
        Widths of the input and of the output.
    output : nn.Module, optional
        Applied to what the last layer gives.
    """
    more: dict[str, object] = {}
    if config.model in ("gat", "gatv2"):
        more["heads"] = config.heads
    if config.aggregator is not None:
        more["aggregator"] = config.aggregator
    return _CLASSES[config.model](
        in_feats, config.hidden, out_feats, num_layers=config.num_layers,
        dropout=config.dropout, output=output, **more,
    )  # fmt: skip

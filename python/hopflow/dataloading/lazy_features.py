"""``dgl.set_src_lazy_features`` and its kin: columns that a sampler wants gathered with a batch.

Columns of blocks and subgraphs are gathered when they are first read, wherever they come from, so
nothing need stand in their place. A sampler that names some here has them gathered where it runs:
in the loader's workers, ahead of the consumer. :class:`~hopflow.dataloading.BlockSampler` does the
same by its ``prefetch_*`` arguments.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from hopflow.dataloading.samplers.sampler import column_names, read_columns
from hopflow.graphs.graph import Graph


def set_node_lazy_features(g: Graph, feature_names: Any) -> None:
    """Gather node columns of a graph that was taken from another, for the loader's consumer.

    Parameters
    ----------
    g : Graph
        The graph.
    feature_names : sequence of str or dict
        Columns of the graph that it was taken from; where there are several types
        ``{type: [names]}``.

    Raises
    ------
    KeyError
        A column that is not there.
    TypeError, ValueError
        No list of names, or a type that is not there.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.set_node_lazy_features.html
    """
    read_columns(g.ndata, column_names("feature_names", feature_names), g.node_frame)


def set_edge_lazy_features(g: Graph, feature_names: Any) -> None:
    """As :func:`set_node_lazy_features`, edge columns of a graph or block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.set_edge_lazy_features.html
    """
    names = column_names("feature_names", feature_names)
    read_columns(g.edata, names, lambda etype: g.relation(etype).edge_frame)


def set_src_lazy_features(g: Graph, feature_names: Any) -> None:
    """As :func:`set_node_lazy_features`, columns of the source nodes of a block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.set_src_lazy_features.html
    """
    names = column_names("feature_names", feature_names)
    read_columns(g.srcdata, names, partial(g.node_frame, side="src"))


def set_dst_lazy_features(g: Graph, feature_names: Any) -> None:
    """As :func:`set_node_lazy_features`, columns of the destination nodes of a block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.set_dst_lazy_features.html
    """
    names = column_names("feature_names", feature_names)
    read_columns(g.dstdata, names, partial(g.node_frame, side="dst"))

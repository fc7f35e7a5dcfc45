"""What samplers of subgraphs share: the columns that come with a batch."""

from __future__ import annotations

from functools import partial
from typing import Any

from hopflow.dataloading.samplers.sampler import column_names, read_columns
from hopflow.graphs.graph import Graph


class SubgraphColumns:
    """Columns of a subgraph that are gathered in the thread that makes it.

    Parameters
    ----------
    nodes, edges : sequence of str or dict, optional
        Names of columns, or by type lists of such.
    """

    def __init__(self, nodes: Any, edges: Any, names: tuple[str, str] | None = None) -> None:
        of_nodes, of_edges = names or ("prefetch_node_feats", "prefetch_edge_feats")
        self.nodes, self.edges = column_names(of_nodes, nodes), column_names(of_edges, edges)

    def read(self, subgraph: Graph) -> None:
        """Gather them.

        Raises
        ------
        KeyError
            A column that the graph lacks.
        """
        if self.nodes:
            read_columns(subgraph.ndata, self.nodes, partial(subgraph.node_frame))
        if self.edges:
            read_columns(
                subgraph.edata, self.edges, lambda etype: subgraph.relation(etype).edge_frame
            )

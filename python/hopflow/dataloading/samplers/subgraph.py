"""What samplers share whose batches are subgraphs: those of a batch's seeds, and all of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from hopflow.dataloading.samplers.sampler import Sampler, column_names, read_columns
from hopflow.graphs.graph import Graph
from hopflow.structure.by_type import edges_by_type
from hopflow.structure.graph_base import require_graph, require_here
from hopflow.transforms.subgraph import induced_subgraph

SubgraphBatch = tuple[Any, Any, Graph]
"""``(input_nodes, output_nodes, subgraph)``; ids as tensors, of several node types dicts."""


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


class SubgraphSampler(Sampler):
    """Base of the samplers whose batches are subgraphs that some nodes induce.

    Parameters
    ----------
    columns : SubgraphColumns
        Columns of the subgraph to gather with the batch.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves subgraphs.
    """

    def __init__(self, columns: SubgraphColumns, output_device: Any = None) -> None:
        self.columns, self.output_device = columns, output_device

    def checked(self, g: Graph) -> Graph:
        """A graph of one type of nodes and of edges, where the results are to be.

        Raises
        ------
        TypeError, ValueError
            It is none.
        """
        g = require_graph(g, one_type=True)
        require_here(g, self.output_device)
        return g

    def induced(self, g: Graph, nodes: Any, exclude_eids: Any = None) -> Graph:
        """The nodes and all edges of ``g`` among them but those excluded, with the columns read.

        Parameters
        ----------
        g : Graph
            The graph.
        nodes : Tensor or dict
            Distinct nodes, where there are several types a dict by type.
        exclude_eids : Tensor, numpy array, sequence of int or dict, optional
            Ids of edges.

        Raises
        ------
        IndexError, TypeError, ValueError
            Edges that are not the graph's.
        KeyError
            A column to prefetch that the graph lacks.
        """
        # Columns of a subgraph may serve a backward pass later, wherever it is made.
        with torch.inference_mode(False):
            without = {} if exclude_eids is None else edges_by_type(g, "exclude_eids", exclude_eids)
            subgraph = induced_subgraph(g, nodes, without)
        self.columns.read(subgraph)
        return subgraph


class SeedSubgraphSampler(SubgraphSampler):
    """Base of the samplers of subgraphs around a batch's seeds: one implements :meth:`around`."""

    index_kind = "node"

    def around(self, g: Graph, seed_nodes: Any, exclude_eids: Any) -> tuple[Any, Any, Any]:
        """The nodes of the subgraph: ``(nodes, seeds, seed_inverse)``.

        All distinct, the seeds first among ``nodes``; ``seed_inverse`` leads from each given seed
        to its row, None where none was given twice.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement around(g, seed_nodes)")

    def sample(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> SubgraphBatch:
        """Sample one mini-batch.

        Parameters
        ----------
        g : Graph
            The graph.
        seed_nodes : Tensor, numpy array, sequence of int, boolean mask or dict
            Nodes whose neighbourhood is wanted, where there are several types a dict by type.
            Duplicates are merged in order of first appearance; the subgraph's ``seed_inverse`` then
            leads from each given seed to its row.
        exclude_eids : Tensor, numpy array, sequence of int or dict, optional
            Ids of edges that are neither followed nor in the subgraph.

        Returns
        -------
        input_nodes : Tensor or dict
            The subgraph's nodes, dtype ``g.idtype``; the seeds come first.
        output_nodes : Tensor or dict
            The distinct seeds; a dict if seeds are one.
        subgraph : Graph
            All edges of ``g`` among the nodes, with ids in ``ndata[hopflow.NID]`` and
            ``edata[hopflow.EID]`` and the columns of ``g``. Edges come by destination.

        Raises
        ------
        IndexError, TypeError, ValueError
            Seeds or edges that are not the graph's, or a graph that the sampler is not for.
        KeyError
            A column that the graph lacks.
        """
        g = require_graph(g)
        nodes, seeds, seed_inverse = self.around(g, seed_nodes, exclude_eids)
        subgraph = self.induced(g, nodes, exclude_eids)
        subgraph.seed_inverse = seed_inverse
        return nodes, seeds, subgraph

"""The GraphSAGE layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.function as fn
import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.messages.degree_buckets import in_edge_buckets
from hopflow.nn._aggregate import multiplies_first
from hopflow.nn._checks import (
    autocasts_on_cpu,
    is_compiling,
    is_plain,
    require_input,
    require_inputs,
    require_rows,
    require_same_widths,
    require_width,
)
from hopflow.nn._pairs import Features
from hopflow.structure.table_rows import TableRows

AGGREGATORS = ("mean", "gcn", "pool", "lstm")
# Edges a source up to which the mean over rows of the parent's column is faster than a gather and
# the mean over its result (benchmarks/bench_first_layer.py).
_MOST_EDGES = 2


class SAGEConv(nn.Module):
    r"""GraphSAGE: a node's new features from its own and its in-neighbours' aggregate.

    .. math::
        h_v' = \sigma(W_{self} h_v + W_{neigh} \, aggregate(\{h_u : u \to v\}) + b)

    Parameters have the names, shapes and initialisation of DGL's layer, so a ``state_dict`` moves
    either way.

    Parameters
    ----------
    in_feats : int or (int, int)
        Width of the input features; a pair gives sources and destinations apart.
    out_feats : int
        Width of the output features.
    aggregator_type : {"mean", "gcn", "pool", "lstm"}
        How neighbours are combined: their mean; the mean of the neighbours and the node itself,
        without a weight of its own for the node; the maximum of a transformed copy; the last state
        of an LSTM that reads them in the order of edge ids.
    feat_drop : float
        Dropout rate of the input features.
    bias : bool
        Learn a bias.
    norm : callable, optional
        Applied to the output, after the activation.
    activation : callable, optional
        Applied to the output.

    Raises
    ------
    KeyError
        An unknown aggregator (DGL's choice of exception).

    References
    ----------
    Hamilton, Ying, Leskovec, "Inductive representation learning on large graphs", NeurIPS 2017;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.SAGEConv.html
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        aggregator_type: str,
        feat_drop: float = 0.0,
        bias: bool = True,
        norm: Callable[[Tensor], Tensor] | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if aggregator_type not in AGGREGATORS:
            raise KeyError(
                f"aggregator_type: expected one of {', '.join(AGGREGATORS)}, got"
                f" {aggregator_type!r}"
            )
        pair = in_feats if isinstance(in_feats, tuple) else (in_feats, in_feats)
        self._in_src_feats, self._in_dst_feats = pair
        if aggregator_type == "gcn" and pair[0] != pair[1]:
            raise ValueError(f"in_feats: gcn needs one width on both sides, got {pair}")
        self._out_feats = out_feats
        self._aggre_type = aggregator_type
        self.norm = norm
        self.feat_drop = nn.Dropout(feat_drop)
        self.activation = activation
        if aggregator_type == "pool":
            self.fc_pool = nn.Linear(pair[0], pair[0])
        if aggregator_type == "lstm":
            self.lstm = nn.LSTM(pair[0], pair[0], batch_first=True)
        self.fc_neigh = nn.Linear(pair[0], out_feats, bias=False)
        if aggregator_type != "gcn":
            self.fc_self = nn.Linear(pair[1], out_feats, bias=bias)
        elif bias:
            self.bias = nn.Parameter(torch.zeros(out_feats))
        else:
            self.register_buffer("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: Glorot's uniform law with ReLU's gain; an LSTM's as torch does."""
        gain = nn.init.calculate_gain("relu")
        if self._aggre_type == "lstm":
            self.lstm.reset_parameters()
        for name in ("fc_pool", "fc_self", "fc_neigh"):
            if hasattr(self, name):
                nn.init.xavier_uniform_(getattr(self, name).weight, gain=gain)

    def forward(
        self, graph: Graph, feat: Features | TableRows, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        feat : Tensor, (Tensor, Tensor) or TableRows
            Features of the nodes, shape [N, in]; of a block's source nodes, [U, in]; or of sources
            [U, in_src] and destinations [V, in_dst]. ``block.src_rows(name)`` gives rows that are
            read in the parent's column, where that is faster.
        edge_weight : Tensor, optional
            A factor for each edge's message, shape [E] or [E, 1].

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        ValueError
            Features or weights without one row for each node or edge.
        """
        if isinstance(feat, TableRows):
            if feat.shape[0] != graph.num_src_nodes():
                raise ValueError(
                    f"feat: expected one row for each of the {graph.num_src_nodes()} source nodes,"
                    f" got shape {list(feat.shape)}"
                )
            require_input("feat", feat.table, self.fc_neigh)
            if self._reads_table(graph, feat, edge_weight):
                full = graph.adjacency.full()
                sources = ops.gather_rows(feat.ids, full.indices)
                neighbor = ops.spmm(full.indptr, sources, feat.table, reduce="mean")
                return self._finish(self._add_neigh(self.fc_self(feat.own()), neighbor))
            feat = feat.tensor()
        if isinstance(feat, tuple):
            if len(feat) != 2:
                raise ValueError(
                    f"feat: expected rows of sources and destinations, a pair, got {len(feat)}"
                    " tensors"
                )
            source, own = self.feat_drop(feat[0]), self.feat_drop(feat[1])
        else:
            source = self.feat_drop(feat)
            own = source[: graph.num_dst_nodes()]
        require_rows("feat of sources", source, graph.num_src_nodes())
        require_rows("feat of destinations", own, graph.num_dst_nodes())
        self._require_widths(source, own)
        if self._is_plain_mean(graph, feat, source, edge_weight) and source.requires_grad:
            full = graph.adjacency.full()
            own, neighbor = ops.spmm_with_own(full.indptr, full.indices, source)
            return self._finish(self._add_neigh(self.fc_self(own), neighbor))
        with graph.local_scope():
            message: Any = fn.copy_u("h", "m")
            if edge_weight is not None:
                if edge_weight.numel() != graph.num_edges() or not edge_weight.dim():
                    raise ValueError(
                        f"edge_weight: expected shape [{graph.num_edges()}] or"
                        f" [{graph.num_edges()}, 1], got {list(edge_weight.shape)}"
                    )
                message = fn.u_mul_e("h", "w", "m")

            def aggregate(x: Tensor, reducer: Callable[[str, str], fn.ReduceFunction]) -> Tensor:
                graph.srcdata["h"] = x
                if edge_weight is not None:
                    # Under autocast x may be narrower than the weights.
                    graph.edata["w"] = edge_weight.view(-1).to(x.dtype)
                graph.update_all(message, reducer("m", "neigh"))
                return graph.node_frame(side="dst")["neigh"]

            if self._aggre_type == "pool":
                neighbor = aggregate(functional.relu(self.fc_pool(source)), fn.max)
                return self._finish(self._add_neigh(self.fc_self(own), neighbor))
            if self._aggre_type == "lstm":
                neighbor = self._read_neighbors(graph, source, edge_weight)
                return self._finish(self._add_neigh(self.fc_self(own), neighbor))
            before = multiplies_first(graph, self._in_src_feats, self._out_feats)
            if before:
                source = self.fc_neigh(source)
            if self._aggre_type == "mean":
                neighbor = aggregate(source, fn.mean)
                out = self.fc_self(own)
                return self._finish(out + neighbor if before else self._add_neigh(out, neighbor))
            if before:
                own = self.fc_neigh(own) if isinstance(feat, tuple) else source[: own.shape[0]]
            degrees = graph.in_degrees()
            assert isinstance(degrees, Tensor)
            divisor = (degrees.to(own.dtype) + 1).view(-1, *[1] * (own.dim() - 1))
            neighbor = (aggregate(source, fn.sum) + own) / divisor
            result = neighbor if before else self.fc_neigh(neighbor)
            return self._finish(result if self.bias is None else result + self.bias)

    def _require_widths(self, source: Tensor, own: Tensor) -> None:
        if self._aggre_type == "gcn":
            require_same_widths(source, own)
            require_input("feat", source, self.fc_neigh)
        elif self._aggre_type == "lstm":
            require_width("feat of sources", source, self._in_src_feats)
            require_input("feat of destinations", own, self.fc_self)
        else:
            first = self.fc_pool if self._aggre_type == "pool" else self.fc_neigh
            require_inputs(source, own, first, self.fc_self)

    def _reads_table(self, graph: Graph, feat: TableRows, edge_weight: Tensor | None) -> bool:
        """Whether the mean is best taken over rows in the parent's column.

        A gather reads and writes every source row once, and the sum over edges reads it from the
        cache; the sum alone reads a row for every edge from memory.
        """
        weight = self.fc_neigh.weight
        return (
            self._aggre_type == "mean"
            and edge_weight is None
            and is_plain(self.feat_drop, nn.Dropout)
            and not (self.training and self.feat_drop.p > 0)
            and isinstance(weight, Tensor)
            and feat.dtype == weight.dtype
            and not autocasts_on_cpu()
            and graph.num_edges() <= _MOST_EDGES * graph.num_src_nodes()
            and not multiplies_first(graph, self._in_src_feats, self._out_feats)
        )

    def _is_plain_mean(
        self, graph: Graph, feat: Features, source: Tensor, edge_weight: Tensor | None
    ) -> bool:
        """Whether own rows and the mean come from one tensor, unweighted, before the weights."""
        return (
            self._aggre_type == "mean"
            and not isinstance(feat, tuple)
            and edge_weight is None
            and source.dim() >= 2
            and not multiplies_first(graph, self._in_src_feats, self._out_feats)
        )

    def _read_neighbors(self, graph: Graph, x: Tensor, edge_weight: Tensor | None) -> Tensor:
        """The LSTM's last state at each destination, [V, in]; 0 without in-edges.

        Destinations of one in-degree are one batch, as for a reducer written in Python in DGL.
        """
        if x.dim() != 2:
            raise ValueError(f"feat: lstm takes rows of one dimension, got shape {list(x.shape)}")
        nodes, states = [], []
        for bucket in in_edge_buckets(graph.adjacency):
            messages = bucket.mailbox(x, of="u")
            if edge_weight is not None:
                factors = bucket.mailbox(edge_weight.view(-1), of="e").to(x.dtype)
                messages = messages * factors.unsqueeze(2)
            _, (state, _) = self.lstm(messages)
            nodes.append(bucket.nodes)
            states.append(state.squeeze(0))
        if not states:
            return x.new_zeros(graph.num_dst_nodes(), x.shape[1])
        found = torch.cat(states)
        out = found.new_zeros(graph.num_dst_nodes(), found.shape[1])
        return out.index_copy(0, torch.cat(nodes), found)

    def _add_neigh(self, out: Tensor, neighbor: Tensor) -> Tensor:
        """``out + fc_neigh(neighbor)``, summed by the product itself where it can be."""
        own, neigh = self.fc_self, self.fc_neigh
        has_bias = getattr(neigh, "bias", None) is not None
        is_eager = not is_compiling()  # a compiler finds what to do in place by itself
        if (
            is_eager
            and is_plain(own, nn.Linear)
            and is_plain(neigh, nn.Linear)
            and not has_bias
            and out.dim() == 2
        ):
            # In place on what nobody else can hold: the fresh result of a plain Linear.
            weight = neigh.weight
            # Under vmap the weight may have a dimension that the sum has no room for.
            is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
            wrapped = is_wrapped(weight) or is_wrapped(neighbor) or is_wrapped(out)
            if not wrapped and out.dtype == neighbor.dtype == weight.dtype:
                result: Tensor = out.addmm_(neighbor, weight.t())
                return result
        total: Tensor = out + self.fc_neigh(neighbor)
        return total

    def _finish(self, out: Tensor) -> Tensor:
        if self.activation is not None:
            out = self.activation(out)
        return out if self.norm is None else self.norm(out)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"{self._in_src_feats}, {self._out_feats}, aggregator_type={self._aggre_type!r}"

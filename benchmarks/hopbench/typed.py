"""A graph of several node and edge types, shaped like ogbn-mag, in hopflow, DGL and PyG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hopbench.engines import BATCH, dgl_like
from hopbench.shared import share
from hopbench.typed_arrays import NODES, TRIPLES, WIDTHS
from hopbench.workloads import Workloads


def typed_graph(engine: str, workloads: Workloads, name: str, *, features: bool = False) -> Any:
    """The graph in hopflow or DGL, in CSC, shared by the entries of a case."""

    def csc(relation: str) -> tuple[str, tuple[Any, ...]]:
        arrays = (workloads.array(name, f"{relation}-{key}") for key in ("indptr", "indices"))
        return "csc", (
            *(torch.from_numpy(x.astype(np.int64)) for x in arrays),
            torch.empty(0).long(),
        )

    def make() -> Any:
        data = {(src, rel, dst): csc(rel) for src, rel, dst in TRIPLES}
        made = dgl_like(engine).heterograph(data, dict(NODES[name]))
        return made.formats(["csc"]) if engine == "dgl" else made

    made = share((engine, name, "typed"), make)
    if features and "feat" not in made.nodes["paper"].data:
        for ntype in NODES[name]:
            made.nodes[ntype].data["feat"] = _column(workloads, name, ntype)
        made.nodes["paper"].data["label"] = _column(workloads, name, "label")
    return made


def _column(workloads: Workloads, name: str, key: str) -> torch.Tensor:
    return torch.from_numpy(workloads.array(f"{name}-features", key))


def typed_loader(
    engine: str, made: Any, seeds: NDArray[np.int64], fanouts: Sequence[int], num_workers: int
) -> Any:
    """hopflow's or DGL's loader of batches of papers, in the order given."""
    data = dgl_like(engine).dataloading
    return data.DataLoader(
        made, {"paper": torch.from_numpy(seeds)}, data.NeighborSampler(list(fanouts)),
        device="cpu", batch_size=BATCH, shuffle=False, drop_last=False, num_workers=num_workers,
    )  # fmt: skip


def pyg_typed_loader(
    workloads: Workloads, name: str, seeds: NDArray[np.int64], fanouts: Sequence[int],
    num_workers: int, *, features: bool = False,
) -> Any:  # fmt: skip
    """PyG's NeighborLoader over a HeteroData."""
    from torch_geometric import typing
    from torch_geometric.data import HeteroData
    from torch_geometric.loader import NeighborLoader

    from hopbench.case import Unavailable

    if not (typing.WITH_PYG_LIB or typing.WITH_TORCH_SPARSE):
        raise Unavailable(
            "torch-geometric samples only with pyg-lib or torch-sparse; neither is here"
        )

    def make() -> Any:
        data = HeteroData()
        for ntype, count in NODES[name].items():
            data[ntype].num_nodes = count
            if features:
                data[ntype].x = _column(workloads, name, ntype)
        if features:
            data["paper"].y = _column(workloads, name, "label")
        for src, relation, dst in TRIPLES:
            indptr = torch.from_numpy(workloads.array(name, f"{relation}-indptr"))
            indices = torch.from_numpy(
                workloads.array(name, f"{relation}-indices").astype(np.int64)
            )
            rows = torch.repeat_interleave(torch.arange(indptr.shape[0] - 1), indptr.diff())
            data[src, relation, dst].edge_index = torch.stack([indices, rows])
        return data

    return NeighborLoader(
        share(("pyg", name, features), make), num_neighbors=list(reversed(fanouts)),
        input_nodes=("paper", torch.from_numpy(seeds)), batch_size=BATCH, shuffle=False,
        num_workers=num_workers,
    )  # fmt: skip


class Rgcn(torch.nn.Module):
    """R-GCN of the engine's own HeteroGraphConv and GraphConv, over hopflow's or DGL's blocks.

    The mean over each relation's in-edges times a weight of the relation, summed over relations,
    and a weight of the node's type for the node itself (Schlichtkrull et al., ESWC 2018).
    """

    def __init__(self, engine: str, hidden: int, classes: int) -> None:
        super().__init__()
        if engine == "hopflow":
            from hopflow.nn import GraphConv, HeteroGraphConv
        else:
            from dgl.nn import GraphConv, HeteroGraphConv
        self.convs, self.own = torch.nn.ModuleList(), torch.nn.ModuleList()
        widths: Mapping[str, int] = WIDTHS
        for out in (hidden, classes):
            convs = {t[1]: GraphConv(widths[t[0]], out, norm="right", bias=False,
                                     allow_zero_in_degree=True) for t in TRIPLES}  # fmt: skip
            self.convs.append(HeteroGraphConv(convs, aggregate="sum"))
            self.own.append(
                torch.nn.ModuleDict({t: torch.nn.Linear(widths[t], out) for t in WIDTHS})
            )
            widths = dict.fromkeys(WIDTHS, hidden)

    def forward(self, blocks: Sequence[Any], x: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of the papers."""
        for layer, (convs, own, block) in enumerate(zip(self.convs, self.own, blocks)):
            made = convs(block, x)
            x = {t: h + own[t](x[t][: block.num_dst_nodes(t)]) for t, h in made.items() if t in own}
            if layer == 0:
                x = {t: torch.relu(h) for t, h in x.items()}
        return x["paper"]


class PygRgcn(torch.nn.Module):
    """The same of PyG's HeteroConv and SAGEConv, the latter without its root weight."""

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        from torch_geometric.nn import HeteroConv, SAGEConv

        self.convs, self.own = torch.nn.ModuleList(), torch.nn.ModuleList()
        widths: Mapping[str, int] = WIDTHS
        for out in (hidden, classes):
            convs = {
                t: SAGEConv((widths[t[0]], widths[t[2]]), out, root_weight=False, bias=False)
                for t in TRIPLES
            }
            self.convs.append(HeteroConv(convs, aggr="sum"))
            self.own.append(
                torch.nn.ModuleDict({t: torch.nn.Linear(widths[t], out) for t in WIDTHS})
            )
            widths = dict.fromkeys(WIDTHS, hidden)

    def forward(self, batch: Any) -> torch.Tensor:
        """Logits of the papers."""
        x = batch.x_dict
        for layer, (convs, own) in enumerate(zip(self.convs, self.own)):
            x = {t: h + own[t](x[t]) for t, h in convs(x, batch.edge_index_dict).items()}
            if layer == 0:
                x = {t: torch.relu(h) for t, h in x.items()}
        return x["paper"][: batch["paper"].batch_size]

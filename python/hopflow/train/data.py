"""From a data set and a device's name to what a run works on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow as hf
from hopflow.graphs.graph import Graph
from hopflow.storage import DiskColumn, EncodedColumn
from hopflow.storage.memory import available_memory
from hopflow.storage.sizes import size_text
from hopflow.structure.frame import Column, read
from hopflow.structure.stored_column import StoredColumn
from hopflow.train.config import TrainConfig
from hopflow.train.split import checked_split
from hopflow.train.targets import TARGETS, Target, target_of

_CHUNK = 1 << 22  # edges hashed at a time
_CHUNK_ROWS = 1 << 16  # rows of features looked at at a time
_LOW = (1 << 31) - 1  # torch shifts copies of the sign in


def check_device(name: str) -> torch.device:
    """The device of that name, once it is known to be there.

    Raises
    ------
    ValueError
        Neither the CPU nor CUDA.
    HopflowError
        A CUDA device that torch does not find.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # refused below, with what is expected
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device: expected cpu, cuda or cuda:N, got {name!r}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise hf.HopflowError(
            f"device: torch finds {count} CUDA devices, got {name!r}; `hopflow doctor` says what is"
            " missing"
        )
    return device


def accuracy(logits: Tensor, labels: Tensor, nodes: Tensor) -> float:
    """Share of right predictions among the labelled ones of ``nodes``; NaN without any."""
    nodes = nodes[labels[nodes] >= 0]
    if nodes.numel() == 0:
        return float("nan")
    return float((logits[nodes].argmax(1) == labels[nodes]).double().mean())


def is_symmetric(graph: Graph) -> bool:
    """Whether for every edge (u, v) there is one (v, u), as often; O(E).

    Compares two sums of 64-bit hashes, so "yes" is wrong once in 2^64 graphs; "no" never is.
    """
    first = torch.arange(min(graph.num_edges(), 64), device=graph.device)
    src, dst = graph.find_edges(first)
    if not torch.as_tensor(graph.has_edges_between(dst, src)).all():
        return False  # as most graphs do that are not: at once
    src, dst = graph.adjacency.coo()
    return edge_hash(src, dst) == edge_hash(dst, src)


def edge_hash(src: Tensor, dst: Tensor) -> int:
    """A number of 64 bits that lists of edges share if they are the same in another order; O(E)."""
    total = torch.zeros((), dtype=torch.int64, device=src.device)
    for u, v in zip(torch.split(src, _CHUNK), torch.split(dst, _CHUNK), strict=True):
        total += _hash(u.long(), v.long()).sum()  # modulo 2^64
    return int(total)


def _hash(u: Tensor, v: Tensor) -> Tensor:
    """A number of 64 bits for each ordered pair; the mixing is of MurmurHash3's kind."""
    x = u * -7046029254386353131 + v
    for factor in (-49064778989728563, -4265267296055464877):
        x = (x ^ (x >> 33 & _LOW)) * factor
    return x ^ (x >> 33 & _LOW)


def normalized(x: Tensor, is_wanted: bool) -> Tensor:
    """Rows of features, each divided by its sum of absolute values if that is wanted."""
    return x / x.abs().sum(1, keepdim=True).clamp(min=1e-12) if is_wanted else x


def stays_in_folder(dataset: Any) -> bool:
    """Whether a data set's graph is read from a graph folder; one of the user's own is not."""
    return bool(getattr(dataset, "is_stored", False))


def features(config: TrainConfig, column: Column, *, is_stored: bool) -> Tensor | StoredColumn:
    """A column of features as a run reads it: float32 rows.

    Columns of a graph folder stay where they are, on disk, mapped or in few bits, and are made
    float32 row by row as batches gather them.

    Raises
    ------
    ValueError
        Rows are to be normalized, of a column that stays where it is; it is of a dtype that is not
        made float32 row by row, and too large to be made so as a whole.
    """
    if not is_stored and not isinstance(column, StoredColumn):
        return normalized(read(column).float(), config.normalize_features)
    if config.normalize_features:
        raise ValueError(
            f"normalize_features: {config.data} stays on disk as it is; expected features that were"
            " normalized before they were converted"
        )
    if not isinstance(column, (StoredColumn, Tensor)):
        column = read(column)
    if column.dtype == torch.float32:
        return column
    if isinstance(column, EncodedColumn) or column.dtype not in (torch.float16, torch.bfloat16):
        needed, more = 4 * column.shape.numel(), available_memory()
        if more is not None and needed > more:
            raise ValueError(
                f"{config.data}: expected features of float16, bfloat16, float32 or int8, got"
                f" {str(column.dtype).removeprefix('torch.')}, which as float32 would take"
                f" {size_text(needed)} of memory of {size_text(more)} left; write the folder anew"
                " with one of these"
            )
        return read(column).float()
    assert isinstance(column, (Tensor, DiskColumn))
    return EncodedColumn(column)


def feature_column(graph: Graph) -> Tensor | StoredColumn:
    """The features as the loader leaves them: on the graph's device, or on disk."""
    column = graph.node_frames()[graph.ntypes[0]].column("feat")
    return column if isinstance(column, StoredColumn) else read(column)


def not_finite(graph: Graph) -> str | None:
    """Which features are NaN or infinite, for people, if any in memory are; reads all of them."""
    for ntype, frame in graph.node_frames().items():
        column = frame.column("feat") if "feat" in frame else None
        if column is None or isinstance(column, StoredColumn):
            continue
        first = 0
        for rows in torch.split(read(column), _CHUNK_ROWS):
            if not bool((is_right := rows.isfinite().all(1)).all()):
                of = f" of type {ntype!r}" if len(graph.ntypes) > 1 else ""
                at = first + int(torch.argmin(is_right.to(torch.int8)))
                return f"the features of node {at}{of} are not all finite"
            first += len(rows)
    return None


def num_features(graph: Graph, ntype: str | None = None) -> int:
    """Width of a type's features, without reading them."""
    frame = graph.node_frames()[ntype or graph.ntypes[0]]
    column = frame.column("feat")
    return int((column if isinstance(column, StoredColumn) else read(column)).shape[1])


def prepare(
    config: TrainConfig, dataset: Any, *, for_training: bool = True
) -> tuple[Graph, dict[str, Tensor]]:
    """The graph and the split of :func:`prepare_labelled`."""
    graph, split, _ = prepare_labelled(config, dataset, for_training=for_training)
    return graph, split


def prepare_labelled(
    config: TrainConfig, dataset: Any, *, for_training: bool = True
) -> tuple[Graph, dict[str, Tensor], Target]:
    """The graph to train on, with columns "feat" and "label", the split, and what labels are.

    Without ``for_training`` labels and split may be missing, and labels that are not what
    ``config`` says are left out. The data set stays as it is.

    Raises
    ------
    ValueError
        The data set has no features, no labels or no training nodes, or some without a label.
    """
    graph, labels = dataset[0]
    if labels is None and for_training:
        raise ValueError(f"{config.data}: expected labels to train on, got none")
    graph = prepare_features(config, dataset)
    split: dict[str, Tensor] = {}
    target = TARGETS[config.target or "classes"]
    if labels is not None:
        try:
            target = target_of(config.data, labels, config.target)
        except ValueError:
            if for_training:
                raise
            labels = None
    if labels is not None:
        graph.ndata["label"] = own = target.labels(labels)
        split = checked_split(
            config.data, dataset.get_idx_split(), own, target, dataset.num_classes,
            for_training=for_training,
        )  # fmt: skip
    return graph, split, target


def prepare_features(config: TrainConfig, dataset: Any) -> Graph:
    """The graph of a data set as a run takes it, with the column "feat"; of the user's, a copy.

    Raises
    ------
    ValueError
        The data set has no features, or none of a row for each node.
    """
    graph, _ = dataset[0]
    if "feat" not in graph.ndata:
        raise ValueError(f"{config.data}: expected node features, got none")
    shape = graph.node_frames()[graph.ntypes[0]].scheme("feat").shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(
            f"{config.data}: expected features [N, D], a row for each node, got"
            f" {[graph.num_nodes(), *shape]}"
        )
    # A graph folder is taken as it is: its edges may be more than memory has room for.
    if config.undirected and not stays_in_folder(dataset) and not is_symmetric(graph):
        made: Graph = hf.add_reverse_edges(graph)
    else:
        # Frames of its own: the columns set below are not the data set's.
        made = graph.local_var()
    frame = made.node_frames()[made.ntypes[0]]
    frame["feat"] = features(config, frame.column("feat"), is_stored=stays_in_folder(dataset))
    return made

"""What fixes a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

MODELS = {"sage": "GraphSAGE", "rgcn": "R-GCN", "hgt": "HGT"}
"""The models by the names that options have for them."""

OTHERS = "*"
"""Among the fanouts of relations: of all that are not named."""

Fanout: TypeAlias = "int | dict[str, int]"
"""In-edges kept a node: of each relation so many, or as named ones say."""


EVALUATIONS = ("full", "sampled")
"""How nodes are validated and tested."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that fixes a run on one machine; checked when made.

    Attributes
    ----------
    data : str
        Name, folder or file, as :func:`hopflow.datasets.load` takes it.
    root : str
        Folder of the data sets that OGB names.
    scale : float
        Size of mag-like, 1 being that of ogbn-mag.
    split : str or None
        Which split of the data set to use.
    model : {"sage", "rgcn", "hgt"}
        GraphSAGE, on a graph of several types one for each relation; relational graph convolutions;
        or heterogeneous graph transformers. The last two are for several types.
    target_type : str, optional
        Of which type of nodes the labels are predicted; by default of the only one that has any.
    undirected : bool
        Add the reverse of every edge, unless the data set has them all; of several types the
        reverse of every relation, as ``rev_NAME``, unless there is one.
    normalize_features : bool
        Divide each row of features by its sum of absolute values.
    fanout : tuple of int or dict
        In-edges kept a node, one number a layer from input to output; -1 keeps all. Of several
        types so many of each relation, or a dict of numbers by the name of a relation or
        ``"source/name/destination"``, with ``"*"`` for all others.
    hidden : int
        Width of the hidden layers.
    heads : int
        Attention heads of an "hgt", which share the width.
    bases : int, optional
        Matrices of which an "rgcn" layer mixes those of its relations; by default each relation has
        its own.
    epochs, batch_size : int
        Passes over the training nodes; training nodes a batch.
    lr, weight_decay : float
        Adam's learning rate and L2 penalty; there is none on rows learned for nodes without
        features.
    dropout : float
        Rate of dropout on the input and hidden features, in [0, 1).
    seed : int
        Fixes initial weights, order, samples and dropout.
    device : str
        Where to train.
    num_workers : int
        Threads that prepare batches ahead; 0 prepares them in between.
    memory : str or None
        Of a graph folder: memory for node columns, such as "8GiB"; those that do not fit stay on
        disk behind caches of that size in all. By default they are mapped.
    edges : {"mapped", "memory"}
        Of a graph folder: where the edges are.
    evaluation : {"full", "sampled"}
        How nodes are validated and tested: over all their neighbours, which computes every node of
        the graph layer by layer; or over a sample as in training, which costs what an epoch over
        these nodes would.

    Raises
    ------
    ValueError
        A value out of range.
    """

    data: str = "arxiv-like"
    root: str = "dataset"
    scale: float = 1.0
    split: str | None = None
    model: str = "sage"
    target_type: str | None = None
    undirected: bool = True
    normalize_features: bool = False
    fanout: tuple[Fanout, ...] = (10, 10)
    hidden: int = 128
    heads: int = 4
    bases: int | None = None
    epochs: int = 10
    batch_size: int = 1024
    lr: float = 0.003
    weight_decay: float = 0.0
    dropout: float = 0.3
    seed: int = 0
    device: str = "cpu"
    num_workers: int = 0
    memory: str | None = None
    edges: str = "mapped"
    evaluation: str = "full"

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, expected: str) -> None:
            if not ok:
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

        check(self.model in MODELS, "model", f"one of {', '.join(MODELS)}")
        check(0 < self.scale < float("inf"), "scale", "a number > 0")
        check(len(self.fanout) >= 1, "fanout", "at least one layer")
        check(all(f >= -1 for f in _numbers(self.fanout)), "fanout", "-1 (all) or counts >= 0")
        check(self.hidden >= 1, "hidden", "at least 1")
        check(self.heads >= 1, "heads", "at least 1")
        check(self.bases is None or self.bases >= 1, "bases", "at least 1")
        if self.model == "hgt":
            check(self.hidden % self.heads == 0, "hidden", f"a multiple of heads = {self.heads}")
        check(self.epochs >= 1, "epochs", "at least 1")
        check(self.batch_size >= 1, "batch_size", "at least 1")
        check(0 < self.lr < float("inf"), "lr", "a number > 0")
        check(0 <= self.weight_decay < float("inf"), "weight_decay", "a number >= 0")
        check(0 <= self.dropout < 1, "dropout", "a rate in [0, 1)")
        check(0 <= self.seed < 2**63, "seed", "an int >= 0")
        check(self.num_workers >= 0, "num_workers", "at least 0")
        check(self.edges in ("mapped", "memory"), "edges", "mapped or memory")
        check(self.evaluation in EVALUATIONS, "evaluation", " or ".join(EVALUATIONS))

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values, for a checkpoint or JSON."""
        return {**asdict(self), "fanout": list(self.fanout)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Make a config of what :meth:`to_dict` gave. Raises ValueError for unknown names."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"config: unknown {', '.join(sorted(unknown))}")
        return cls(**{**values, "fanout": tuple(values.get("fanout", cls.fanout))})


def _numbers(fanouts: tuple[Fanout, ...]) -> list[int]:
    """All numbers in fanouts."""
    parts = ([*f.values()] if isinstance(f, Mapping) else [f] for f in fanouts)
    return [number for part in parts for number in part]

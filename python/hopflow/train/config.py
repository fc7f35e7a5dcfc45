"""What fixes a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

MODELS = {
    "sage": "GraphSAGE", "rgcn": "R-GCN", "hgt": "HGT",
    "gcn": "GCN", "gat": "GAT", "gatv2": "GATv2", "gin": "GIN",
}  # fmt: skip
"""The models by the names that options have for them."""

TYPED_MODELS = ("sage", "rgcn", "hgt")
"""Those for graphs of several types."""

ONE_TYPE_MODELS = ("sage", "gcn", "gat", "gatv2", "gin")
"""Those for graphs of one type."""

WITH_HEADS = ("gat", "gatv2", "hgt")
"""The models that have attention heads."""

AGGREGATORS = {"sage": ("mean", "gcn", "pool", "lstm"), "gin": ("sum", "mean", "max")}
"""How models may combine neighbours, the default first; other models have no choice."""

SAMPLERS = ("neighbor", "labor", "shadow", "ppr", "cluster", "saint")
"""What makes batches, by the names that options have for them."""

WHOLE_SUBGRAPHS = ("cluster", "saint")
"""Samplers whose batches are of no given seeds: all training nodes of a subgraph count."""

NO_FANOUTS = ("ppr", *WHOLE_SUBGRAPHS)
"""Samplers that take no fanouts; what they have is for any number of layers."""

SAINT_MODES = ("walk", "node", "edge")
"""How GraphSAINT draws nodes."""

TASKS = ("node", "link")
"""What is predicted."""

TARGETS = ("classes", "multilabel", "regression")
"""What labels are."""

OTHERS = "*"
"""Among the fanouts of relations: of all that are not named."""

_MOST = (1 << 31) - 1  # of what torch takes as it is
_LARGEST = 3.4e38

Fanout: TypeAlias = "int | dict[str, int]"
"""In-edges kept a node: of each relation so many, or as named ones say."""


EVALUATIONS = ("full", "sampled")
"""How nodes are validated and tested."""

Check: TypeAlias = Callable[[bool, str, str], None]
"""``check(ok, name, expected)`` raises a ValueError about an attribute unless it is right."""


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
    task : {"node", "link"}
        Predict labels of nodes, or which pairs of nodes have an edge.
    target : {"classes", "multilabel", "regression"}, optional
        What labels are; by default what their dtype and shape say
        (:func:`hopflow.train.targets.target_of`). None for links.
    negatives : int, optional
        For links: pairs that stand for "no edge", drawn for each edge of a batch; 1 by default.
    model : {"sage", "rgcn", "hgt", "gcn", "gat", "gatv2", "gin"}
        GraphSAGE, on a graph of several types one for each relation; relational graph convolutions
        and heterogeneous graph transformers, both for several types; graph convolutions, graph
        attention in two forms, and graph isomorphism networks, which are for one.
    aggregator : str, optional
        How a "sage" (mean, gcn, pool, lstm) or "gin" (sum, mean, max) combines neighbours; the
        first by default.
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
    sampler : {"neighbor", "labor", "shadow", "ppr", "cluster", "saint"}
        What makes batches (:mod:`hopflow.train.samplers`).
    layers : int, optional
        Layers of the model, where a batch is one subgraph ("shadow", "ppr", "cluster", "saint"); as
        many as ``fanout`` has numbers by default. Elsewhere a layer has a fanout.
    ppr_neighbors : int, optional
        For "ppr": the most nodes around a seed, by personalised PageRank; 32 by default.
    ppr_alpha, ppr_epsilon : float, optional
        For "ppr": where walks end, and how exactly scores are computed, as in
        :class:`hopflow.dataloading.PPRSampler`; by default 0.15 and 1e-4.
    clusters : int, optional
        For "cluster": how many the graph is cut into; by default ten for each batch.
    saint_mode : {"walk", "node", "edge"}, optional
        For "saint": how it draws nodes, by default by walks.
    budget : tuple of int, optional
        For "saint": nodes or edges drawn a batch, or roots and steps of walks; by default what
        brings about ``batch_size`` training nodes.
    hidden : int
        Width of the hidden layers; for links also of the output.
    heads : int
        Attention heads of an "hgt", "gat" or "gatv2", which share the width.
    bases : int, optional
        Matrices of which an "rgcn" layer mixes those of its relations; by default each relation has
        its own.
    epochs, batch_size : int
        Passes over the training nodes, or edges; so many of them a batch. Of "cluster" about so
        many; of "saint" an epoch has as many batches as would hold all.
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
    task: str = "node"
    target: str | None = None
    negatives: int | None = None
    model: str = "sage"
    aggregator: str | None = None
    target_type: str | None = None
    undirected: bool = True
    normalize_features: bool = False
    sampler: str = "neighbor"
    fanout: tuple[Fanout, ...] = (10, 10)
    layers: int | None = None
    ppr_neighbors: int | None = None
    ppr_alpha: float | None = None
    ppr_epsilon: float | None = None
    clusters: int | None = None
    saint_mode: str | None = None
    budget: tuple[int, ...] | None = None
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
        check(self.hidden <= _MOST, "hidden", f"at most {_MOST}")
        check(self.heads >= 1, "heads", "at least 1")
        check(self.bases is None or self.bases >= 1, "bases", "at least 1")
        if self.model in WITH_HEADS:
            check(self.hidden % self.heads == 0, "hidden", f"a multiple of heads = {self.heads}")
        check(self.epochs >= 1, "epochs", "at least 1")
        check(self.batch_size >= 1, "batch_size", "at least 1")
        check(0 < self.lr < float("inf"), "lr", "a number > 0")
        check(0 <= self.weight_decay < float("inf"), "weight_decay", "a number >= 0")
        check(self.weight_decay <= _LARGEST, "weight_decay", f"at most {_LARGEST}, as float32")
        check(0 <= self.dropout < 1, "dropout", "a rate in [0, 1)")
        check(0 <= self.seed < 2**63, "seed", "an int >= 0")
        check(self.num_workers >= 0, "num_workers", "at least 0")
        check(self.edges in ("mapped", "memory"), "edges", "mapped or memory")
        check(self.evaluation in EVALUATIONS, "evaluation", " or ".join(EVALUATIONS))
        self._check_model(check)
        self._check_sampler(check)
        self._check_task(check)

    def _check_model(self, check: Check) -> None:
        # "sage" and "rgcn" have always taken heads without looking at them.
        has_none = self.model in ONE_TYPE_MODELS and self.model not in (*WITH_HEADS, "sage")
        if has_none and self.heads != type(self).heads:
            raise ValueError(
                f"heads: {MODELS[self.model]} has none ({', '.join(WITH_HEADS)} have), got"
                f" {self.heads}"
            )
        if self.aggregator is not None:
            known = AGGREGATORS.get(self.model)
            title, having = MODELS[self.model], " and ".join(AGGREGATORS)
            expected = f"none, as {title} has no choice of one ({having} have)"
            if known is not None:
                expected = f"one of {', '.join(known)} for {title}"
            check(self.aggregator in (known or ()), "aggregator", expected)

    def _check_sampler(self, check: Check) -> None:
        sampler = self.sampler
        check(sampler in SAMPLERS, "sampler", f"one of {', '.join(SAMPLERS)}")
        check(self.layers is None or self.layers >= 1, "layers", "at least 1")
        if sampler in ("neighbor", "labor"):
            equal = self.layers is None or self.layers == len(self.fanout)
            check(equal, "layers", f"as many as fanouts, {len(self.fanout)}, for sampler {sampler}")
        for name, of in (
            ("clusters", "cluster"), ("saint_mode", "saint"), ("budget", "saint"),
            *((name, "ppr") for name in ("ppr_neighbors", "ppr_alpha", "ppr_epsilon")),
        ):  # fmt: skip
            is_theirs = getattr(self, name) is None or sampler == of
            check(is_theirs, name, f"none with sampler {sampler}; it is for {of}")
        check(self.clusters is None or self.clusters >= 1, "clusters", "at least 1")
        check(self.ppr_neighbors is None or self.ppr_neighbors >= 1, "ppr_neighbors", "at least 1")
        alpha, epsilon = self.ppr_alpha, self.ppr_epsilon
        check(alpha is None or 1e-6 <= alpha <= 1, "ppr_alpha", "a number from 1e-06 to 1")
        ok = epsilon is None or 1e-15 <= epsilon < float("inf")
        check(ok, "ppr_epsilon", "a finite number of at least 1e-15")
        known = self.saint_mode is None or self.saint_mode in SAINT_MODES
        check(known, "saint_mode", f"one of {', '.join(SAINT_MODES)}")
        if self.budget is not None:
            walks = self.saint_mode in (None, "walk")
            ok = len(self.budget) == (2 if walks else 1) and all(x >= 1 for x in self.budget)
            numbers = "two numbers >= 1 (roots, steps)" if walks else "one number >= 1"
            check(ok, "budget", f"{numbers} for saint_mode {self.saint_mode or 'walk'}")
        if sampler in WHOLE_SUBGRAPHS:
            full = f"full with sampler {sampler}, whose subgraphs are of no given nodes"
            check(self.evaluation == "full", "evaluation", full)

    def _check_task(self, check: Check) -> None:
        check(self.task in TASKS, "task", " or ".join(TASKS))
        known = self.target is None or self.target in TARGETS
        check(known, "target", f"one of {', '.join(TARGETS)}")
        check(self.negatives is None or self.negatives >= 1, "negatives", "at least 1")
        few = self.negatives is None or self.negatives <= _MOST
        check(few, "negatives", f"at most {_MOST}")
        if self.task == "link":
            check(self.target is None, "target", "none for task link, which predicts edges")
            seeds = ", ".join(s for s in SAMPLERS if s not in WHOLE_SUBGRAPHS)
            whole = self.sampler in WHOLE_SUBGRAPHS
            check(not whole, "sampler", f"one of {seeds} for task link, whose batches are of edges")
        else:
            check(self.negatives is None, "negatives", "none for task node; they are for link")

    @property
    def num_layers(self) -> int:
        """Layers of the model."""
        return len(self.fanout) if self.layers is None else self.layers

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values, for a checkpoint or JSON."""
        return {**asdict(self), "fanout": list(self.fanout)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Make a config of what :meth:`to_dict` gave. Raises ValueError for unknown names."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"config: unknown {', '.join(sorted(unknown))}")
        budget = values.get("budget")
        return cls(
            **{
                **values,
                "fanout": tuple(values.get("fanout", cls.fanout)),
                "budget": None if budget is None else tuple(budget),
            }
        )


def _numbers(fanouts: tuple[Fanout, ...]) -> list[int]:
    """All numbers in fanouts."""
    parts = ([*f.values()] if isinstance(f, Mapping) else [f] for f in fanouts)
    return [number for part in parts for number in part]

"""What fixes a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that fixes a run on one machine; checked when made.

    Attributes
    ----------
    data : str
        Name, folder or file, as :func:`hopflow.datasets.load` takes it.
    root : str
        Folder of the data sets that OGB names.
    split : str or None
        Which split of the data set to use.
    undirected : bool
        Add the reverse of every edge, unless the data set has them all.
    normalize_features : bool
        Divide each row of features by its sum of absolute values.
    fanout : tuple of int
        In-edges kept a node, one number a layer from input to output; -1 keeps all.
    hidden : int
        Width of the hidden layers.
    epochs, batch_size : int
        Passes over the training nodes; training nodes a batch.
    lr, weight_decay : float
        Adam's learning rate and L2 penalty.
    dropout : float
        Rate of dropout on the input and hidden features, in [0, 1).
    seed : int
        Fixes initial weights, order, samples and dropout.
    device : str
        Where to train.
    num_workers : int
        Threads that prepare batches ahead; 0 prepares them in between.

    Raises
    ------
    ValueError
        A value out of range.
    """

    data: str = "arxiv-like"
    root: str = "dataset"
    split: str | None = None
    undirected: bool = True
    normalize_features: bool = False
    fanout: tuple[int, ...] = (10, 10)
    hidden: int = 128
    epochs: int = 10
    batch_size: int = 1024
    lr: float = 0.003
    weight_decay: float = 0.0
    dropout: float = 0.3
    seed: int = 0
    device: str = "cpu"
    num_workers: int = 0

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, expected: str) -> None:
            if not ok:
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

        check(len(self.fanout) >= 1, "fanout", "at least one layer")
        check(all(f >= -1 for f in self.fanout), "fanout", "-1 (all) or counts >= 0")
        check(self.hidden >= 1, "hidden", "at least 1")
        check(self.epochs >= 1, "epochs", "at least 1")
        check(self.batch_size >= 1, "batch_size", "at least 1")
        check(0 < self.lr < float("inf"), "lr", "a number > 0")
        check(0 <= self.weight_decay < float("inf"), "weight_decay", "a number >= 0")
        check(0 <= self.dropout < 1, "dropout", "a rate in [0, 1)")
        check(0 <= self.seed < 2**63, "seed", "an int >= 0")
        check(self.num_workers >= 0, "num_workers", "at least 0")

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

"""What ``dgl.data`` has for data sets of many graphs."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hopflow.as_dgl.data import Subset
from hopflow.sampling import random as rng


class DGLDataset:
    """The base of data sets: a subclass says in :meth:`process` what it holds.

    When it is made it calls :meth:`load` if :meth:`has_cache`, else :meth:`download`,
    :meth:`process` and :meth:`save`; each does nothing unless the subclass has its own. If loading
    fails, it is processed anew.

    Parameters
    ----------
    name : str
        Of the data set, and of its folder.
    url : str, optional
        Where it comes from; a part of the folder's name.
    raw_dir : str, optional
        Folder for what is downloaded; by default ``$DGL_DOWNLOAD_DIR`` or ``~/.dgl``. Nothing is
        downloaded if ``raw_path`` is there.
    save_dir : str, optional
        Folder for what is saved; ``raw_dir`` by default.
    hash_key : tuple
        What tells this data set from others of its class: the origin of ``hash``.
    force_reload : bool
        Process anew whatever is saved.
    verbose : bool
        Print what becomes of the cache.
    transform : callable, optional
        For the subclass to apply to graphs: ``self._transform``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.data.DGLDataset.html
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        raw_dir: str | None = None,
        save_dir: str | None = None,
        hash_key: tuple[Any, ...] = (),
        force_reload: bool = False,
        verbose: bool = False,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self._name, self._url, self._transform = name, url, transform
        self._force_reload, self._verbose = force_reload, verbose
        self._hash_key, self._hash = hash_key, _eight_digits(hash_key)
        default = os.environ.get("DGL_DOWNLOAD_DIR") or str(Path.home() / ".dgl")
        self._raw_dir = default if raw_dir is None else raw_dir
        self._save_dir = self._raw_dir if save_dir is None else save_dir
        self._load()

    def download(self) -> None:
        """Fetch the data into ``raw_dir``, in a subclass that does."""

    def process(self) -> None:
        """Make the graphs, in a subclass."""
        raise NotImplementedError(f"{type(self).__name__}.process: expected in a DGLDataset")

    def save(self) -> None:
        """Keep what :meth:`process` has made, in a subclass that does."""

    def load(self) -> None:
        """Read what :meth:`save` has kept, in a subclass that does."""

    def has_cache(self) -> bool:
        """Whether :meth:`load` may be called; a subclass looks."""
        return False

    def _load(self) -> None:
        if not self._force_reload and self.has_cache():
            try:
                self.load()
            except Exception:  # whatever is wrong with what was saved, it can be made again
                if self.verbose:
                    traceback.print_exc()
                    print("Loading from cache failed, re-processing.")
            else:
                if self.verbose:
                    print("Done loading data from cached files.")
                return
        fetches = type(self).download is not DGLDataset.download
        if fetches and not os.path.exists(self.raw_path):
            os.makedirs(self.raw_dir, exist_ok=True)
            self.download()
        self.process()
        self.save()
        if self.verbose:
            print("Done saving data into cached files.")

    @property
    def url(self) -> str | None:
        """Where the data comes from."""
        return self._url

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    @property
    def raw_dir(self) -> str:
        """Folder of what is downloaded."""
        return self._raw_dir

    @property
    def raw_path(self) -> str:
        """This data set's folder in it."""
        return os.path.join(self.raw_dir, self.name + self._url_suffix())

    @property
    def save_dir(self) -> str:
        """Folder of what is saved."""
        return self._save_dir

    @property
    def save_path(self) -> str:
        """This data set's folder in it."""
        return os.path.join(self.save_dir, self.name + self._url_suffix())

    def _url_suffix(self) -> str:
        return "" if self._url is None else f"_{_eight_digits(self._url)}"

    @property
    def verbose(self) -> bool:
        """Whether to print."""
        return self._verbose

    @property
    def hash(self) -> str:
        """Eight digits of a hash of ``hash_key``."""
        return self._hash

    def __getitem__(self, idx: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.__getitem__: expected in a DGLDataset")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}.__len__: expected in a DGLDataset")

    def __repr__(self) -> str:
        return f'Dataset("{self.name}", num_graphs={len(self)}, save_path={self.save_path})'


def _eight_digits(value: object) -> str:
    """As DGL has them, so that folders have the same names."""
    return hashlib.sha1(str(value).encode(), usedforsecurity=False).hexdigest()[:8]


def split_dataset(
    dataset: Any,
    frac_list: Sequence[float] | None = None,
    shuffle: bool = False,
    random_state: Any = None,
) -> list[Subset]:
    """Consecutive shares of a data set, or shares of it in a random order.

    Parameters
    ----------
    dataset : sequence
        ``dataset[i]`` is its item ``i``, ``len(dataset)`` their number.
    frac_list : sequence of float, optional
        The shares, which add up to 1; (0.8, 0.1, 0.1) by default. The last is all that is left.
    shuffle : bool
        Draw the order.
    random_state : int, optional
        The seed, for the same order as in DGL; by default drawn from torch's random stream.

    Returns
    -------
    list of Subset
        One for each share.

    Raises
    ------
    ValueError
        Shares that are negative or do not add up to 1.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.data.utils.split_dataset.html
    """
    shares = np.asarray([0.8, 0.1, 0.1] if frac_list is None else frac_list, dtype=float)
    if shares.ndim != 1 or not shares.size or shares.min() < 0 or not np.isclose(shares.sum(), 1):
        raise ValueError(f"frac_list: expected shares that add up to 1, got {frac_list!r}")
    count = len(dataset)
    if shuffle:
        seed = rng.draw_seed() % 2**32 if random_state is None else random_state
        order = np.random.RandomState(seed).permutation(count)
    else:
        order = np.arange(count)
    ends = [0, *np.cumsum((count * shares).astype(int)[:-1]).tolist(), count]
    return [Subset(dataset, order[start:end].tolist()) for start, end in pairwise(ends)]


class AsGraphPredDataset:
    """A data set of graphs with a split: ``dataset[i]`` is what the one given has there.

    Nothing is written to disk, unlike in DGL.

    Parameters
    ----------
    dataset : data set
        Its items are pairs of a graph and its label. Without ``split_ratio`` it has
        ``get_idx_split()``, as OGB's have, or masks: ``train_mask``, ``val_mask``, ``test_mask``.
    split_ratio : (float, float, float), optional
        Draw a new split of these shares, from torch's random stream; the last is all that is left.
    **kwargs
        DGL's options of its cache, without effect.

    Attributes
    ----------
    train_idx, val_idx, test_idx : Tensor
        Numbers of the graphs of each part, int64.
    num_classes : int or None
        That of ``dataset``, if it has one.
    num_tasks : int
        That of ``dataset``, or 1.

    Raises
    ------
    ValueError
        No split, or shares that are none.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.data.AsGraphPredDataset.html
    """

    def __init__(
        self, dataset: Any, split_ratio: Sequence[float] | None = None, **kwargs: Any
    ) -> None:
        self.dataset, self.split_ratio = dataset, split_ratio
        self.name = f"{getattr(dataset, 'name', type(dataset).__name__)}-as-graphpred"
        self.train_idx, self.val_idx, self.test_idx = self._split()
        self.num_classes = getattr(dataset, "num_classes", None)
        self.num_tasks = getattr(dataset, "num_tasks", 1)

    def _split(self) -> list[Tensor]:
        if self.split_ratio is not None:
            if len(self.split_ratio) != 3:
                raise ValueError(f"split_ratio: expected three shares, got {self.split_ratio!r}")
            parts = split_dataset(self.dataset, self.split_ratio, shuffle=True)
            return [torch.tensor(part.indices, dtype=torch.int64, device="cpu") for part in parts]
        if hasattr(self.dataset, "get_idx_split"):
            split = self.dataset.get_idx_split()
            return [torch.as_tensor(split[part]).long() for part in ("train", "valid", "test")]
        masks = [getattr(self.dataset, f"{part}_mask", None) for part in ("train", "val", "test")]
        if any(mask is None for mask in masks):
            raise ValueError(
                "dataset: expected get_idx_split(), or train_mask, val_mask and test_mask; or give"
                " split_ratio"
            )
        return [torch.as_tensor(mask).nonzero().squeeze(1) for mask in masks]

    def __getitem__(self, idx: int) -> Any:
        return self.dataset[idx]

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def node_feat_size(self) -> int | None:
        """Width of the first graph's node column "feat", if it has one."""
        return self._width("ndata")

    @property
    def edge_feat_size(self) -> int | None:
        """Width of the first graph's edge column "feat", if it has one."""
        return self._width("edata")

    def _width(self, where: str) -> int | None:
        columns = getattr(self[0][0], where)
        return int(columns["feat"].shape[-1]) if "feat" in columns else None

    def __repr__(self) -> str:
        return f'Dataset("{self.name}", num_graphs={len(self)})'

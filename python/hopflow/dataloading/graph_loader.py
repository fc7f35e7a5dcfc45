"""Mini-batches of whole graphs, for learning about graphs rather than nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import DataLoader, DistributedSampler
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from hopflow.graphs.batch import batch
from hopflow.graphs.graph import Graph
from hopflow.ops import HopflowError


def _batch_graphs(graphs: Sequence[Graph], *, collate_fn_map: Any = None) -> Graph:
    return batch(graphs)


class GraphCollator:
    """Makes one item of several: graphs become a batch, all else what torch makes of it.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.GraphCollator.html
    """

    def collate(self, items: Sequence[Any]) -> Any:
        """The items of a mini-batch as one.

        Parameters
        ----------
        items : sequence
            Graphs, tensors, numpy arrays, numbers, texts, or tuples, lists and dicts of these, all
            of one form.

        Returns
        -------
        Graph, Tensor, list or dict
            :func:`hopflow.batch` of graphs; tensors, arrays and numbers stacked; texts as a list;
            of tuples a list with an entry for each place, of dicts a dict.

        Raises
        ------
        TypeError
            Something else.
        ValueError, RuntimeError
            Graphs or tensors that do not go together.
        """
        return collate(list(items), collate_fn_map={**default_collate_fn_map, Graph: _batch_graphs})


class GraphDataLoader(DataLoader[Any]):
    """Mini-batches of a data set of graphs: ``for batched_graph, labels in loader``.

    This is :class:`torch.utils.data.DataLoader` with another ``collate_fn``, its workers and
    options included. ``shuffle=True`` draws from torch's random stream: ``torch.manual_seed`` makes
    a run reproducible, for any number of workers. For batches of the nodes or edges of one large
    graph there is :class:`hopflow.dataloading.DataLoader`.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or sequence
        ``dataset[i]`` is a graph, or a tuple of a graph and its label, or the like.
    collate_fn : callable, optional
        What makes a mini-batch of a list of items; by default :meth:`GraphCollator.collate`.
    use_ddp : bool
        Give each rank of ``torch.distributed`` its share of the items, by torch's
        ``DistributedSampler``: where they do not divide evenly some ranks see items twice, or with
        ``drop_last`` some items are seen by none.
    ddp_seed : int
        With ``use_ddp``: the seed of the order under ``shuffle=True``, the same on all ranks.
    **kwargs
        Options of torch's loader, such as ``batch_size``, ``shuffle``, ``drop_last`` and
        ``num_workers``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.GraphDataLoader.html
    """

    def __init__(
        self,
        dataset: Any,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        use_ddp: bool = False,
        ddp_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # torch's loader lets nothing be set before its own __init__ has run.
        sampler: DistributedSampler[Any] | None = None
        if use_ddp:
            sampler = DistributedSampler(
                dataset,
                shuffle=kwargs.pop("shuffle", False),
                seed=ddp_seed,
                drop_last=kwargs.pop("drop_last", False),
            )
            kwargs["sampler"] = sampler
        if collate_fn is None and kwargs.get("batch_size", 1) is not None:
            collate_fn = GraphCollator().collate
        super().__init__(dataset, collate_fn=collate_fn, **kwargs)
        self.use_ddp, self.dist_sampler = use_ddp, sampler

    def set_epoch(self, epoch: int) -> None:
        """With ``use_ddp`` and ``shuffle``: go to the order of another epoch.

        Parameters
        ----------
        epoch : int
            Its number, the same on all ranks.

        Raises
        ------
        HopflowError
            The loader was made without ``use_ddp``.
        """
        if self.dist_sampler is None:
            raise HopflowError("set_epoch: expected a loader made with use_ddp=True")
        self.dist_sampler.set_epoch(epoch)

"""Optimisers that update a few rows of a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.nn.node_embedding import NodeEmbedding


class SparseOptimizer(ABC):
    """What both optimisers do: gather the gradients of a batch, and keep state in the tables.

    Gradients of all lookups since :meth:`zero_grad` count; of a node that was looked up several
    times the mean of its gradients is taken, as in DGL. A step's cost depends on the rows used,
    not on the table.

    Parameters
    ----------
    params : sequence of NodeEmbedding
        The tables, each of a name of its own.
    lr : float
        Learning rate.
    """

    def __init__(self, params: Sequence[NodeEmbedding], lr: float) -> None:
        self._params, self._lr = list(params), lr
        if not self._params:
            raise ValueError("params: expected at least one NodeEmbedding, got none")
        for i, table in enumerate(self._params):
            if not isinstance(table, NodeEmbedding):
                raise TypeError(
                    f"params[{i}]: expected a hopflow.nn.NodeEmbedding, got {type(table).__name__}"
                )
        names = [table.name for table in self._params]
        if len(set(names)) < len(names):
            raise ValueError(f"params: expected tables of different names, got {names}")
        # The lookups of each table that the last step has seen.
        self._seen: list[list[Tensor]] = [[] for _ in names]
        for table in self._params:
            table.set_optm_state(self._make_state(table))

    @abstractmethod
    def _make_state(self, table: NodeEmbedding) -> tuple[Tensor, ...]:
        """What is kept for a table before the first step."""

    @abstractmethod
    def _step_of(self, state: tuple[Tensor, ...], ids: Tensor, grad: Tensor) -> Tensor:
        """What to take from the rows ``ids``, each named once, after bringing their state on."""

    @property
    @abstractmethod
    def param_groups(self) -> list[dict[str, Any]]:
        """The options, as torch's optimisers show them; parameters are not among them."""

    @abstractmethod
    def _set_options(self, options: Mapping[str, Any]) -> None:
        """Take over those of a ``state_dict``."""

    @torch.no_grad()
    def step(self) -> None:
        """Update the rows whose gradients there are."""
        for i, table in enumerate(self._params):
            used = [(ids, x.grad) for ids, x in table.trace if x.grad is not None]
            self._seen[i] = [x for _, x in table.trace]
            if not used:
                continue
            device, state = table.weight.device, table.optm_state
            assert state is not None
            ids, grad = _mean_by_row(
                torch.cat([ids.long().to(device) for ids, _ in used]),
                torch.cat([grad.to(device) for _, grad in used]),
            )
            if ids.shape[0]:
                table.weight.index_add_(0, ids, -self._step_of(state, ids, grad))

    def zero_grad(self) -> None:
        """Forget the gradients there are, and lookups that a step has seen.

        A lookup that is still to have its gradient stays, so this may be called between the forward
        and the backward pass too.
        """
        for i, table in enumerate(self._params):
            seen = {id(x) for x in self._seen[i]}
            rest = [
                pair for pair in table.trace if pair[1].grad is None and id(pair[1]) not in seen
            ]
            self._seen[i] = []
            table.reset_trace()
            table.trace.extend(rest)

    def __getstate__(self) -> dict[str, Any]:
        # Nor do tables take along the lookups of a pass that is under way.
        return {**vars(self), "_seen": [[] for _ in self._params]}

    def state_dict(self, **kwargs: Any) -> dict[str, Any]:
        """State of every table, by its name, and the options; tensors are the optimiser's own."""
        state = {table.name: table.optm_state for table in self._params}
        return {"state": state, "param_groups": self.param_groups}

    def load_state_dict(self, state_dict: Mapping[str, Any], **kwargs: Any) -> None:
        """Go on from a ``state_dict``, of DGL's optimiser of this name too.

        Raises
        ------
        KeyError, ValueError
            No state of a table, or one of other shapes; nothing has changed then.
        """
        pairs = []
        for table in self._params:
            given, state = state_dict["state"][table.name], table.optm_state
            assert state is not None
            if [x.shape for x in given] != [x.shape for x in state]:
                raise ValueError(
                    f"state_dict: expected state of shapes {[list(x.shape) for x in state]} for"
                    f" {table.name!r}, got {[list(x.shape) for x in given]}"
                )
            pairs += list(zip(state, given))
        self._set_options(state_dict["param_groups"][0])
        for mine, x in pairs:
            mine.copy_(x)


def _mean_by_row(ids: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """Ids, each once and rising, and the mean of the gradients of each."""
    once, number = torch.unique(ids, return_inverse=True)
    # The library's own sum: the same for any number of threads, unlike an atomic index_add.
    indptr, _, order = ops.coo_to_csc(number, number, once.shape[0], once.shape[0])
    wide = grads.to(torch.float32)
    return once, ops.segment_reduce(indptr, wide, reduce="mean", eids=order)


class SparseAdagrad(SparseOptimizer):
    r"""Adagrad on the rows used: :math:`s \leftarrow s + g^2, \; w \leftarrow w - lr \, g /
    \sqrt{s + eps}`.

    Parameters
    ----------
    params : sequence of NodeEmbedding
        The tables.
    lr : float
        Learning rate.
    eps : float
        Added under the root.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 2011;
    https://www.dgl.ai/dgl_docs/generated/dgl.optim.pytorch.SparseAdagrad.html
    """

    def __init__(self, params: Sequence[NodeEmbedding], lr: float, eps: float = 1e-10) -> None:
        super().__init__(params, lr)
        self._eps = eps

    def _make_state(self, table: NodeEmbedding) -> tuple[Tensor, ...]:
        return (torch.zeros_like(table.weight),)

    def _step_of(self, state: tuple[Tensor, ...], ids: Tensor, grad: Tensor) -> Tensor:
        (squares,) = state
        total = squares[ids] + grad * grad
        squares[ids] = total
        return self._lr * grad / (total + self._eps).sqrt()

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The options."""
        return [{"lr": self._lr, "eps": self._eps}]

    def _set_options(self, options: Mapping[str, Any]) -> None:
        self._lr, self._eps = options["lr"], options["eps"]


class SparseAdam(SparseOptimizer):
    r"""Adam on the rows used, each with a count of its own steps.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - lr \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + eps}

    Parameters
    ----------
    params : sequence of NodeEmbedding
        The tables.
    lr : float
        Learning rate.
    betas : (float, float)
        How slowly both means forget.
    eps : float
        Added to the root.
    use_uva : optional
        DGL pins the state for GPUs to read; accepted, and without effect.
    dtype : {torch.float32, torch.float16}
        Of the means in the state; they are computed in float32.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015;
    https://www.dgl.ai/dgl_docs/generated/dgl.optim.pytorch.SparseAdam.html
    """

    def __init__(
        self,
        params: Sequence[NodeEmbedding],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        use_uva: bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if dtype not in (torch.float16, torch.float32):
            raise ValueError(f"dtype: expected torch.float32 or torch.float16, got {dtype}")
        self._betas, self._eps, self._dtype = betas, eps, dtype
        super().__init__(params, lr)

    def _make_state(self, table: NodeEmbedding) -> tuple[Tensor, ...]:
        weight = table.weight
        steps = torch.zeros(weight.shape[0], dtype=torch.int32, device=weight.device)
        return (steps, *(torch.zeros_like(weight, dtype=self._dtype) for _ in range(2)))

    def _step_of(self, state: tuple[Tensor, ...], ids: Tensor, grad: Tensor) -> Tensor:
        steps, *means = state
        count = steps[ids] + 1
        steps[ids] = count
        corrected = []
        for kept, beta, x in zip(means, self._betas, (grad, grad * grad)):
            mean = beta * kept[ids].to(grad.dtype) + (1 - beta) * x
            kept[ids] = mean.to(kept.dtype)
            # In double precision: 1 - beta ** t of a beta close to 1 is a small difference.
            share = 1 - torch.tensor(beta, dtype=torch.float64, device=count.device) ** count
            corrected.append(mean / share.to(grad.dtype).unsqueeze(1))
        return self._lr * corrected[0] / (corrected[1].sqrt() + self._eps)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The options."""
        return [{"lr": self._lr, "betas": self._betas, "eps": self._eps}]

    def _set_options(self, options: Mapping[str, Any]) -> None:
        self._lr, self._betas, self._eps = options["lr"], options["betas"], options["eps"]

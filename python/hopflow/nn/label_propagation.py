"""Labels that spread over edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

import hopflow.functional as over
from hopflow.graphs.graph import Graph
from hopflow.nn._aggregate import in_degree_scale, out_degree_scale
from hopflow.nn._checks import require_one_step, require_rows

NORMS = ("sym", "row")


class LabelPropagation(nn.Module):
    r"""Label propagation: known labels spread over the edges, without anything that is learned.

    .. math::
        Y^{(t+1)} = \alpha \tilde A Y^{(t)} + (1 - \alpha) Y^{(0)}

    Parameters
    ----------
    k : int
        Number of steps; at most 1 on a block.
    alpha : float
        Share of what comes over the edges.
    norm_type : {"sym", "row"}
        Divide by the roots of both degrees, or by the in-degree; degrees count as at least 1.
    clamp : bool
        Bring every number into [0, 1] after each step.
    normalize : bool
        Divide each row by the sum of its absolute values after each step.
    reset : bool
        Put the known labels back after each step.

    Raises
    ------
    ValueError
        An unknown ``norm_type``.

    References
    ----------
    Zhu, Ghahramani, "Learning from labeled and unlabeled data with label propagation", 2002;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.utils.LabelPropagation.html
    """

    def __init__(
        self,
        k: int,
        alpha: float,
        norm_type: str = "sym",
        clamp: bool = True,
        normalize: bool = False,
        reset: bool = False,
    ) -> None:
        super().__init__()
        if norm_type not in NORMS:
            raise ValueError(f"norm_type: expected one of {', '.join(NORMS)}, got {norm_type!r}")
        self.k, self.alpha, self.norm_type = k, alpha, norm_type
        self.clamp, self.normalize, self.reset = clamp, normalize, reset

    def forward(self, g: Graph, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Spread the labels.

        Parameters
        ----------
        g : Graph or Block
            Where they spread.
        labels : Tensor
            Classes of the source nodes, integers of shape [U] or [U, 1]; or a row of one number a
            class for each, [U, C] with C > 1.
        mask : Tensor, optional
            Which of them are known: bool, shape [U], or their ids. All by default.

        Returns
        -------
        Tensor
            float32, shape [V, C].

        Raises
        ------
        ValueError
            More than one step over a block, or not one label a node.
        """
        require_one_step(g, self.k)
        rows = labels.view(-1, 1) if labels.dim() == 1 else labels
        require_rows("labels", rows, g.num_src_nodes())
        if rows.shape[1] > 1:
            given = rows.to(torch.float32)
        else:
            given = functional.one_hot(rows.view(-1).long()).to(torch.float32)
        is_known = torch.ones(given.shape[0], dtype=torch.bool, device=given.device)
        if mask is not None:
            is_known = torch.zeros_like(is_known)
            is_known[mask] = True
        is_known = is_known.unsqueeze(1)
        y = given.where(is_known, given.new_zeros(()))
        num_dst = g.num_dst_nodes()
        given, is_known, known = given[:num_dst], is_known[:num_dst], (1 - self.alpha) * y[:num_dst]
        if self.k == 0:
            return y[:num_dst]
        before = out_degree_scale(g, -0.5, y) if self.norm_type == "sym" else None
        after = in_degree_scale(g, -0.5 if self.norm_type == "sym" else -1.0, known)
        for _ in range(self.k):
            y = y if before is None else y * before
            y = known + self.alpha * over.copy_u_sum(g, y) * after
            if self.clamp:
                y = y.clamp(0.0, 1.0)
            if self.normalize:
                y = functional.normalize(y, p=1.0)
            if self.reset:
                y = given.where(is_known, y)
        return y

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"k={self.k}, alpha={self.alpha}, norm_type={self.norm_type!r}"

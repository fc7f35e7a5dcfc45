"""Scores of pairs of nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopflow.nn._checks import require_width
from hopflow.nn.link._checks import require_pairs

OPS = ("dot", "cos", "ele", "cat")


class EdgePredictor(nn.Module):
    r"""Combine the representations of two nodes, and perhaps apply a linear layer.

    Parameters
    ----------
    op : {"dot", "cos", "ele", "cat"}
        Inner product, cosine, product number by number, or one beside the other.
    in_feats, out_feats : int, optional
        Width of a representation and of the result; with both given there is a linear layer.
    bias : bool
        Whether that layer has one.

    Raises
    ------
    ValueError
        An unknown ``op``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.link.EdgePredictor.html
    """

    def __init__(
        self,
        op: str,
        in_feats: int | None = None,
        out_feats: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if op not in OPS:
            raise ValueError(f"op: expected one of {', '.join(OPS)}, got {op!r}")
        self.op = op
        self.linear: nn.Linear | None = None
        if in_feats is not None and out_feats is not None:
            width = {"dot": 1, "cos": 1, "ele": in_feats, "cat": 2 * in_feats}[op]
            self.linear = nn.Linear(width, out_feats, bias=bias)

    def reset_parameters(self) -> None:
        """Draw new parameters, as ``nn.Linear`` does."""
        if self.linear is not None:
            self.linear.reset_parameters()

    def forward(self, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Score pairs.

        Parameters
        ----------
        h_src, h_dst : Tensor
            Representations of both ends of each pair, shape [E, D].

        Returns
        -------
        Tensor
            Shape [E, out_feats]; without a linear layer [E, 1], [E, 1], [E, D] or [E, 2 * D].

        Raises
        ------
        ValueError
            Ends of different shapes, or not as wide as the linear layer takes them.
        """
        require_pairs("h_src", h_src, "h_dst", h_dst)
        if isinstance(self.linear, nn.Linear) and self.op in ("ele", "cat"):
            sides = 2 if self.op == "cat" else 1
            require_width("h_src, h_dst", h_src, self.linear.in_features // sides)
        if self.op == "dot":
            h = (h_src * h_dst).sum(-1, keepdim=True)
        elif self.op == "cos":
            h = functional.cosine_similarity(h_src, h_dst).unsqueeze(-1)
        elif self.op == "ele":
            h = h_src * h_dst
        else:
            h = torch.cat([h_src, h_dst], -1)
        return h if self.linear is None else self.linear(h)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"op={self.op!r}"

"""What the layers have in common whose output is an aggregate, a residual and a bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import hopflow.function as fn
from hopflow.nn._aggregate import Reducer
from hopflow.nn._attention import reset_linear, residual_layer
from hopflow.nn._checks import require_input, require_width

REDUCERS: dict[str, Reducer] = {"sum": fn.sum, "mean": fn.mean, "max": fn.max}


def require_aggregator(aggregator_type: str) -> str:
    """Return it if it is one of :data:`REDUCERS`; raise a KeyError, DGL's choice, otherwise."""
    if aggregator_type not in REDUCERS:
        raise KeyError(
            f"aggregator_type: expected one of {', '.join(REDUCERS)}, got {aggregator_type!r}"
        )
    return aggregator_type


class ResidualConv(nn.Module):
    """A layer that adds the destination's own features and a bias to what it has aggregated."""

    bias: Tensor | None
    _out_feats: int

    def _add_rest(self, dst_feats: int, out_feats: int, *, residual: bool, bias: bool) -> None:
        """Add the projection of the destination's features, where it is wanted, and the bias."""
        self.res_fc = residual_layer(dst_feats, out_feats, 1, wanted=residual, bias=False)
        if bias:
            self.bias = nn.Parameter(torch.empty(out_feats))
        else:
            self.register_buffer("bias", None)

    def _reset_rest(self) -> None:
        """DGL's initialisation: Glorot's normal weights, bias 0."""
        if isinstance(self.res_fc, nn.Linear):
            reset_linear(self.res_fc)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def _require_own(self, own: Tensor) -> None:
        """Raise unless the destinations' rows are as wide as the residual takes them."""
        if isinstance(self.res_fc, nn.Identity):
            require_width("feat of destinations", own, self._out_feats)
        require_input("feat of destinations", own, self.res_fc)

    def _add_own(self, out: Tensor, own: Tensor) -> Tensor:
        if self.res_fc is not None:
            out = out + self.res_fc(own)
        return out if self.bias is None else out + self.bias

"""What several layers found out, in one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hopflow.nn._checks import require_width

MODES = ("cat", "max", "lstm")


class JumpingKnowledge(nn.Module):
    r"""Combine the results of several layers, so that each node may use its own depth.

    "cat" puts them one beside the other, "max" takes the largest of each number, and "lstm" their
    mean with weights :math:`softmax_t(a^T s^{(t)})` of the states of an LSTM that reads a node's
    results in both directions.

    Parameters have the names, shapes and initialisation of DGL's module.

    Parameters
    ----------
    mode : {"cat", "max", "lstm"}
        How.
    in_feats, num_layers : int, optional
        Width and number of the results, needed for "lstm".

    Raises
    ------
    ValueError
        An unknown mode, or "lstm" without sizes.

    References
    ----------
    Xu et al., "Representation learning on graphs with jumping knowledge networks", ICML 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.utils.JumpingKnowledge.html
    """

    def __init__(
        self, mode: str = "cat", in_feats: int | None = None, num_layers: int | None = None
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
        self.mode = mode
        if mode == "lstm":
            if in_feats is None or num_layers is None:
                raise ValueError(
                    "in_feats, num_layers: expected the width and the number of results for"
                    f" mode='lstm', got {in_feats} and {num_layers}"
                )
            hidden = (num_layers * in_feats) // 2
            self.lstm = nn.LSTM(in_feats, hidden, bidirectional=True, batch_first=True)
            self.att = nn.Linear(2 * hidden, 1)

    def reset_parameters(self) -> None:
        """Draw new parameters, as torch's layers do."""
        if self.mode == "lstm":
            self.lstm.reset_parameters()
            self.att.reset_parameters()

    def forward(self, feat_list: Sequence[Tensor]) -> Tensor:
        """Combine.

        Parameters
        ----------
        feat_list : sequence of Tensor
            A result of each layer; T of shape [N, D], for "cat" of any widths.

        Returns
        -------
        Tensor
            Shape [N, D]; for "cat" [N, T * D].

        Raises
        ------
        ValueError
            No results.
        """
        if not len(feat_list):
            raise ValueError("feat_list: expected a tensor for each layer, got none")
        if self.mode != "cat":
            self._require_alike(feat_list)
        if self.mode == "cat":
            return torch.cat(list(feat_list), -1)
        if self.mode == "max":
            return torch.stack(list(feat_list), -1).max(-1).values
        stacked = torch.stack(list(feat_list), 1)
        states, _ = self.lstm(stacked)
        weights = torch.softmax(self.att(states).squeeze(-1), -1)
        return (stacked * weights.unsqueeze(-1)).sum(1)

    def _require_alike(self, feat_list: Sequence[Tensor]) -> None:
        """Raise a ValueError unless all have one shape, of the width that an LSTM takes."""
        for i, x in enumerate(feat_list):
            if x.shape != feat_list[0].shape:
                raise ValueError(
                    f"feat_list[{i}]: expected the shape of the first, {list(feat_list[0].shape)},"
                    f" for mode={self.mode!r}, got {list(x.shape)}"
                )
        if self.mode == "lstm":
            require_width("feat_list", feat_list[0], self.lstm.input_size)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of it."""
        return f"mode={self.mode!r}"

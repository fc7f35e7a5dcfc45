"""Graph networks as unfolded optimisation, with attention by reweighted least squares."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import (
    is_compiling,
    require_in_degrees,
    require_one_step,
    require_same_widths,
    require_width,
)
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._unfolding import EdgeWeights, Reweighting, unit_weights

NORMS = ("none", "batch", "layer")


class TWIRLSUnfoldingAndAttention(nn.Module):
    r"""The steps of TWIRLS: gradient descent on a smoothness energy, with attention in between.

    With ``precond`` a step is, :math:`\tilde D = \lambda D + (1 - \lambda) I`,

    .. math::
        Y' = (1 - \alpha) Y + \alpha \lambda \tilde D^{-1/2} A \tilde D^{-1/2} Y
            + \alpha \tilde D^{-1} X

    and otherwise

    .. math::
        Y' = (1 - \alpha \lambda - \alpha) Y + \alpha \lambda D^{-1/2} A D^{-1/2} Y + \alpha X

    with the in-degrees :math:`D`. Attention weighs every edge anew by the distance of its ends,
    :math:`w_{uv} = \max(\tau, \|y_u - y_v\|^{2 - p})^{-1}`; degrees are sums of weights then. All
    sums are fused: nothing of the size E x D is written. DGL's layer leaves columns ``w`` and
    ``deg`` on the graph; here the graph's columns stay as they are.

    Parameters
    ----------
    d : int
        Width of the features; only ``use_eta`` has parameters, which have this shape.
    alp : float
        Step size :math:`\alpha`; :math:`1 / (\lambda + 1)` where it is not positive.
    lam : float
        Weight of smoothness :math:`\lambda`.
    prop_step : int
        Number of steps.
    attn_aft : int
        After how many steps weights are computed anew; -1 for never.
    tau, T, p : float
        Of attention: the least distance; the largest, beyond which an edge weighs nothing, if
        positive; the power.
    use_eta : bool
        Learn a factor for each feature in distances.
    init_att : bool
        Compute weights before the first step too.
    attn_dropout : float
        Dropout rate of the weights; degrees are those without.
    precond : bool
        Which of the two kinds a step is.

    References
    ----------
    Yang et al., "Graph neural networks inspired by classical iterative algorithms", ICML 2021;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.TWIRLSUnfoldingAndAttention.html
    """

    def __init__(
        self,
        d: int,
        alp: float,
        lam: float,
        prop_step: int,
        attn_aft: int = -1,
        tau: float = 0.2,
        T: float = -1,
        p: float = 1,
        use_eta: bool = False,
        init_att: bool = False,
        attn_dropout: float = 0,
        precond: bool = True,
    ) -> None:
        super().__init__()
        self.d, self.lam, self.prop_step = d, lam, prop_step
        self.alp = alp if alp > 0 else 1 / (lam + 1)
        self.attn_aft, self.init_att, self.precond = attn_aft, init_att, precond
        self.reweighting = Reweighting(tau, T, p)
        self.attn_dropout = nn.Dropout(attn_dropout)
        self.etas = nn.Parameter(torch.ones(d)) if use_eta else None

    def forward(self, g: Graph, X: Features, self_loops: bool = False) -> Tensor:
        """Make the steps.

        Parameters
        ----------
        g : Graph or Block
            Where messages flow. A block carries them one step; its sources' degrees are sums over
            their out-edges in it.
        X : Tensor or (Tensor, Tensor)
            Source rows, shape [U, D], whose first are the destinations'; or the rows of each side.
        self_loops : bool
            Put one self-loop on every node in place of those that the graph has.

        Returns
        -------
        Tensor
            Shape [V, D].

        Raises
        ------
        HopflowError
            A destination without in-edges, where a step would divide by its degree: always but
            with ``precond`` and :math:`\\lambda < 1` (DGL's layer gives infinity).
        ValueError
            Operands whose shapes do not go together; more than one step over a block.
        """
        require_one_step(g, self.prop_step, "prop_step")
        allow = self_loops or (self.precond and self.lam < 1)
        require_in_degrees(g, allow, "construct the layer with precond=True and lam below 1")
        source, own = as_pair(g, X, "X")
        require_same_widths(source, own)
        if source.dim() != 2:
            raise ValueError(f"X: expected rows, shape [N, {self.d}], got {list(source.shape)}")
        if self.etas is not None:
            require_width("X", source, self.d)
        given = own
        weights = unit_weights(g, source, self_loops)
        if self.init_att:
            weights = self._attention(g, source, own, self_loops)
        for step in range(self.prop_step):
            source = own = self._step(g, weights, source, own, given)
            if step == self.attn_aft - 1 and step + 1 < self.prop_step:
                weights = self._attention(g, source, own, self_loops)
        return own

    def _step(
        self, g: Graph, weights: EdgeWeights, source: Tensor, own: Tensor, given: Tensor
    ) -> Tensor:
        alp, lam = self.alp, self.lam
        by_src, by_dst = weights.by_src, weights.by_dst
        if self.precond:
            by_src, by_dst = lam * by_src + (1 - lam), lam * by_dst + (1 - lam)
        if g.is_block:  # no edge reads a source that has none
            by_src = by_src.where(weights.by_src > 0, by_src.new_ones(()))
        before, after = (x.pow(-0.5).unsqueeze(1).to(own.dtype) for x in (by_src, by_dst))
        moved = weights.sum(g, source * before) * after
        if self.precond:
            pull = given * by_dst.pow(-1).unsqueeze(1).to(own.dtype)
            return (1 - alp) * own + alp * lam * moved + alp * pull
        return (1 - alp * lam - alp) * own + alp * lam * moved + alp * given

    def _attention(self, g: Graph, source: Tensor, own: Tensor, self_loops: bool) -> EdgeWeights:
        if self.etas is not None:
            source, own = source * self.etas, own * self.etas
        weights = self.reweighting.of_edges(g, source, own, self_loops)
        edges, loops = weights.edges, weights.loops
        assert edges is not None
        loops = None if loops is None else self.attn_dropout(loops)
        return weights._replace(edges=self.attn_dropout(edges), loops=loops)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer."""
        return f"prop_step={self.prop_step}, alp={self.alp}, lam={self.lam}"


class TWIRLSConv(nn.Module):
    r"""TWIRLS: a perceptron, the steps of :class:`TWIRLSUnfoldingAndAttention`, a perceptron.

    Every node has one self-loop in the steps, whatever the graph has. Parameters have the names,
    shapes and initialisation of DGL's layer.

    Where nothing that is learned or random comes before the steps (``num_mlp_before=0``, no
    attention, no dropout of the input) their result is kept for the next call with the same graph
    and the same, unchanged tensor of features. DGL keeps the first call's for whatever comes later.

    Parameters
    ----------
    input_d, output_d, hidden_d : int
        Widths of input and output, and inside.
    prop_step : int
        Number of steps.
    num_mlp_before, num_mlp_after : int
        Number of linear maps before and after the steps.
    norm : {"none", "batch", "layer"}
        Normalisation within the perceptrons.
    precond : bool
        Whether steps are preconditioned.
    alp, lam, tau, T, p, use_eta, attn_dropout
        As :class:`TWIRLSUnfoldingAndAttention` takes them.
    attention : bool
        Compute the edges' weights anew after half of the steps.
    attn_bef : bool
        Compute them before the first step.
    dropout, inp_dropout : float
        Dropout rates within the perceptrons, of the input.

    Raises
    ------
    ValueError
        An unknown ``norm``.

    References
    ----------
    Yang et al., "Graph neural networks inspired by classical iterative algorithms", ICML 2021;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.TWIRLSConv.html
    """

    def __init__(
        self,
        input_d: int,
        output_d: int,
        hidden_d: int,
        prop_step: int,
        num_mlp_before: int = 1,
        num_mlp_after: int = 1,
        norm: str = "none",
        precond: bool = True,
        alp: float = 0,
        lam: float = 1,
        attention: bool = False,
        tau: float = 0.2,
        T: float = -1,
        p: float = 1,
        use_eta: bool = False,
        attn_bef: bool = False,
        dropout: float = 0.0,
        attn_dropout: float = 0.0,
        inp_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm: expected one of {', '.join(NORMS)}, got {norm!r}")
        self.input_d, self.output_d, self.hidden_d = input_d, output_d, hidden_d
        self.inp_dropout = inp_dropout
        self.cacheable = not (attention or attn_bef or num_mlp_before or inp_dropout > 0)
        self._kept: tuple[Any, Tensor, int, Tensor] | None = None
        self.mlp_bef = MLP(
            input_d, hidden_d, output_d if num_mlp_after == 0 else hidden_d, num_mlp_before,
            dropout, norm, init_activate=False,
        )  # fmt: skip
        self.unfolding = TWIRLSUnfoldingAndAttention(
            hidden_d, alp, lam, prop_step, prop_step // 2 if attention else -1, tau, T, p, use_eta,
            attn_bef, attn_dropout, precond,
        )  # fmt: skip
        self.mlp_aft = MLP(
            input_d if num_mlp_before == 0 else hidden_d, hidden_d, output_d, num_mlp_after,
            dropout, norm, init_activate=num_mlp_before > 0 and num_mlp_after > 0,
        )  # fmt: skip

    def forward(self, graph: Graph, feat: Features) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow. A block carries them one step.
        feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, input_d], whose first are the destinations'; or the rows of each
            side.

        Returns
        -------
        Tensor
            Shape [V, output_d].

        Raises
        ------
        ValueError
            Operands whose shapes do not go together; more than one step over a block.
        """
        source, own = as_pair(graph, feat)
        for name, x in (("feat of sources", source), ("feat of destinations", own)):
            require_width(name, x, self.input_d)
        if self.cacheable and isinstance(feat, Tensor):
            kept = self._from_cache(graph, feat)
            result = self._finish(kept)
            # Without maps after it: what is kept, which callers must not write into.
            return result.clone() if result is kept else result
        if not isinstance(feat, tuple):
            return self._finish(self._unfold(graph, self._before(feat)))
        return self._finish(self._unfold(graph, (self._before(source), self._before(own))))

    def _before(self, x: Tensor) -> Tensor:
        if self.inp_dropout > 0:
            x = functional.dropout(x, self.inp_dropout, training=self.training)
        out: Tensor = self.mlp_bef(x)
        return out

    def _unfold(self, graph: Graph, x: Features) -> Tensor:
        out: Tensor = self.unfolding(graph, x, self_loops=True)
        return out

    def _finish(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp_aft(x)
        return out

    def _from_cache(self, graph: Graph, feat: Tensor) -> Tensor:
        if is_compiling() or feat.is_inference() or torch.is_inference_mode_enabled():
            return self._unfold(graph, feat)
        kept = self._kept
        if kept is not None and kept[0] is graph.adjacency:
            _, given, version, out = kept
            if given is feat and version == feat._version:
                return out
        out = self._unfold(graph, feat)
        self._kept = None if out.requires_grad else (graph.adjacency, feat, feat._version, out)
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}  # a copy of the layer takes no graph along


class MLP(nn.Module):
    """Linear maps with normalisation, a rectifier and dropout in between; at the end none.

    Parameters
    ----------
    input_d, hidden_d, output_d : int
        Widths.
    num_layers : int
        Number of linear maps; 0 gives the input back.
    dropout : float
        Dropout rate.
    norm : {"none", "batch", "layer"}
        Normalisation before each rectifier.
    init_activate : bool
        Normalise and rectify the input too.
    """

    def __init__(
        self,
        input_d: int,
        hidden_d: int,
        output_d: int,
        num_layers: int,
        dropout: float,
        norm: str,
        init_activate: bool,
    ) -> None:
        super().__init__()
        self.init_activate, self.dropout = init_activate, dropout
        widths = [input_d, *[hidden_d] * (num_layers - 1), output_d]
        ends = pairwise(widths) if num_layers > 0 else ()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in ends])
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        self.norms: nn.ModuleList | None = None
        if norm in norms:
            count = num_layers - 1 + int(init_activate)
            self.norms = nn.ModuleList([norms[norm](hidden_d) for _ in range(count)])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew from Glorot's normal law; biases become 0."""
        layers: list[Any] = list(self.layers)
        for layer in layers:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows [N, input_d] to [N, output_d]."""
        number = 0
        for i, layer in enumerate(self.layers):
            if i > 0 or self.init_activate:
                if self.norms is not None:
                    x = self.norms[number](x)
                    number += 1
                x = functional.relu(x)
                x = functional.dropout(x, self.dropout, training=self.training)
            x = layer(x)
        return x

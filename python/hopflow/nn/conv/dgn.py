"""The layer of directional graph networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hopflow.graphs.graph import Graph
from hopflow.nn._pairs import Features, as_pair
from hopflow.nn._towers import AGGREGATORS, DIRECTIONS, direction
from hopflow.nn.conv.pna import PNAConv


class DGNConv(PNAConv):
    r"""Directional aggregation: :class:`PNAConv` along the eigenvectors of the Laplacian too.

    For the k-th eigenvector :math:`\phi` of a graph and :math:`w_{uv} = \phi_u - \phi_v`, the
    aggregate "dir{k}-av" is the mean of the messages with the weights :math:`|w_{uv}|`, and
    "dir{k}-dx" is

    .. math::
        \Big| \sum_{u \to v} \frac{w_{uv}}{\sum_{u'} |w_{u'v}|} (m_{uv} - h_v) \Big|

    Parameters
    ----------
    in_size, out_size, scalers, delta, dropout, num_towers, edge_feat_size, residual
        As for :class:`PNAConv`.
    aggregators : sequence of str
        Those of :class:`PNAConv`, "dir1-av", "dir2-av", "dir3-av", "dir1-dx", "dir2-dx" and
        "dir3-dx".

    References
    ----------
    Beaini, Passaro, Létourneau, Hamilton, Corso, Liò, "Directional graph networks", ICML 2021;
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.conv.DGNConv.html
    """

    _known = (*AGGREGATORS, *DIRECTIONS)

    def __init__(
        self,
        in_size: int,
        out_size: int,
        aggregators: Sequence[str],
        scalers: Sequence[str],
        delta: float,
        dropout: float = 0.0,
        num_towers: int = 1,
        edge_feat_size: int = 0,
        residual: bool = True,
    ) -> None:
        super().__init__(
            in_size, out_size, aggregators, scalers, delta, dropout, num_towers, edge_feat_size,
            residual,
        )  # fmt: skip
        columns = [DIRECTIONS[name][0] for name in aggregators if name in DIRECTIONS]
        self._num_directions = max(columns, default=-1) + 1
        self.use_eig_vec = bool(columns)

    def forward(
        self,
        graph: Graph,
        node_feat: Features,
        edge_feat: Tensor | None = None,
        eig_vec: Features | None = None,
    ) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        graph : Graph or Block
            Where messages flow.
        node_feat : Tensor or (Tensor, Tensor)
            Source rows, shape [U, in], whose first are the destinations'; or the rows of each side.
        edge_feat : Tensor, optional
            Shape [E, edge_feat_size]; needed if that is not 0, and not read if it is.
        eig_vec : Tensor or (Tensor, Tensor), optional
            Eigenvectors of the graph's Laplacian, of the smallest eigenvalues but the trivial ones,
            one a column; rows as in ``node_feat``. Needed by the directional aggregators. Of a
            block they are those of the graph that it was drawn from.

        Returns
        -------
        Tensor
            Shape [V, out].

        Raises
        ------
        TypeError, ValueError
            Operands whose shapes do not go together, or too few eigenvectors.
        """
        rows = self._rows(graph, node_feat, edge_feat)
        if not self.use_eig_vec:
            return self._mix(graph, *rows, ())
        if eig_vec is None:
            raise ValueError(
                f"eig_vec: expected the first {self._num_directions} eigenvectors, as the"
                " aggregators need them, got None"
            )
        source, own = as_pair(graph, eig_vec, "eig_vec")
        for x in (source, own):
            if x.dim() != 2 or x.shape[1] < self._num_directions:
                raise ValueError(
                    f"eig_vec: expected a column for each of {self._num_directions} eigenvectors,"
                    f" got shape {list(x.shape)}"
                )
        directions = [
            direction(graph, source[:, k : k + 1], own[:, k : k + 1])
            for k in range(self._num_directions)
        ]
        return self._mix(graph, *rows, directions)

"""Layers for graphs of several types: one for each relation, one for each type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from hopflow.graphs.graph import Graph
from hopflow.nn._checks import require_input
from hopflow.ops import HopflowError

Key: TypeAlias = "str | tuple[str, str, str]"
Rows: TypeAlias = Mapping[str, Tensor]
Aggregate: TypeAlias = Callable[[list[Tensor], str], Tensor]


def _sum(outputs: list[Tensor], _: str) -> Tensor:
    total = outputs[0]
    for out in outputs[1:]:
        total = total + out
    return total


def _mean(outputs: list[Tensor], dsttype: str) -> Tensor:
    return _sum(outputs, dsttype) / len(outputs)


def _max(outputs: list[Tensor], _: str) -> Tensor:
    return torch.stack(outputs).max(0).values


def _min(outputs: list[Tensor], _: str) -> Tensor:
    return torch.stack(outputs).min(0).values


def _stack(outputs: list[Tensor], _: str) -> Tensor:
    return torch.stack(outputs, 1)


# Functions with names, which a pickled layer refers to.
AGGREGATES: dict[str, Aggregate] = {
    "sum": _sum,
    "mean": _mean,
    "max": _max,
    "min": _min,
    "stack": _stack,
}


def _told(keys: Iterable[object]) -> str:
    return ", ".join(map(str, keys)) or "none"


def _modules(name: str, made: Mapping[Any, nn.Module]) -> nn.ModuleDict:
    """Modules by the texts of their keys, as DGL has them in a ``state_dict``."""
    modules = nn.ModuleDict()
    for key, module in made.items():
        text = str(key)
        if text in modules:
            raise ValueError(f"{name}: expected different keys, got two of the text {text!r}")
        try:
            modules[text] = module
        except KeyError:
            raise KeyError(
                f"{name}: torch cannot call a module {text!r}; expected a name without dots that is"
                " no method's of nn.ModuleDict"
            ) from None
    return modules


def _find(name: str, modules: nn.ModuleDict, key: object) -> nn.Module:
    if str(key) not in modules:
        raise KeyError(f"{name}: {key!r} is none of its keys, which are {_told(modules)}")
    return modules[str(key)]


class HeteroGraphConv(nn.Module):
    r"""A layer for each relation; what they bring to one type of node is combined.

    .. math::
        h_d' = aggregate_{r = (s, e, d)} \, f_r(g_r, (h_s, h_d))

    Parameters
    ----------
    mods : dict
        A layer for each relation, by the name of the edge type or by (source type, name,
        destination type), which counts first. Each is called with the relation's graph and a pair
        of features. Layers that refuse destinations without in-edges are told to accept them.
    aggregate : {"sum", "max", "min", "mean", "stack"} or callable
        How the results for a node type are combined, in the order of the relations' names: stacked
        they have shape [V, R, ...]. A callable takes the list of them and the type's name.

    Attributes
    ----------
    mods : nn.ModuleDict
        The layers by the texts of their keys.

    Raises
    ------
    HopflowError
        An unknown ``aggregate`` (DGL's ``DGLError``).
    KeyError
        A name that ``nn.ModuleDict`` has no room for: one with a dot, or of a method.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.HeteroGraphConv.html
    """

    def __init__(self, mods: Mapping[Key, nn.Module], aggregate: str | Aggregate = "sum") -> None:
        super().__init__()
        self.mods = _modules("mods", mods)
        for module in self.mods.values():
            accept = getattr(module, "set_allow_zero_in_degree", None)
            if callable(accept):
                accept(True)
        if not isinstance(aggregate, str):
            self.agg_fn = aggregate
        elif aggregate in AGGREGATES:
            self.agg_fn = AGGREGATES[aggregate]
        else:
            raise HopflowError(
                f"aggregate: expected one of {', '.join(AGGREGATES)} or a callable, got"
                f" {aggregate!r}"
            )

    def forward(
        self,
        g: Graph,
        inputs: Rows | tuple[Rows, Rows],
        mod_args: Mapping[Any, tuple[Any, ...]] | None = None,
        mod_kwargs: Mapping[Any, Mapping[str, Any]] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the layer.

        A relation whose source type has no features is left out, and on a block or with a pair one
        whose destination type has none. A relation without edges is computed like any other, as in
        DGL: its layer may have something to say about a node alone.

        Parameters
        ----------
        g : Graph or Block
            With the relations.
        inputs : dict or (dict, dict)
            Features by node type; on a block those of the source nodes, whose first are the
            destinations'. Or of the sources and of the destinations apart.
        mod_args, mod_kwargs : dict, optional
            What else each relation's layer is called with, by the names that ``mods`` may have.

        Returns
        -------
        dict
            The new features of every node type that a relation computed with leads to.

        Raises
        ------
        KeyError
            No layer for a relation that has features; or, on a graph, no features for the type that
            one leads to.
        TypeError, ValueError
            No dict and no pair of them; and what the layers raise.
        """
        is_pair = isinstance(inputs, tuple)
        if isinstance(inputs, tuple):
            if len(inputs) != 2:
                raise ValueError(
                    "inputs: expected features of sources and destinations, a pair, got"
                    f" {len(inputs)} of them"
                )
            sources, destinations = inputs
        else:
            sources = destinations = inputs
        for rows in (sources, destinations):
            if not isinstance(rows, Mapping):
                raise TypeError(
                    "inputs: expected a dict of features by node type, or a pair of them, got"
                    f" {type(rows).__name__}"
                )
        if g.is_block and not is_pair:
            types = [name for name in g.dsttypes if name in sources]
            destinations = {name: sources[name][: g.num_dst_nodes(name)] for name in types}
        outputs: dict[str, list[Tensor]] = {name: [] for name in g.dsttypes}
        for relation in g.canonical_etypes:
            source, _, destination = relation
            if source not in sources:
                continue
            if destination not in destinations:
                if g.is_block or is_pair:
                    continue
                raise KeyError(
                    f"inputs: no features of {destination!r}, where relation {relation} leads;"
                    f" there are those of {_told(inputs)}"
                )
            pair = (sources[source], destinations[destination])
            args = _of_relation(mod_args, relation) or ()
            kwargs = _of_relation(mod_kwargs, relation) or {}
            out = self._layer(relation)(g[relation], pair, *args, **kwargs)
            outputs[destination].append(out)
        return {name: self.agg_fn(outs, name) for name, outs in outputs.items() if outs}

    def _layer(self, relation: tuple[str, str, str]) -> nn.Module:
        for key in (str(relation), relation[1]):
            if key in self.mods:
                return self.mods[key]
        raise KeyError(
            f"mods: no layer for relation {relation} or edge type {relation[1]!r}; there are"
            f" those of {_told(self.mods)}"
        )


def _of_relation(given: Mapping[Any, Any] | None, relation: tuple[str, str, str]) -> Any:
    """What is given for a relation, by its triple or else by its name."""
    for key in (relation, relation[1]):
        if given is not None and key in given:
            return given[key]
    return None


class HeteroLinear(nn.Module):
    """A linear layer for each type.

    Parameters
    ----------
    in_size : dict
        Width of each type's features, by str or tuple of str.
    out_size : int
        Width of the output.
    bias : bool
        Learn a bias for each type.

    Attributes
    ----------
    linears : nn.ModuleDict
        The layers by the texts of their keys, as in DGL.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.HeteroLinear.html
    """

    def __init__(self, in_size: Mapping[Any, int], out_size: int, bias: bool = True) -> None:
        super().__init__()
        made = {key: nn.Linear(size, out_size, bias=bias) for key, size in in_size.items()}
        self.linears = _modules("in_size", made)

    def reset_parameters(self) -> None:
        """Draw the weights anew, as ``nn.Linear`` does."""
        for linear in self.linears.values():
            cast(nn.Linear, linear).reset_parameters()

    def forward(self, feat: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
        """Transform each type's features.

        Parameters
        ----------
        feat : dict
            Features by key, shape [..., in_size[key]]; not every key need be there.

        Returns
        -------
        dict
            Shape [..., out_size], by the same keys.

        Raises
        ------
        KeyError
            Features of a key that the layer was not made for.
        ValueError
            Features of another width.
        """
        linears = {key: _find("feat", self.linears, key) for key in feat}
        for key, linear in linears.items():
            require_input(f"feat[{key!r}]", feat[key], linear)
        return {key: linear(feat[key]) for key, linear in linears.items()}


class HeteroEmbedding(nn.Module):
    """A table of embeddings for each type.

    Parameters
    ----------
    num_embeddings : dict
        Number of rows for each type, by str or tuple of str.
    embedding_dim : int
        Width of the rows.

    Attributes
    ----------
    embeds : nn.ModuleDict
        The tables by the texts of their keys, as in DGL.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.HeteroEmbedding.html
    """

    def __init__(self, num_embeddings: Mapping[Any, int], embedding_dim: int) -> None:
        super().__init__()
        made = {key: nn.Embedding(rows, embedding_dim) for key, rows in num_embeddings.items()}
        self.embeds = _modules("num_embeddings", made)
        self.raw_keys = {str(key): key for key in num_embeddings}

    @property
    def weight(self) -> dict[Any, Tensor]:
        """The whole table of each type, shape [num_embeddings[key], embedding_dim]."""
        return {key: self._table(text).weight for text, key in self.raw_keys.items()}

    def _table(self, text: str) -> nn.Embedding:
        return cast(nn.Embedding, self.embeds[text])

    def reset_parameters(self) -> None:
        """Draw the tables anew by Glorot's uniform law, as DGL does; at first they are normal."""
        for text in self.embeds:
            nn.init.xavier_uniform_(self._table(text).weight)

    def forward(self, input_ids: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
        """Rows of the tables.

        Parameters
        ----------
        input_ids : dict
            Row numbers by key, int32 or int64, shape [...]; not every key need be there.

        Returns
        -------
        dict
            Shape [..., embedding_dim], by the same keys.

        Raises
        ------
        KeyError
            Ids of a key that the layer was not made for.
        IndexError
            An id that a table has no row for.
        """
        return {key: _find("input_ids", self.embeds, key)(ids) for key, ids in input_ids.items()}

"""``hopflow plan``."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer
from rich.table import Table

from hopflow.commands.shared import (
    DEFAULTS,
    Data,
    Debug,
    Json,
    Root,
    Split,
    TargetType,
    as_text,
    console,
    load,
    prepared,
    readable_errors,
    results,
)
from hopflow.commands.train import parse_fanout
from hopflow.dataloading import NeighborSampler
from hopflow.distributed import assign
from hopflow.distributed.plan import ExchangePlan, plan_exchange
from hopflow.storage.sizes import size_in_bytes
from hopflow.train import TrainConfig
from hopflow.train.typed_data import resolve_fanouts


def plan(
    data: Data = DEFAULTS.data,
    parts: Annotated[int, typer.Option(help="Machines or GPUs, a part each.")] = 2,
    method: Annotated[
        str, typer.Option(help="What assigns the nodes: auto, kaminpar, stream or hash.")
    ] = "auto",
    fanout: Annotated[
        str, typer.Option(help="Neighbours kept a layer, as hopflow train takes them.")
    ] = "10,10",
    batch_size: Annotated[
        int, typer.Option(help="Training nodes a batch and process.")
    ] = DEFAULTS.batch_size,
    cache: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Rows of other parts that each keeps, such as 2GiB.  [default: none]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes the assignment and the draws.")] = 0,
    root: Root = DEFAULTS.root,
    scale: Annotated[
        float, typer.Option(help="Size of mag-like, 1 being that of ogbn-mag.")
    ] = DEFAULTS.scale,
    split: Split = None,
    target_type: TargetType = None,
    undirected: Annotated[
        bool,
        typer.Option(
            "--undirected/--directed",
            help="Add the reverse of every edge, as hopflow train does.",
        ),
    ] = DEFAULTS.undirected,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Estimate what the processes of a graph in parts send for a batch, before any is started."""
    with readable_errors(debug):
        if method not in assign.METHODS:
            raise ValueError(
                f"--method: expected one of {', '.join(assign.METHODS)}, got {method!r}"
            )
        size = 0 if cache is None else size_in_bytes("--cache", cache)
        config = TrainConfig(
            data=data, root=root, scale=scale, split=split, target_type=target_type,
            undirected=undirected, seed=seed, fanout=parse_fanout(fanout), batch_size=batch_size,
        )  # fmt: skip
        dataset = load(config)
        with console.status("preparing the graph"):
            graph, splits = prepared(config, dataset)
        if "train" not in splits:
            raise ValueError(f"{data}: expected a split with training nodes, got none")
        train = splits["train"]
        fanouts = resolve_fanouts(config.fanout, graph.canonical_etypes)
        sampler = NeighborSampler(fanouts)
        with console.status(f"assigning {graph.num_nodes():,} nodes to {parts} parts"):
            owners = assign.assign_parts(graph, parts, method=method, train=train, seed=seed)
        found: list[dict[str, Any]] = []
        choices = [
            (kept, by_part, replicated)
            for kept in dict.fromkeys((0, size))
            for by_part in (False, True)
            for replicated in (False, True)
        ]
        with console.status("sampling batches"):
            for kept, by_part, replicated in choices:
                made = plan_exchange(
                    graph, train, sampler, parts, batch_size=batch_size, parts=owners,
                    cache_size=kept, seeds_by_part=by_part, replicated=replicated, seed=seed,
                    num_batches=-(-10 // parts) * parts,
                )  # fmt: skip
                found.append(_row(made, kept, by_part, replicated))
        seeds = sum(ids.shape[0] for ids in train.values())
        batches = -(-seeds // batch_size)
        out = results(as_json)
        out.print(_table(found))
        out.print(
            f"MB that a process sends for a batch; {parts} parts by {method}; {batches:,} batches"
            f" an epoch, {-(-batches // parts):,} of each process. Seeds are any or of the own"
            " part, edges of the own part or all; far: input nodes of other parts",
            markup=False,
        )
        if as_json:
            print(as_text({"data": data, "parts": parts, "method": method, "plans": found}))


def _row(made: ExchangePlan, cache: int, by_part: bool, replicated: bool) -> dict[str, Any]:
    return {
        "cache_bytes": cache, "seeds_by_part": by_part, "replicated": replicated, **made.to_dict(),
    }  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="MB between processes", title_justify="left")
    for name in ("cache", "seeds", "edges"):
        table.add_column(name, no_wrap=True)
    for name in ("inputs", "far", "hits", "ids", "picks", "rows", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row['cache_bytes'] / 1e6:,.4g}" if row["cache_bytes"] else "-",
            "own" if row["seeds_by_part"] else "any",
            "all" if row["replicated"] else "own",
            f"{row['input_nodes']:,.0f}",
            f"{100 * row['remote_share']:.0f} %",
            f"{100 * row['hit_rate']:.0f} %" if row["cache_bytes"] else "-",
            *(f"{row[name] / 1e6:,.2f}" for name in ("ids", "edges", "rows")),
            f"{row['bytes'] / 1e6:,.2f}",
        )
    return table

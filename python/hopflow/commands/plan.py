"""``hopflow plan``."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer
from rich.table import Table

from hopflow.commands.shared import (
    DEFAULTS,
    Data,
    Debug,
    Edges,
    Json,
    Memory,
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
from hopflow.dataloading.kept_rows import disk_columns
from hopflow.distributed.plan import ExchangePlan, plan_exchange
from hopflow.partitioning import assign
from hopflow.storage.sizes import size_in_bytes, size_text
from hopflow.train import TrainConfig, Trainer
from hopflow.train.plan import plan_run
from hopflow.train.typed_data import resolve_fanouts


def plan(
    data: Data = DEFAULTS.data,
    parts: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            help="Say what processes with so many parts of the graph would send each other."
            "  [default: one process, with all of it]"
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="What assigns nodes to parts: auto, kaminpar, stream or hash."),
    ] = "auto",
    model: Annotated[
        str, typer.Option(help="As hopflow train takes it, like what follows.")
    ] = DEFAULTS.model,
    hidden: Annotated[int, typer.Option(help="Width of the hidden layers.")] = DEFAULTS.hidden,
    num_workers: Annotated[
        int, typer.Option(help="Threads that prepare batches ahead.")
    ] = DEFAULTS.num_workers,
    memory: Memory = DEFAULTS.memory,
    edges: Edges = DEFAULTS.edges,
    batches: Annotated[int, typer.Option(help="Batches to measure on one machine.")] = 10,
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
    """Estimate what training costs before it begins, from a sample of its exact batches.

    Of one process: rows, edges and bytes a batch, memory, hits of caches, seconds an epoch and what
    bounds them. Of a graph in parts: what its processes send each other.
    """
    with readable_errors(debug):
        if method not in assign.METHODS:
            raise ValueError(
                f"--method: expected one of {', '.join(assign.METHODS)}, got {method!r}"
            )
        if parts is None and cache is not None:
            raise ValueError(
                "--cache: it is for --parts; on one machine --memory is for columns on disk"
            )
        config = TrainConfig(
            data=data, root=root, scale=scale, split=split, target_type=target_type, model=model,
            undirected=undirected, seed=seed, fanout=parse_fanout(fanout), batch_size=batch_size,
            hidden=hidden, num_workers=num_workers, memory=memory, edges=edges,
        )  # fmt: skip
        if parts is None:
            _plan_run(config, batches, as_json)
        else:
            size = 0 if cache is None else size_in_bytes("--cache", cache)
            _plan_parts(config, parts, method, size, as_json)


def _plan_run(config: TrainConfig, num_batches: int, as_json: bool) -> None:
    """What a run in one process costs."""
    trainer = Trainer(config, load(config))
    columns = disk_columns(trainer.graph)
    if any(column.capacity for column in columns.values()):
        with console.status("choosing the rows to cache"):
            trainer.loader.keep_expected_rows()
    with console.status("sampling batches"):
        made = plan_run(trainer, num_batches=num_batches)
    out = results(as_json)
    table = Table(title=f"{config.data}, by batch", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for what, value in (
        ("batches an epoch", f"{made.num_batches:,}"),
        ("input nodes", f"{made.input_nodes:,.0f}"),
        ("edges", f"{made.edges:,.0f}"),
        ("gathered from memory", size_text(made.gathered_bytes)),
        ("asked of disk", f"{made.disk_rows:,.0f} rows"),
        ("found in the cache", f"{100 * made.hit_rate:.0f} %"),
        ("read from disk", size_text(made.disk_bytes)),
        ("time", f"{1e3 * made.seconds_a_batch:,.3g} ms"),
        ("of which the model waits", f"{100 * made.waiting_share:.0f} %"),
    ):
        if made.disk_rows or what not in ("asked of disk", "found in the cache", "read from disk"):
            table.add_row(what, value)
    out.print(table)
    table = Table(title="memory", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for what, size in made.memory.items():
        table.add_row(what, size_text(size))
    table.add_row("in all", size_text(made.memory_bytes))
    table.add_row("mapped from files", size_text(made.mapped_bytes))
    out.print(table)
    for name, sizes in made.caches.items():
        table = Table(title=f"caches for {name}", title_justify="left")
        for head in ("memory", "most likely rows", "rows used last"):
            table.add_column(head, justify="right")
        for one in sizes:
            table.add_row(
                size_text(one.memory), f"{100 * one.hit_rate:.0f} %",
                f"{100 * one.hit_rate_recent:.0f} %",
            )  # fmt: skip
        out.print(table)
    out.print(str(made), markup=False)
    if as_json:
        print(as_text({"data": config.data, "plan": made.to_dict()}))


def _plan_parts(config: TrainConfig, parts: int, method: str, cache: int, as_json: bool) -> None:
    """What the processes of a graph in parts send each other."""
    dataset = load(config)
    with console.status("preparing the graph"):
        graph, splits = prepared(config, dataset)
    if "train" not in splits:
        raise ValueError(f"{config.data}: expected a split with training nodes, got none")
    train = splits["train"]
    fanouts = resolve_fanouts(config.fanout, graph.canonical_etypes)
    sampler = NeighborSampler(fanouts)
    with console.status(f"assigning {graph.num_nodes():,} nodes to {parts} parts"):
        owners = assign.assign_parts(graph, parts, method=method, train=train, seed=config.seed)
    found: list[dict[str, Any]] = []
    choices = [
        (kept, by_part, replicated)
        for kept in dict.fromkeys((0, cache))
        for by_part in (False, True)
        for replicated in (False, True)
    ]
    with console.status("sampling batches"):
        for kept, by_part, replicated in choices:
            made = plan_exchange(
                graph, train, sampler, parts, batch_size=config.batch_size, parts=owners,
                cache_size=kept, seeds_by_part=by_part, replicated=replicated, seed=config.seed,
                num_batches=-(-10 // parts) * parts,
            )  # fmt: skip
            found.append(_row(made, kept, by_part, replicated))
    seeds = sum(ids.shape[0] for ids in train.values())
    batches = -(-seeds // config.batch_size)
    out = results(as_json)
    out.print(_table(found))
    out.print(
        f"MB that a process sends for a batch; {parts} parts by {method}; {batches:,} batches"
        f" an epoch, {-(-batches // parts):,} of each process. Seeds are any or of the own"
        " part, edges of the own part or all; far: input nodes of other parts",
        markup=False,
    )
    if as_json:
        print(as_text({"data": config.data, "parts": parts, "method": method, "plans": found}))


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

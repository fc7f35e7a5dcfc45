"""``hopflow partition``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import torch
import typer
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from tqdm import tqdm

from hopflow.commands.shared import (
    DEFAULTS,
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
    tell_faults,
)
from hopflow.distributed.folder.check import check_folder
from hopflow.distributed.folder.reader import PartsFolder, open_folder
from hopflow.distributed.folder.writer import check_place, write_parts
from hopflow.partitioning import assign
from hopflow.train import TrainConfig


def partition(
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="A name, folder or file, as hopflow train --data takes it."),
    ] = None,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="The folder to write."),
    ] = None,
    parts: Annotated[Optional[int], typer.Option(help="Number of parts.")] = None,  # noqa: UP045
    method: Annotated[
        str, typer.Option(help="What assigns the nodes: auto, kaminpar, stream or hash.")
    ] = "auto",
    imbalance: Annotated[
        float, typer.Option(help="Share by which a part may be larger than the average.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Fixes the assignment.")] = 0,
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
    normalize_features: Annotated[
        bool, typer.Option("--normalize-features", help="Divide each feature row by its sum.")
    ] = DEFAULTS.normalize_features,
    topology: Annotated[
        bool,
        typer.Option(
            "--topology/--no-topology",
            help="Write all edges once more, for machines that replicate them.",
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a partition that is there.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read all of the folder and say what is wrong: of the one just written, or, as"
            " hopflow partition --check FOLDER, of one that is there.",
        ),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Cut a graph into parts, each of which one machine can hold, and write them to a folder."""
    with readable_errors(debug):
        if check and folder is None and data is not None:
            if parts is not None:
                raise ValueError("--parts: expected DATA and FOLDER with it, got one of them")
            _check(Path(data), as_json)
            return
        if data is None or folder is None or parts is None:
            raise ValueError("expected DATA FOLDER --parts P, or --check FOLDER")
        if not 1 <= parts <= assign.MOST_PARTS:
            raise ValueError(f"--parts: expected 1 to {assign.MOST_PARTS}, got {parts}")
        if method not in assign.METHODS:
            raise ValueError(
                f"--method: expected one of {', '.join(assign.METHODS)}, got {method!r}"
            )
        if not 0 <= imbalance < float("inf"):
            raise ValueError(f"--imbalance: expected a number >= 0, got {imbalance}")
        # What can be refused is refused now, not when the graph is assigned.
        folder.parent.mkdir(parents=True, exist_ok=True)
        check_place(folder, overwrite=overwrite)
        config = TrainConfig(
            data=data, root=root, scale=scale, split=split, target_type=target_type,
            undirected=undirected, normalize_features=normalize_features, seed=seed,
        )  # fmt: skip
        dataset = load(config)
        with console.status("preparing the graph"):
            graph, splits = prepared(config, dataset)
        train = splits.get("train", {})
        with console.status(f"assigning {graph.num_nodes():,} nodes to {parts} parts"):
            owners = assign.assign_parts(
                graph, parts, method=method, train=train or None, imbalance=imbalance, seed=seed
            )
            report = assign.report_on(graph, owners, parts, train=train or None)
        with tqdm(
            desc="writing", unit="B", unit_scale=True, leave=False, disable=None, dynamic_ncols=True
        ) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            write_parts(
                graph, owners, folder, num_parts=parts, splits=splits,
                num_classes=dataset.num_classes, report=report, with_topology=topology,
                overwrite=overwrite, on_progress=show,
            )  # fmt: skip
        opened = open_folder(folder)
        rows = _rows(opened, owners, train)
        out = results(as_json)
        out.print(_table(rows))
        for line in _lines(opened.report or {}):
            out.print(line, markup=False)
        console.print(f"partition: {escape(str(folder))}")
        if as_json:
            print(
                as_text(
                    {
                        "folder": str(folder),
                        "partition_id": opened.partition_id,
                        "num_parts": parts,
                        "parts": rows,
                        "report": opened.report,
                    }
                )
            )
        if check:
            _check(folder, as_json, is_quiet=True)


def _rows(
    opened: PartsFolder, owners: Mapping[str, Tensor], train: Mapping[str, Tensor]
) -> list[dict[str, Any]]:
    """What each part holds."""
    num_parts = opened.num_parts
    trained = torch.zeros(num_parts, dtype=torch.int64, device="cpu")
    for ntype, ids in train.items():
        trained += torch.bincount(owners[ntype][ids.long()].long(), minlength=num_parts)
    replicated = (opened.report or {}).get("replicated_rows")
    is_by_part = isinstance(replicated, (list, tuple)) and len(replicated) == num_parts
    return [
        {
            "part": part,
            "nodes": sum(counts[part] for counts in opened.part_nodes.values()),
            "train_nodes": int(trained[part]),
            "in_edges": sum(counts[part] for counts in opened.part_edges.values()),
            "replicated_rows": replicated[part] if is_by_part and replicated else None,
            "bytes": opened.part(part).num_bytes(),
        }
        for part in range(num_parts)
    ]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="parts", title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("train_", "training ").replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*("-" if value is None else f"{value:,}" for value in row.values()))
    return table


def _lines(report: Mapping[str, Any]) -> list[str]:
    """What the partitioner says, but for what the table has."""
    lines = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
        elif isinstance(value, list):
            continue
        lines.append(f"{name.replace('_', ' ')}: {_shown(value)}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _check(folder: Path, as_json: bool, *, is_quiet: bool = False) -> None:
    """Verify a folder; exit with 1 if anything is wrong with it."""
    with console.status(f"reading {escape(str(folder))}"):
        faults = check_folder(folder)
    tell_faults(folder, faults, as_json and not is_quiet)
    opened = open_folder(folder)
    out = console if is_quiet else results(as_json)
    out.print(
        f"{folder}: {opened.num_parts} parts, {sum(opened.num_nodes.values()):,} nodes and"
        f" {sum(opened.num_edges.values()):,} edges are as they were written",
        markup=False,
    )

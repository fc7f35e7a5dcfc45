"""``hopflow infer``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.markup import escape
from tqdm import tqdm

from hopflow.commands.shared import (
    Debug,
    Json,
    Split,
    as_text,
    console,
    load,
    percent,
    readable_errors,
)
from hopflow.train import GraphSAGE, TrainConfig, layerwise_inference, load_checkpoint
from hopflow.train.data import accuracy, prepare
from hopflow.train.export import check_distinct, check_suffix, check_target, write_predictions


def infer(
    checkpoint: Annotated[Path, typer.Option(help="What `hopflow train --save` wrote.")],
    out: Annotated[Path, typer.Option(help="Predictions: .npy, .csv or .parquet.")],
    data: Annotated[
        Optional[str], typer.Option(help="Another graph with the same features.")  # noqa: UP045
    ] = None,
    root: Annotated[Optional[str], typer.Option(help="Folder of OGB's data sets.")] = None,  # noqa: UP045
    split: Split = None,
    logits: Annotated[bool, typer.Option("--logits", help="Write logits, not classes.")] = False,
    chunk_edges: Annotated[int, typer.Option(help="In-edges computed at a time.")] = 1 << 20,
    scratch: Annotated[
        Optional[Path], typer.Option(help="Keep hidden layers in files in this folder.")  # noqa: UP045
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict every node's class, layer by layer over full neighbourhoods, in bounded memory."""
    with readable_errors(debug):
        check_suffix(out)
        check_target(out)
        check_distinct(checkpoint=checkpoint, out=out, data=data)
        state = load_checkpoint(checkpoint)
        overrides: dict[str, Any] = {} if data is None else {"data": data, "split": None}
        for name, value in (("root", root), ("split", split)):
            if value is not None:
                overrides[name] = value
        config = TrainConfig.from_dict({**state["config"], **overrides})
        dataset = load(config)
        graph, parts = prepare(config, dataset, for_training=False)
        model = GraphSAGE(
            state["num_features"], config.hidden, state["num_classes"],
            num_layers=len(config.fanout), dropout=config.dropout,
        )  # fmt: skip
        model.load_state_dict(state["best_model"] or state["model"])
        num_layers = len(config.fanout)
        with tqdm(total=graph.num_nodes() * num_layers, unit="node", disable=None) as bar:
            update: Callable[[int], None] = bar.update
            result = layerwise_inference(
                model, graph, graph.ndata["feat"],
                chunk_edges=chunk_edges, scratch=scratch, on_nodes=update,
            )  # fmt: skip
        if not bool(result.isfinite().all()):
            raise ValueError(f"{checkpoint}: the model's outputs are not finite; it has diverged")
        write_predictions(result if logits else result.argmax(1), out)
        summary: dict[str, Any] = {"out": str(out), "num_nodes": graph.num_nodes()}
        if "label" in graph.ndata and "test" in parts:
            summary["test_accuracy"] = accuracy(result, graph.ndata["label"], parts["test"])
            console.print(f"test accuracy {percent(summary['test_accuracy']).strip()}")
        console.print(f"predictions of {graph.num_nodes():,} nodes: {escape(str(out))}")
        if as_json:
            print(as_text(summary))

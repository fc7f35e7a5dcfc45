"""``hopflow infer``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.markup import escape
from torch import Tensor
from tqdm import tqdm

from hopflow.commands.progress import scores_text
from hopflow.commands.shared import (
    DEFAULTS,
    Debug,
    Json,
    Memory,
    Split,
    as_text,
    console,
    load,
    readable_errors,
)
from hopflow.train import TrainConfig, load_checkpoint, task_of
from hopflow.train.export import check_distinct, check_suffix, check_target, write_predictions
from hopflow.train.link_task import LinkTask
from hopflow.train.node_task import NodeTask

_COLUMNS = {"classes": "class", "multilabel": "label", "regression": "number"}
"""What columns of a table of predictions are called, where a node has several."""


def _fits(task: NodeTask, result: Tensor) -> bool:
    """Whether labels are as many as what is predicted."""
    assert task.labels is not None
    return task.labels.dim() == 1 or task.labels.shape == result.shape


def infer(
    checkpoint: Annotated[Path, typer.Option(help="What `hopflow train --save` wrote.")],
    out: Annotated[Path, typer.Option(help="Predictions: .npy, .csv or .parquet.")],
    data: Annotated[
        Optional[str], typer.Option(help="Another graph with the same features.")  # noqa: UP045
    ] = None,
    root: Annotated[Optional[str], typer.Option(help="Folder of OGB's data sets.")] = None,  # noqa: UP045
    scale: Annotated[Optional[float], typer.Option(help="Size of mag-like.")] = None,  # noqa: UP045
    split: Split = None,
    logits: Annotated[
        bool, typer.Option("--logits", help="Write logits, not classes or labels.")
    ] = False,
    chunk_edges: Annotated[int, typer.Option(help="In-edges computed at a time.")] = 1 << 20,
    scratch: Annotated[
        Optional[Path], typer.Option(help="Keep hidden layers in files in this folder.")  # noqa: UP045
    ] = None,
    memory: Memory = None,
    edges: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="As hopflow train takes it."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict every node's class, labels or numbers, layer by layer over full neighbourhoods.

    Memory is bounded. A model of links gives the row of each node whose dot products it ranks. Of
    several types the nodes are those of the type that the model was trained for.
    """
    with readable_errors(debug):
        check_suffix(out)
        check_target(out)
        check_distinct(checkpoint=checkpoint, out=out, data=data)
        state = load_checkpoint(checkpoint)
        overrides: dict[str, Any] = {}
        if data is not None:
            overrides = {"data": data, "split": None, "scale": 1.0}
            overrides |= {"memory": None, "edges": DEFAULTS.edges}
        for name, value in (
            ("root", root), ("split", split), ("scale", scale), ("memory", memory),
            ("edges", edges),
        ):  # fmt: skip
            if value is not None:
                overrides[name] = value
        overrides["target"] = state.get("target", state["config"].get("target"))
        config = TrainConfig.from_dict({**state["config"], **overrides})
        if logits and (config.task == "link" or config.target == "regression"):
            what = "links" if config.task == "link" else "numbers"
            raise ValueError(f"--logits: a model of {what} has none; leave it out")
        dataset = load(config)
        target = state.get("target_type")  # which the data may not tell, without labels
        task = task_of(config, dataset, target_type=target, for_training=False)
        model = task.model(state)
        model.load_state_dict(state["best_model"] or state["model"])
        with tqdm(total=task.work(), unit="node", disable=None) as bar:
            update: Callable[[int], None] = bar.update
            result = task.predict(
                model, chunk_edges=chunk_edges, scratch=scratch, on_nodes=update
            )  # fmt: skip
        if not bool(result.isfinite().all()):
            raise ValueError(f"{checkpoint}: the model's outputs are not finite; it has diverged")
        summary: dict[str, Any] = {"out": str(out), "num_nodes": task.num_nodes}
        if target is not None:
            summary["target_type"] = target
        if isinstance(task, LinkTask):
            write_predictions(result, out, column="dim")
        else:
            given = result if logits else task.target.predictions(result)
            write_predictions(given, out, column=_COLUMNS[task.target.name])
            if task.labels is not None and "test" in task.split and _fits(task, result):
                found = task.scores(result, "test")
                scores = {f"test_{name}": value for name, value in found.items()}
                summary |= scores
                console.print(scores_text(task.metrics, scores, "test"), markup=False)
        console.print(f"predictions of {task.num_nodes:,} nodes: {escape(str(out))}")
        if as_json:
            print(as_text(summary))

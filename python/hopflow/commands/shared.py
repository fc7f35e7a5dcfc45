"""What the commands share: options, errors for people, where output goes."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Optional

import torch
import torch.distributed as dist
import typer
from rich.console import Console
from rich.markup import escape
from torch import Tensor

import hopflow as hf
from hopflow.graphs.graph import Graph
from hopflow.storage.sizes import size_text
from hopflow.train import TrainConfig
from hopflow.train.data import prepare
from hopflow.train.loop import Interrupted
from hopflow.train.ranks import is_of_all
from hopflow.train.sampled import Diverged
from hopflow.train.typed_data import prepare_typed

# Progress and errors go to stderr, so that a pipe gets results alone.
console = Console(stderr=True, highlight=False, soft_wrap=True)

DEFAULTS = TrainConfig()
MAG_LIKE = ("mag-like", "mag_like")
_USER_ERRORS = (ValueError, TypeError, IndexError, KeyError, OSError, ImportError, hf.HopflowError)
# Types that a mistake of hopflow's own raises too: point to the traceback.
_MAYBE_OURS = (TypeError, IndexError, KeyError)
_REFUSED = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")  # torch's
_TOLD = "hopflow_told"  # an attribute of errors
_PATIENCE = 30.0  # seconds that rank 0 has to say what went wrong with all

# typer reads the annotations at run time, hence Optional and not `|`.
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "--dataset",
        help="A name, folder or file: arxiv-like, mag-like, ogbn-arxiv, g.npz …",
    ),
]
Root = Annotated[str, typer.Option(help="Folder for data sets that ogb downloads.")]
Split = Annotated[Optional[str], typer.Option(help="Which split of the data set to use.")]  # noqa: UP045
TargetType = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Of several node types the one to predict.  [default: that with labels]"),
]
Debug = Annotated[bool, typer.Option(help="Show the traceback of an error.")]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Of a graph folder: memory for node columns, such as 8GiB; what does not fit stays on"
        " disk behind caches.  [default: all mapped from files]"
    ),
]
Edges = Annotated[
    str,
    typer.Option(help="Of a graph folder: edges mapped from files, or read into memory (memory)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def launched_rank() -> int | None:
    """This process's number among those that torchrun started; None for one alone."""
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return None
    return int(os.environ["RANK"]) if int(os.environ["WORLD_SIZE"]) > 1 else None


@contextmanager
def process_group(device: str, timeout: float) -> Iterator[str]:
    """The group of the processes that torchrun started, if it did; yields the own device's name.

    Output is rank 0's.

    Raises
    ------
    HopflowError
        More processes than GPUs on this machine.
    """
    rank = launched_rank()
    if rank is None:
        yield device
        return
    backend = "gloo"
    if torch.device(device).type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise hf.HopflowError(
                f"device: {local + 1} processes or more on this machine, but torch finds"
                f" {torch.cuda.device_count()} CUDA devices; lower --nproc-per-node"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    console.quiet = rank > 0
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    try:
        yield device
    except _USER_ERRORS as error:
        if rank and not is_of_all(error):
            # Before the group is gone: then rank 0 fails, and torchrun ends this process.
            _tell(error, rank)
            setattr(error, _TOLD, True)
        raise
    finally:
        dist.destroy_process_group()


@contextmanager
def readable_errors(debug: bool) -> Iterator[None]:
    """Turn what a user can mend into one line; exit with 2, or 1 for what the machine lacks.

    Of several processes rank 0 speaks, and others only of what went wrong with them alone.
    """
    rank = launched_rank()
    try:
        yield
    except Interrupted as stop:
        if rank:
            raise typer.Exit(130) from None
        console.print("[yellow]interrupted[/]; continue with: hopflow train --resume", end=" ")
        console.print(shlex.quote(str(stop.path)), markup=False)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        raise  # for main(): the reader of a pipe has left
    except KeyboardInterrupt:  # before the first batch, or asked twice
        if debug:
            raise
        console.print("[yellow]interrupted[/]; nothing was saved just now")
        raise typer.Exit(130) from None
    except (*_USER_ERRORS, RuntimeError, MemoryError) as error:
        if debug or isinstance(error, typer.Exit):
            raise
        is_told = getattr(error, _TOLD, False)
        if rank and not is_told and isinstance(error, (*_USER_ERRORS, Diverged)):
            # Most likely rank 0 fails alike. When it has said so torchrun ends this process; if
            # this one left first, torchrun would end rank 0, perhaps before it has said anything.
            time.sleep(_PATIENCE)
        if not is_told:
            _tell(error, rank)
        raise typer.Exit(2 if isinstance(error, _USER_ERRORS) else 1) from None


def _tell(error: BaseException, rank: int | None) -> None:
    """One line for people."""
    if rank:
        console.quiet = False
        console.print(f"rank {rank}:", end=" ")
    # A KeyError's text is the repr of its message.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    refused = _REFUSED.search(text) if isinstance(error, RuntimeError) else None
    if refused is not None:
        text = f"not enough memory: {size_text(int(refused[1]))} were asked for at once"
    if isinstance(error, MemoryError):  # its text, if there is one, is numpy's
        text = f"not enough memory{f': {text}' if text else ''}"
    console.print("[bold red]error:[/]", end=" ")
    console.print(text, markup=False)
    if isinstance(error, _MAYBE_OURS):
        console.print("--debug shows where it comes from")


def percent(share: float) -> str:
    """A share as a percentage, in seven columns."""
    return "     - " if math.isnan(share) else f"{100 * share:5.2f} %"


def as_text(value: Any) -> str:
    """A result as JSON; numbers that are not finite as null."""

    def plain(x: Any) -> Any:
        if isinstance(x, float) and not math.isfinite(x):
            return None
        if isinstance(x, dict):
            return {key: plain(item) for key, item in x.items()}
        return [plain(item) for item in x] if isinstance(x, (list, tuple)) else x

    return json.dumps(plain(value), indent=2)


def results(as_json: bool) -> Console:
    """Where results for people go: stdout, unless JSON has it."""
    if as_json or console.quiet:
        return console
    return Console(highlight=False, soft_wrap=True)


def load(config: TrainConfig) -> Any:
    """The data set that a configuration names."""
    is_mag_like = config.data in MAG_LIKE
    if config.scale != 1 and not is_mag_like:
        raise ValueError(f"scale: only mag-like has one, got {config.scale:g} for {config.data}")
    if is_mag_like and (config.memory is not None or config.edges != "mapped"):
        raise ValueError(f"memory, edges: only a graph folder has them, not {config.data}")
    with console.status(f"loading {escape(config.data)}"):
        if is_mag_like and config.split is None:
            return hf.datasets.mag_like(scale=config.scale)
        return hf.datasets.load(
            config.data, config.root, split=config.split, memory=config.memory, edges=config.edges
        )


def prepared(config: TrainConfig, dataset: Any) -> tuple[Graph, dict[str, dict[str, Tensor]]]:
    """The graph that a run on this data has, and its splits by type."""
    graph, labels = dataset[0]
    if not isinstance(labels, Mapping):
        graph, split = prepare(config, dataset, for_training=labels is not None)
        return graph, {name: {graph.ntypes[0]: ids} for name, ids in split.items()}
    # Without labels there is nothing to predict: any type will do for the preparation.
    target = None if labels else graph.ntypes[0]
    graph, target, split = prepare_typed(
        config, dataset, target_type=target, for_training=bool(labels)
    )
    return graph, {name: {target: ids} for name, ids in split.items()}


def tell_faults(folder: Path, faults: Sequence[str], as_json: bool) -> None:
    """Say what is wrong with a folder, and exit with 1 if anything is."""
    if as_json:
        print(as_text({"folder": str(folder), "faults": list(faults)}))
    for fault in faults:
        console.print("[bold red]error:[/]", end=" ")
        console.print(fault, markup=False)
    if faults:
        raise typer.Exit(1)

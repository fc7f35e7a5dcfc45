"""``hopflow convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.markup import escape
from tqdm import tqdm

from hopflow.commands.shared import (
    Debug,
    Json,
    as_text,
    console,
    readable_errors,
    results,
    tell_faults,
)
from hopflow.datasets import check_graph
from hopflow.datasets import convert as convert_graph
from hopflow.datasets.graph_folder.manifest import Manifest, read_manifest


def convert(
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="A folder or file, as hopflow train --data takes it."),
    ] = None,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="The folder to write."),
    ] = None,
    memory: Annotated[
        str, typer.Option(help="Memory for edges and features, such as 500MiB or 16GiB.")
    ] = "4GiB",
    features: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Of an edge list: a file with a row of features a node."),
    ] = None,
    labels: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Of an edge list: a file with a label a node."),
    ] = None,
    split: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Of OGB's layout the split to use, else its folder or .npz file."),
    ] = None,
    num_nodes: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Number of nodes, where no file says it."),
    ] = None,
    ids: Annotated[
        str,
        typer.Option(
            help="What the ids of an edge list are: row (from 0), number (any whole numbers) or"
            " text."
        ),
    ] = "row",
    seed: Annotated[int, typer.Option(help="Fixes the split of labels that have none.")] = 0,
    undirected: Annotated[
        bool, typer.Option("--undirected", help="Add the reverse of every edge.")
    ] = False,
    add_self_loops: Annotated[
        bool, typer.Option("--add-self-loops", help="Then give every node a self-loop.")
    ] = False,
    remove_self_loops: Annotated[
        bool, typer.Option("--remove-self-loops", help="Before both leave out self-loops.")
    ] = False,
    keep_edge_ids: Annotated[
        bool,
        typer.Option("--keep-edge-ids", help="Let edges keep the numbers they have in the source."),
    ] = False,
    dtype: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="How to store a node column: feat=float16, bfloat16, float32 or int8. The last is"
            " by row, in D + 8 bytes, at most 1/510 of a row's span off."
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Link an .npy file that is as it must be, not copy it.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a graph folder that is there.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read all of the folder and say what is wrong: of the one just written, or, as"
            " hopflow convert --check FOLDER, of one that is there.",
        ),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a graph, larger than memory too, as a folder that opens at once.

    A run that was ended goes on when the same command is given again.
    """
    with readable_errors(debug):
        if check and folder is None and source is not None:
            _check(source, as_json)
            return
        if source is None or folder is None:
            raise ValueError("expected SOURCE FOLDER, or --check FOLDER")
        dtypes = _dtypes(dtype or [])
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _Bar() as bar:
            try:
                convert_graph(
                    source, folder, memory=memory, split=split, features=features, labels=labels,
                    num_nodes=num_nodes, seed=seed, ids=ids, undirected=undirected,
                    add_self_loops=add_self_loops, remove_self_loops=remove_self_loops,
                    keep_edge_ids=keep_edge_ids, dtypes=dtypes, link=link, overwrite=overwrite,
                    on_progress=bar.show,
                    on_message=lambda text: console.print(text, markup=False),
                )  # fmt: skip
            except KeyboardInterrupt:
                bar.close()
                console.print("[yellow]interrupted[/]; the same command goes on from here")
                raise typer.Exit(130) from None
        manifest = read_manifest(folder)
        out = results(as_json)
        out.print(_told(manifest), markup=False)
        console.print(f"graph: {escape(str(folder))}")
        if as_json:
            print(as_text(_facts(folder, manifest)))
        if check:
            _check(folder, as_json, is_quiet=True)


class _Bar:
    """A bar for each thing that is being done, one after another."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def show(self, what: str, done: int, total: int) -> None:
        """Say how much is done."""
        if what != self._what:
            self.close()
            self._what = what
            self._bar = tqdm(
                desc=what, total=total, unit_scale=True, leave=False, disable=None,
                dynamic_ncols=True,
            )  # fmt: skip
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove what is shown."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._what = None, ""


def _dtypes(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, dtype = text.rpartition("=")
        if not equals or not name:
            raise ValueError(f"--dtype: expected NAME=DTYPE, such as feat=float16, got {text!r}")
        found[name] = dtype
    return found


def _facts(folder: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "graph_id": manifest.graph_id,
        "num_nodes": sum(manifest.num_nodes.values()),
        "num_edges": sum(manifest.num_edges.values()),
        "num_classes": manifest.num_classes,
        "bytes": sum((folder / name).stat().st_size for name in manifest.files),
    }


def _told(manifest: Manifest) -> str:
    columns = [c for of_type in manifest.node_columns.values() for c in of_type]
    columns += [c for of_type in manifest.edge_columns.values() for c in of_type]
    shown = ", ".join(
        f"{c.name} {list(c.shape)} {c.dtype}{f' in {c.code}' if c.code else ''}" for c in columns
    )
    return (
        f"{sum(manifest.num_nodes.values()):,} nodes, {sum(manifest.num_edges.values()):,} edges,"
        f" {manifest.num_classes} classes; columns: {shown or 'none'}"
    )


def _check(folder: Path, as_json: bool, *, is_quiet: bool = False) -> None:
    """Verify a folder; exit with 1 if anything is wrong with it."""
    with console.status(f"reading {escape(str(folder))}"):
        faults = check_graph(folder)
    tell_faults(folder, faults, as_json and not is_quiet)
    manifest = read_manifest(folder)
    out = console if is_quiet else results(as_json)
    out.print(
        f"{folder}: {sum(manifest.num_nodes.values()):,} nodes and"
        f" {sum(manifest.num_edges.values()):,} edges are as they were written",
        markup=False,
    )

"""Reading all of a graph folder to say what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hopflow.datasets.graph_folder.manifest import Manifest, read_manifest
from hopflow.storage.array_checks import are_rising, changed_files, csc_faults, is_below, pieces
from hopflow.storage.array_files import as_array, check_array, mapped


def check_graph(folder: str | os.PathLike[str]) -> list[str]:
    """Read all of a graph folder and say what is wrong with it.

    Compared are the checksums of whole files; that edges are compressed rows of ids in range; that
    ids of splits are those of nodes, and labels those of classes.

    Parameters
    ----------
    folder : str or path
        The folder.

    Returns
    -------
    list of str
        A line for each fault, none if all is well. Of files that are not what was written the
        contents are not looked at.
    """
    path = Path(folder)
    try:
        manifest = read_manifest(path)
    except (OSError, ValueError) as error:
        return [str(error)]
    faults = []
    for name, record in manifest.files.items():
        try:
            check_array(path / name, str(path / name), record, other="graph folder")
        except (OSError, ValueError) as error:
            faults.append(str(error))
    faults = faults or list(changed_files(path, manifest.files))
    return faults or list(_faults(path, manifest))


def _faults(path: Path, manifest: Manifest) -> Iterator[str]:
    for i, relation in enumerate(manifest.relations):
        indptr, indices = (mapped(path / f"edge-{i}.{x}.npy") for x in ("indptr", "indices"))
        eids = mapped(path / f"edge-{i}.eids.npy") if manifest.has_eids[relation] else None
        num_src, num_edges = manifest.num_nodes[relation[0]], manifest.num_edges[relation]
        where = f"{path}: in-edges of {relation!r}"
        yield from csc_faults(where, indptr, indices, eids, num_src, num_edges)
    for t, ntype in enumerate(manifest.ntypes):
        count = manifest.num_nodes[ntype]
        for name, counts in manifest.splits.items():
            file = path / f"split/{name}-{t}.npy"
            if ntype in counts and not all(
                is_below(x, count) for x in pieces(as_array(mapped(file)))
            ):
                yield f"{file}: has ids that are no {ntype!r} nodes"
        if ntype in manifest.labels:
            file = path / f"node-{t}.labels.npy"
            most = manifest.num_classes + 1
            if not all(is_below(x + 1, most) for x in pieces(as_array(mapped(file)))):
                yield f"{file}: has labels that are not in [-1, {manifest.num_classes})"
        if manifest.node_ids.get(ntype) == "text":
            file = path / f"node-{t}.id-ends.npy"
            ends = as_array(mapped(file))
            if not are_rising(ends, strictly=False) or not is_below(
                ends, manifest.id_bytes[ntype] + 1
            ):
                yield f"{file}: does not rise to the number of bytes, {manifest.id_bytes[ntype]}"

"""OGB's node-property data sets by name: the `ogb` package downloads, hopflow reads the raw files.

`ogb` 1.3.6 keeps its own cache as a pickle, which torch >= 2.6 refuses to load. Nothing here reads
or writes that cache, so a second load works under every torch and runs no pickle at all.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .dataset import RawDataset
from .ogb_layout import is_layout, read_folder
from .ogb_typed import is_typed_layout, read_typed_folder
from .typed_dataset import RawTypedDataset

# What ogb 1.3.6 knows, for messages where it is not installed.
_KNOWN = ("ogbn-proteins", "ogbn-products", "ogbn-arxiv", "ogbn-mag", "ogbn-papers100M")


@dataclass(frozen=True)
class OgbInfo:
    """One column of ogb's `nodeproppred/master.csv`."""

    name: str
    url: str
    download_name: str
    version: str
    split: str
    num_classes: int
    add_inverse_edge: bool
    is_hetero: bool


def known_names() -> tuple[str, ...]:
    """Names of OGB's node-property data sets, from the `ogb` package if it is installed."""
    return tuple(_read_master()) or _KNOWN


def read_named(name: str, root: Path, *, split: str | None = None) -> RawDataset | RawTypedDataset:
    """Read an OGB data set by its name, downloading it through `ogb` the first time.

    Parameters
    ----------
    name
        One of :func:`known_names`.
    root
        Folder that holds (or will hold) the data set's folder, such as ``ogbn_arxiv``.
    split
        Folder under ``split``; OGB's standard split by default.

    Raises
    ------
    ImportError
        `ogb` is not installed.
    ValueError
        Unknown name, or malformed files.
    FileExistsError
        The data set's folder exists but lacks the raw files.
    ConnectionError
        The download failed.
    RuntimeError
        The download was declined, or could not be asked about.
    """
    infos = _read_master()
    if not infos:
        raise ImportError(f"{name}: loading OGB's data sets by name needs the package ogb")
    if name not in infos:
        raise ValueError(f"unknown OGB data set {name!r}: expected one of {', '.join(infos)}")
    info = infos[name]
    is_there = is_typed_layout if info.is_hetero else is_layout
    folder = root / name.replace("-", "_")
    # A folder fetched by ogb's DGL loader long ago has another name and the same raw files.
    if is_there(root / f"{folder.name}_dgl"):
        folder = root / f"{folder.name}_dgl"
    if not is_there(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            files = "raw/edge.csv.gz or raw/data.npz"
            if info.is_hetero:
                files = "raw/triplet-type-list.csv.gz or raw/edge_index_dict.npz"
            raise FileExistsError(
                f"{folder}: expected {name} with {files}, got neither; "
                "remove the folder to download it again"
            )
        _download(info, folder)
    elif not (folder / f"RELEASE_v{info.version}.txt").exists():
        warnings.warn(
            f"{folder}: not version {info.version}, which ogb names; remove it to download that",
            UserWarning,
            stacklevel=3,
        )
    split = split or info.split
    if info.is_hetero:
        if info.add_inverse_edge:
            raise ValueError(f"{name}: inverse edges within relations, which hopflow does not add")
        return read_typed_folder(folder, name=name, split=split, num_classes=info.num_classes)
    return read_folder(
        folder,
        name=name,
        split=split,
        add_inverse_edge=info.add_inverse_edge,
        num_classes=info.num_classes,
    )


def _read_master() -> dict[str, OgbInfo]:
    # The table is found without importing ogb, whose import starts a thread that asks the package
    # index for a newer version.
    spec = importlib.util.find_spec("ogb")
    if spec is None or not spec.submodule_search_locations:
        return {}
    path = Path(next(iter(spec.submodule_search_locations))) / "nodeproppred" / "master.csv"
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    table = {row[0]: row[1:] for row in rows}
    infos = {}
    for position, name in enumerate(header[1:]):
        column = {key: row[position] for key, row in table.items()}
        infos[name] = OgbInfo(
            name=name,
            url=column["url"],
            download_name=column["download_name"],
            version=column["version"],
            split=column["split"],
            num_classes=int(column["num classes"]),
            add_inverse_edge=column["add_inverse_edge"] == "True",
            is_hetero=column["is hetero"] == "True",
        )
    return infos


def _download(info: OgbInfo, folder: Path) -> None:
    from ogb.utils import url as ogb_url

    root = folder.parent
    root.mkdir(parents=True, exist_ok=True)
    by_hand = f"fetch it by hand and unpack it as {folder}"
    try:
        wanted = ogb_url.decide_download(info.url)
        archive = Path(ogb_url.download_url(info.url, str(root))) if wanted else None
    except EOFError as error:
        raise RuntimeError(
            f"{info.name}: ogb asks before a download above 1 GB and there is no terminal to "
            f"answer on; {by_hand} from {info.url}"
        ) from error
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"{info.name}: the download of {info.url} failed ({error}); try again or {by_hand}"
        ) from error
    if archive is None:
        raise RuntimeError(f"{info.name}: download of {info.url} declined")
    # Unpacked beside its place and moved there whole: an interrupted run leaves no half data set.
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{folder.name}-") as unpacked:
        try:
            ogb_url.extract_zip(str(archive), unpacked)
        except (zipfile.BadZipFile, EOFError) as error:
            raise ValueError(
                f"{archive}: a damaged archive ({error}); remove it, try again"
            ) from error
        inner = Path(unpacked) / info.download_name
        if not (is_typed_layout if info.is_hetero else is_layout)(inner):
            raise ValueError(
                f"{archive}: expected a folder {info.download_name} with OGB's raw files, got "
                f"{', '.join(sorted(os.listdir(unpacked))) or 'nothing'}"
            )
        if folder.exists():
            folder.rmdir()
        shutil.move(inner, folder)
    archive.unlink()

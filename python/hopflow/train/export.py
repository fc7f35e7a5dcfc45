"""Writing predictions."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
from torch import Tensor

SUFFIXES = (".npy", ".csv", ".parquet")


def check_target(path: Path) -> None:
    """Raise a ValueError unless a file can be written there, before the work that it is to hold.

    Folders on the way to it are made.
    """
    if path.is_dir():
        raise ValueError(f"{path}: expected the name of a file, got a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot make its folder ({error})") from None
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ValueError(f"{path}: cannot write there")


def check_distinct(**files: Path | str | None) -> None:
    """Raise a ValueError if two of these options name one file: one would overwrite the other."""
    seen: dict[Path, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        place = Path(file).resolve()
        if place in seen:
            raise ValueError(f"--{option} and --{seen[place]} are the same file, {file}")
        seen[place] = option


def check_suffix(path: Path) -> None:
    """Raise a ValueError or ImportError unless predictions can be written to such a file."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: expected a file ending in {', '.join(SUFFIXES)}, got"
            f" {path.suffix or 'none'!r}"
        )
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("writing .parquet needs pyarrow: pip install 'hopflow[parquet]'")


def write_predictions(values: Tensor, path: Path, *, column: str = "class") -> None:
    """Write classes [N], or logits, labels or numbers [N, C], a row a node in order of ids.

    In a table columns of a matrix are called ``column_0`` and so on.

    Raises
    ------
    ValueError
        Another suffix than .npy, .csv or .parquet.
    ImportError
        Parquet without pyarrow.
    """
    check_suffix(path)
    array = values.numpy()
    if path.suffix == ".npy":
        np.save(path, array)
        return
    import pandas as pd

    names = ["prediction"] if array.ndim == 1 else [f"{column}_{i}" for i in range(array.shape[1])]
    table = pd.DataFrame(array.reshape(len(array), -1), columns=names)
    table.insert(0, "node", np.arange(len(array)))
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
        return
    table.to_parquet(path, index=False, engine="pyarrow")

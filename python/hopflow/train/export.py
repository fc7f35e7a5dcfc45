"""Writing predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

SUFFIXES = (".npy", ".csv", ".parquet")


def check_suffix(path: Path) -> None:
    """Raise a ValueError unless predictions can be written to such a file."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: expected a file ending in {', '.join(SUFFIXES)}, got"
            f" {path.suffix or 'none'!r}"
        )


def write_predictions(values: Tensor, path: Path) -> None:
    """Write classes [N] or logits [N, C], one row a node in order of ids.

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

    names = ["prediction"] if array.ndim == 1 else [f"class_{i}" for i in range(array.shape[1])]
    table = pd.DataFrame(array.reshape(len(array), -1), columns=names)
    table.insert(0, "node", np.arange(len(array)))
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
        return
    try:
        table.to_parquet(path, index=False, engine="pyarrow")
    except ImportError:
        raise ImportError(
            "writing .parquet needs pyarrow: pip install 'hopflow[parquet]'"
        ) from None

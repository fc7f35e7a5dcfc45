"""Arrays kept between runs: uncompressed `.npz` files, replaced atomically, no pickle."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Array

_STAMP = "hopflow_fingerprint"

WORTH_BYTES = 16 << 20
"""Below this many bytes of compressed text (about 3 s of parsing) a second copy is not worth it."""


def user_cache_dir() -> Path:
    """hopflow's folder in the platform's user cache (``~/.cache/hopflow``); it need not exist."""
    from platformdirs import user_cache_path

    return Path(user_cache_path("hopflow", appauthor=False))


def fingerprint(value: Any) -> str:
    """Short hash of a JSON-able value, the same in every process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def read_arrays(path: Path, stamp: str) -> dict[str, Array] | None:
    """Arrays written under the same `stamp`; None if there are none or they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file[_STAMP]) != stamp:
                return None
            return {key: file[key] for key in file.files if key != _STAMP}
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError):
        return None
    except (zipfile.BadZipFile, zlib.error):
        return None


def write_arrays(path: Path, stamp: str, arrays: Mapping[str, Array]) -> bool:
    """Write arrays so that a reader sees all of them or none; warn where that is impossible.

    Returns
    -------
    bool
        Whether the file was written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            payload: dict[str, Any] = {_STAMP: np.asarray(stamp), **arrays}
            np.savez(file, **payload)
        os.replace(temporary, path)
        return True
    except OSError as error:
        warnings.warn(f"{path}: not cached, {error}", RuntimeWarning, stacklevel=3)
        return False
    finally:
        # After os.replace there is nothing left under this name.
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def parse_cached(
    path: Path, files: Iterable[Path], parse: Callable[[], dict[str, Array]], *, min_bytes: int
) -> dict[str, Array]:
    """What `parse` makes of `files`; kept at `path`, if that is worth it, until they change.

    Parameters
    ----------
    path
        Where the arrays are kept.
    files
        All files that `parse` reads.
    parse
        Makes the arrays.
    min_bytes
        Size of `files` from which on a second copy of them is worth it.
    """
    files = sorted(files)
    stats = [(str(file), file.stat()) for file in files]
    shared = os.path.commonpath([file.parent for file in files]) if files else ""
    stamp = fingerprint(
        [(os.path.relpath(name, shared), stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    )
    arrays = read_arrays(path, stamp) if path.is_file() else None
    if arrays is not None:
        return arrays
    arrays = parse()
    if sum(stat.st_size for _, stat in stats) >= min_bytes:
        largest = max(files, key=lambda file: file.stat().st_size)
        if largest.suffix != ".npz" or _is_compressed(largest):
            write_arrays(path, stamp, arrays)
    return arrays


def _is_compressed(path: str | os.PathLike[str]) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())

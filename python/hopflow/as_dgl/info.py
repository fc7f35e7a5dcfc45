"""What a data set notes beside its graphs, in a file: ``dgl.data.utils.save_info``, ``load_info``.

DGL writes a pickle, which may execute anything when it is read. These files are ``torch.save``'s,
read with ``weights_only``: tensors, numpy arrays, numbers, texts and containers of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hopflow.as_dgl.own_files import PathLike
from hopflow.datasets.ogb_layout import numpy_globals


def save_info(path: PathLike, info: Any) -> None:
    """Write a dict of tensors, numpy arrays, numbers, texts, and containers of these.

    The file appears whole or not at all.

    Parameters
    ----------
    path : str or path
        Any name in a folder that is there.
    info : dict
        What to write.

    Raises
    ------
    TypeError
        Something in it could not be read again.

    References
    ----------
    https://www.dgl.ai/dgl_docs/api/python/dgl.data.html
    """
    path = Path(path)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(info, file)
        try:
            _read(unfinished)  # what cannot be read is told now, to the one who has it
        except pickle.UnpicklingError as error:
            raise TypeError(
                "info: expected tensors, numpy arrays, numbers, texts and containers of these:"
                f" {_first_line(error)}"
            ) from None
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(unfinished, 0o666 & ~umask)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def load_info(path: PathLike) -> Any:
    """Read what :func:`save_info` has written; nothing in it is executed.

    Parameters
    ----------
    path : str or path
        The file. The real DGL's, which are pickles, are refused.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is DGL's, another program's or damaged.

    References
    ----------
    https://www.dgl.ai/dgl_docs/api/python/dgl.data.html
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if not is_archive:
        raise ValueError(
            f"{path}: expected a file of hopflow's save_info, got another, perhaps a pickle of the"
            " real DGL's, which is not read: it might execute anything"
        )
    try:
        return _read(path)
    except PermissionError:
        raise
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise ValueError(
            f"{path}: not a file of save_info, or damaged ({_first_line(error)})"
        ) from None


def _read(path: PathLike) -> Any:
    kinds = "bool uint8 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
    dtypes = [type(np.dtype(kind)) for kind in kinds.split()]
    safe_globals = getattr(torch.serialization, "safe_globals", None)  # since torch 2.4
    allowed = nullcontext() if safe_globals is None else safe_globals(numpy_globals() + dtypes)
    with warnings.catch_warnings(), allowed:
        warnings.simplefilter("ignore", FutureWarning)
        # From memory: of a damaged archive torch says what the system might say of a file.
        data = io.BytesIO(Path(path).read_bytes())
        return torch.load(data, weights_only=True, map_location="cpu")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Checkpoints: plain tensors and values, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

VERSION = 1
_KEYS = {
    "version", "config", "num_nodes", "num_edges", "num_features", "num_classes", "model",
    "best_model", "optimizer", "history", "progress", "loader", "rng",
}  # fmt: skip


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint next to its place and move it there, so that no half file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp: its files are the owner's alone, whatever the umask says.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({**state, "version": VERSION}, file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the new name on an empty file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint with torch's restricted unpickler.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a checkpoint of ``hopflow train``, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        why = str(error).strip().split("\n")[0]  # torch goes on with advice for other cases
        raise ValueError(f"{path}: expected a checkpoint of hopflow train ({why})") from None
    if not isinstance(state, dict) or not set(state) >= _KEYS:
        raise ValueError(f"{path}: expected a checkpoint of hopflow train, got another file")
    if state["version"] != VERSION:
        raise ValueError(f"{path}: expected checkpoint version {VERSION}, got {state['version']}")
    return state

"""What the tests of graphs in parts have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from folders import in_turn, one_type

from hopflow.distributed.folder.writer import write_parts


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A graph of one type in three parts."""
    graph = one_type()
    write_parts(
        graph, in_turn(graph, 3), tmp_path / "p", num_parts=3, splits={"train": torch.arange(9)}
    )
    return tmp_path / "p"

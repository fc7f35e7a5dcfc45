"""What several tests of data sets start from."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "g"
    folder.mkdir()
    arrays = {
        "src": rng.integers(90, size=400), "dst": rng.integers(90, size=400),
        "feat": rng.normal(size=(90, 4)).astype(np.float32), "weight": rng.normal(size=400),
        "label": np.arange(90) % 3,
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder

"""Files of small graphs that can be learned, as a user would bring them."""

from __future__ import annotations

import numpy as np


def group_files(folder):
    """One graph of four groups of nodes with classes, labels or numbers, or bare: paths by name."""
    rng = np.random.default_rng(0)
    group = rng.integers(4, size=300)
    members = [np.flatnonzero(group == k) for k in range(4)]
    src = rng.integers(300, size=1500)
    dst = np.array([rng.choice(members[group[u]]) for u in src])
    feat = (rng.normal(size=(300, 8)) + np.eye(4, 8)[group]).astype(np.float32)
    sets = [np.isin(group, pair) for pair in ((0, 1), (1, 2), (2, 3))]
    given = {
        "classes": {"label": group},
        "labels": {"label": np.stack(sets, 1)},
        "numbers": {"label": 1000.0 + 50 * group + rng.normal(size=300)},
        "bare": {},
    }
    paths = {name: folder / f"{name}.npz" for name in given}
    for name, more in given.items():
        np.savez(paths[name], src=src, dst=dst, feat=feat, num_nodes=300, **more)
    return paths

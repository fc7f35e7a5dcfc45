"""Arrays of a graph of several node and edge types, shaped like ogbn-mag."""

from __future__ import annotations

import numpy as np

from hopbench.degrees import Arrays, Shape, degrees

# ogbn-mag's sizes.
NODES = {
    "mag": {"paper": 736_389, "author": 1_134_649, "institution": 8_740, "field": 59_965},
}
WIDTHS = {"paper": 128, "author": 64, "institution": 64, "field": 64}
CLASSES = 349
# Name, ends, and edges in ogbn-mag; every relation is there with its reverse.
RELATIONS = {
    "affiliated_with": ("author", "institution", 1_043_998),
    "writes": ("author", "paper", 7_145_660),
    "cites": ("paper", "paper", 5_416_271),
    "has_topic": ("paper", "field", 7_505_078),
}
TRAIN = 629_571
TRIPLES = [
    *((src, name, dst) for name, (src, dst, _) in RELATIONS.items()),
    *((dst, f"rev_{name}", src) for name, (src, dst, _) in RELATIONS.items()),
]


def make_typed(name: str) -> Arrays:
    """In-edges of every relation and of its reverse, and the training papers."""
    nodes, rng = NODES[name], np.random.default_rng(4)
    arrays: Arrays = {}
    for relation, (src, dst, num_edges) in RELATIONS.items():
        ends = []
        for ntype in (src, dst):
            most = max(10, num_edges // 50)
            # A node without an edge of a relation is common in mag; here every node has one.
            law = degrees(Shape(nodes[ntype], max(num_edges, nodes[ntype]), 1.2, most, 0), rng)
            owner = np.repeat(np.arange(nodes[ntype], dtype=np.int32), law)
            ends.append(rng.permutation(owner)[:num_edges])
        for key, source, sink, count_of in (
            (relation, ends[0], ends[1], nodes[dst]),
            (f"rev_{relation}", ends[1], ends[0], nodes[src]),
        ):
            indptr = np.zeros(count_of + 1, np.int64)
            np.cumsum(np.bincount(sink, minlength=count_of), out=indptr[1:])
            arrays[f"{key}-indptr"] = indptr
            arrays[f"{key}-indices"] = source[np.argsort(sink, kind="stable")]
    arrays["train"] = rng.permutation(nodes["paper"])[:TRAIN].astype(np.int64)
    return arrays


def make_typed_features(name: str) -> Arrays:
    """Features of every type, and the papers' classes."""
    rng = np.random.default_rng(5)
    arrays: Arrays = {
        ntype: rng.standard_normal((count, WIDTHS[ntype]), dtype=np.float32)
        for ntype, count in NODES[name].items()
    }
    arrays["label"] = rng.integers(CLASSES, size=NODES[name]["paper"])
    return arrays

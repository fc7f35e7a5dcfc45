"""Which of the cases of ``compare_edge_layers.py`` are recorded, and from what seed."""

from __future__ import annotations

SEED = 20260301
_NAMES = {
    "GMMConv": [
        f"{form}/{kind} residual True 3-{out}"
        for kind in ("sum", "mean", "max")
        for form, out in (("graph", 2), ("block", 5), ("pair", 2))
    ]
    + ["pair/sum (3, 4)-4 no bias"],
    "NNConv": [
        *(f"graph/{kind} residual True mlp" for kind in ("sum", "max")),
        *(f"{form}/{kind} residual False tanh" for kind in ("sum", "max")
          for form in ("block", "pair")),
        "block/mean residual True linear",
        "pair/sum residual False no bias",
        "pair/mean (3, 2)-2 no bias",
    ],
    "CFConv": [f"{form}/plain" for form in ("graph", "block", "pair")],
    "PNAConv": ["graph/2 towers 6-6 edges 4"],
    "DGNConv": ["graph/directions, 2 towers, edges 4"],
    "AtomicConv": [f"graph/features_to_use {uses}" for uses in (True, False)],
    "DenseGraphConv": [
        f"graph/{norm} 5-{out}" for norm, out in (("both", 2), ("both", 7), ("right", 2))
    ],
    "DenseSAGEConv": ["graph/plain"],
    "DenseChebConv": ["graph/k 1", "graph/k 4"],
    "JumpingKnowledge": ["graph/lstm"],
    "LabelPropagation": [
        f"graph/{options}"
        for options in (
            {"k": 3}, {"k": 3, "norm_type": "row"}, {"k": 2, "normalize": True},
            {"k": 2, "clamp": False, "reset": True},
        )
    ],
    "EdgePredictor": ["graph/cos linear"],
    "TransE": ["graph/p 1"],
    "TransR": ["graph/p 2"],
    "WeightBasis": ["graph/plain"],
    "GroupRevRes": ["graph/groups 2"],
    "segments": ["graph/all"],
}  # fmt: skip
RECORDED = {f"{group}/{name}, float32" for group, names in _NAMES.items() for name in names}

"""Random walks, as code that runs under DGL and under hopflow: which answers they give.

    # with DGL's interpreter: records its answers
    python tests/oracle/programs/walk_cases.py FILE.npz

An answer is exact, or (``law/...``) counts of independent outcomes, to be compared as samples of
one law. Inputs stay clear of where hopflow differs on purpose:

- ``length=0`` and an empty ``metapath``: DGL's process crashes; hopflow takes no step.
- a ``restart_prob`` of another length: DGL accepts it; a ``ValueError`` here.
- a ``restart_prob`` of 1, or an int: an error in DGL; every walk ends here.
- a ``prob`` that no edge type has: uniform in DGL; a ``KeyError`` here.
- nodes whose edges all have weight 0: undefined in DGL; the walk ends here.
- p or q of 0: DGL does not end; a ``ValueError`` here.
- ``node2vec_random_walk`` on several types: DGL walks one of them; a ``ValueError`` here.
- seeds given twice to ``PinSAGESampler``: twice the edges in DGL, once here.
- walks that end, in ``DeepWalk``: an ``IndexError`` in DGL; they count up to there here.
- walks that end, in ``MetaPath2Vec``: DGL takes the type's last node; up to there here.
- pairs of ``MetaPath2Vec``: in DGL from -window to window - 1 places apart and, beyond the first
  places, a node with itself; here from -window to window, without 0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

NUM_NODES, NUM_EDGES = 7, 24
WALKS = 3_000


def _ends() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Edges of a graph in which every node has one with a weight, and these weights."""
    rng = np.random.default_rng(8)
    src = np.concatenate(
        [np.arange(NUM_NODES), rng.integers(NUM_NODES, size=NUM_EDGES - NUM_NODES)]
    )
    dst = rng.integers(NUM_NODES, size=NUM_EDGES)
    weights = rng.random(NUM_EDGES) + 0.1
    weights[NUM_NODES + 2 :: 5] = 0
    return tuple(map(torch.from_numpy, (src, dst, weights)))


def _counts(eids: torch.Tensor) -> np.ndarray:
    """How often each edge, or none (last), was taken at each step."""
    steps = [torch.where(e < 0, NUM_EDGES, e) for e in eids.long().T]
    return np.stack([torch.bincount(e, minlength=NUM_EDGES + 1).numpy() for e in steps])


def _joint(eids: torch.Tensor) -> np.ndarray:
    """How often each pair of edges was taken at the first two steps."""
    return torch.bincount(eids[:, 0] * NUM_EDGES + eids[:, 1], minlength=NUM_EDGES**2).numpy()


def law_answers(engine: Any) -> dict[str, np.ndarray]:
    """Counts of what independent walks did."""
    src, dst, weights = _ends()
    g = engine.graph((src, dst), num_nodes=NUM_NODES)
    g.edata["w"] = weights
    nodes, walk = torch.arange(NUM_NODES).repeat(WALKS), engine.sampling.random_walk
    found = {}
    for name, options in {
        "uniform": {},
        "weighted": {"prob": "w"},
        "restart": {"restart_prob": 0.3},
        "restart by step": {"restart_prob": torch.tensor([0.0, 0.5, 0.2]), "prob": "w"},
    }.items():
        eids = walk(g, nodes, length=3, return_eids=True, **options)[1]
        # One step of many walks at a time is a sample of independent outcomes.
        for step, counts in enumerate(_counts(eids)):
            found[f"law/{name}/{step}"] = counts
    forth, back = ("a", "to", "b"), ("b", "from", "a")
    typed = engine.heterograph(
        {forth: (src, dst), back: (dst, src)}, {"a": NUM_NODES, "b": NUM_NODES}
    )
    typed.edges["to"].data["w"] = weights  # uniform along the other
    metapath = ["to", "from", "to"]
    eids = walk(typed, nodes, metapath=metapath, prob="w", return_eids=True)[1]
    for step, counts in enumerate(_counts(eids)):
        found[f"law/metapath/{step}"] = counts
    for p, q in ((1.0, 1.0), (0.1, 3.0), (5.0, 0.2)):
        for prob in (None, "w"):
            _, eids = engine.sampling.node2vec_random_walk(
                g, nodes, p, q, 2, prob=prob, return_eids=True
            )
            found[f"law/node2vec/{p:g} {q:g} {prob}"] = _joint(eids.long())
    sampler = engine.sampling.PinSAGESampler(typed, "a", "b", 1, 0.5, 5_000, NUM_NODES)
    frontier = sampler(torch.arange(NUM_NODES))
    visits = np.zeros((NUM_NODES, NUM_NODES), np.int64)
    visitors, visited = frontier.edges()
    visits[visited, visitors] = frontier.edata["weights"]
    found["law/pinsage"] = visits
    return found


def exact_answers(engine: Any, nn: Any) -> dict[str, np.ndarray]:
    """What does not depend on draws."""
    ring = engine.graph((torch.arange(6), (torch.arange(6) + 1) % 6))
    found = {}
    options = {"restart_prob": torch.tensor([0.0, 0.0, 1.0]), "return_eids": True}
    found["traces"], found["eids"], found["types"] = engine.sampling.random_walk(
        ring, torch.tensor([0, 4, 4]), length=3, **options
    )
    traces = torch.tensor([[0, 1, -1], [3, -1, -1], [2, 3, 4], [-1, -1, -1]])
    for i, packed in enumerate(engine.sampling.pack_traces(traces, torch.tensor([0, 1, 0]))):
        found[f"packed/{i}"] = packed
    frontier = engine.sampling.RandomWalkNeighborSampler(ring, 1, 0.5, 9, 3)(torch.tensor([5, 2]))
    found["frontier/src"], found["frontier/dst"] = frontier.edges()
    found["frontier/weights"] = frontier.edata["weights"]
    rng = np.random.default_rng(9)

    def fill(model: Any, prefix: str) -> None:
        for name, value in sorted(model.state_dict().items()):
            value.copy_(torch.from_numpy(rng.standard_normal(value.shape)))
            found[f"{prefix}/state/{name}"] = np.array(value.shape)

    def results(loss: torch.Tensor, model: Any, prefix: str) -> None:
        loss.backward()
        found[f"{prefix}/loss"] = loss.detach()
        found[f"{prefix}/grad node"] = model.node_embed.weight.grad
        found[f"{prefix}/grad context"] = model.context_embed.weight.grad

    # Without negatives, whose draws differ.
    model = nn.DeepWalk(ring, 4, 7, window_size=3, neg_weight=0, sparse=False)
    fill(model, "deepwalk")
    results(model(model.sample(torch.tensor([0, 3, 1]))), model, "deepwalk")
    degrees = engine.graph((torch.tensor([0, 0, 1, 3]), torch.tensor([1, 2, 0, 0])))
    found["deepwalk/negatives"] = nn.DeepWalk(degrees, 4, fast_neg=False).neg_prob
    shop = engine.heterograph(
        {
            ("user", "buys", "item"): (torch.arange(5), torch.arange(5) % 3),
            ("item", "sold", "user"): (torch.arange(3), torch.arange(3)),
        }
    )
    model = nn.MetaPath2Vec(shop, ["buys", "sold"], 1, 4, negative_size=3, sparse=False)
    fill(model, "metapath2vec")
    u, v = (torch.from_numpy(rng.integers(8, size=6)) for _ in range(2))
    results(model(u, v, torch.from_numpy(rng.integers(8, size=(6, 3)))), model, "metapath2vec")
    found["metapath2vec/negatives"] = model.neg_prob
    for ntype, ids in model.local_to_global_nid.items():
        found[f"metapath2vec/ids/{ntype}"] = np.array(ids)
    return {name: np.asarray(value) for name, value in found.items()}


def answers(engine: Any, nn: Any) -> dict[str, np.ndarray]:
    """All of them."""
    torch.manual_seed(1)
    engine.seed(1)
    return {**law_answers(engine), **exact_answers(engine, nn)}


def difference(name: str, ours: np.ndarray, theirs: np.ndarray) -> str:
    """What is wrong with an answer; "" if nothing."""
    if ours.shape != theirs.shape:
        return f"shape {list(ours.shape)}, DGL {list(theirs.shape)}"
    if not name.startswith("law/"):
        if ours.dtype != theirs.dtype:
            return f"dtype {ours.dtype}, DGL {theirs.dtype}"
        return "" if np.allclose(ours, theirs, rtol=2e-5, atol=1e-6) else f"{ours}, DGL {theirs}"
    from scipy import stats

    both = np.stack([ours.ravel(), theirs.ravel()])
    if ours.sum() != theirs.sum():
        return f"{ours.sum()} outcomes, DGL {theirs.sum()}"
    # Rare outcomes are one, so that a chi-square applies.
    is_rare = both.sum(0) < 10
    table = np.column_stack([both[:, ~is_rare], both[:, is_rare].sum(1)])
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return ""
    chance = stats.chi2_contingency(table).pvalue
    return "" if chance > 1e-6 else f"a sample of another law (p = {chance:.1g})"


if __name__ == "__main__":
    import dgl

    recorded = answers(dgl, __import__("dgl.nn", fromlist=["nn"]))
    recorded["versions"] = np.array(f"dgl {dgl.__version__}, torch {torch.__version__}")
    np.savez_compressed(Path(sys.argv[1]), **recorded)

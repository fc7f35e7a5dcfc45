"""DeepWalk and MetaPath2Vec: losses against plain loops, pairs, training, and DGL's state."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

import hopflow as hf
from hopflow.nn import DeepWalk, MetaPath2Vec
from hopflow.nn.walks import deepwalk
from hopflow.sampling.weighted_nodes import WeightedNodes


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def cliques(count: int = 2, size: int = 6) -> hf.Graph:
    """Cliques, each joined to the next by one edge both ways."""
    pairs = [
        (size * c + a, size * c + b)
        for c in range(count) for a in range(size) for b in range(size) if a != b
    ]  # fmt: skip
    for c in range(count - 1):
        pairs += [(size * c, size * c + size), (size * c + size, size * c)]
    return hf.graph(pairs)


def shop() -> hf.Graph:
    users, items = torch.arange(12), torch.arange(12) // 4
    return hf.heterograph(
        {("user", "buys", "item"): (users, items), ("item", "sold", "user"): (items, users)},
        {"user": 13, "item": 4},
    )


def fill(model: torch.nn.Module) -> None:
    for table in (model.node_embed, model.context_embed):
        torch.nn.init.normal_(table.weight)


def plain_loss(model: DeepWalk, walks: Tensor, drawn: Tensor) -> Tensor:
    """The loss by its formula, pair by pair; ``drawn`` are the negatives' contexts."""
    n, c = model.node_embed.weight.double(), model.context_embed.weight.double()
    positive, negative, at = [], [], 0
    for walk in walks.tolist():
        for j, v in enumerate(walk):
            for i, u in enumerate(walk):
                if i == j or abs(i - j) > model.window_size or u < 0 or v < 0:
                    continue
                positive.append(-F.logsigmoid((n[u] @ c[v]).clamp(-6, 6)))
                for w in drawn[at : at + model.negative_size].tolist():
                    negative.append(-F.logsigmoid(-(n[v] @ c[w]).clamp(-6, 6)))
                at += model.negative_size
    factor = model.negative_size * model.neg_weight
    return torch.stack(positive).mean() + torch.stack(negative).mean() * factor


@pytest.mark.parametrize("fast_neg", [True, False])
@pytest.mark.parametrize("with_ends", [False, True])
def test_loss_is_its_formula(fast_neg, with_ends, monkeypatch):
    model = DeepWalk(
        cliques(), 5, 6, window_size=2, neg_weight=0.7, negative_size=3, fast_neg=fast_neg,
        sparse=False,
    )  # fmt: skip
    fill(model)
    walks = model.sample(torch.tensor([0, 3, 8]))
    assert walks.shape == (3, 6)
    if with_ends:
        walks[0, 4:] = -1
        walks[2, 1:] = -1
    nodes, kept = walks[walks >= 0], []

    def numbers(count: int, bound: int) -> Tensor:
        assert bound == len(nodes)
        kept.append(torch.randint(bound, (count,)))
        return kept[0]

    def draw(count: int) -> Tensor:
        kept.append(torch.randint(12, (count,)))
        return kept[0]

    monkeypatch.setattr(deepwalk, "random_numbers", numbers)
    if not fast_neg:
        monkeypatch.setattr(model._negatives, "draw", draw)
    loss = model(walks)
    drawn = nodes[kept[0]] if fast_neg else kept[0]
    expected = plain_loss(model, walks, drawn)
    torch.testing.assert_close(loss.double(), expected)
    grads = torch.autograd.grad(loss, [model.node_embed.weight, model.context_embed.weight])
    expected = torch.autograd.grad(expected, [model.node_embed.weight, model.context_embed.weight])
    for a, b in zip(grads, expected):
        torch.testing.assert_close(a, b)


def test_walks_that_end_at_once_have_no_loss():
    model = DeepWalk(hf.graph(([0], [1]), num_nodes=3), 4, 4, window_size=2)
    walks = model.sample([2, 1])
    assert walks.tolist() == [[2, -1, -1, -1], [1, -1, -1, -1]]
    loss = model(walks)
    assert float(loss.detach()) == 0
    loss.backward()
    assert float(model(walks[:0]).detach()) == 0


def test_parameters_are_dgls():
    model = DeepWalk(cliques(), 8, 10)
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == {
        "node_embed.weight": (12, 8), "context_embed.weight": (12, 8),
    }  # fmt: skip
    assert float(model.context_embed.weight.detach().abs().max()) == 0
    assert 0.5 / 8 < float(model.node_embed.weight.detach().abs().max()) <= 1 / 8
    assert model.node_embed.sparse
    typed = MetaPath2Vec(shop(), ["buys", "sold"], 1, 8)
    assert {k: tuple(v.shape) for k, v in typed.state_dict().items()} == {
        "node_embed.weight": (17, 8), "context_embed.weight": (17, 8),
    }  # fmt: skip


@pytest.mark.parametrize("fast_neg", [True, False])
def test_deepwalk_tells_cliques_apart(fast_neg):
    model = DeepWalk(cliques(), 16, 10, window_size=2, fast_neg=fast_neg)
    loader = torch.utils.data.DataLoader(
        torch.arange(12).repeat(4), batch_size=24, shuffle=True, collate_fn=model.sample
    )
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.05)
    for _ in range(12):
        for walks in loader:
            loss = model(walks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    x = F.normalize(model.node_embed.weight.detach())
    alike = x @ x.T
    within = torch.cat([alike[:6, :6].flatten(), alike[6:, 6:].flatten()]).mean()
    assert within > alike[:6, 6:].mean() + 0.3


def test_negatives_go_by_degree():
    g = hf.graph(([0] * 16 + [1], [1] * 16 + [0]), num_nodes=3)
    model = DeepWalk(g, 4, 4, window_size=1, fast_neg=False)
    torch.testing.assert_close(model.neg_prob, torch.tensor([8.0, 1.0, 0.0]) / 9)
    counts = torch.bincount(model._negatives.draw(18_000), minlength=3).tolist()
    assert counts[2] == 0
    assert stats.chisquare(counts[:2], [16_000, 2_000]).pvalue > 1e-6


def test_weighted_nodes():
    weights = torch.tensor([0.0, 2.0, 0.0, 6.0])
    drawn = WeightedNodes(weights).draw(8_000)
    assert stats.chisquare(torch.bincount(drawn)[[1, 3]].tolist(), [2_000, 6_000]).pvalue > 1e-6
    assert set(drawn.tolist()) == {1, 3}
    assert WeightedNodes(weights).draw(0).tolist() == []
    for bad, match in (([0.0], "a positive one"), ([], "got none"), ([1.0, -1.0], "finite")):
        with pytest.raises(ValueError, match=match):
            WeightedNodes(torch.tensor(bad))


def test_metapath2vec_samples_pairs_of_walks():
    g = shop()
    model = MetaPath2Vec(g, ["buys", "sold", "buys"], 2, 4, negative_size=3)
    assert g.ntypes == ["item", "user"]
    assert model.local_to_global_nid == {"item": [0, 1, 2, 3], "user": list(range(4, 17))}
    assert model.node_metapath == ["user", "item", "user", "item"]
    u, v, negative = model.sample([5, 12])  # user 12 bought nothing
    # Of the four places of a walk: pairs at most two apart.
    assert u.shape == v.shape == (10,)
    assert negative.shape == (10, 3)
    item = 5 // 4
    first, second = 5 + 4, int(u[(v == 9) & (u != item)][0]) if bool((u != item).any()) else 9
    walk = [first, item, second, item]
    expected = [
        (walk[i], walk[j]) for i in range(4) for j in range(4) if i != j and abs(i - j) <= 2
    ]
    assert sorted(zip(u.tolist(), v.tolist())) == sorted(expected)
    reached = {0, 1, 2, *range(4, 17)}  # item 3 is on no walk, a user at least on its own
    assert set(negative.flatten().tolist()) <= reached
    assert set(model.neg_prob.nonzero().flatten().tolist()) == reached
    # Of twelve walks four come by each item; user 12's stays where it is.
    assert float(model.neg_prob[0] / model.neg_prob[16]) == pytest.approx(4**0.75)
    assert model.sample([])[0].shape == (0,)


def test_metapath2vec_loss_is_its_formula():
    model = MetaPath2Vec(shop(), ["buys", "sold"], 1, 6, negative_size=4, sparse=False)
    fill(model)
    u, v, negative = model.sample(torch.arange(4))
    loss = model(u, v, negative)
    n, c = model.node_embed.weight, model.context_embed.weight
    parts = []
    for a, b, others in zip(u.tolist(), v.tolist(), negative.tolist()):
        part = -F.logsigmoid((n[a] @ c[b]).clamp(-10, 10))
        for w in others:
            part = part - F.logsigmoid(-(n[a] @ c[w]).clamp(-10, 10))
        parts.append(part)
    torch.testing.assert_close(loss, torch.stack(parts).mean())
    assert float(model(u[:0], v[:0], negative[:0]).detach()) == 0


def test_metapath2vec_learns():
    model = MetaPath2Vec(shop(), ["buys", "sold"], 2, 8)
    loader = torch.utils.data.DataLoader(
        torch.arange(12).repeat(4), batch_size=24, shuffle=True, collate_fn=model.sample
    )
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.05)
    losses = []
    for _ in range(15):
        for batch in loader:
            loss = model(*batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_mistakes():
    with pytest.raises(ValueError, match="walk_length: expected at least window_size"):
        DeepWalk(cliques(), walk_length=5, window_size=5)
    with pytest.raises(ValueError, match="expected one node type and one edge type"):
        DeepWalk(shop())
    with pytest.raises(ValueError, match=r"batch_walk: expected shape \[walks, 6\]"):
        DeepWalk(cliques(), 4, 6, 2)(torch.zeros(2, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="window_size: expected at most 3"):
        MetaPath2Vec(shop(), ["buys", "sold"], 4)
    with pytest.raises(ValueError, match="metapath"):
        MetaPath2Vec(shop(), ["buys", "buys"], 1)
    with pytest.raises(ValueError, match="metapath: expected at least one"):
        MetaPath2Vec(cliques(), [], 1)


@pytest.mark.parametrize(
    ("size", "error", "match"),
    [
        ({"emb_dim": 0}, ValueError, "emb_dim: expected at least 1, got 0"),
        ({"emb_dim": 2.5}, TypeError, "emb_dim: expected an int, got float"),
        ({"window_size": 0}, ValueError, "window_size: expected at least 1, got 0"),
        ({"negative_size": -1}, ValueError, "negative_size: expected at least 0, got -1"),
    ],
)
def test_sizes_of_nothing_are_refused(size, error, match):
    sizes = {"emb_dim": 4, "window_size": 1, **size}
    with pytest.raises(error, match=match):
        hf.nn.DeepWalk(hf.graph(([0, 1], [1, 0])), walk_length=4, **sizes)
    typed = hf.heterograph({("u", "a", "i"): ([0], [0]), ("i", "b", "u"): ([0], [0])})
    with pytest.raises(error, match=match):
        hf.nn.MetaPath2Vec(typed, ["a", "b"], **sizes)


def test_a_graph_that_grew_or_shrank_is_refused():
    """Its new nodes have no embedding, and those after a removed one another's."""
    graph = cliques()
    model = DeepWalk(graph, emb_dim=4, walk_length=6, window_size=2)
    graph.add_edges([0], [7])
    model(model.sample(torch.arange(12)))  # walks follow new edges
    graph.add_nodes(2)
    with pytest.raises(ValueError, match=r"g: expected the 12 nodes .* got 14"):
        model.sample(torch.arange(12))
    graph.remove_nodes([0, 1, 2])
    with pytest.raises(ValueError, match="got 11"):
        model.sample([0])
    typed = shop()
    by_path = MetaPath2Vec(typed, ["buys", "sold"], 1, emb_dim=4)
    by_path.sample([0])
    typed.add_nodes(1, ntype="user")
    with pytest.raises(ValueError, match=r"13 nodes of type 'user' .* got 14"):
        by_path.sample([0])


def test_negatives_by_degree_need_edges():
    graph = hf.graph(([], []), num_nodes=4)
    with pytest.raises(ValueError, match=r"g: expected edges, as fast_neg=False"):
        DeepWalk(graph, emb_dim=4, walk_length=6, window_size=2, fast_neg=False)
    assert DeepWalk(graph, emb_dim=4, walk_length=6, window_size=2).sample([1]).shape == (1, 6)

"""The loader shared out among ranks: together they yield one process's batches."""

from __future__ import annotations

import pytest
import torch
from ranks import error_of
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import hopflow as hf
from hopflow.dataloading import (
    BlockSampler,
    DataLoader,
    NeighborSampler,
    as_edge_prediction_sampler,
    negative_sampler,
)
from hopflow.dataloading.turns import Turns

# Ranks are processes of their own, in which no kernel is emulated.
pytestmark = pytest.mark.cpu_only


def graph_of(*, typed=False):
    generator = torch.Generator().manual_seed(3)
    src, dst = torch.randint(200, (2, 1500), generator=generator)
    if typed:
        graph = hf.heterograph(
            {("a", "to", "b"): (src % 90, dst), ("b", "back", "a"): (dst, src % 90)},
            {"a": 90, "b": 200},
        )
        graph.nodes["b"].data["feat"] = torch.randn(200, 5, generator=generator)
        return graph
    graph = hf.graph((src, dst), num_nodes=200)
    graph.ndata["feat"] = torch.randn(200, 5, generator=generator)
    graph.ndata["label"] = torch.randint(4, (200,), generator=generator)
    return graph


class PythonSampler(BlockSampler):
    def sample(self, g, seeds):
        return NeighborSampler([3, 2]).sample(g, seeds)


class SubgraphSampler(BlockSampler):
    """What it returns holds no block."""

    def sample(self, g, seeds):
        return seeds, hf.in_subgraph(g, seeds)


SAMPLERS = {
    "native": lambda: NeighborSampler([3, 2]),
    "python": PythonSampler,
    "weighted": lambda: NeighborSampler([3, 2], prob="w"),
    "edges": lambda: as_edge_prediction_sampler(
        NeighborSampler([3, 2]), negative_sampler=negative_sampler.Uniform(2)
    ),
    "subgraph": SubgraphSampler,
    "typed": lambda: NeighborSampler([3, 2]),
}


def told(x):
    """A batch as plain lists."""
    if isinstance(x, torch.Tensor):
        return x.tolist()
    if isinstance(x, hf.Graph):
        edges = {e: tuple(y.tolist() for y in x.edges(etype=e)) for e in x.canonical_etypes}
        return edges, {t: x.num_nodes(t) for t in x.ntypes}
    if isinstance(x, dict):
        return {key: told(value) for key, value in x.items()}
    return [told(y) for y in x]


def marks(batch):
    """What graphs of a batch say of it."""
    found = {(x.is_padding, x.loss_weight) for x in graphs_of(batch)}
    assert len(found) == 1
    return found.pop()


def graphs_of(x):
    if isinstance(x, hf.Graph):
        return [x]
    if isinstance(x, dict):
        return [y for value in x.values() for y in graphs_of(value)]
    return [y for value in x for y in graphs_of(value)] if isinstance(x, (list, tuple)) else []


def loader_of(kind, *, use_ddp, num_seeds=150, **options):
    graph = graph_of(typed=kind == "typed")
    if kind == "weighted":
        graph.edata["w"] = torch.arange(graph.num_edges()) % 5 + 0.5
    ids = torch.randperm(200, generator=torch.Generator().manual_seed(1))[:num_seeds]
    options = {"batch_size": 16, "shuffle": True, "seed": 9, **options}
    seeds = {"b": ids} if kind == "typed" else ids
    return DataLoader(graph, seeds, SAMPLERS[kind](), use_ddp=use_ddp, **options)


def epochs(rank, kind, num_epochs, options):
    loader = loader_of(kind, use_ddp=True, **options)
    found = [[(marks(batch), told(batch)) for batch in loader] for _ in range(num_epochs)]
    assert all(len(epoch) == len(loader) for epoch in found)
    return found


def interleaved(of_ranks):
    """The ranks' batches in the order of one process, without padding, which is checked here."""
    steps = list(zip(*of_ranks, strict=True))
    every = [one for step in steps for one in step]
    real = [batch for (is_padding, _), batch in every if not is_padding]
    assert [p for (p, _), _ in every] == [False] * len(real) + [True] * (len(every) - len(real))
    fill = [batch for (is_padding, _), batch in every if is_padding]
    assert fill == (real * len(fill))[: len(fill)]
    assert len(fill) < len(of_ranks)
    for step in steps:
        # Averaged over ranks, weights are 1.
        assert sum(weight for (_, weight), _ in step) == pytest.approx(len(step))
        assert all((weight == 0) == is_padding for (is_padding, weight), _ in step)
    return real


@pytest.mark.parametrize("num", [2, 4])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", list(SAMPLERS))
def test_ranks_together_yield_one_processs_batches(ranks, kind, num_workers, num):
    of_ranks = ranks.run(epochs, kind, 2, {"num_workers": num_workers}, num=num)
    alone = loader_of(kind, use_ddp=False)
    for epoch in range(2):
        assert interleaved([found[epoch] for found in of_ranks]) == [told(b) for b in alone]


@pytest.mark.parametrize(
    ("num_seeds", "options"),
    [(150, {"shuffle": False}), (1, {}), (17, {}), (64, {}), (40, {"batch_size": 500}), (0, {})],
)
def test_uneven_numbers_of_batches(ranks, num_seeds, options):
    options = {"num_seeds": num_seeds, **options}
    of_ranks = ranks.run(epochs, "native", 1, options, num=4)
    alone = loader_of("native", use_ddp=False, **options)
    assert interleaved([found[0] for found in of_ranks]) == [told(b) for b in alone]


@pytest.mark.parametrize(("num_seeds", "steps"), [(150, 2), (128, 2), (70, 1), (63, 0)])
def test_drop_last_leaves_what_does_not_go_round(ranks, num_seeds, steps):
    options = {"num_seeds": num_seeds, "drop_last": True}
    of_ranks = ranks.run(epochs, "native", 1, options, num=4)
    assert [len(found[0]) for found in of_ranks] == [steps] * 4
    alone = [told(b) for b in loader_of("native", use_ddp=False, **options)]
    assert interleaved([found[0] for found in of_ranks]) == alone[: 4 * steps]


# --- seeds of epochs ---


def drawn_epochs(rank, ddp_seed):
    torch.manual_seed(rank + 5)
    loader = loader_of("native", use_ddp=True, seed=None, ddp_seed=ddp_seed)
    return [[(marks(b), told(b)) for b in loader] for _ in range(2)]


@pytest.mark.parametrize("ddp_seed", [0, 8])
def test_without_a_seed_rank_0_draws_those_of_all(ranks, ddp_seed):
    of_ranks = ranks.run(drawn_epochs, ddp_seed, num=2)
    if ddp_seed:
        alone = loader_of("native", use_ddp=False, seed=ddp_seed)
    else:
        torch.manual_seed(5)
        alone = loader_of("native", use_ddp=False, seed=None)
    for epoch in range(2):
        assert interleaved([found[epoch] for found in of_ranks]) == [told(b) for b in alone]


# --- resume ---


def first_steps(rank, num_steps, num_workers):
    loader = loader_of("native", use_ddp=True, num_workers=num_workers)
    batches = iter(loader)
    found = [next(batches) for _ in range(num_steps)]
    return [(marks(batch), told(batch)) for batch in found], loader.state_dict()


def other_steps(rank, state, num_workers):
    loader = loader_of("native", use_ddp=True, num_workers=num_workers)
    loader.load_state_dict(state)
    rest = [(marks(batch), told(batch)) for batch in loader]
    return rest, [(marks(batch), told(batch)) for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 4), (4, 2), (4, 3)])
def test_resumes_with_as_many_ranks_or_others(ranks, before, after, num_workers):
    begun = ranks.run(first_steps, 2, num_workers, num=before)
    states = [state for _, state in begun]
    assert states == states[:1] * before
    assert states[0]["batch"] == 2 * before
    rest = ranks.run(other_steps, states[0], num_workers, num=after)
    alone = loader_of("native", use_ddp=False)
    batches = [told(b) for b in alone]
    done = interleaved([found for found, _ in begun])
    left = interleaved_rest([found for found, _ in rest], batches)
    assert done + left == batches
    assert interleaved([found for _, found in rest]) == [told(b) for b in alone]


def interleaved_rest(of_ranks, batches):
    every = [one for step in zip(*of_ranks, strict=True) for one in step]
    fill = [batch for (is_padding, _), batch in every if is_padding]
    assert fill == batches[: len(fill)]
    return [batch for (is_padding, _), batch in every if not is_padding]


def test_one_process_goes_on_from_a_state_of_ranks(ranks):
    begun = ranks.run(first_steps, 2, 0, num=4)
    alone = loader_of("native", use_ddp=False)
    batches = [told(b) for b in alone]
    again = loader_of("native", use_ddp=False)
    again.load_state_dict(begun[0][1])
    assert [told(b) for b in again] == batches[8:]


# --- before there is a group, and ranks that differ ---


def without_group(rank):
    loader = loader_of("native", use_ddp=True)
    return [error_of(lambda: iter(loader)), error_of(lambda: len(loader))]


def test_a_loader_may_be_made_before_the_group_but_not_iterated(ranks):
    for error in ranks.run(without_group, num=1, init=False)[0]:
        assert error.startswith("HopflowError: use_ddp: expected a process group, got none")


def differing(rank, change):
    loader = loader_of("native", use_ddp=True, **(change if rank == 1 else {}))
    return error_of(lambda: iter(loader))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"num_seeds": 100}, "num_seeds is 100 on rank 1 and 150 on rank 0"),
        ({"batch_size": 17}, "batch_size is 17 on rank 1 and 16 on rank 0"),
        ({"seed": 1}, "seed is 1 on rank 1 and 9 on rank 0"),
        ({"shuffle": False}, "shuffle is 0 on rank 1 and 1 on rank 0"),
    ],
)
def test_ranks_that_differ_are_told_so_on_every_rank(ranks, change, name):
    first, second = ranks.run(differing, change, num=2)
    assert first == second
    assert first == f"ValueError: use_ddp: expected the same on every rank, but {name}"


# --- training ---


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        widths = [(5, 8), (8, 4)]
        self.layers = torch.nn.ModuleList(hf.nn.SAGEConv(*width, "mean") for width in widths)

    def forward(self, blocks, x):
        for block, layer in zip(blocks, self.layers):
            x = torch.tanh(layer(block, x))
        return x


def train(rank, num_epochs, num_workers):
    torch.manual_seed(0)
    loader = loader_of("native", use_ddp=True, num_workers=num_workers)
    model = Model().double()
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(ddp.parameters(), lr=0.01)
    for _ in range(num_epochs):
        for _, _, blocks in loader:
            out = ddp(blocks, blocks[0].srcdata["feat"].double())
            loss = functional.cross_entropy(out, blocks[-1].dstdata["label"])
            optimizer.zero_grad()
            (loss * blocks[-1].loss_weight).backward()
            optimizer.step()
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize(("num", "num_workers"), [(2, 0), (4, 2)])
def test_weights_are_those_of_one_process_at_the_same_global_batch(ranks, num, num_workers):
    # 10 batches of which the last has 6 seeds: with four ranks there is padding.
    of_ranks = ranks.run(train, 10, num_workers, num=num)
    for other in of_ranks[1:]:
        assert all(torch.equal(a, b) for a, b in zip(of_ranks[0], other))
    torch.manual_seed(0)
    model = Model().double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    alone = loader_of("native", use_ddp=False)
    for _ in range(10):
        batches = list(alone)
        for begin in range(0, len(batches), num):
            optimizer.zero_grad()
            total, count = 0, 0
            for _, seeds, blocks in batches[begin : begin + num]:
                out = model(blocks, blocks[0].srcdata["feat"].double())
                loss = functional.cross_entropy(out, blocks[-1].dstdata["label"], reduction="sum")
                total, count = total + loss, count + len(seeds)
            (total / count).backward()
            optimizer.step()
    for ours, theirs in zip(of_ranks[0], model.parameters()):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-9, atol=1e-11)


# --- the arithmetic ---


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
@pytest.mark.parametrize(("first", "num_batches"), [(0, 0), (0, 1), (0, 10), (3, 10), (9, 10)])
def test_turns_share_out_every_batch_once(first, num_batches, num_ranks):
    every = [Turns(first, num_batches, rank, num_ranks) for rank in range(num_ranks)]
    assert len({len(turns) for turns in every}) == 1
    real = [
        turns.number(step)
        for step in range(len(every[0]))
        for turns in every
        if not turns.is_padding(step)
    ]
    assert real == list(range(first, num_batches))
    if real:
        assert every[0].done_after(len(every[0]) - 1) == num_batches

"""sample_neighbors on graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import hopflow as hf
import hopflow.function as fn
from hopflow.ops import random_stream


@pytest.fixture(autouse=True)
def _stream_of_torch() -> Iterator[None]:
    """hf.seed is for good; the tests after these draw from torch's generator again."""
    before = random_stream._generator
    yield
    random_stream._generator = before


def pairs(graph: hf.Graph) -> list[tuple[int, int]]:
    """The edges in the order of their ids."""
    src, dst = graph.edges()
    return list(zip(src.tolist(), dst.tolist()))


def parents(graph: hf.Graph, part: hf.Graph) -> list[tuple[int, int]]:
    """The edges that a subgraph's EID names."""
    eids, edges = part.edata[hf.EID].tolist(), pairs(graph)
    return [edges[i] for i in eids]


SEEDS = [5, 190, 17, 3, 60]  # 190 is isolated


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("fanout", [-1, 0, 1, 4, 1000])
def test_without_replacement(small_graph: hf.Graph, fanout: int, idtype: torch.dtype) -> None:
    graph = small_graph._as_idtype(idtype)
    part = hf.sample_neighbors(graph, SEEDS, fanout)
    degrees = graph.in_degrees(SEEDS).tolist()
    kept = [d if fanout < 0 else min(d, fanout) for d in degrees]
    assert part.in_degrees(SEEDS).tolist() == kept
    assert part.num_edges() == sum(kept)
    assert part.num_nodes() == graph.num_nodes()
    assert part.idtype == part.edata[hf.EID].dtype == idtype
    assert pairs(part) == parents(graph, part)
    assert len(set(part.edata[hf.EID].tolist())) == part.num_edges()
    # Edges come grouped by seed, in the order of the seeds.
    assert [d for _, d in pairs(part)] == [s for s, k in zip(SEEDS, kept) for _ in range(k)]


def test_with_replacement(small_graph: hf.Graph) -> None:
    part = hf.sample_neighbors(small_graph, SEEDS, 50, replace=True)
    assert part.in_degrees(SEEDS).tolist() == [50, 0, 50, 50, 50]
    assert pairs(part) == parents(small_graph, part)
    assert max(Counter(part.edata[hf.EID].tolist()).values()) > 1
    everything = hf.sample_neighbors(small_graph, SEEDS, -1, replace=True)
    assert everything.num_edges() == hf.in_subgraph(small_graph, SEEDS).num_edges()


@pytest.mark.cpu_only
def test_every_edge_is_as_likely() -> None:
    """Fanout 1 of 4: each edge in a quarter of the draws, the last one too."""
    graph = hf.graph(([1, 2, 3, 4], [0, 0, 0, 0]))
    for replace in (False, True):
        eids = [
            int(hf.sample_neighbors(graph, [0], 1, replace=replace).edata[hf.EID])
            for _ in range(2000)
        ]
        counts = Counter(eids)
        assert all(400 < counts[e] < 600 for e in range(4)), counts


def test_duplicate_edges_are_edges_of_their_own() -> None:
    graph = hf.graph(([1, 1, 1, 2], [0, 0, 0, 0]))
    part = hf.sample_neighbors(graph, [0], 3)
    assert part.num_edges() == 3
    assert len(set(part.edata[hf.EID].tolist())) == 3


@pytest.mark.parametrize(
    "nodes",
    [
        [7, 3],
        (7, 3),
        np.array([7, 3], dtype=np.int32),
        torch.tensor([7, 3], dtype=torch.uint8),
        torch.tensor([7, 0, 3])[::2],
        torch.tensor([7, 3, 7, 7, 3]),
    ],
)
def test_forms_of_seeds(small_graph: hf.Graph, nodes: Any) -> None:
    """Every form of ids; duplicates count once."""
    part = hf.sample_neighbors(small_graph, nodes, -1)
    assert pairs(part) == pairs(hf.in_subgraph(small_graph, [7, 3]))


def test_masks_ranges_and_single_nodes(small_graph: hf.Graph) -> None:
    mask = torch.zeros(200, dtype=torch.bool)
    mask[[3, 7]] = True
    want = pairs(hf.in_subgraph(small_graph, [3, 7]))
    for nodes in (mask, mask.numpy(), mask.tolist()):
        assert pairs(hf.sample_neighbors(small_graph, nodes, -1)) == want
    everything = hf.sample_neighbors(small_graph, range(200), -1)
    assert sorted(everything.edata[hf.EID].tolist()) == list(range(2000))
    single = pairs(hf.in_subgraph(small_graph, [9]))
    assert pairs(hf.sample_neighbors(small_graph, 9, -1)) == single
    assert hf.sample_neighbors(small_graph, [], 3).num_edges() == 0


def test_fanouts_that_are_integers_of_another_type(small_graph: hf.Graph) -> None:
    for fanout in (np.int32(2), torch.tensor(2)):
        assert hf.sample_neighbors(small_graph, [5], fanout).num_edges() == 2


def test_columns(small_graph: hf.Graph) -> None:
    part = hf.sample_neighbors(small_graph, SEEDS, 3)
    assert part.ndata["feat"] is small_graph.ndata["feat"]
    eids = part.edata[hf.EID]
    assert torch.equal(part.edata["weight"], small_graph.edata["weight"][eids])
    part.ndata["new"] = torch.ones(200)
    assert "new" not in small_graph.ndata
    bare = hf.sample_neighbors(small_graph, SEEDS, 3, copy_ndata=False, copy_edata=False)
    assert (list(bare.ndata), list(bare.edata)) == ([], [hf.EID])


def test_message_passing_on_the_sample(small_graph: hf.Graph) -> None:
    """The stored rows are few and in the order of the seeds; results are in the order of nodes."""
    part = hf.sample_neighbors(small_graph, SEEDS, 3)
    part.update_all(fn.copy_u("feat", "m"), fn.sum("m", "o"))
    part.apply_edges(fn.u_add_v("feat", "feat", "s"))
    part.apply_edges(fn.u_dot_v("feat", "feat", "d"))
    x, want = small_graph.ndata["feat"], torch.zeros(200, 5)
    for i, (s, d) in enumerate(pairs(part)):
        want[d] += x[s]
        assert torch.equal(part.edata["s"][i], x[s] + x[d])
        assert torch.allclose(part.edata["d"][i], (x[s] * x[d]).sum())
    assert torch.allclose(part.ndata["o"], want, atol=1e-6)


def test_a_sample_of_a_sample(small_graph: hf.Graph) -> None:
    """EID names edges of the graph sampled from, which is the first sample."""
    first = hf.sample_neighbors(small_graph, SEEDS, 5)
    second = hf.sample_neighbors(first, [60, 5, 44], 2)
    assert second.in_degrees([60, 5, 44]).tolist() == [2, 2, 0]
    assert pairs(second) == parents(first, second)
    assert torch.equal(second.edata["weight"], first.edata["weight"][second.edata[hf.EID]])


def test_what_a_user_changes_is_not_the_sample(small_graph: hf.Graph) -> None:
    """A loop may reuse its buffer of seeds."""
    seeds = torch.tensor(SEEDS)
    part = hf.sample_neighbors(small_graph, seeds, 3)
    block = hf.to_block(part, seeds)
    before = pairs(part), pairs(block)
    seeds.fill_(0)
    assert (pairs(part), pairs(block)) == before
    assert block.dstdata[hf.NID].tolist() == SEEDS


def draw(graph: hf.Graph) -> list[int]:
    """Edges of three draws in a row."""
    parts = [hf.sample_neighbors(graph, SEEDS, 3) for _ in range(3)]
    return [e for part in parts for e in part.edata[hf.EID].tolist()]


def test_torch_manual_seed_is_enough(small_graph: hf.Graph) -> None:
    torch.manual_seed(5)
    first = draw(small_graph)
    torch.manual_seed(5)
    assert draw(small_graph) == first
    torch.manual_seed(6)
    assert draw(small_graph) != first
    count = len(first) // 3
    assert first[:count] != first[count : 2 * count]


def test_seed_gives_a_stream_of_its_own(small_graph: hf.Graph) -> None:
    hf.seed(5)
    first = draw(small_graph)
    hf.seed(5)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert draw(small_graph) == first
    assert torch.equal(torch.get_rng_state(), state)
    for value in (-1, 0, 2**64 + 5, 2**70):
        hf.seed(value)
    hf.seed(2**64 + 5)
    assert draw(small_graph) == first


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(small_graph: hf.Graph, threads: int) -> None:
    torch.set_num_threads(1)
    first = hf.sample_neighbors(small_graph, range(200), 3).edata[hf.EID]
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    again = hf.sample_neighbors(small_graph, range(200), 3).edata[hf.EID]
    assert torch.equal(first, again)


class LargestTensor(TorchDispatchMode):
    """The most elements that any tensor made inside has."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.most = max(self.most, x.numel())
        return result


@pytest.mark.cpu_only
def test_a_batch_never_touches_all_nodes() -> None:
    """Sampling, blocks and their columns on five million nodes handle a few elements."""
    graph = hf.graph(([0, 1, 7], [1, 0, 1]), num_nodes=5_000_000)
    graph.ndata["x"] = torch.zeros(5_000_000, dtype=torch.int8)
    seeds = torch.tensor([1, 4_999_999, 0])
    with LargestTensor() as seen:
        part = hf.sample_neighbors(graph, seeds, 2)
        full = hf.in_subgraph(graph, seeds)
        block = hf.to_block(part, seeds)
        other = hf.to_block(full, torch.tensor([0, 1, 4_999_999, 12]))
        default = hf.to_block(part)
        part.edges("all"), part.edata[hf.EID], repr(part), part.num_nodes()
        block.srcdata[hf.NID], block.edges(), block.in_degrees(), repr(block)
        block.srcdata["h"] = torch.ones(block.num_src_nodes(), 1)
        block.update_all(fn.copy_u("h", "m"), fn.mean("m", "o"))
    assert 0 < seen.most < 100
    assert (block.num_edges(), other.num_edges(), default.num_dst_nodes()) == (3, 3, 2)
    assert block.srcdata["x"].shape == (4,)


@pytest.mark.cpu_only
def test_a_few_degrees_never_touch_all_nodes() -> None:
    graph = hf.graph(([0, 1, 7], [1, 0, 1]), num_nodes=100_000)
    part = hf.sample_neighbors(graph, [1], 2)
    with LargestTensor() as seen:
        assert graph.in_degrees(1) == 2
        assert graph.in_degrees([0, 99_999]).tolist() == [1, 0]
        assert part.in_degrees([1, 0]).tolist() == [2, 0]
    assert seen.most < 100


@pytest.mark.cpu_only
def test_a_hub_costs_no_more_than_its_fanout() -> None:
    graph = hf.graph((torch.zeros(200_000, dtype=torch.int64), [0] * 200_000))
    with LargestTensor() as seen:
        part = hf.sample_neighbors(graph, [0], 3)
        part.edata[hf.EID], part.edges()
    assert part.num_edges() == 3
    assert seen.most < 100


# --- by weight, beside excluded edges, along out-edges ---


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("options", [{}, {"prob": "weight"}])
@pytest.mark.parametrize("fanout", [-1, 0, 1, 4, 1000])
def test_out_edges_keep_their_direction(
    small_graph: hf.Graph, fanout: int, options: dict[str, Any], idtype: torch.dtype
) -> None:
    graph = small_graph._as_idtype(idtype)
    part = hf.sample_neighbors(graph, SEEDS, fanout, edge_dir="out", **options)
    degrees = graph.out_degrees(SEEDS).tolist()
    kept = [d if fanout < 0 else min(d, fanout) for d in degrees]
    assert part.out_degrees(SEEDS).tolist() == kept
    assert part.num_edges() == sum(kept)
    assert part.num_nodes() == 200
    assert part.idtype == part.edata[hf.EID].dtype == idtype
    assert pairs(part) == parents(graph, part)
    # Edges come grouped by seed, in the order of the seeds.
    assert [u for u, _ in pairs(part)] == [s for s, k in zip(SEEDS, kept) for _ in range(k)]
    assert torch.equal(part.edata["weight"], graph.edata["weight"][part.edata[hf.EID].long()])


def test_messages_on_sampled_out_edges(small_graph: hf.Graph) -> None:
    part = hf.sample_neighbors(small_graph, SEEDS, 3, edge_dir="out")
    part.update_all(fn.copy_u("feat", "m"), fn.sum("m", "o"))
    src, dst = part.edges()
    want = torch.zeros(200, 5).index_add_(0, dst, small_graph.ndata["feat"][src])
    torch.testing.assert_close(part.ndata["o"], want)


def test_out_subgraph(small_graph: hf.Graph) -> None:
    part = hf.out_subgraph(small_graph, SEEDS)
    src, _ = small_graph.edges()
    want = [(src == s).nonzero().flatten().tolist() for s in SEEDS]
    got = part.edata[hf.EID].tolist()
    assert sorted(got) == sorted(e for eids in want for e in eids)
    assert src[got].tolist() == [s for s, eids in zip(SEEDS, want) for _ in eids]
    assert pairs(part) == parents(small_graph, part)
    bare = hf.out_subgraph(small_graph, SEEDS, store_ids=False)
    assert list(bare.edata) == ["weight"]
    small = hf.out_subgraph(small_graph, [7, 190], relabel_nodes=True)
    old = small.ndata[hf.NID]
    u, v = small.edges()
    assert list(zip(old[u].tolist(), old[v].tolist())) == parents(small_graph, small)
    assert 190 not in old.tolist()
    assert hf.out_subgraph(small_graph, []).num_edges() == 0
    empty = hf.out_subgraph(hf.graph(([], []), num_nodes=3), [0, 2])
    assert (empty.num_nodes(), empty.num_edges()) == (3, 0)


def test_graphs_whose_edges_have_an_order_of_their_own() -> None:
    """Edge ids, not positions: the first edges given enter the last node."""
    graph = hf.graph(([0, 1, 2, 0, 1], [2, 2, 2, 1, 0]))
    graph.edata["w"] = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
    eids = [hf.sample_neighbors(graph, [2], 2, prob="w").edata[hf.EID].tolist() for _ in range(9)]
    assert eids == [[1]] * 9
    part = hf.sample_neighbors(graph, [2, 1], 2, exclude_edges=[1, 3])
    assert part.edata[hf.EID].tolist() == [0, 2]
    part = hf.sample_neighbors(graph, [0, 1], -1, edge_dir="out", exclude_edges=[0, 4])
    assert part.edata[hf.EID].tolist() == [3, 1]
    part = hf.sample_neighbors(graph, [0, 1, 2], 5, edge_dir="out", prob="w", exclude_edges=[4])
    assert part.edata[hf.EID].tolist() == [3, 1]


@pytest.mark.parametrize("options", [{}, {"prob": "weight"}, {"edge_dir": "out"}])
@pytest.mark.parametrize("replace", [False, True])
def test_excluded_edges_do_not_come(
    small_graph: hf.Graph, replace: bool, options: dict[str, Any]
) -> None:
    excluded = np.arange(0, 2000, 2)
    part = hf.sample_neighbors(
        small_graph, range(200), 3, replace=replace, exclude_edges=excluded, **options
    )
    assert bool((part.edata[hf.EID] % 2 == 1).all())
    ends = small_graph.edges()[0 if "edge_dir" in options else 1]
    left = torch.bincount(ends[1::2], minlength=200)
    want = torch.where(left > 0, 3, 0) if replace else left.clamp(max=3)
    got = torch.bincount(part.edges()[0 if "edge_dir" in options else 1], minlength=200)
    assert torch.equal(got, want)


def test_a_bool_prob_is_a_mask(small_graph: hf.Graph) -> None:
    mask = torch.rand(2000) < 0.3
    small_graph.edata["m"] = mask
    part = hf.sample_neighbors(small_graph, range(200), -1, prob="m")
    assert part.edata[hf.EID].sort().values.tolist() == mask.nonzero().flatten().tolist()


def test_excluding_costs_nothing_where_edges_are_many() -> None:
    """Excluded edges are found by their ids: no array of a hub's edges, nor of all, is made."""
    degree = 300_000
    graph = hf.graph((torch.arange(degree), torch.zeros(degree, dtype=torch.int64)))
    graph.edata["w"] = torch.ones(degree)
    for options in ({}, {"prob": "w"}):
        hf.sample_neighbors(graph, [0], 5, exclude_edges=[1], **options)  # what is made once

        class Sizes(TorchDispatchMode):
            most = 0

            def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
                result = func(*args, **(kwargs or {}))
                if isinstance(result, torch.Tensor) and "view" not in str(func):
                    Sizes.most = max(Sizes.most, result.numel())
                return result

        with Sizes():
            part = hf.sample_neighbors(graph, [0], 5, exclude_edges=[1, 7], **options)
            eids = part.edata[hf.EID].tolist()
        assert len(set(eids)) == 5
        assert Sizes.most < 10_000, options

"""Samplers and the loader on graphs of several node and edge types."""

from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from helpers import IDS, ends_in, typed_graph
from typed_batches import FANOUTS, SEEDS, ids_of, loader_of

import hopflow as hf
from hopflow.dataloading import DataLoader, NeighborSampler


@pytest.fixture
def graph() -> hf.Graph:
    return typed_graph()


# --- what a batch is


@pytest.mark.parametrize("idtype", IDS)
def test_blocks_hold_edges_of_the_graph(idtype):
    graph = typed_graph(idtype)
    for input_nodes, output_nodes, blocks in loader_of(graph):
        assert input_nodes.keys() == set(graph.ntypes)
        assert {ids.dtype for ids in (*input_nodes.values(), *output_nodes.values())} == {idtype}
        for before, after in itertools.pairwise(blocks):
            for ntype in graph.ntypes:
                assert torch.equal(
                    before.dstnodes[ntype].data[hf.NID], after.srcnodes[ntype].data[hf.NID]
                )
        for ntype in graph.ntypes:
            assert torch.equal(input_nodes[ntype], blocks[0].srcnodes[ntype].data[hf.NID])
            own = blocks[-1].dstnodes[ntype].data[hf.NID]
            assert torch.equal(own, output_nodes.get(ntype, own[:0]))
        for layer, block in enumerate(blocks):
            assert block.idtype == idtype
            assert block.canonical_etypes == graph.canonical_etypes
            for relation in graph.canonical_etypes:
                one, found = block[relation], ends_in(graph, block, relation)
                src, dst = graph.find_edges(found[:, 2], relation)
                assert torch.equal(found[:, :2], torch.stack([src, dst], 1))
                # The first sources are the destinations.
                if relation[0] == relation[2]:
                    count = one.num_dst_nodes()
                    assert torch.equal(one.srcdata[hf.NID][:count], one.dstdata[hf.NID])
                fanout = FANOUTS[layer]
                fanout = fanout if isinstance(fanout, int) else fanout[relation[1]]
                degrees = graph.in_degrees(one.dstdata[hf.NID], relation)
                kept = degrees if fanout < 0 else degrees.clamp(max=fanout)
                assert torch.equal(one.in_degrees(), kept)


def test_columns_come_from_the_graph_by_type(graph):
    sampler = NeighborSampler(
        FANOUTS,
        prefetch_node_feats={"user": ["feat"], "game": ["feat"]},
        prefetch_labels={"user": ["label"]},
        prefetch_edge_feats={"plays": ["weight"]},
    )
    for num_workers in (0, 2):
        loader = DataLoader(graph, SEEDS, sampler, batch_size=17, num_workers=num_workers, seed=3)
        for input_nodes, output_nodes, blocks in loader:
            for ntype in ("user", "game", "studio"):
                rows = graph.nodes[ntype].data["feat"][input_nodes[ntype]]
                assert torch.equal(blocks[0].srcdata["feat"][ntype], rows)
            if "user" in output_nodes:
                rows = graph.nodes["user"].data["label"][output_nodes["user"]]
                assert torch.equal(blocks[-1].dstnodes["user"].data["label"], rows)
            plays = blocks[0]["plays"]
            weight = graph.edges["plays"].data["weight"]
            assert torch.equal(plays.edata["weight"], weight[plays.edata[hf.EID]])


def test_duplicate_seeds_are_merged_by_type(graph):
    given = {"user": [4, 2, 4, 4], "game": [7, 8]}
    _, output_nodes, blocks = NeighborSampler([2]).sample(graph, given)
    assert {t: x.tolist() for t, x in output_nodes.items()} == {"user": [4, 2], "game": [7, 8]}
    assert {t: x.tolist() for t, x in blocks[-1].seed_inverse.items()} == {"user": [0, 1, 0, 0]}
    for num_workers in (0, 2):
        loader = DataLoader(
            graph, given, NeighborSampler([2]), batch_size=9, num_workers=num_workers
        )
        ((_, output_nodes, blocks),) = list(loader)
        assert output_nodes["user"].tolist() == [4, 2]
        assert blocks[-1].seed_inverse["user"].tolist() == [0, 1, 0, 0]


def test_every_seed_comes_once_an_epoch(graph):
    for shuffle in (False, True):
        found: dict[str, list[int]] = {"user": [], "game": []}
        sizes = []
        for _, output_nodes, _ in loader_of(graph, shuffle=shuffle):
            sizes.append(sum(map(len, output_nodes.values())))
            for ntype, ids in output_nodes.items():
                found[ntype] += ids.tolist()
        assert sizes == [17, 17, 17, 9]
        assert {t: sorted(ids) for t, ids in found.items()} == {
            t: ids.tolist() for t, ids in SEEDS.items()
        }


def test_one_node_type_with_several_relations_takes_plain_ids():
    graph = hf.heterograph({("a", "r", "a"): ([0, 1], [1, 2]), ("a", "s", "a"): ([2], [1])})
    for num_workers in (0, 1):
        loader = DataLoader(graph, [1, 2], NeighborSampler([5]), batch_size=2,
                            num_workers=num_workers)  # fmt: skip
        ((input_nodes, output_nodes, blocks),) = list(loader)
        assert (input_nodes.tolist(), output_nodes.tolist()) == ([1, 2, 0], [1, 2])
        assert [blocks[0].num_edges(e) for e in ("r", "s")] == [2, 1]


def test_seeds_by_type_on_a_graph_of_one(small_graph):
    plain = NeighborSampler([2]).sample(small_graph, [3, 4])
    torch.manual_seed(0)
    by_type = NeighborSampler([2]).sample(small_graph, {"_N": [3, 4]})
    assert by_type[1]["_N"].tolist() == plain[1].tolist() == [3, 4]
    assert isinstance(by_type[0], torch.Tensor)


# --- one answer


@pytest.mark.parametrize("fanouts", [FANOUTS, [4, 4], [-1, 2]])
def test_same_batches_for_any_workers_and_threads(graph, fanouts):
    results = []
    for num_workers in (0, 1, 2):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append([ids_of(b) for b in loader_of(graph, SEEDS, fanouts,
                                                         num_workers=num_workers)])  # fmt: skip
    assert all(result == results[0] for result in results)


def test_a_python_sampler_gives_the_same_batches(graph):
    class Mine(NeighborSampler):
        def sample_blocks(self, g, seed_nodes, exclude_eids=None):
            return super().sample_blocks(g, seed_nodes, exclude_eids)

    native = [ids_of(batch) for batch in loader_of(graph, num_workers=2)]
    for num_workers in (0, 2):
        loader = DataLoader(
            graph,
            SEEDS,
            Mine(FANOUTS),
            batch_size=17,
            shuffle=True,
            seed=3,
            num_workers=num_workers,
        )
        assert [ids_of(batch) for batch in loader] == native


def test_resumed_in_mid_epoch(graph):
    whole = [ids_of(batch) for batch in loader_of(graph)]
    loader = loader_of(graph, num_workers=2)
    iterator = iter(loader)
    first = [ids_of(next(iterator)) for _ in range(2)]
    other = loader_of(graph)
    other.load_state_dict(pickle.loads(pickle.dumps(loader.state_dict())))
    assert first + [ids_of(batch) for batch in other] == whole
    moved = loader_of(graph, {"game": SEEDS["game"], "user": SEEDS["user"] + 1})
    with pytest.raises(ValueError, match="state: it is of other seeds"):
        moved.load_state_dict(loader.state_dict())
    copied = pickle.loads(pickle.dumps(loader_of(graph)))
    assert [ids_of(batch) for batch in copied] == whole


def test_relations_draw_apart():
    """Two relations with the same edges must not keep the same ones."""
    src = torch.arange(1000)
    ends = (src, torch.zeros(1000, dtype=torch.int64))
    graph = hf.heterograph({("a", "r", "b"): ends, ("a", "s", "b"): ends})
    _, _, (block,) = NeighborSampler([100]).sample(graph, {"b": [0]})
    first, second = (set(block[e].edata[hf.EID].tolist()) for e in "rs")
    assert len(first) == len(second) == 100
    # Of 100 draws among 1000 about 10 coincide; more than 30 would come once in 10^8.
    assert len(first & second) < 30


# --- bad seeds and fanouts


def test_bad_arguments_say_what_there_is(graph):
    for seeds, error, match in (
        ([1], ValueError, "indices: expected a dict by node type, of 'game', 'ghost'"),
        ({"nobody": [1]}, ValueError, "indices: expected node types of .*got 'nobody'"),
        ({"user": [50]}, IndexError, r"indices\['user'\]\[0\] is 50, expected 0 <= id < 50"),
        ({"user": [0.5]}, TypeError, r"indices\['user'\]: expected integer ids"),
    ):
        with pytest.raises(error, match=match):
            DataLoader(graph, seeds, NeighborSampler([1]))
    for fanouts, error, match in (
        ([{"plays": 1}], ValueError, r"fanouts\[0\]: .*missing are .*'follows'"),
        ([{"eats": 1}], ValueError, r"fanouts\[0\]: etype: expected one of"),
        ([{"plays": -2}], ValueError, r"fanouts\[0\]\['plays'\]: expected -1"),
        ([{"plays": 1.5}], TypeError, r"fanouts\[0\]\['plays'\]"),
    ):
        with pytest.raises(error, match=match):
            NeighborSampler(fanouts).sample(graph, {"user": [1]})
    names = {"user": ["nope"]}
    with pytest.raises(KeyError, match="no 'user' source node column 'nope'; there is 'feat'"):
        NeighborSampler([1], prefetch_node_feats=names).sample(graph, {"user": [1]})


# --- other graphs, and orders and masks of seeds


@pytest.mark.parametrize("num_workers", [0, 1])
def test_another_graph_in_the_old_ones_place(num_workers):
    edge = {("a", "r", "b"): ([0], [9])}
    first, second = (hf.heterograph(edge, {"a": n, "b": 10}) for n in (20, 40))
    loader = DataLoader(
        first, {"b": torch.arange(10)}, NeighborSampler([2]), batch_size=10, num_workers=num_workers
    )
    loader.graph = second
    ((input_nodes, output_nodes, _),) = list(loader)
    assert output_nodes.keys() == {"b"}
    assert output_nodes["b"].tolist() == list(range(10))
    assert input_nodes["a"].tolist() == [0]
    loader.graph = hf.heterograph({("a", "r", "b"): ([0], [1])})
    with pytest.raises(IndexError, match=r"indices\['b'\]\[2\] is 2, expected 0 <= id < 2"):
        iter(loader)


def test_seeds_come_in_the_order_of_the_types_given(graph):
    loader = DataLoader(graph, {"user": [1, 2], "game": [5]}, NeighborSampler([1]), batch_size=2)
    assert [list(batch[1]) for batch in loader] == [["user"], ["game"]]
    assert {t: ids.tolist() for t, ids in loader.indices.items()} == {"user": [1, 2], "game": [5]}
    before = loader.state_dict()["fingerprint"]
    loader.graph = typed_graph(seed=1)  # numbered anew, in the same order
    assert [list(batch[1]) for batch in loader] == [["user"], ["game"]]
    assert loader.state_dict()["fingerprint"] == before


def test_masks_by_type_for_samplers_of_ones_own(graph):
    class Mine:
        def sample(self, g, seeds):
            return {ntype: ids.tolist() for ntype, ids in seeds.items()}

    mask = torch.zeros(50, dtype=torch.bool)
    mask[[3, 7]] = True
    assert list(DataLoader(graph, {"user": mask}, Mine(), batch_size=2)) == [{"user": [3, 7]}]

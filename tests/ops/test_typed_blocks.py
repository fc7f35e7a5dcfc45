"""All hops of a batch in one pass, on graphs of several node types and relations."""

from __future__ import annotations

from collections import Counter
from math import comb
from typing import Any

import pytest
import torch
from helpers import IDS, THREADS, random_csc
from scipy import stats

from hopflow import ops


def random_graph(
    seed: int, num_types: int, num_relations: int, *, scale: int = 1, dtypes: Any = IDS
) -> tuple[list[ops.Relation], list[int]]:
    """Types of 1 to 60 nodes, the last of none at times; relations between any two, some empty."""
    generator = torch.Generator().manual_seed(seed)

    def draw(bound: int) -> int:
        return int(torch.randint(bound, (1,), generator=generator))

    num_nodes = [scale * (1 + draw(60)) for _ in range(num_types)]
    if num_types > 2 and draw(3) == 0:
        num_nodes[-1] = 0
    relations = []
    for r in range(num_relations):
        src_type, dst_type = draw(num_types), draw(num_types)
        if r == 0:
            src_type = dst_type = 0
        num_edges = scale * draw(400)
        if num_nodes[src_type] == 0 or num_nodes[dst_type] == 0 or draw(5) == 0:
            num_edges = 0
        csc = random_csc(
            num_nodes[src_type], num_nodes[dst_type], num_edges, seed=seed * 100 + r,
            dtype=dtypes[draw(len(dtypes))],
        )  # fmt: skip
        relations.append(ops.Relation(csc.indptr, csc.indices, src_type, dst_type))
    return relations, num_nodes


def random_seeds(seed: int, num_nodes: list[int], most: int = 12) -> list[torch.Tensor]:
    """Of each type some nodes, perhaps more than once, perhaps none; int32 and int64."""
    generator = torch.Generator().manual_seed(seed)
    given = []
    for t, count in enumerate(num_nodes):
        size = int(torch.randint(most, (1,), generator=generator)) if count else 0
        ids = torch.randint(max(count, 1), (size,), generator=generator)
        given.append(ids.to(IDS[(seed + t) % 2]))
    return given


def keys_of(num_hops: int, num_relations: int, seed: int = 0) -> list[list[int]]:
    return [
        [ops.relation_key(ops.stream_key(seed, 0, 0, hop), r) for r in range(num_relations)]
        for hop in range(num_hops)
    ]


def assert_equal(ours: ops.SampledTypedBlocks, other: ops.SampledTypedBlocks) -> None:
    assert len(ours.nodes) == len(other.nodes)
    for nodes, others in zip(ours.nodes, other.nodes):
        for a, b in zip(nodes, others):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.dtype == b.dtype
                assert torch.equal(a, b)
    assert len(ours.hops) == len(other.hops)
    for hop, others in zip(ours.hops, other.hops):
        assert hop.num_src == others.num_src
        assert len(hop.relations) == len(others.relations)
        for edges, their_edges in zip(hop.relations, others.relations):
            for a, b in zip(edges, their_edges):
                assert a.dtype == b.dtype
                assert torch.equal(a, b)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("num_types", [1, 2, 3, 4])
def test_bits_of_the_reference(num_types, replace):
    for seed in range(15):
        num_relations = 1 + seed % 6
        relations, num_nodes = random_graph(seed, num_types, num_relations)
        generator = torch.Generator().manual_seed(seed)
        choices = torch.tensor([-1, 0, 1, 2, 5, 60])
        fanouts = choices[
            torch.randint(6, (seed % 4, num_relations), generator=generator)
        ].tolist()  # fmt: skip
        given = relations, num_nodes, random_seeds(seed, num_nodes), fanouts
        options = {
            "keys": keys_of(len(fanouts), num_relations, seed),
            "replace": replace,
            "idtype": IDS[seed % 2],
        }
        ours = ops.sample_typed_blocks(*given, **options)
        assert_equal(ours, ops.sample_typed_blocks_reference(*given, **options))


def test_draws_of_ones_own():
    """What the operator draws, drawn by the caller, makes the same blocks; 0 is not asked for."""
    asked = []
    for seed in range(6):
        relations, num_nodes = random_graph(seed, 3, 5)
        fanouts = [[2, 0, -1, 3, 1], [0, 2, 3, 0, 2]]
        given = relations, num_nodes, random_seeds(seed, num_nodes), fanouts

        def draw(r: int, nodes: torch.Tensor, fanout: int, key: int, relations=relations) -> Any:
            asked.append(fanout)
            return ops.sample_neighbors(*relations[r][:2], nodes, fanout, key=key)

        keys = keys_of(2, 5, seed)
        ours = ops.sample_typed_blocks_with(draw, *given, keys=keys, idtype=IDS[seed % 2])
        assert_equal(ours, ops.sample_typed_blocks(*given, keys=keys, idtype=IDS[seed % 2]))
    assert set(asked) == {-1, 1, 2, 3}


def test_a_draw_that_fails_is_heard_of():
    def draw(*_: Any) -> Any:
        raise RuntimeError("no edges today")

    relations, num_nodes = random_graph(1, 2, 2)
    seeds = [torch.tensor([0]), torch.tensor([0])]
    with pytest.raises(RuntimeError, match="no edges today"):
        ops.sample_typed_blocks_with(
            draw, relations, num_nodes, seeds, [[1, 1]], keys=keys_of(1, 2)
        )
    with pytest.raises(IndexError, match="seeds of type 1"):
        ops.sample_typed_blocks_with(
            draw, relations, num_nodes, [seeds[0], torch.tensor([10**6])], [[1, 1]],
            keys=keys_of(1, 2),
        )  # fmt: skip


@pytest.mark.parametrize("dtypes", [IDS[:1], IDS[1:], IDS])
def test_ids_are_int32_unless_some_relation_has_int64(dtypes):
    relations, num_nodes = random_graph(3, 3, 4, dtypes=dtypes)
    wide = any(relation.indices.dtype == torch.int64 for relation in relations)
    assert wide == (dtypes != IDS[:1])
    sampled = ops.sample_typed_blocks(
        relations, num_nodes, random_seeds(3, num_nodes), [[3] * 4], keys=keys_of(1, 4)
    )
    for nodes in sampled.nodes:
        assert nodes.src_ids.dtype == IDS[wide]
        assert nodes.input_nodes.dtype == nodes.output_nodes.dtype == torch.int64


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("dtype", IDS)
def test_one_type_and_relation_are_a_graph_without(dtype, replace):
    csc = random_csc(200, 200, 3000, dtype=dtype)
    seeds = torch.tensor([3, 50, 3, 199])
    keys = [ops.stream_key(1, 2, 3, hop) for hop in range(3)]
    options = {"replace": replace, "idtype": dtype}
    plain = ops.sample_blocks(csc.indptr, csc.indices, seeds, [4, -1, 0], keys=keys, **options)
    typed = ops.sample_typed_blocks(
        [ops.Relation(csc.indptr, csc.indices, 0, 0)], [200], [seeds], [[4], [-1], [0]],
        keys=[[ops.relation_key(key, 0)] for key in keys], **options,
    )  # fmt: skip
    nodes = ops.TypedNodes(plain.input_nodes, plain.output_nodes, plain.seed_inverse, plain.src_ids)
    hops = [ops.TypedHop([ops.RelationHop(*hop[:3])], [hop.num_src]) for hop in plain.hops]
    assert_equal(typed, ops.SampledTypedBlocks([nodes], hops))


@pytest.mark.parametrize("threads", THREADS)
def test_bits_of_the_operators_in_turn_on_a_batch_large_enough_for_threads(threads):
    torch.set_num_threads(threads)
    users, items = 30_000, 20_000
    cscs = [
        random_csc(users, users, 400_000, seed=1, hub=50_000),
        random_csc(items, users, 300_000, seed=2, dtype=torch.int64),
        random_csc(users, items, 300_000, seed=3),
    ]
    relations = [
        ops.Relation(csc.indptr, csc.indices, *types)
        for csc, types in zip(cscs, [(0, 0), (1, 0), (0, 1)])
    ]
    seeds = [torch.randperm(users)[:9000], torch.randperm(items)[:4000]]
    fanouts, keys = [[8, 5, -1], [6, 0, 12]], keys_of(2, 3)
    ours = ops.sample_typed_blocks(relations, [users, items], seeds, fanouts, keys=keys)
    known = list(seeds)
    for hop, of_relations, hop_keys in zip(ours.hops, fanouts, keys):
        at_start = list(known)
        for relation, edges, fanout, key in zip(relations, hop.relations, of_relations, hop_keys):
            indptr, sources, positions = ops.sample_neighbors(
                relation.indptr, relation.indices, at_start[relation.dst_type], fanout, key=key
            )
            known[relation.src_type], _, local = ops.compact_ids(
                known[relation.src_type], sources.long()
            )
            assert torch.equal(edges.indptr, indptr)
            assert torch.equal(edges.indices, local)
            assert torch.equal(edges.positions, positions)
        assert hop.num_src == [ids.shape[0] for ids in known]
    for nodes, ids, given in zip(ours.nodes, known, seeds):
        assert torch.equal(nodes.input_nodes, ids)
        assert torch.equal(nodes.output_nodes, given)
        assert nodes.seed_inverse is None


def test_destinations_are_the_nodes_known_at_the_start_of_the_hop():
    """Relation 0 brings nodes of type 0 that relation 1 must not expand in the same hop."""
    chain = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 0])  # 0 <- 1 <- 2 <- 0
    relations = [ops.Relation(*chain, 0, 0), ops.Relation(*chain, 1, 0)]
    empty = torch.zeros(0, dtype=torch.int64)
    sampled = ops.sample_typed_blocks(
        relations, [3, 3], [torch.tensor([0]), empty], [[-1, -1]] * 2, keys=[[0, 0]] * 2
    )
    assert [[edges.indptr.tolist() for edges in hop.relations] for hop in sampled.hops] == [
        [[0, 1], [0, 1]],
        [[0, 1, 2], [0, 1, 2]],
    ]
    assert [hop.num_src for hop in sampled.hops] == [[2, 1], [3, 2]]
    assert sampled.nodes[0].input_nodes.tolist() == [0, 1, 2]
    assert sampled.nodes[1].input_nodes.tolist() == [1, 2]
    assert sampled.nodes[1].output_nodes.tolist() == []


def test_a_relation_with_fanout_0_is_left_alone():
    """Not even its arrays are read."""
    good = random_csc(20, 20, 100)
    bad = torch.full((21,), -7), torch.full((5,), 99)
    sampled = ops.sample_typed_blocks(
        [ops.Relation(good.indptr, good.indices, 0, 0), ops.Relation(*bad, 1, 0)], [20, 4],
        [torch.arange(6), torch.tensor([3])], [[2, 0]], keys=keys_of(1, 2),
    )  # fmt: skip
    none = sampled.hops[0].relations[1]
    assert none.indptr.tolist() == [0] * 7
    assert none.indices.shape == none.positions.shape == (0,)
    assert sampled.nodes[1].input_nodes.tolist() == [3]


def test_nothing_to_sample():
    empty = torch.zeros(0, dtype=torch.int64)
    no_edges = ops.Relation(torch.zeros(1, dtype=torch.int64), empty, 0, 1)
    sampled = ops.sample_typed_blocks([no_edges], [5, 0], [empty, empty], [[3]], keys=[[1]])
    assert sampled.hops[0].relations[0].indptr.tolist() == [0]
    assert sampled.hops[0].num_src == [0, 0]
    alone = ops.sample_typed_blocks([], [5], [torch.tensor([2, 2])], [[]], keys=[[]])
    assert alone.hops == [ops.TypedHop([], [1])]
    assert alone.nodes[0].seed_inverse.tolist() == [0, 0]
    assert ops.sample_typed_blocks([no_edges], [5, 0], [empty] * 2, [], keys=[]).hops == []


@pytest.mark.parametrize("replace", [False, True])
def test_every_neighbour_is_equally_likely_in_every_relation(replace):
    """Two relations with the same edges: each draws uniformly, and without regard to the other."""
    copies, degree, fanout = 20_000, 7, 3
    indptr = torch.arange(copies + 1) * degree
    indices = torch.arange(degree, dtype=torch.int32).repeat(copies)
    relations = [ops.Relation(indptr, indices, 1, 0), ops.Relation(indptr, indices, 2, 0)]
    empty = torch.zeros(0, dtype=torch.int64)
    sampled = ops.sample_typed_blocks(
        relations, [copies, degree, degree], [torch.arange(copies), empty, empty],
        [[fanout, fanout]], keys=keys_of(1, 2), replace=replace,
    )  # fmt: skip
    picks = [edges.positions.view(copies, fanout) % degree for edges in sampled.hops[0].relations]
    expected = copies * fanout / degree
    # Counts of draws without replacement vary less by the factor (degree - fanout) / (degree - 1).
    shrink = 1.0 if replace else (degree - fanout) / (degree - 1)
    for own in picks:
        counts = torch.bincount(own.flatten(), minlength=degree).double()
        statistic = float((counts - expected).square().sum() / expected) / shrink
        assert stats.chi2.sf(statistic, degree - 1) > 1e-4
        assert counts[-1] > 0.9 * expected
    pairs = torch.bincount(picks[0][:, 0] * degree + picks[1][:, 0], minlength=degree**2)
    if replace:
        assert stats.chisquare(pairs.numpy()).pvalue > 1e-4
    else:
        # How many neighbours both relations keep of a node is hypergeometric.
        subsets = [torch.zeros(copies, degree).scatter(1, own.long(), 1) for own in picks]
        common = Counter((subsets[0] * subsets[1]).sum(1).int().tolist())
        chance = [
            comb(fanout, k) * comb(degree - fanout, fanout - k) / comb(degree, fanout)
            for k in range(fanout + 1)
        ]
        seen = [common[k] for k in range(fanout + 1)]
        assert stats.chisquare(seen, [copies * p for p in chance]).pvalue > 1e-4


def test_keys_of_relations():
    keys = {ops.relation_key(key, r) for key in (0, 1, 2**64 - 1) for r in range(50)}
    assert len(keys) == 150
    assert ops.relation_key(12345, 0) == 12345
    assert ops.relation_key(-1, 3) == ops.relation_key(2**64 - 1, 3)
    # Draws must not change from one release to the next.
    assert ops.relation_key(12345, 1) == 12751933560448837758
    bits = [bin(ops.relation_key(7, r) ^ ops.relation_key(7, r + 1)).count("1") for r in range(99)]
    assert 28 < sum(bits) / 99 < 36


def one_of(dtype: torch.dtype = torch.int32) -> dict[str, Any]:
    first, second = random_csc(50, 50, 300), random_csc(30, 50, 200, seed=1)
    return {
        "relations": [
            ops.Relation(first.indptr, first.indices, 0, 0),
            ops.Relation(second.indptr, second.indices, 1, 0),
        ],
        "num_nodes": [50, 30],
        "seeds": [torch.arange(10, 40), torch.tensor([4])],
        "fanouts": [[3, 3]],
        "keys": [[1, 2]],
    }


def second_relation(**change: Any) -> dict[str, Any]:
    first, second = one_of()["relations"]
    return {"relations": [first, second._replace(**change)]}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"seeds": [torch.tensor([5, 50]), torch.tensor([4])]}, IndexError, r"type 0.*\[1\] is 50"),
        ({"seeds": [torch.tensor([5]), torch.tensor([30])]}, IndexError, r"type 1.*\[0\] is 30"),
        ({"seeds": [torch.tensor([-1]), torch.tensor([4])]}, IndexError, r"type 0.*\[0\] is -1"),
        ({"seeds": [torch.tensor([2**32]), torch.tensor([4])]}, IndexError, "is 4294967296"),
        ({"seeds": [torch.tensor([0.5]), torch.tensor([4])]}, TypeError, "type 0.*int32 or int64"),
        ({"seeds": [torch.tensor([[1]]), torch.tensor([4])]}, ValueError, "type 0.*1 dimension"),
        ({"seeds": [torch.tensor([1])]}, ValueError, "each of 2 node types, got 1"),
        ({"fanouts": [[3, -2]]}, ValueError, r"fanouts\[0\]\[1\]: expected -1"),
        ({"fanouts": [[3, 2**31]]}, ValueError, r"fanouts\[0\]\[1\]: .* 2\^31 - 1"),
        ({"fanouts": [[3, 1.5]]}, TypeError, r"fanouts\[0\]\[1\]: expected an int"),
        ({"fanouts": [[3]]}, ValueError, r"fanouts\[0\]: expected one for each of 2 relations"),
        ({"keys": [[1, 2]] * 2}, ValueError, "keys: expected one for each of 1"),
        ({"keys": [[1]]}, ValueError, r"keys\[0\]: expected one for each of 2 relations"),
        ({"num_nodes": []}, ValueError, "num_nodes: expected one for each"),
        ({"num_nodes": [50, -1]}, ValueError, r"num_nodes\[1\]: expected at least 0"),
        ({"num_nodes": [49, 30]}, ValueError, "relation 0: indptr: expected 50 elements"),
        ({"idtype": torch.float32}, TypeError, "idtype: expected"),
        (second_relation(src_type=2), ValueError, "relation 1: src_type: expected 0 to 1, got 2"),
        (second_relation(dst_type=-1), ValueError, "relation 1: dst_type: expected 0 to 1"),
        (second_relation(dst_type=1), ValueError, "relation 1: indptr: expected 31 elements"),
        (second_relation(indptr=torch.arange(51).int()), TypeError, "relation 1: indptr: .*int64"),
        (second_relation(indices=torch.ones(9)), TypeError, "relation 1: indices: expected int32"),
        (
            second_relation(indices=torch.full((200,), 30)),
            ValueError,
            r"^relation 1: indices\[\d+\] is 30, but type 1 has 30 nodes",
        ),
        (
            second_relation(indices=torch.full((200,), -3)),
            ValueError,
            r"^relation 1: indices\[\d+\] is -3",
        ),
        (
            second_relation(indptr=torch.arange(51) * 1000),
            ValueError,
            r"^relation 1: indptr.*no range of the 200 edges",
        ),
    ],
)
def test_bad_input(change, error, match):
    with pytest.raises(error, match=match):
        ops.sample_typed_blocks(**(one_of() | change))


@pytest.mark.cpu_only
def test_relations_elsewhere_are_refused():
    relation = second_relation(indices=torch.zeros(200, dtype=torch.int32, device="meta"))
    with pytest.raises(ValueError, match="relation 1: indices is on meta, seeds on cpu"):
        ops.sample_typed_blocks(**(one_of() | relation))

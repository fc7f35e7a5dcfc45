"""All hops of a batch in one pass."""

from __future__ import annotations

import pytest
import torch
from helpers import IDS, THREADS, random_csc

from hopflow import ops


def keys(count: int, seed: int = 0) -> list[int]:
    return [ops.stream_key(seed, 0, 0, hop) for hop in range(count)]


def assert_equal(ours: ops.SampledBlocks, reference: ops.SampledBlocks) -> None:
    assert torch.equal(ours.input_nodes, reference.input_nodes)
    assert torch.equal(ours.output_nodes, reference.output_nodes)
    assert torch.equal(ours.src_ids, reference.src_ids)
    assert (ours.seed_inverse is None) == (reference.seed_inverse is None)
    if ours.seed_inverse is not None:
        assert torch.equal(ours.seed_inverse, reference.seed_inverse)
    assert len(ours.hops) == len(reference.hops)
    for hop, other in zip(ours.hops, reference.hops):
        assert torch.equal(hop.indptr, other.indptr)
        assert torch.equal(hop.indices.long(), other.indices.long())
        assert torch.equal(hop.positions.long(), other.positions.long())
        assert hop.num_src == other.num_src


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanouts", [(4,), (3, 2), (-1, 3), (2, -1, 0), (60, 60)])
def test_bits_of_the_reference(dtype, replace, fanouts):
    for seed in range(10):
        csc = random_csc(200, 200, 3000, seed=seed, dtype=dtype, hub=seed * 30)
        seeds = torch.randint(200, (15,), generator=torch.Generator().manual_seed(seed)).to(dtype)
        given = csc.indptr, csc.indices, seeds, fanouts
        options = {"keys": keys(len(fanouts), seed), "replace": replace, "idtype": dtype}
        ours = ops.sample_blocks(*given, **options)
        assert ours.input_nodes.dtype == ours.output_nodes.dtype == dtype
        assert_equal(ours, ops.sample_blocks_reference(*given, **options))


@pytest.mark.parametrize("threads", THREADS)
def test_bits_of_the_operators_in_turn_on_a_batch_large_enough_for_threads(threads):
    csc = random_csc(40_000, 40_000, 800_000, hub=50_000)
    seeds = torch.randperm(40_000)[:12_000].to(csc.indices.dtype)
    torch.set_num_threads(threads)
    ours = ops.sample_blocks(csc.indptr, csc.indices, seeds, [8, 12], keys=keys(2))
    nodes = seeds
    for hop, fanout, key in zip(ours.hops, (8, 12), keys(2)):
        indptr, neighbors, positions = ops.sample_neighbors(
            csc.indptr, csc.indices, nodes, fanout, key=key
        )
        nodes, _, local = ops.compact_ids(nodes, neighbors)
        assert torch.equal(hop.indptr, indptr)
        assert torch.equal(hop.indices, local)
        assert torch.equal(hop.positions.long(), positions.long())
        assert hop.num_src == nodes.shape[0]
    assert torch.equal(ours.input_nodes, nodes.long())


def test_nothing_to_sample():
    indptr, indices = torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int32)
    none = ops.sample_blocks(indptr, indices, torch.zeros(0, dtype=torch.int64), [2], keys=[1])
    assert none.input_nodes.shape == none.output_nodes.shape == (0,)
    alone = ops.sample_blocks(indptr, indices, torch.tensor([2, 0]), [2, 2], keys=[1, 2])
    assert alone.input_nodes.tolist() == [2, 0]
    assert [hop.indptr.tolist() for hop in alone.hops] == [[0, 0, 0]] * 2
    assert ops.sample_blocks(indptr, indices, torch.tensor([1]), [], keys=[]).hops == []


def test_duplicates_are_merged_in_order_of_first_appearance():
    csc = random_csc(50, 50, 300)
    seeds = torch.tensor([7, 3, 7, 7, 9, 3])
    merged = ops.sample_blocks(csc.indptr, csc.indices, seeds, [3], keys=[5])
    assert merged.output_nodes.tolist() == [7, 3, 9]
    assert merged.seed_inverse.tolist() == [0, 1, 0, 0, 2, 1]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"seeds": torch.tensor([5, 50])}, IndexError, r"seeds\[1\] is 50.*50 nodes"),
        ({"seeds": torch.tensor([-1])}, IndexError, r"seeds\[0\] is -1"),
        ({"seeds": torch.tensor([2**32 + 5])}, IndexError, r"seeds\[0\] is 4294967301.*50 nodes"),
        ({"seeds": torch.tensor([-(2**32)])}, IndexError, r"seeds\[0\] is -4294967296"),
        ({"seeds": torch.tensor([0.5])}, TypeError, "seeds: expected int32 or int64"),
        ({"seeds": torch.tensor([[1]])}, ValueError, "seeds: expected 1 dimension"),
        ({"fanouts": [-2]}, ValueError, "fanout: expected -1"),
        ({"fanouts": [2**31]}, ValueError, "fanout: expected at most"),
        ({"keys": [1, 2]}, ValueError, "keys: expected one for each of 1"),
        ({"indices": torch.full((300,), 50)}, ValueError, r"indices\[\d+\] is 50.*50 nodes"),
        ({"indices": torch.full((300,), -3)}, ValueError, r"indices\[\d+\] is -3"),
        ({"indptr": torch.full((51,), 7)[:-1]}, IndexError, "49 nodes"),
        ({"indptr": torch.arange(50, -1, -1)}, ValueError, "no range of the 300 edges"),
        ({"indptr": torch.arange(51) * 1000}, ValueError, "no range of the 300 edges"),
        ({"indptr": torch.zeros(0, dtype=torch.int64)}, ValueError, "at least one element"),
    ],
)
def test_bad_input(change, error, match):
    csc = random_csc(50, 50, 300)
    given = {"indptr": csc.indptr, "indices": csc.indices, "seeds": torch.arange(10, 50)}
    given |= {"fanouts": [3], "keys": [1]} | change
    if "indptr" in change and "49" in match:
        given["seeds"] = torch.tensor([49])
    with pytest.raises(error, match=match):
        ops.sample_blocks(**given)

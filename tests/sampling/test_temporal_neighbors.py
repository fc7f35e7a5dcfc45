"""``temporal_sample_neighbors`` and the pools behind it: what is kept, kept ready, and refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import hopflow as hf
from hopflow.sampling import temporal_sample_neighbors
from hopflow.sampling.temporal_pools import temporal_pools


def graph(idtype: torch.dtype = torch.int64) -> hf.Graph:
    """Node 0 has in-edges from 1 .. 5 at times 10, 20, 20, 30, 40; node 1 one from 0 at time 15."""
    g = hf.graph(([1, 2, 3, 4, 5, 0], [0, 0, 0, 0, 0, 1]), num_nodes=7, idtype=idtype)
    g.edata["t"] = torch.tensor([10, 20, 20, 30, 40, 15])
    g.ndata["born"] = torch.tensor([0, 0, 25, 0, 0, 0, 0])
    return g


def kept(g: hf.Graph, *args: Any, **options: Any) -> list[int]:
    """The ids of the edges kept."""
    return temporal_sample_neighbors(g, *args, **options).edata[hf.EID].tolist()


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_only_what_is_early_is_kept(idtype):
    g = graph(idtype)
    for time, strict, expected in [
        (9, False, []), (10, False, [0]), (10, True, []), (20, False, [0, 1, 2]), (20, True, [0]),
        (99, True, [0, 1, 2, 3, 4]),
    ]:  # fmt: skip
        sub = temporal_sample_neighbors(g, [0], [time], -1, edge_time="t", strict=strict)
        assert sub.edata[hf.EID].tolist() == expected
        assert sub.edata["t"].tolist() == g.edata["t"][expected].tolist()
        assert sub.num_nodes() == 7
        assert sub.idtype == idtype
    # Edge 1 counts from 25, when its source comes to be.
    assert kept(g, [0], [24], -1, edge_time="t", node_time="born") == [0, 2]
    assert kept(g, [0], [25], -1, edge_time="t", node_time="born") == [0, 2, 1]
    assert kept(g, [0], [24], -1, node_time="born") == [0, 2, 3, 4]
    assert kept(g, [0, 1], [30, 15], 2, edge_time="t", temporal_strategy="last") == [2, 3, 5]
    assert kept(g, [0], [30], -1, edge_time="t", exclude_edges=[0, 3]) == [1, 2]
    assert kept(g, [6], [30], 3, edge_time="t") == []
    assert kept(g, [0, 0], [10, 10], 5, edge_time="t") == [0]
    assert len(kept(g, [0], [10], 5, edge_time="t", replace=True)) == 5


def test_weights_and_masks_are_of_the_eligible():
    g = graph()
    g.edata["w"] = torch.tensor([0.0, 1.0, 0.0, 1.0, 9.0, 1.0])
    g.edata["m"] = torch.tensor([True, False, True, True, True, True])
    assert kept(g, [0], [30], 5, edge_time="t", prob="w") == [1, 3]
    assert kept(g, [0], [30], -1, edge_time="t", prob="m") == [0, 2, 3]
    torch.manual_seed(0)
    found = [kept(g, [0], [40], 1, edge_time="t", prob="w")[0] for _ in range(300)]
    assert set(found) == {1, 3, 4}
    assert found.count(4) > 200  # 9 of 11


def test_graphs_in_other_forms():
    given = graph()
    part = hf.sample_neighbors(given, [1, 0], -1)  # rows named, edges in another order
    times = part.edata["t"]
    sub = temporal_sample_neighbors(part, [0, 1, 2], [20, 15, 99], -1, edge_time=times)
    assert sorted(sub.edata["t"].tolist()) == [10, 15, 20, 20]
    empty = hf.graph(([], []), num_nodes=3)
    empty.edata["t"] = torch.empty(0)
    assert kept(empty, [1], [0.5], 3, edge_time="t") == []


def test_pools_are_kept_while_the_columns_stay():
    g = graph()
    first = temporal_pools(g, "t").timed_pools[0]
    assert temporal_pools(g, "t").timed_pools[0] is first
    g.edata["t"][0] = 50
    changed = temporal_pools(g, "t").timed_pools[0]
    assert changed is not first
    assert kept(g, [0], [30], -1, edge_time="t") == [1, 2, 3]
    # The usual pools, of the same graph, are others.
    assert hf.sample_neighbors(g, [0], -1).edata[hf.EID].tolist() == [0, 1, 2, 3, 4]


def test_typed_graphs_take_columns_by_type():
    user, item, made = "user", "item", ("user", "buys", "item")
    g = hf.heterograph(
        {made: ([0, 1, 2, 0], [0, 0, 0, 1]), (item, "of", user): ([0, 1], [1, 1])},
        num_nodes_dict={user: 3, item: 2},
    )
    times = {"buys": torch.tensor([1.0, 2.0, 3.0, 1.0]), "of": None}
    sub = temporal_sample_neighbors(
        g, {item: [0], user: [1]}, {item: [2.0], user: [-5.0]}, -1, edge_time=times
    )
    assert sub.edges["buys"].data[hf.EID].tolist() == [0, 1]
    assert sub.edges["of"].data[hf.EID].tolist() == [0, 1]  # they were always there
    with pytest.raises(KeyError, match="edge column 't'"):
        temporal_sample_neighbors(g, {item: [0]}, {item: [2.0]}, -1, edge_time="t")
    with pytest.raises(ValueError, match="edge_time: expected an entry for every type"):
        temporal_sample_neighbors(
            g, {item: [0]}, {item: [2.0]}, -1, edge_time={"buys": times["buys"]}
        )
    with pytest.raises(ValueError, match="edge_time: expected the name of a column or a dict"):
        temporal_sample_neighbors(g, {item: [0]}, {item: [2.0]}, -1, edge_time=times["buys"])
    with pytest.raises(ValueError, match="expected times of one type at least"):
        temporal_sample_neighbors(
            g, {item: [0]}, {item: [2.0]}, -1, edge_time={"buys": None, "of": None}
        )
    # A user's time bounds what is bought of them, an item's what is sold.
    born = {user: torch.tensor([0.0, 9.0, 0.0]), item: None}
    sub = temporal_sample_neighbors(
        g, {item: [0], user: [1]}, {item: [2.0], user: [-5.0]}, -1, node_time=born
    )
    assert sub.edges["buys"].data[hf.EID].tolist() == [0, 2]
    assert sub.edges["of"].data[hf.EID].tolist() == [0, 1]


def test_errors():
    g = graph()
    for kind, message, args, options in [
        (ValueError, "expected one of them at least, got neither", ([0], [1], 2), {}),
        (KeyError, "no edge column 'x'", ([0], [1], 2), {"edge_time": "x"}),
        (KeyError, "no node column 'x'", ([0], [1], 2), {"node_time": "x"}),
        (ValueError, "one number for each of the 6 edges", ([0], [1], 2),
         {"edge_time": torch.ones(5)}),
        (ValueError, "node_time: expected one number for each of the 7 nodes", ([0], [1], 2),
         {"node_time": torch.ones(5)}),
        (ValueError, r"edge_time\[2\] is NaN", ([0], [1.0], 2),
         {"edge_time": torch.tensor([0, 0, float("nan"), 0, 0, 0])}),
        (TypeError, "all integers or all floats", ([0], [1], 2),
         {"edge_time": "t", "node_time": torch.ones(7)}),
        (TypeError, "seed_times: expected integers, as the graph's times are", ([0], [1.5], 2),
         {"edge_time": "t"}),
        (ValueError, "seed_times: expected one time for each of 2 seeds, got 1", ([0, 1], [1], 2),
         {"edge_time": "t"}),
        (ValueError, "node 0 is there at two times", ([0, 0], [1, 2], 2), {"edge_time": "t"}),
        (TypeError, "seed_times: expected one time a seed, got dict", ([0], {"_N": [1]}, 2),
         {"edge_time": "t"}),
        (TypeError, "seed_times: expected times", ([0], ["now"], 2), {"edge_time": "t"}),
        (IndexError, "nodes", ([9], [1], 2), {"edge_time": "t"}),
        (ValueError, "fanout", ([0], [1], -2), {"edge_time": "t"}),
        (ValueError, "strategy", ([0], [1], 2), {"edge_time": "t", "temporal_strategy": "first"}),
        (IndexError, "exclude_edges", ([0], [1], 2), {"edge_time": "t", "exclude_edges": [6]}),
    ]:  # fmt: skip
        with pytest.raises(kind, match=message):
            temporal_sample_neighbors(g, *args, **options)

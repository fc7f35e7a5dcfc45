"""node_subgraph, edge_subgraph, remove_edges, remove_nodes; expected values are DGL 2.1's."""

from __future__ import annotations

import pytest
import torch
from helpers import ends, ten_edges
from hypothesis import given
from hypothesis import strategies as st

import hopflow as hf


@pytest.fixture(params=[torch.int32, torch.int64], ids=["int32", "int64"])
def graph(request):
    return ten_edges(request.param)


def check(made, graph, ends_, edges, nodes=None):
    """``made`` has these ends; its columns are the parent's at ``edges`` and ``nodes``."""
    assert ends(made) == ends_
    assert made.idtype == graph.idtype
    assert made.edata["w"].tolist() == edges
    assert made.edata[hf.EID].tolist() == edges
    assert made.edata[hf.EID].dtype == graph.idtype
    if nodes is None:
        assert made.num_nodes() == graph.num_nodes()
        assert made.ndata["x"] is graph.ndata["x"]
        assert hf.NID not in made.ndata
    else:
        assert made.num_nodes() == len(nodes)
        assert made.ndata["x"].tolist() == nodes
        assert made.ndata[hf.NID].tolist() == nodes
        assert made.ndata[hf.NID].dtype == graph.idtype


def test_node_subgraph(graph):
    made = hf.node_subgraph(graph, [5, 0, 3])
    check(
        made, graph, [[0, 1, 1, 2, 2, 2], [1, 2, 2, 1, 2, 0]], [0, 1, 7, 2, 3, 9], nodes=[5, 0, 3]
    )
    whole = hf.node_subgraph(graph, [5, 0, 3], relabel_nodes=False)
    check(whole, graph, [[5, 0, 0, 3, 3, 3], [0, 3, 3, 0, 3, 5]], [0, 1, 7, 2, 3, 9])
    assert "w" in graph.edata


def test_a_mask_gives_the_graph_of_its_nodes(graph):
    """DGL's examples split a graph for inductive training this way."""
    graph.ndata["train_mask"] = torch.tensor([1, 0, 0, 1, 0, 1, 0]).bool()
    made = graph.subgraph(graph.ndata["train_mask"])
    check(
        made, graph, [[0, 0, 1, 1, 1, 2], [1, 1, 0, 1, 2, 0]], [1, 7, 2, 3, 9, 0], nodes=[0, 3, 5]
    )
    assert made.ndata["train_mask"].all()
    blocks = hf.dataloading.NeighborSampler([2]).sample_blocks(made, torch.tensor([1]))[2]
    assert blocks[0].num_dst_nodes() == 1


def test_edge_subgraph(graph):
    made = hf.edge_subgraph(graph, [7, 4, 0])
    check(made, graph, [[0, 1, 2], [3, 2, 0]], [7, 4, 0], nodes=[0, 1, 5, 3])
    whole = graph.edge_subgraph([7, 4, 0], relabel_nodes=False)
    check(whole, graph, [[0, 1, 5], [3, 5, 0]], [7, 4, 0])
    mask = torch.tensor([1, 0, 0, 1, 0, 1, 0, 0, 0, 0]).bool()
    masked = hf.edge_subgraph(graph, mask)
    check(masked, graph, [[0, 1, 0], [2, 1, 3]], [0, 3, 5], nodes=[5, 3, 0, 1])
    twice = hf.edge_subgraph(graph, [7, 7, 0])
    check(twice, graph, [[0, 0, 1], [2, 2, 0]], [7, 7, 0], nodes=[0, 5, 3])


@pytest.mark.parametrize("function", [hf.node_subgraph, hf.edge_subgraph])
def test_nothing_and_no_ids(graph, function):
    nothing = function(graph, torch.empty(0, dtype=torch.int64))
    assert (nothing.num_nodes(), nothing.num_edges()) == (0, 0)
    assert nothing.ndata["x"].shape == (0,)
    bare = function(graph, [5, 0, 3], store_ids=False)
    assert list(bare.ndata) == ["x"]
    assert list(bare.edata) == ["w"]


def test_remove_edges(graph):
    rest = hf.remove_edges(graph, [1, 0, 5, 1], store_ids=True)
    check(rest, graph, [[3, 3, 1, 2, 0, 4, 3], [0, 3, 5, 2, 3, 4, 5]], [2, 3, 4, 6, 7, 8, 9])
    assert hf.EID not in hf.remove_edges(graph, [1]).edata
    assert graph.num_edges() == 10


def test_remove_nodes(graph):
    rest = hf.remove_nodes(graph, [3, 3], store_ids=True)
    nodes = [0, 1, 2, 4, 5, 6]
    check(rest, graph, [[1, 2, 3, 4, 4], [4, 2, 3, 0, 1]], [4, 6, 8, 0, 5], nodes=nodes)
    assert hf.NID not in hf.remove_nodes(graph, [3]).ndata


def test_a_part_of_a_part_names_its_own_parent(graph):
    part = hf.node_subgraph(hf.node_subgraph(graph, [5, 0, 3]), [2, 0])
    assert part.ndata[hf.NID].tolist() == [2, 0]
    assert part.ndata["x"].tolist() == [3, 5]
    assert part.edata[hf.EID].tolist() == [4, 5]
    assert part.edata["w"].tolist() == [3, 9]


@pytest.mark.cpu_only
def test_parts_of_parts_of_parts_stay_flat(graph):
    """However deep: columns that nobody has read are gathered from the first graph at once."""
    graph.ndata["y"] = torch.arange(7.0) * 2
    part = graph
    for _ in range(7):
        part = hf.remove_edges(part, [1])
    for _ in range(2000):
        part = hf.remove_nodes(hf.remove_edges(part, []), [])
    assert part.edata["w"].tolist() == [0, 8, 9]
    assert torch.equal(part.ndata["y"], graph.ndata["y"])
    # What has been read stays as it was read.
    half = hf.node_subgraph(graph, [5, 0, 3])
    half.ndata["x"] += 1
    assert hf.node_subgraph(half, [2, 0]).ndata["x"].tolist() == [4, 6]
    assert hf.node_subgraph(half, [2, 0]).ndata["y"].tolist() == [6, 10]


def test_edges_around_nodes_between_new_numbers(graph):
    made = graph.in_subgraph([3, 0], relabel_nodes=True)
    check(made, graph, [[0, 1, 0, 2, 1], [1, 1, 1, 0, 0]], [1, 3, 7, 0, 2], nodes=[0, 3, 5])
    bare = graph.in_subgraph([3, 0], relabel_nodes=True, store_ids=False)
    assert [*bare.ndata, *bare.edata] == ["x", "w"]


def test_removing_nothing_changes_nothing(graph):
    for made in (hf.remove_nodes(graph, []), hf.remove_edges(graph, [])):
        assert ends(made) == ends(graph)
        assert made.edata["w"].tolist() == graph.edata["w"].tolist()
        assert hf.EID not in made.edata


def test_the_callers_ids_may_change_afterwards(graph):
    nodes, edges = torch.tensor([3, 4, 5]), torch.tensor([7, 8])
    by_nodes, by_edges = hf.node_subgraph(graph, nodes), hf.edge_subgraph(graph, edges)
    nodes.fill_(0)
    edges.fill_(0)
    assert by_nodes.ndata["x"].tolist() == by_nodes.ndata[hf.NID].tolist() == [3, 4, 5]
    assert by_edges.edata["w"].tolist() == by_edges.edata[hf.EID].tolist() == [7, 8]


def test_the_only_type_and_the_graphs_device_may_be_named(graph):
    assert hf.remove_edges(graph, [1], etype="_E").num_edges() == 9
    assert hf.remove_nodes(graph, [6], ntype="_N").num_nodes() == 6
    assert hf.node_subgraph(graph, [1], output_device=graph.device).num_nodes() == 1
    assert graph.in_subgraph([0], output_device="cpu").num_edges() == 2


def test_methods_are_the_functions():
    for method, function in {
        "add_self_loop": hf.add_self_loop,
        "edge_subgraph": hf.edge_subgraph,
        "in_subgraph": hf.in_subgraph,
        "out_subgraph": hf.out_subgraph,
        "remove_self_loop": hf.remove_self_loop,
        "reverse": hf.reverse,
        "sample_neighbors": hf.sample_neighbors,
        "subgraph": hf.node_subgraph,
        "to_networkx": hf.to_networkx,
        "to_simple": hf.to_simple,
    }.items():
        assert getattr(hf.Graph, method) is function


@given(st.data())
def test_against_plain_python(data):
    num_nodes = data.draw(st.integers(1, 12))
    node = st.integers(0, num_nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    graph = hf.graph(([u for u, _ in pairs], [v for _, v in pairs]), num_nodes=num_nodes)
    nodes = data.draw(st.lists(node, unique=True))
    made = hf.node_subgraph(graph, nodes)
    expected = [
        (nodes.index(u), nodes.index(v), e)
        for u in nodes
        for e, (a, v) in enumerate(pairs)
        if a == u and v in nodes
    ]
    assert [*zip(*ends(made), made.edata[hf.EID].tolist(), strict=True)] == expected
    gone = data.draw(st.lists(st.integers(0, len(pairs) - 1))) if pairs else []
    rest = hf.remove_edges(graph, gone)
    assert [*zip(*ends(rest), strict=True)] == [p for e, p in enumerate(pairs) if e not in gone]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: hf.node_subgraph(g, [5, 0, 5]), ValueError, "got node 5 more than once"),
        (lambda g: hf.node_subgraph(g, [0, 7]), IndexError, r"nodes\[1\] is 7"),
        (lambda g: hf.node_subgraph(g, [-1]), IndexError, r"nodes\[0\] is -1"),
        (lambda g: hf.node_subgraph(g, torch.ones(3).bool()), ValueError, "nodes: .*mask"),
        (lambda g: hf.edge_subgraph(g, [10]), IndexError, r"edges\[0\] is 10"),
        (lambda g: hf.edge_subgraph(g, [0.5]), TypeError, "edges: expected integer ids"),
        (lambda g: hf.remove_edges(g, [-1]), IndexError, r"eids\[0\] is -1"),
        (lambda g: hf.remove_nodes(g, [7]), IndexError, r"nids\[0\] is 7"),
        (lambda g: hf.remove_edges(g, [0], etype="a"), ValueError, "etype: expected one of"),
        (lambda g: hf.node_subgraph(g, [0], output_device="meta"), ValueError, "output_device"),
        (lambda g: hf.node_subgraph(3, [0]), TypeError, r"expected a hopflow\.Graph, got int"),
        (lambda g: hf.to_block(hf.in_subgraph(g, [0])).subgraph([0]), ValueError, "got a block"),
    ],
)
def test_errors(graph, call, error, message):
    with pytest.raises(error, match=message):
        call(graph)


@pytest.mark.parametrize("ntype", ["a", "b", "c"])
def test_a_node_given_twice_is_named_with_its_type(ntype):
    """Of whatever type: that of sources, of destinations alone, or of no edges."""
    typed = hf.heterograph(
        {("a", "r", "b"): ([0, 1], [1, 2]), ("a", "s", "a"): ([0], [2])},
        num_nodes_dict={"a": 4, "b": 4, "c": 4},
    )
    nodes = {"a": [0, 1], "b": [1, 2], "c": [3], ntype: [3, 2, 3]}
    with pytest.raises(
        ValueError, match=rf"^nodes\['{ntype}'\]: expected each node once, got node 3"
    ):
        typed.subgraph(nodes)


def test_of_several_types():
    generator = torch.Generator().manual_seed(0)
    counts, edges = {"a": 30, "b": 20}, {}
    for relation in (("a", "r", "b"), ("b", "s", "a"), ("a", "t", "a")):
        ends_ = (counts[relation[0]], counts[relation[2]])
        edges[relation] = tuple(torch.randint(n, (200,), generator=generator) for n in ends_)
    typed = hf.heterograph(edges, num_nodes_dict=counts)
    nodes = {t: torch.randperm(n, generator=generator)[:12].tolist() for t, n in counts.items()}
    made = typed.subgraph(nodes)
    for relation, (src, dst) in edges.items():
        kept_src, kept_dst = nodes[relation[0]], nodes[relation[2]]
        expected = sorted(
            (kept_src.index(u), e, kept_dst.index(v))
            for e, (u, v) in enumerate(zip(src.tolist(), dst.tolist()))
            if u in kept_src and v in kept_dst
        )
        found_src, found_dst = (x.tolist() for x in made.edges(etype=relation))
        found = zip(found_src, made.edges[relation].data[hf.EID].tolist(), found_dst)
        assert list(found) == expected
        assert len(expected) > 20


@pytest.mark.parametrize(
    "make",
    [
        lambda g: g.subgraph([0, 3, 5]),
        lambda g: g.edge_subgraph([7, 0, 1]),
        lambda g: hf.add_self_loop(g),
        lambda g: g.reverse(),
        lambda g: hf.graph(([0, 1, 2], [0, 0, 1])),
        lambda g: hf.graph((torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]))),
    ],
)
def test_what_is_made_in_inference_mode_trains_later(graph, make):
    with torch.inference_mode():
        made = make(graph)
    x = torch.rand(made.num_nodes(), 4, requires_grad=True)
    weight = torch.rand(made.num_edges(), 1, requires_grad=True)
    hf.functional.u_mul_e_sum(made, x, weight).sum().backward()
    hf.functional.copy_u_mean(made, x).sum().backward()
    torch.testing.assert_close(weight.grad[:, 0], x.detach()[made.edges()[0].long()].sum(1))

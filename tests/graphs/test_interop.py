"""Graphs from and to scipy, networkx and PyTorch Geometric; expected values are DGL 2.1's."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import hopflow as hf

ENTRIES = ([1.0, 2, 3, 4, 5], ([2, 0, 1, 0, 0], [0, 1, 2, 2, 1]))


def ends(graph):
    return [x.tolist() for x in graph.edges()]


# --- scipy


@pytest.fixture
def matrix():
    sparse = pytest.importorskip("scipy.sparse")
    return sparse.coo_matrix(ENTRIES, shape=(3, 3))


def test_scipy_coo_keeps_duplicates_and_order(matrix):
    graph = hf.from_scipy(matrix, eweight_name="w")
    assert ends(graph) == [[2, 0, 1, 0, 0], [0, 1, 2, 2, 1]]
    assert graph.edata["w"].tolist() == ENTRIES[0]
    assert graph.edata["w"].dtype == torch.float64
    assert graph.idtype == torch.int64


@pytest.mark.parametrize(
    ("kind", "src", "dst", "weights"),
    [
        ("tocsr", [0, 0, 1, 2], [1, 2, 2, 0], [7, 4, 3, 1]),
        ("tocsc", [2, 0, 0, 1], [0, 1, 2, 2], [1, 7, 4, 3]),
        ("tolil", [0, 0, 1, 2], [1, 2, 2, 0], [7, 4, 3, 1]),
    ],
)
def test_scipy_formats(matrix, kind, src, dst, weights):
    graph = hf.from_scipy(getattr(matrix, kind)(), eweight_name="w", idtype=torch.int32)
    assert ends(graph) == [src, dst]
    assert graph.edata["w"].tolist() == weights
    assert graph.idtype == torch.int32


def test_scipy_arrays_isolated_nodes_and_no_edges(matrix):
    sparse = pytest.importorskip("scipy.sparse")
    assert ends(hf.from_scipy(sparse.csr_array(matrix))) == [[0, 0, 1, 2], [1, 2, 2, 0]]
    empty = hf.from_scipy(sparse.csr_matrix((4, 4)), "w", device="cpu")
    assert (empty.num_nodes(), empty.num_edges()) == (4, 0)
    assert empty.edata["w"].shape == (0,)


def test_scipy_weights_are_a_copy(matrix):
    graph = hf.from_scipy(matrix, "w")
    matrix.data[:] = -1
    assert graph.edata["w"].tolist() == ENTRIES[0]


def test_scipy_errors(matrix):
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=r"sp_mat: expected a square matrix, got shape \(2, 3\)"):
        hf.from_scipy(sparse.csr_matrix((2, 3)))
    with pytest.raises(TypeError, match="sp_mat: expected a scipy sparse matrix, got ndarray"):
        hf.from_scipy(np.eye(3))


# --- networkx


@pytest.fixture
def nx():
    return pytest.importorskip("networkx")


@pytest.fixture
def letters(nx):
    made = nx.MultiDiGraph()
    made.add_edge("b", "a", w=1.5, id=1)
    made.add_edge("a", "b", w=2.5, id=0)
    made.add_edge("a", "b", w=3.5, id=2)
    for node in made:
        made.nodes[node]["x"] = [ord(node), 1]
    return made


def test_networkx_undirected_goes_both_ways(nx):
    made = nx.Graph([(2, 0), (1, 1), (2, 1)])
    made.add_node(3)
    graph = hf.from_networkx(made)
    assert ends(graph) == [[2, 2, 0, 1, 1], [0, 1, 2, 2, 1]]
    assert graph.num_nodes() == 4


def test_networkx_directed_with_columns(letters):
    graph = hf.from_networkx(letters, node_attrs=["x"], edge_attrs=["w"], idtype=torch.int32)
    assert ends(graph) == [[1, 0, 0], [0, 1, 1]]
    assert graph.ndata["x"].tolist() == [[97, 1], [98, 1]]
    assert graph.edata["w"].tolist() == [1.5, 2.5, 3.5]
    assert graph.idtype == torch.int32
    assert sorted(letters.nodes) == ["a", "b"]  # as it was


def test_networkx_edge_ids(letters):
    graph = hf.from_networkx(letters, edge_attrs=["w"], edge_id_attr_name="id")
    assert ends(graph) == [[0, 1, 0], [1, 0, 1]]
    assert graph.edata["w"].tolist() == [2.5, 1.5, 3.5]


@pytest.mark.parametrize(
    "value", [np.float32(2), np.ones((2, 3)), torch.arange(4), True, 7, [1.0, 2.0]]
)
def test_networkx_kinds_of_attributes(nx, value):
    made = nx.DiGraph([(0, 1)])
    nx.set_node_attributes(made, value, "x")
    column = hf.from_networkx(made, node_attrs=["x"]).ndata["x"]
    wanted = value if isinstance(value, torch.Tensor) else torch.tensor(value)
    assert column.dtype == wanted.dtype
    assert torch.equal(column, torch.stack([wanted, wanted]))


def test_networkx_empty(nx):
    assert hf.from_networkx(nx.DiGraph()).num_nodes() == 0
    graph = hf.from_networkx(nx.Graph([(4, 4)]).subgraph([]).copy(), node_attrs=["x"])
    assert graph.ndata["x"].shape == (0,)


def test_networkx_there_and_back(small_graph):
    pytest.importorskip("networkx")
    made = hf.to_networkx(small_graph, node_attrs=["feat", "label"], edge_attrs=["weight"])
    assert made.number_of_nodes() == 200
    back = hf.from_networkx(made, ["feat", "label"], ["weight"], edge_id_attr_name="id")
    assert ends(back) == ends(small_graph)
    for key in ("feat", "label"):
        assert torch.equal(back.ndata[key], small_graph.ndata[key])
    assert torch.equal(back.edata["weight"], small_graph.edata["weight"])


def test_to_networkx_lists_edges_as_dgl_does(nx):
    graph = hf.graph(([0, 1, 0], [1, 0, 1]))
    graph.edata["key"] = torch.tensor([2.5, 1.5, 3.5])
    made = hf.to_networkx(graph, edge_attrs=["key"])
    assert type(made) is nx.MultiDiGraph
    assert list(made.edges(data="id", keys=True)) == [(0, 1, 0, 0), (0, 1, 1, 2), (1, 0, 0, 1)]
    assert [d["key"].item() for _, _, d in made.edges(data=True)] == [2.5, 3.5, 1.5]


def test_networkx_errors(nx, letters):
    undirected = nx.Graph([(0, 1)])
    with pytest.raises(ValueError, match="edge_attrs: expected None for an undirected graph"):
        hf.from_networkx(undirected, edge_attrs=["w"])
    with pytest.raises(ValueError, match="edge_id_attr_name: expected None for an undirected"):
        hf.from_networkx(undirected, edge_id_attr_name="id")
    with pytest.raises(ValueError, match="node 0 has no attribute 'y'"):
        hf.from_networkx(letters, node_attrs=["y"])
    with pytest.raises(ValueError, match=r"edge \(1, 0\) has no attribute 'eid'"):
        hf.from_networkx(letters, edge_id_attr_name="eid")
    with pytest.raises(ValueError, match=r"expected 'w' in 0 to 2, got 1\.5"):
        hf.from_networkx(letters, edge_id_attr_name="w")
    with pytest.raises(ValueError, match="another edge has the id 0"):
        hf.from_networkx(nx.DiGraph([(0, 1, {"id": 0}), (1, 0, {"id": 0})]), edge_id_attr_name="id")
    with pytest.raises(TypeError, match="edge_attrs: expected a list of attribute names, got 'w'"):
        hf.from_networkx(letters, edge_attrs="w")
    letters.nodes["a"]["x"] = [1]
    with pytest.raises(ValueError, match="node attribute 'x': expected numbers, or arrays of one"):
        hf.from_networkx(letters, node_attrs=["x"])
    with pytest.raises(TypeError, match="nx_graph: expected nodes that can be sorted"):
        hf.from_networkx(nx.Graph([(0, "a")]))
    with pytest.raises(TypeError, match="nx_graph: expected a networkx graph, got Graph"):
        hf.from_networkx(hf.graph(([0], [1])))
    with pytest.raises(KeyError, match="no node column 'x'"):
        hf.to_networkx(hf.graph(([0], [1])), node_attrs=["x"])
    with pytest.raises(ValueError, match="expected a graph, got a block"):
        hf.to_networkx(hf.create_block(([0], [1])))


# --- PyTorch Geometric


@pytest.fixture
def pyg():
    return pytest.importorskip("torch_geometric.data", reason="torch_geometric is not installed")


def test_pyg_columns(pyg):
    data = pyg.Data(
        x=torch.rand(3, 2),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        y=torch.tensor([0, 1, 1]),
        edge_attr=torch.rand(2, 4),
        edge_weight=torch.rand(2),
        train_mask=torch.tensor([True, False, True]),
    )
    graph = hf.from_pyg(data)
    assert ends(graph) == [[0, 1], [1, 0]]
    assert graph.num_nodes() == 3
    assert set(graph.ndata) == {"feat", "label", "train_mask"}
    assert set(graph.edata) == {"feat", "weight"}
    assert graph.ndata["feat"] is data.x
    assert torch.equal(graph.edata["feat"], data.edge_attr)
    back = hf.to_pyg(graph)
    assert sorted(back.keys()) == sorted([*data.keys(), "num_nodes"])
    for key in data.keys():  # noqa: SIM118  Data is no dict
        assert torch.equal(back[key], data[key]), key


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_pyg_there_and_back_with_as_many_edges_as_nodes(pyg, idtype):
    graph = hf.graph(([2, 0, 1], [0, 1, 2]), idtype=idtype)
    for frame in (graph.ndata, graph.edata):
        frame["feat"], frame["h"] = torch.rand(3, 1), torch.rand(3)
        frame[hf.NID] = torch.arange(3)
    data = hf.to_pyg(graph)
    assert data.edge_index.dtype == torch.int64
    assert set(data.keys()) == {
        "edge_index", "num_nodes", "x", "h", "n_id", "edge_attr", "edge_h", "e_id",
    }  # fmt: skip
    back = hf.from_pyg(data)
    assert ends(back) == ends(graph)
    for mine, theirs in ((graph.ndata, back.ndata), (graph.edata, back.edata)):
        assert set(mine) == set(theirs)
        for key in mine:
            assert torch.equal(mine[key], theirs[key])


def test_pyg_isolated_nodes_and_what_is_left_out(pyg):
    data = pyg.Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=4, name="mine")
    data.scale = torch.ones(9)
    with pytest.warns(UserWarning, match="leaves out .*: name, scale"):
        graph = hf.from_pyg(data)
    assert (graph.num_nodes(), graph.num_edges(), len(graph.ndata)) == (4, 0, 0)


def test_pyg_errors(pyg):
    with pytest.raises(TypeError, match=r"expected a torch_geometric.data.Data or .*got Batch"):
        hf.from_pyg(type("Batch", (), {})())
    with pytest.raises(ValueError, match=r"expected edge_index of shape \[2, E\], got none"):
        hf.from_pyg(pyg.Data(x=torch.zeros(2, 1)))
    edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="'feat' and 'x' would both be the node column 'feat'"):
        hf.from_pyg(pyg.Data(x=torch.zeros(2), feat=torch.ones(2), edge_index=edge_index))
    graph = hf.graph(([0], [1]))
    graph.ndata["x"] = graph.ndata["feat"] = torch.zeros(2)
    with pytest.raises(ValueError, match="would both be 'x'; rename one"):
        hf.to_pyg(graph)
    del graph.ndata["x"]
    graph.ndata["edge_x"] = torch.zeros(2)
    with pytest.raises(ValueError, match="would be taken for one of edges"):
        hf.to_pyg(graph)


@pytest.mark.parametrize(
    ("module", "package", "call"),
    [
        ("networkx", "networkx", lambda: hf.from_networkx(None)),
        ("networkx", "networkx", lambda: hf.to_networkx(hf.graph(([0], [1])))),
        ("torch_geometric.data", "torch_geometric", lambda: hf.from_pyg(None)),
        ("torch_geometric.data", "torch_geometric", lambda: hf.to_pyg(hf.graph(([0], [1])))),
    ],
)
def test_a_missing_library_is_named(monkeypatch, module, package, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"needs {package}: pip install {package}"):
        call()

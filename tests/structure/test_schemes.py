"""What columns look like, without reading them; dtypes of ids; streams."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf


def test_schemes_read_nothing(small_graph):
    scheme = {"feat": ((5,), torch.float32), "label": ((), torch.int64)}
    assert small_graph.node_attr_schemes() == scheme
    assert small_graph.edge_attr_schemes() == {"weight": ((), torch.float32)}
    one = small_graph.node_attr_schemes()["feat"]
    assert (one.shape, one.dtype) == ((5,), torch.float32)
    part = small_graph.subgraph([1, 2, 3]).subgraph([0, 1])
    assert {k: v for k, v in part.node_attr_schemes().items() if k != hf.NID} == scheme
    assert not part.node_frame().is_read("feat")
    block = hf.dataloading.NeighborSampler([3]).sample(small_graph, [1, 2])[2][0]
    assert block.node_attr_schemes() == {**scheme, hf.NID: ((), torch.int64)}
    assert block.edge_attr_schemes() == {"weight": ((), torch.float32), hf.EID: ((), torch.int64)}
    assert not block.node_frame(side="dst").is_read("feat")
    assert not block.edge_frame.is_read("weight")
    block.dstdata["feat"]
    assert block.node_attr_schemes()["feat"] == scheme["feat"]


def test_schemes_of_several_types_and_stored_columns():
    g = hf.heterograph({("a", "r", "b"): ([0], [1])})
    g.nodes["b"].data["x"] = hf.storage.encode(torch.randn(2, 8), dtype=torch.float16)
    assert g.node_attr_schemes("b") == {"x": ((8,), torch.float16)}
    assert g.node_attr_schemes("a") == g.edge_attr_schemes("r") == {}
    with pytest.raises(ValueError, match="ntype: expected one of"):
        g.node_attr_schemes()


def test_astype():
    g = hf.graph(([0], [1]))
    assert g.astype(None) is g
    assert g.astype(torch.int64) is g
    assert g.astype(torch.int32).idtype == torch.int32
    with pytest.raises(TypeError, match=r"idtype: expected torch.int32 or torch.int64, got"):
        g.astype(torch.float32)


def test_record_stream(monkeypatch):
    """Every array that there is, each once; there is no GPU to have a stream on."""
    g = hf.graph(([0, 1, 1], [1, 0, 0]))
    g.ndata["x"], g.edata["w"] = torch.ones(2), torch.ones(3)
    with pytest.raises(hf.HopflowError, match="record_stream: the graph is on cpu, expected a GPU"):
        g.record_stream(None)
    seen: list[tuple[torch.Tensor, object]] = []
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, stream: seen.append((x, stream)))
    monkeypatch.setattr(hf.Graph, "device", torch.device("cuda"))
    stream = object()
    assert g.record_stream(stream) is g
    wanted = [*g.adjacency.arrays(), g._dst_frame["x"], g._edge_frame["w"]]
    assert {id(x) for x, _ in seen} == {id(x) for x in wanted}
    assert {id(s) for _, s in seen} == {id(stream)}

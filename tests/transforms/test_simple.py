"""reverse, to_simple, to_bidirected, casts; expected values are DGL 2.1's."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf


def ends(graph):
    return [x.tolist() for x in graph.edges()]


@pytest.fixture(params=[torch.int32, torch.int64], ids=["int32", "int64"])
def graph(request):
    made = hf.graph(([2, 0, 2, 0, 1], [1, 1, 1, 2, 1]), num_nodes=4, idtype=request.param)
    made.edata["w"] = torch.tensor([1.0, 2, 3, 4, 5])
    made.ndata["x"] = torch.arange(4.0)
    return made


def test_reverse(graph):
    made = hf.reverse(graph, copy_edata=True)
    assert ends(made) == [[1, 1, 1, 2, 1], [2, 0, 2, 0, 1]]
    assert torch.equal(made.edata["w"], graph.edata["w"])
    assert made.ndata["x"] is graph.ndata["x"]
    assert made.idtype == graph.idtype
    bare = hf.reverse(graph, copy_ndata=False)
    assert (len(bare.ndata), len(bare.edata)) == (0, 0)
    assert "x" in graph.ndata


@pytest.mark.parametrize(
    ("aggregator", "weights"),
    [("arbitrary", [2, 4, 5, 1]), ("sum", [2, 4, 5, 4]), ("mean", [2, 4, 5, 2])],
)
def test_to_simple(graph, aggregator, weights):
    made, mapping = hf.to_simple(
        graph, writeback_mapping=True, copy_edata=True, aggregator=aggregator
    )
    assert ends(made) == [[0, 0, 1, 2], [1, 2, 1, 1]]
    assert made.edata["w"].tolist() == weights
    assert made.edata["count"].tolist() == [1, 1, 1, 2]
    assert mapping.tolist() == [3, 0, 3, 1, 2]
    assert mapping.dtype == graph.idtype
    assert (hf.EID in made.edata) == (aggregator == "arbitrary")
    assert torch.equal(made.ndata["x"], graph.ndata["x"])
    assert made.num_nodes() == 4


def test_to_simple_options_and_errors(graph):
    made = hf.to_simple(graph, return_counts=None, copy_ndata=False)
    assert (len(made.ndata), len(made.edata)) == (0, 0)
    with pytest.raises(ValueError, match="aggregator: expected one of arbitrary, sum, mean"):
        hf.to_simple(graph, aggregator="max")
    graph.edata["i"] = torch.arange(5)
    with pytest.raises(TypeError, match=r"edge column 'i': expected floating point .* got int64"):
        hf.to_simple(graph, copy_edata=True, aggregator="sum")
    with pytest.raises(ValueError, match="expected a graph, got a block"):
        hf.to_simple(hf.create_block(([0], [0])))


def test_to_simple_gives_gradients(graph):
    weight = torch.rand(5, dtype=torch.float64, requires_grad=True)

    def merged(w):
        graph.edata["w"] = w
        return hf.to_simple(graph, copy_edata=True, aggregator="mean").edata["w"]

    assert torch.autograd.gradcheck(merged, weight)


def test_to_bidirected(graph):
    made = hf.to_bidirected(graph, copy_ndata=True)
    assert ends(made) == [[0, 0, 1, 1, 1, 2, 2], [1, 2, 0, 1, 2, 0, 1]]
    assert torch.equal(made.ndata["x"], graph.ndata["x"])
    assert len(made.edata) == 0
    assert len(hf.to_bidirected(graph).ndata) == 0


def test_without_edges():
    empty = hf.graph(([], []), num_nodes=3)
    empty.edata["w"] = torch.zeros(0, 2)
    for made in (
        hf.reverse(empty, copy_edata=True),
        hf.to_simple(empty, copy_edata=True),
        hf.to_simple(empty, copy_edata=True, aggregator="sum"),
        hf.to_bidirected(empty),
    ):
        assert (made.num_nodes(), made.num_edges()) == (3, 0)


@pytest.mark.parametrize(
    ("cast", "dtype"),
    [
        (hf.to_half, torch.float16),
        (hf.to_bfloat16, torch.bfloat16),
        (hf.to_float, torch.float32),
        (hf.to_double, torch.float64),
    ],
)
def test_casts(graph, cast, dtype):
    graph.ndata["label"] = torch.arange(4)
    made = cast(graph)
    assert made.ndata["x"].dtype == made.edata["w"].dtype == dtype
    assert made.ndata["label"].dtype == torch.int64
    assert graph.ndata["x"].dtype == torch.float32
    assert ends(made) == ends(graph)
    block = hf.to_block(graph)
    assert cast(block).srcdata["x"].dtype == dtype
    with pytest.raises(TypeError, match=r"expected a hopflow\.Graph, got int"):
        cast(3)


def test_questions_of_kind(graph):
    assert graph.is_homogeneous
    assert (graph.ntypes, graph.etypes) == (["_N"], ["_E"])
    assert graph.canonical_etypes == [("_N", "_E", "_N")]
    assert graph.create_formats_() is None
    assert "csc" in graph.formats()["created"]
    assert ends(graph.formats(["csr", "coo"])) == ends(graph)
    with pytest.raises(ValueError, match=r'formats: expected "coo", "csr" or "csc", got \'dense\''):
        graph.formats("dense")


def test_clone_has_frames_of_its_own(graph):
    copied = graph.clone()
    copied.ndata["y"] = torch.zeros(4)
    assert "y" not in graph.ndata
    assert copied.srcdata is copied.ndata
    assert copied.ndata["x"] is graph.ndata["x"]
    block = hf.to_block(graph)
    assert isinstance(block.local_var(), hf.Block)

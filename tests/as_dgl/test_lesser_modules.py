"""``dgl.init``, ``dgl.transforms`` and the names of ``dgl`` that stand elsewhere in hopflow."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

import hopflow as hf
from hopflow import as_dgl
from hopflow.as_dgl.modules import DglModule


@pytest.fixture
def dgl():
    if "dgl" in sys.modules and not isinstance(sys.modules["dgl"], DglModule):
        pytest.skip("the real DGL is imported")
    as_dgl.install()
    import dgl

    yield dgl
    as_dgl.uninstall()


def test_a_program_that_changes_its_graph(dgl):
    import dgl.init
    from dgl.transforms import norm_by_dst, to_simple_graph

    g = dgl.graph(([0, 1, 1], [1, 1, 2]))
    assert norm_by_dst(g).tolist() == [0.5, 0.5, 1]
    g.ndata["x"] = torch.ones(3)
    g.set_n_initializer(dgl.init.zero_initializer)
    g.add_edges([0, 3], [1, 3])
    assert g.ndata["x"].tolist() == [1, 1, 1, 0]
    with pytest.warns(FutureWarning, match="to_simple"):
        assert to_simple_graph(g).num_edges() == 4
    with pytest.raises(NotImplementedError):
        dgl.init.base_initializer((1,), torch.float32, torch.device("cpu"), slice(0, 1))


def test_a_sampler_that_names_columns(dgl):
    class Mine(dgl.dataloading.Sampler):
        def sample(self, g, seeds):
            block = dgl.to_block(dgl.sampling.sample_neighbors(g, seeds, 2), seeds)
            dgl.set_src_lazy_features(block, ["x"])
            dgl.set_dst_lazy_features(block, ["y"])
            dgl.set_edge_lazy_features(block, ["w"])
            part = g.subgraph(seeds)
            dgl.set_node_lazy_features(part, ["x"])
            return block, part

    g = dgl.rand_graph(30, 90)
    g.ndata["x"], g.ndata["y"], g.edata["w"] = torch.rand(30, 2), torch.rand(30), torch.rand(90)
    for block, part in dgl.dataloading.DataLoader(
        g, range(30), Mine(), batch_size=7, num_workers=2
    ):
        read = [{key for key in frame if frame.is_read(key)} for frame in (
            block.node_frame(side="src"), block.node_frame(side="dst"), block.edge_frame,
            part.node_frame())]  # fmt: skip
        assert [names - {dgl.NID} for names in read] == [{"x"}, {"y"}, {"w"}, {"x"}]
        assert torch.equal(block.srcdata["x"], g.ndata["x"][block.srcdata[dgl.NID]])
        assert torch.equal(part.ndata["x"], g.ndata["x"][part.ndata[dgl.NID]])


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("nn.pytorch.link", "EdgePredictor TransE TransR"),
        ("nn.pytorch.network_emb", "DeepWalk MetaPath2Vec"),
        ("nn.pytorch.sparse_emb", "NodeEmbedding"),
        ("nn.pytorch.utils", "JumpingKnowledge LabelPropagation Sequential WeightBasis"),
        ("optim.pytorch", "SparseAdagrad SparseAdam"),
    ],
)
def test_names_where_dgls_pages_have_them(dgl, module, names):
    found = importlib.import_module(f"dgl.{module}")
    for name in names.split():
        assert getattr(found, name) is getattr(hf.nn, name, getattr(hf.optim, name, None))


DEFINING = {
    "dgl.convert": "graph", "dgl.data.adapter": "AsNodePredDataset", "dgl.generators": "rand_graph",
    "dgl.homophily": "node_homophily", "dgl.propagate": "prop_nodes",
    "dgl.label_informativeness": "edge_label_informativeness", "dgl.readout": "sum_nodes",
    "dgl.subgraph": "node_subgraph", "dgl.transforms.functional": "add_self_loop",
    "dgl.transforms.module": "AddSelfLoop", "dgl.traversal": "bfs_nodes_generator",
}  # fmt: skip


@pytest.mark.parametrize("module", DEFINING)
def test_modules_that_define_what_stands_above_too(dgl, module):
    """Imported by name, each has what the one above it has, and nothing but DGL's own names."""
    found = importlib.import_module(module)
    above = sys.modules[module.rpartition(".")[0]]
    assert getattr(above, module.rpartition(".")[2]) is found
    assert getattr(found, DEFINING[module]) is getattr(above, DEFINING[module])
    for name in dir(found):
        if not name.startswith("_"):
            assert getattr(found, name) is getattr(above, name), name


def test_functions_with_a_modules_name_stay_functions(dgl):
    """``dgl.batch`` and ``dgl.merge`` are functions in DGL, though files have these names too."""
    assert dgl.batch is hf.batch
    assert dgl.merge is hf.merge

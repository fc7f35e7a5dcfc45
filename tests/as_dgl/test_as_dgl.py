"""Programs written for DGL run on hopflow, unmodified."""

from __future__ import annotations

import gzip
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from as_dgl_process import run

import hopflow as hf
from hopflow import as_dgl
from hopflow.as_dgl.modules import DglModule
from hopflow.as_dgl.names import GRAPH, MODULES

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"
PAGE = HERE.parents[1] / "docs" / "dgl.md"


@pytest.fixture
def dgl():
    """The stand-in for DGL, for one test."""
    if "dgl" in sys.modules and not isinstance(sys.modules["dgl"], DglModule):
        pytest.skip("the real DGL is imported")
    as_dgl.install()
    import dgl

    yield dgl
    as_dgl.uninstall()


def write_csv(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        np.savetxt(file, array, delimiter=",", fmt="%g")


@pytest.fixture
def ogb_root(tmp_path):
    """A folder in which ogb finds "ogbn-arxiv": 1,500 nodes whose features tell their class."""
    pytest.importorskip("ogb")
    folder, rng, n = tmp_path / "dataset" / "ogbn_arxiv", np.random.default_rng(0), 1500
    label = rng.integers(40, size=n)
    write_csv(folder / "raw" / "edge.csv.gz", rng.integers(n, size=(6000, 2)))
    write_csv(folder / "raw" / "num-node-list.csv.gz", [n])
    write_csv(folder / "raw" / "num-edge-list.csv.gz", [6000])
    write_csv(folder / "raw" / "node-feat.csv.gz", np.eye(40)[label] + rng.normal(0, 0.1, (n, 40)))
    write_csv(folder / "raw" / "node_year.csv.gz", np.full(n, 2015))
    write_csv(folder / "raw" / "node-label.csv.gz", label)
    for key, ids in (
        ("train", range(1100)),
        ("valid", range(1100, 1300)),
        ("test", range(1300, n)),
    ):
        write_csv(folder / "split" / "time" / f"{key}.csv.gz", ids)
    (folder / "RELEASE_v1.txt").write_text("")
    return folder.parent


# --- whole programs


def test_the_tutorial_runs_twice(ogb_root, tmp_path):
    for attempt in range(2):
        done = run(SCRIPTS / "tutorial.py", ogb_root, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "tutorial done: 1500 nodes" in done.stdout
        assert done.stdout.rstrip().endswith("2 batches")
        # The first run parses the text, the second reads what the first has saved.
        assert ("Saving..." in done.stdout) == (attempt == 0)


@pytest.mark.parametrize(
    "options", [["--int32"], pytest.param(["--dt", "bfloat16"], marks=pytest.mark.slow)]
)
def test_node_classification_runs_twice(ogb_root, tmp_path, options):
    script = SCRIPTS / "node_classification.py"
    arguments = [script, "--dataset-dir", ogb_root, "--epochs", "4", *options]
    first, second = (run(*arguments, cwd=tmp_path) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert re.search(r"Test accuracy 0\.\d+$", first.stdout.rstrip())
    # One seed, one result, to the last digit printed.
    assert (
        second.stdout[second.stdout.index("Epoch") :] == first.stdout[first.stdout.index("Epoch") :]
    )


def test_link_prediction(ogb_root, tmp_path):
    arguments = [SCRIPTS / "link_prediction.py", ogb_root, "--epochs", "2"]
    first = run(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    second = run(*arguments, "--num-workers", "2", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    told = [done.stdout[done.stdout.index("Epoch 0") :] for done in (first, second)]
    assert re.search(r"edges before other pairs: 0\.\d+$", told[0].rstrip())
    # Threads that work ahead change neither batches nor negative pairs.
    assert told[0] == told[1]


@pytest.mark.slow
def test_node_classification_learns_a_real_graph(shared_data, tmp_path):
    pytest.importorskip("ogb")
    source, folder = shared_data / "facebook-page-page", tmp_path / "dataset" / "ogbn_arxiv"
    shutil.copytree(source / "raw", folder / "raw")
    shutil.copytree(source / "split" / "random", folder / "split" / "time")
    write_csv(folder / "raw" / "node_year.csv.gz", np.zeros(22_470))
    (folder / "RELEASE_v1.txt").write_text("")
    done = run(SCRIPTS / "node_classification.py", "--epochs", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.75


def test_a_pickled_split_of_numpy_arrays_loads(ogb_root, tmp_path):
    split = ogb_root / "ogbn_arxiv" / "split" / "time"
    ids = {"train": np.arange(9), "valid": np.arange(9, 12), "test": np.arange(12, 20)}
    torch.save(ids, split / "split_dict.pt")
    script = tmp_path / "s.py"
    script.write_text(
        "from ogb.nodeproppred import DglNodePropPredDataset\n"
        "from dgl.data import AsNodePredDataset\n"
        f"dataset = DglNodePropPredDataset('ogbn-arxiv', root={str(ogb_root)!r})\n"
        "print(AsNodePredDataset(dataset).val_idx.tolist())\n"
    )
    done = run(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[9, 10, 11]"


def test_a_damaged_cache_is_named(ogb_root, tmp_path):
    processed = ogb_root / "ogbn_arxiv" / "processed" / "dgl_data_processed"
    processed.parent.mkdir()
    processed.write_bytes(bytes.fromhex("3fa1b446f04f2edd02000000000000000200000000000000"))
    done = run(SCRIPTS / "tutorial.py", ogb_root, cwd=tmp_path)
    assert done.returncode == 1
    assert f"{processed}: damaged (" in done.stderr


# --- names


def test_modules_resolve_however_they_are_imported(dgl):
    import dgl.function as fn
    import dgl.nn.pytorch as dglnn
    from dgl.base import ALL, EID, NID, DGLError
    from dgl.dataloading import MultiLayerNeighborSampler
    from dgl.nn.pytorch.conv import SAGEConv

    assert fn.copy_u is hf.function.copy_u
    assert dglnn.SAGEConv is SAGEConv is dgl.nn.SAGEConv is hf.nn.SAGEConv
    assert MultiLayerNeighborSampler is hf.dataloading.MultiLayerNeighborSampler
    assert (ALL, EID, NID, DGLError) == ("__ALL__", hf.EID, hf.NID, hf.HopflowError)
    assert dgl.graph is hf.graph
    assert isinstance(hf.graph(([0], [1])), dgl.DGLGraph)
    assert dgl.sampling.sample_neighbors is hf.sample_neighbors
    assert dgl.random.seed is dgl.seed is hf.seed
    assert "graph" in dir(dgl)
    assert "knn_graph" not in dir(dgl)
    names: dict[str, object] = {}
    exec("from dgl.function import *", names)
    assert names["u_mul_e"] is fn.u_mul_e


def test_what_is_missing_says_so(dgl):
    advice = r"hopflow does not provide dgl\.knn_graph; docs/dgl\.md"
    with pytest.raises(AttributeError, match=advice):
        dgl.knn_graph  # noqa: B018
    with pytest.raises(ImportError, match=advice):
        from dgl import knn_graph  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"hopflow does not provide dgl\.sparse"):
        import dgl.sparse
    with pytest.raises(ImportError, match=r"hopflow does not provide dgl\.distributed"):
        from dgl import distributed  # noqa: F401
    assert not hasattr(dgl, "no_such_thing")
    assert not hasattr(dgl, "Block")  # hopflow's own


def test_names_that_hopflow_gains_are_found(dgl, monkeypatch):
    monkeypatch.setattr(hf.nn, "SGConv", "a layer", raising=False)
    monkeypatch.setattr(hf.dataloading, "ShaDowKHopSampler", "a sampler", raising=False)
    assert dgl.nn.SGConv == dgl.nn.pytorch.conv.SGConv == "a layer"
    assert dgl.dataloading.ShaDowKHopSampler == "a sampler"


def test_a_real_dgl_is_refused(monkeypatch):
    fake = type(sys)("dgl")
    fake.__file__ = "/somewhere/dgl/__init__.py"
    monkeypatch.setitem(sys.modules, "dgl", fake)
    with pytest.raises(hf.HopflowError, match=r"got the real one from /somewhere/dgl/__init__\.py"):
        as_dgl.install()
    assert sys.modules["dgl"] is fake


def test_installing_twice_and_uninstalling(dgl):
    as_dgl.install()
    assert sys.modules["dgl"] is dgl
    assert sum(type(finder).__name__ == "Finder" for finder in sys.meta_path) == 1
    as_dgl.uninstall()
    assert not [name for name in sys.modules if name.split(".")[0] == "dgl"]
    as_dgl.install()


def test_samplers_in_worker_threads_import_dgl(dgl, small_graph):
    class Sampler(dgl.dataloading.BlockSampler):
        def sample_blocks(self, g, seed_nodes):
            import dgl.sampling
            from dgl.base import NID

            frontier = dgl.sampling.sample_neighbors(g, seed_nodes, 3)
            block = dgl.to_block(frontier, seed_nodes)
            return block.srcdata[NID], seed_nodes, [block]

    def batches(num_workers):
        loader = dgl.dataloading.DataLoader(
            small_graph,
            torch.arange(100),
            Sampler(),
            batch_size=10,
            num_workers=num_workers,
            seed=3,
        )
        return [input_nodes.tolist() for input_nodes, _, _ in loader]

    assert batches(3) == batches(0)


# --- the page


def rows():
    """(module, name, whether it is said to be there) of every row of the page's tables."""
    module, found = "", []
    for line in PAGE.read_text().splitlines():
        heading = re.match(r"##+ `([\w.]+)`", line)
        if heading:
            module = heading[1]
        elif line.startswith("#"):
            module = ""
        cells = [cell.strip() for cell in line.split("|")]
        if module and len(cells) == 5 and cells[2] in ("yes", "no"):
            found += [
                (module, name, cells[2] == "yes") for name in re.findall(r"`(\w+)`", cells[1])
            ]
    return found


def test_the_page_lists_every_name_once():
    listed = [(module, name) for module, name, _ in rows()]
    assert len(listed) == len(set(listed))
    pages = {"dgl", "dgl.function", "dgl.dataloading", "dgl.nn.pytorch", "dgl.ops", "dgl.optim"}
    pages.add("dgl.sampling")
    wanted = {(module, name) for module in pages for name in MODULES[module].public}
    wanted |= {("dgl.DGLGraph", name) for name in GRAPH}
    missing = wanted - set(listed)
    assert not missing, f"docs/dgl.md does not list {sorted(missing)}"


def test_the_page_tells_the_truth(dgl):
    wrong = []
    graph = hf.graph(([0], [1]))
    for module, name, is_there in rows():
        owner = graph if module == "dgl.DGLGraph" else sys.modules[module]
        if hasattr(owner, name) != is_there:
            wrong.append(f"{module}.{name} is {'not ' if is_there else ''}there")
    assert not wrong, f"docs/dgl.md should say: {', '.join(wrong)}"


# --- dgl.ops


def test_ops_are_the_functional_ones(dgl, small_graph):
    import hopflow.functional as functional

    for name in functional.__all__:
        assert getattr(dgl.ops, name) is getattr(functional, name)
    x = small_graph.ndata["feat"]
    src, _ = small_graph.edges()
    assert torch.equal(dgl.ops.copy_u(small_graph, x), x[src])
    # Two modules have this name: DGL's takes lengths, hopflow.ops' takes offsets.
    assert dgl.ops.segment_reduce(torch.tensor([1, 2]), torch.ones(3)).tolist() == [1, 2]


# --- odds and ends


def test_heterograph(dgl):
    made = dgl.heterograph({("n", "e", "n"): ([0, 1], [1, 2])}, num_nodes_dict={"n": 5})
    assert (made.num_nodes(), made.num_edges()) == (5, 2)
    assert (made.ntypes, made.canonical_etypes) == (["n"], [("n", "e", "n")])
    made = dgl.heterograph({("a", "e", "b"): ([0], [1]), ("b", "f", "a"): ([1, 0], [0, 3])})
    assert {t: made.num_nodes(t) for t in made.ntypes} == {"a": 4, "b": 2}
    merged = dgl.to_homogeneous(made)
    assert merged.ndata[dgl.NTYPE].tolist() == [0, 0, 0, 0, 1, 1]
    assert merged.edata[dgl.ETYPE].tolist() == [0, 1, 1]


def test_as_node_pred_dataset(dgl, small_graph):
    class Mine:
        name = "mine"

        def __getitem__(self, i):
            return small_graph

    with pytest.raises(ValueError, match="node column 'train_mask', or split_ratio"):
        dgl.data.AsNodePredDataset(Mine())
    made = dgl.data.AsNodePredDataset(Mine(), [0.5, 0.25, 0.25])
    assert [len(x) for x in (made.train_idx, made.val_idx, made.test_idx)] == [100, 50, 50]
    assert made.num_classes == 4
    assert "train_mask" not in small_graph.ndata
    torch.manual_seed(0)
    again = dgl.data.AsNodePredDataset(Mine(), [0.5, 0.25, 0.25])
    torch.manual_seed(0)
    same = dgl.data.AsNodePredDataset(Mine(), [0.5, 0.25, 0.25])
    assert torch.equal(again.train_idx, same.train_idx)
    parts = torch.cat([made.train_idx, made.val_idx, made.test_idx])
    assert torch.equal(parts.sort().values, torch.arange(200))
    with pytest.raises(ValueError, match="split_ratio: expected three shares"):
        dgl.data.AsNodePredDataset(Mine(), [0.9, 0.9, 0.1])
    synthetic = dgl.data.AsNodePredDataset(hf.datasets.load("arxiv-like"))
    assert synthetic[0].ndata["label"].dim() == 1
    assert len(synthetic.train_idx) == 90_941
    assert synthetic.num_classes == 40


def test_masks_of_labels_in_a_matrix_are_one_a_node(dgl, small_graph):
    graph = small_graph.clone()
    graph.ndata["label"] = graph.ndata["label"][:, None]
    made = dgl.data.AsNodePredDataset([graph], [0.5, 0.25, 0.25])
    assert made[0].ndata["train_mask"].shape == (200,)
    assert made.train_idx.shape == (100,)


def test_as_node_pred_dataset_of_one_of_several_types(dgl):
    graph = dgl.heterograph(
        {("paper", "cites", "paper"): ([0, 1], [1, 2]), ("author", "writes", "paper"): ([0], [3])}
    )
    labels = {"paper": torch.tensor([[2], [0], [1], [1]])}
    split = {
        "train": {"paper": torch.tensor([3, 0])},
        "valid": {"paper": [1]},
        "test": {"paper": []},
    }

    class Typed:
        name = "typed"

        def __getitem__(self, i):
            return graph, labels

        def get_idx_split(self):
            return split

    made = dgl.data.AsNodePredDataset(Typed(), target_ntype="paper")
    paper = made[0].nodes["paper"].data
    assert paper["label"].tolist() == [2, 0, 1, 1]
    assert paper["train_mask"].tolist() == [True, False, False, True]
    assert (made.train_idx.tolist(), made.val_idx.tolist(), len(made.test_idx)) == ([0, 3], [1], 0)
    assert made.num_classes == 3
    assert "label" not in made[0].nodes["author"].data
    assert "label" not in graph.nodes["paper"].data
    drawn = dgl.data.AsNodePredDataset(Typed(), [0.5, 0.25, 0.25], target_ntype="paper")
    assert len(drawn.train_idx) == 2
    for wrong in (None, "venue"):
        with pytest.raises(
            ValueError, match="target_ntype: expected one of 'author', 'paper', got"
        ):
            dgl.data.AsNodePredDataset(Typed(), target_ntype=wrong)
    with pytest.raises(ValueError, match=r"target_ntype: expected a type with labels .*'author'"):
        dgl.data.AsNodePredDataset(Typed(), target_ntype="author")

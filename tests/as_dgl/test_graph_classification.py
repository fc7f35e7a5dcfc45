"""A program written for DGL that classifies graphs runs unmodified, on hopflow and on DGL."""

from __future__ import annotations

import re

import pytest
from test_typed_scripts import number_after, run  # noqa: F401  a fixture

import hopflow as hf
from hopflow.as_dgl.data import Subset
from hopflow.as_dgl.graph_data import AsGraphPredDataset, DGLDataset, split_dataset


def losses(output: str) -> list[str]:
    return re.findall("^Epoch.*", output, re.M)


@pytest.mark.parametrize("pooling", ["sum", pytest.param("set2set", marks=pytest.mark.slow)])
def test_graph_classification(run, pooling):  # noqa: F811
    script = "graph_classification.py"
    first = run(script, "--pooling", pooling, "--epochs", 12)
    assert "240 graphs, 4 classes, 5 features" in first
    assert number_after("Test accuracy", first) > 0.5  # one class in four
    assert "Processing" in first
    if run.engine == "hopflow" and pooling == "sum":
        # From what the first run has saved, and by worker processes.
        second = run(script, "--epochs", 1, "--num-workers", 1)
        assert "Processing" not in second
        assert len(losses(second)) == 1


class Squares(DGLDataset):
    """Graphs of one node whose labels are squares; notes what it is asked to do."""

    def __init__(self, **options):
        self.calls: list[str] = []
        super().__init__("squares", **options)

    def process(self):
        self.calls.append("process")
        self.items = [(hf.graph(([0], [0])), i * i) for i in range(10)]

    def save(self):
        self.calls.append("save")

    def __getitem__(self, idx):
        return self.items[idx]

    def __len__(self):
        return len(self.items)


class Kept(Squares):
    """One that says it is on disk."""

    fails = False

    def has_cache(self):
        return True

    def load(self):
        self.calls.append("load")
        if self.fails:
            raise OSError("broken")
        self.items = []


class Broken(Kept):
    fails = True


class Fetched(Squares):
    def download(self):
        self.calls.append("download")


def test_what_a_data_set_calls(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DGL_DOWNLOAD_DIR", str(tmp_path / "raw"))
    plain = Squares()
    assert plain.calls == ["process", "save"]
    assert not (tmp_path / "raw").exists()
    assert (plain.name, plain.raw_path) == ("squares", str(tmp_path / "raw" / "squares"))
    # As DGL writes it.
    assert plain.hash == "f9065fa7"
    assert repr(plain) == f'Dataset("squares", num_graphs=10, save_path={plain.save_path})'
    assert Kept().calls == ["load"]
    assert Kept(force_reload=True).calls == ["process", "save"]
    assert Broken(verbose=True).calls == ["load", "process", "save"]
    assert "re-processing" in capsys.readouterr().out
    fetched = Fetched(url="https://example.org/x")
    assert fetched.calls == ["download", "process", "save"]
    assert fetched.raw_path.startswith(str(tmp_path / "raw" / "squares_"))
    (tmp_path / "raw" / "squares").mkdir()
    assert Fetched().calls == ["process", "save"]
    with pytest.raises(NotImplementedError, match=r"DGLDataset.process"):
        DGLDataset("none")


def test_split_dataset(tmp_path):
    data = Squares(raw_dir=str(tmp_path))
    parts = split_dataset(data)
    assert [len(part) for part in parts] == [8, 1, 1]
    assert all(isinstance(part, Subset) for part in parts)
    assert [label for _, label in parts[2]] == [81]
    halves = split_dataset(data, [0.55, 0.45], shuffle=True, random_state=3)
    assert [len(part) for part in halves] == [5, 5]
    # numpy's legacy generator, as DGL's.
    assert halves[0].indices + halves[1].indices == [5, 4, 1, 2, 9, 6, 7, 0, 3, 8]
    hf.seed(0)
    first = split_dataset(data, shuffle=True)
    hf.seed(0)
    assert split_dataset(data, shuffle=True)[0].indices == first[0].indices
    for shares in ([0.5, 0.4], [1.5, -0.5], []):
        with pytest.raises(ValueError, match="frac_list"):
            split_dataset(data, shares)


def test_as_graph_pred_dataset(tmp_path):
    data = Squares(raw_dir=str(tmp_path))
    with pytest.raises(ValueError, match="split_ratio"):
        AsGraphPredDataset(data)
    made = AsGraphPredDataset(data, (0.6, 0.2, 0.2))
    parts = [made.train_idx, made.val_idx, made.test_idx]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sorted(int(i) for part in parts for i in part) == [*range(10)]
    assert (made.num_classes, made.num_tasks, made.node_feat_size) == (None, 1, None)
    assert made[3] is data[3]
    assert len(made) == 10
    assert repr(made) == 'Dataset("squares-as-graphpred", num_graphs=10)'
    data.train_mask, data.val_mask, data.test_mask = (
        [i in ids for i in range(10)] for ids in ((0, 1), (2,), (5, 9))
    )
    assert AsGraphPredDataset(data).test_idx.tolist() == [5, 9]
    data.get_idx_split = lambda: {"train": [3], "valid": [4, 5], "test": [6]}
    assert AsGraphPredDataset(data).val_idx.tolist() == [4, 5]

"""``hopflow partition``, as a user types it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import hopflow as hf
from hopflow.commands.app import app
from hopflow.distributed.folder.reader import open_folder
from hopflow.partitioning import assign
from hopflow.train import TrainConfig
from hopflow.train.data import prepare
from hopflow.train.typed_data import prepare_typed


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *args: runner.invoke(app, ["partition", *[str(a) for a in args]])


class _Report:
    def __init__(self, num_parts: int) -> None:
        self._num_parts = num_parts

    def to_dict(self) -> dict[str, Any]:
        return {
            "edge_cut": 0.25,
            "balance": {"nodes": 1.0, "train": 1.5},
            "replicated_rows": list(range(10, 10 + self._num_parts)),
        }


@pytest.fixture
def calls(monkeypatch):
    """Nodes go to the parts in turn; what the partitioner was asked is noted."""
    noted: list[dict[str, Any]] = []

    def assign_parts(graph, num_parts, **options):
        noted.append({"graph": graph, "num_parts": num_parts, **options})
        return {
            ntype: (torch.arange(graph.num_nodes(ntype)) % num_parts).to(torch.int16)
            for ntype in graph.ntypes
        }

    def report_on(graph, parts, num_parts, train=None):
        return _Report(num_parts)

    monkeypatch.setattr(assign, "assign_parts", assign_parts)
    monkeypatch.setattr(assign, "report_on", report_on)
    return noted


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "graph.npz"
    np.savez(
        path,
        src=rng.integers(90, size=400),
        dst=rng.integers(90, size=400),
        feat=rng.normal(size=(90, 4)).astype(np.float32),
        label=np.arange(90) % 3,
        train_idx=np.arange(0, 60),
        valid_idx=np.arange(60, 70),
        test_idx=np.arange(70, 90),
    )
    return path


def test_writes_what_train_would_see(run, calls, graph_file, tmp_path):
    folder = tmp_path / "made" / "p"
    done = run(graph_file, folder, "--parts", 3, "--method", "stream", "--imbalance", "0.1",
               "--seed", 5, "--json", "--check")  # fmt: skip
    assert done.exit_code == 0, done.output
    (call,) = calls
    assert {k: call[k] for k in ("num_parts", "method", "imbalance", "seed")} == {
        "num_parts": 3, "method": "stream", "imbalance": 0.1, "seed": 5,
    }  # fmt: skip
    assert call["train"]["_N"].tolist() == list(range(60))
    config = TrainConfig(data=str(graph_file))
    graph, split = prepare(config, hf.datasets.load(graph_file))
    opened = open_folder(folder)
    whole = opened.topology()
    for mine, wanted in zip(whole.edges(), graph.edges()):
        assert torch.equal(mine, wanted)
    for p in range(3):
        part = opened.part(p)
        ids = part.ids().long()
        assert part.columns().keys() == {"feat", "label"}
        for name, column in part.columns().items():
            assert torch.equal(column, graph.ndata[name][ids])
    assert opened.splits().keys() == {"train", "valid", "test"}
    for name, ids in split.items():
        assert torch.equal(opened.splits()[name]["_N"], ids)
    assert opened.num_classes == 3
    result = json.loads(done.stdout)
    assert result["partition_id"] == opened.partition_id
    assert result["report"]["edge_cut"] == 0.25
    assert [row["nodes"] for row in result["parts"]] == [30, 30, 30]
    assert [row["train_nodes"] for row in result["parts"]] == [20, 20, 20]
    assert [row["replicated_rows"] for row in result["parts"]] == [10, 11, 12]
    assert sum(row["in_edges"] for row in result["parts"]) == graph.num_edges()
    assert all(row["bytes"] > 0 for row in result["parts"])
    assert "are as they were written" in done.stderr


def test_a_table_for_people(run, calls, graph_file, tmp_path):
    done = run(graph_file, tmp_path / "p", "--parts", 2, "--directed", "--no-topology")
    assert done.exit_code == 0, done.output
    for text in ("training nodes", "replicated rows", "edge cut: 0.25", "balance: nodes 1"):
        assert text in done.stdout
    opened = open_folder(tmp_path / "p")
    assert not opened.has_topology
    assert sum(opened.num_edges.values()) == 400
    again = run(graph_file, tmp_path / "p", "--parts", 2)
    assert again.exit_code == 2
    assert "holds a partition already" in again.stderr
    assert len(calls) == 1  # refused before the work
    assert run(graph_file, tmp_path / "p", "--parts", 4, "--overwrite").exit_code == 0
    assert open_folder(tmp_path / "p").num_parts == 4


def test_several_types(run, calls, tmp_path):
    done = run("mag-like", tmp_path / "p", "--scale", "0.001", "--parts", 2)
    assert done.exit_code == 0, done.output
    config = TrainConfig(data="mag-like", scale=0.001, model="rgcn")
    graph, target, split = prepare_typed(config, hf.datasets.mag_like(scale=0.001))
    opened = open_folder(tmp_path / "p")
    assert opened.relations == tuple(graph.canonical_etypes)
    assert opened.splits()["train"].keys() == {target}
    assert torch.equal(opened.splits()["train"][target], split["train"])
    assert set(opened.part(0).columns(target)) == set(graph.nodes[target].data)


def test_without_labels(run, calls, tmp_path):
    path = tmp_path / "graph.npz"
    np.savez(path, src=np.arange(9), dst=np.arange(9)[::-1], feat=np.ones((9, 2)))
    done = run(path, tmp_path / "p", "--parts", 2)
    assert done.exit_code == 0, done.output
    assert calls[0]["train"] is None
    assert open_folder(tmp_path / "p").splits() == {}


def test_check_of_a_folder(run, calls, graph_file, tmp_path):
    folder = tmp_path / "a[/]b"
    assert run(graph_file, folder, "--parts", 2).exit_code == 0
    done = run("--check", folder)
    assert done.exit_code == 0, done.output
    assert "2 parts, 90 nodes and" in done.stdout
    assert json.loads(run("--check", folder, "--json").stdout)["faults"] == []
    file = folder / "part-1" / "node-0.ids.npy"
    file.write_bytes(file.read_bytes()[:-1])
    done = run("--check", folder)
    assert done.exit_code == 1
    assert "part-1/node-0.ids.npy: expected 308 bytes, got 307" in done.stderr
    assert len(json.loads(run("--check", folder, "--json").stdout)["faults"]) == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "expected DATA FOLDER --parts P, or --check FOLDER"),
        (["DATA", "p"], "expected DATA FOLDER --parts P"),
        (["DATA", "--check", "--parts", 2], "--parts: expected DATA and FOLDER with it"),
        (["DATA", "p", "--parts", 0], "--parts: expected 1 to 32767, got 0"),
        (["DATA", "p", "--parts", 2, "--method", "best"], "--method: expected one of auto"),
        (["DATA", "p", "--parts", 2, "--imbalance", -1], "--imbalance: expected a number >= 0"),
        (["DATA", "DATA", "--parts", 2, "--overwrite"], "is no partition to replace"),
        (["nothing.npz", "p", "--parts", 2], "nothing.npz"),
    ],
)
def test_one_line_says_what_is_wrong(run, calls, graph_file, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    done = run(*[graph_file if a == "DATA" else a for a in args])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert calls == []
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_partitioner_leaves_nothing(run, graph_file, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise ImportError("kaminpar is missing: pip install 'hopflow[partition]'")

    monkeypatch.setattr(assign, "assign_parts", fail)
    done = run(graph_file, tmp_path / "p", "--parts", 2)
    assert done.exit_code == 2
    assert "kaminpar is missing" in done.stderr
    assert list(tmp_path.iterdir()) == []

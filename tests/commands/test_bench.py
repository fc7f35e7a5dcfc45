"""The benchmark harness on tiny work: fake engines, workers that die and hang, the report."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from hopflow.commands import bench
from hopflow.commands.app import app

sys.path.insert(0, str(bench.find()))
orchestrate = importlib.import_module("hopbench.orchestrate")
summary = importlib.import_module("hopbench.summary")
workloads = importlib.import_module("hopbench.workloads")
case_module = importlib.import_module("hopbench.case")

# Engines of a benchmark that takes no time: sleeping stands for work.
FAKE = """
import os, sys, time
from hopbench import Case, Entry, Growth, Task, Unavailable

def sleeper(seconds, edges=100.0):
    def setup(workloads, **options):
        print("a library prints while it is set up")
        os.write(1, b"so does its C code\\n")
        def measure():
            print("and while it runs")
            time.sleep(seconds)
            return seconds
        work = {"edges": edges, "lines": edges, "bytes_reuse": 1e3, "bytes_none": 2e3}
        return Task(measure, measure, work)
    return setup

def dies(workloads, **options):
    runs = []
    def measure():
        runs.append(0)
        if len(runs) > 1:
            sys.stderr.write("out of luck\\n")
            sys.stderr.flush()
            os._exit(7)
        return 0.001
    return Task(measure, measure)

def hangs(workloads, **options):
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)

def breaks(workloads, **options):
    raise RuntimeError("no such kernel")

def lacks(workloads, **options):
    raise Unavailable("needs a sampler")

def grown(workloads, size):
    return sleeper(0.001 * size, edges=size)(workloads)

CASES = [
    Case(name="fake.compare", what="Two engines", limit="lines", workloads=["tiny"], entries=[
        Entry("hopflow", sleeper(0.002), {"num_workers": 0}),
        Entry("hopflow", sleeper(0.001), {"num_workers": 2}),
        Entry("torch", sleeper(0.004)),
        Entry("dgl", sleeper(0.0005, edges=50.0)),
    ]),
    Case(name="fake.trouble", what="All that goes wrong", entries=[
        Entry("hopflow", sleeper(0.001)),
        Entry("dgl", dies),
        Entry("dgl", sleeper(0.002), {"num_workers": 2}),
        Entry("graphbolt", breaks),
        Entry("graphbolt", lacks),
        Entry("pyg", sleeper(0.001)),
    ]),
    Case(name="fake.hang", what="Never ends", heavy=True, entries=[
        Entry("hopflow", sleeper(0.001)), Entry("torch", hangs),
    ]),
    Growth(name="fake.growth", what="Grows", entries=[
        Entry("hopflow", grown, {"size": n}) for n in (1, 2, 4)
    ], x="size", x_label="size", y_label="ns an edge", per="edges", bound="at most 5 times",
       judge=lambda points: points[-1].seconds / points[0].seconds, passes=lambda v: v <= 5),
    Case(name="fake.absent", what="Its data is not here", workloads=["cornell5"],
         entries=[Entry("hopflow", sleeper(0.001))]),
]
"""
LIMITS = """
from hopbench import Case, Entry, Task

def lines(workloads):
    return Task(lambda: None, lambda: 0.001, {"lines": 1000.0})

CASES = [Case(name="limits.lines", what="Lines", entries=[Entry("torch", lines)], ours="torch")]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fake")
    (path / "bench_fake.py").write_text(FAKE)
    (path / "bench_limits.py").write_text(LIMITS)
    return path


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    # bench_fake and bench_limits are the fake ones here, whatever was imported before.
    for name in ("bench_fake", "bench_limits"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("HOPFLOW_DATA", str(tmp_path / "nothing"))

    def run(*cases, **options):
        said: list[str] = []
        settings = orchestrate.Settings(
            cases=cases, cache=tmp_path / "cache", **{"repeats": 2, "threads": 1, **options}
        )
        return orchestrate.run(folder, settings, said.append), said

    yield run
    for name in ("bench_fake", "bench_limits"):
        sys.modules.pop(name, None)


def by_name(results, name):
    return next(case for case in results["cases"] if case["name"] == name)


def test_engines_take_turns_and_the_best_configuration_counts(run):
    results, said = run("fake.compare", "fake.growth", peers={"dgl": sys.executable})
    assert [case["name"] for case in results["cases"]] == [
        "limits.lines", "fake.compare", "fake.growth",
    ]  # fmt: skip
    case = by_name(results, "fake.compare")
    assert [e["status"] for e in case["entries"]] == ["ok"] * 4, said
    assert all(len(e["seconds"]) == 2 for e in case["entries"])
    row = summary.summarise(case, summary.limits(results))
    assert row.ours["label"] == "hopflow (num workers 2)"
    ratios = {ratio.peer: ratio for ratio in row.ratios}
    assert ratios["torch"].value == pytest.approx(4)
    assert ratios["dgl"].value == pytest.approx(0.5)
    assert ratios["dgl"].low <= ratios["dgl"].value <= ratios["dgl"].high
    # 100 lines at a million lines a second, in a millisecond.
    assert row.shares[0].share == pytest.approx(0.1)
    assert row.unequal == ["dgl did 0.50 times the edges of ours: it samples by other rules"]
    growth = by_name(results, "fake.growth")["growth"]
    assert growth["value"] == pytest.approx(4)
    assert growth["passed"] is True
    assert results["engines"]["dgl"]["torch"] != "not installed"
    assert results["engines"]["hopflow"]["hopflow"] != "not installed"


def test_troubles_are_written_down_and_the_rest_goes_on(run):
    results, said = run(
        "fake.trouble", "fake.absent",
        peers={"dgl": sys.executable, "graphbolt": sys.executable},
    )  # fmt: skip
    entries = by_name(results, "fake.trouble")["entries"]
    assert [e["status"] for e in entries] == ["ok", "died", "ok", "failed", "missing", "missing"]
    assert len(entries[0]["seconds"]) == len(entries[2]["seconds"]) == 2
    reasons = [e["reason"] for e in entries]
    assert reasons[1] == "the worker ended with exit status 7: out of luck"
    assert reasons[3:] == ["RuntimeError: no such kernel", "needs a sampler", "no --peer pyg"]
    assert any("no such kernel" in line for line in said)
    (absent,) = by_name(results, "fake.absent")["entries"]
    assert absent["status"] == "missing"
    assert "cornell5.npz: no such file" in absent["reason"]


def test_a_worker_that_hangs_is_ended_with_its_children(run):
    results, _ = run("fake.hang", timeout=2.0)
    ours, hung = by_name(results, "fake.hang")["entries"]
    assert hung["status"] == "timeout"
    assert hung["reason"] == "no answer to load in 2 s"
    # It shared the process of hopflow, which was started again.
    assert ours["status"] == "ok"
    assert len(ours["seconds"]) == 2


def test_a_python_that_is_no_python(run, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    script.chmod(0o755)
    results, _ = run("fake.compare", peers={"dgl": str(script)})
    entry = by_name(results, "fake.compare")["entries"][3]
    assert entry["status"] == "died"
    assert "exit status 3: broken" in entry["reason"]


def test_the_schema_and_the_report(run, tmp_path):
    pytest.importorskip("matplotlib")
    results, _ = run("fake.compare", "fake.growth", "fake.trouble", peers={"dgl": sys.executable})
    assert set(results) == {
        "format", "date", "settings", "machine", "checkout", "is_complete", "cases", "engines",
        "wall_seconds",
    }  # fmt: skip
    assert results["is_complete"] is True
    assert set(results["machine"]) >= {"cpu", "cores", "memory_gib", "kernel", "load_before"}
    assert results["checkout"] is None
    path = tmp_path / "out" / "results.json"
    path.parent.mkdir()
    path.write_text(json.dumps(results))
    shown = StringIO()
    report = bench.redraw(path, Console(file=shown, width=200))
    text = report.read_text()
    assert "hopflow is faster in" in text
    assert "`fake.compare`: dgl needs 0.50 times hopflow's time" in text
    assert "no --peer graphbolt" in text
    for picture in re.findall(r"\]\((.*?\.png)\)", text):
        assert (report.parent / picture).read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in report.parent.glob("*.png")} == {
        "ratios.png", "limits.png", "fake.growth.png",
    }  # fmt: skip
    assert "at most 5 times: kept" in shown.getvalue()
    before = text
    assert bench.redraw(path, Console(file=StringIO())).read_text() == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "no case begins with 'nope'; there are add_to_sources, attention"),
        (["--peer", "dgl"], "--peer: expected name=/path/to/python, got 'dgl'"),
        (["--peer", "dgl=/missing/python"], "--peer dgl: /missing/python: no such file"),
        (["--peer", f"tf={sys.executable}"], "--peer: expected one of dgl, graphbolt, pyg"),
        (["--repeats", "0"], "--repeats: expected at least 1, got 0"),
        (["--report", "missing.json"], "--report missing.json: no such file"),
        (["loader.papers", "--quick"], "--quick leaves none of these cases"),
    ],
)
def test_mistakes_get_one_readable_line(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", *args])
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())


def test_what_is_no_result_is_refused(tmp_path):
    path = tmp_path / "results.json"
    for text, message in (("{", "which are JSON"), ('{"format": 0}', "format 1, got 0")):
        path.write_text(text)
        done = CliRunner().invoke(app, ["bench", "--report", str(path)])
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.split())


def test_every_case_is_declared_well():
    found = case_module.discover(bench.find())
    assert {name.split(".")[0] for name in found} == {
        "add_to_sources", "attention", "blocks", "compact", "csc", "cuda", "disk_rows", "epoch",
        "first_layer", "gather", "gather_decoded", "growth", "labor", "limits", "loader",
        "overhead", "owners", "partition", "ppr", "random_walk", "sample", "sample_weighted",
        "sddmm", "spmm", "spmm_binary", "subgraphs", "temporal", "traversals",
    }  # fmt: skip
    for _, case in found.values():
        assert case.what
        assert any(entry.engine == case.ours for entry in case.entries)
        assert set(case.workloads) <= set(workloads.MAKERS)
    done = CliRunner().invoke(app, ["bench", "--list"])
    assert "loader.products.15-10-5" in done.stdout


def test_graphs_have_the_sizes_they_claim(tmp_path):
    workloads.make("tiny", tmp_path)
    ours = workloads.Workloads(tmp_path)
    indptr, indices = ours.graph("tiny")
    shape = workloads.SHAPES["tiny"]
    assert len(indptr) - 1 == shape.num_nodes
    assert indptr[-1] == len(indices) == shape.num_edges
    assert np.diff(indptr).max() <= shape.max_degree
    dst = np.repeat(np.arange(shape.num_nodes), np.diff(indptr))
    pairs = np.stack([indices, dst])
    order = np.lexsort(pairs)
    assert (pairs[:, order] == pairs[::-1][:, np.lexsort(pairs[::-1])]).all()  # symmetric
    seeds = ours.batches("tiny", 64, 20).reshape(20, 64)
    assert all(len(set(batch)) == 64 for batch in seeds.tolist())
    again = workloads.make_graph(shape, seed=1)
    assert (again["indices"] == indices).all()
    assert os.listdir(tmp_path) == ["tiny-v1"]

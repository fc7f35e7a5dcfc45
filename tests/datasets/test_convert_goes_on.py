"""Conversions that end in the middle: what is left, and how they go on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import killed_conversions
import numpy as np
import pytest
from graphs_alike import files_of

from hopflow import datasets
from hopflow.datasets.conversion import options, staging
from hopflow.datasets.conversion.growing import GrowingArray
from hopflow.datasets.conversion.runs import planned


@pytest.mark.parametrize(
    "flags", [[], ["undirected", "keep_edge_ids"], ['dtypes={"feat": "int8"}']]
)
def test_killed_at_ten_moments(source, flags, tmp_path):
    moments = [1, 6, 13, 10, 16, 9, 12, 11, 3, 14]
    script = Path(__file__).with_name("killed_conversions.py")
    done = subprocess.run(
        [sys.executable, script, source, tmp_path / "out", json.dumps(moments), "20000", *flags],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    counts = [int(line.split(" after ")[1].split()[0]) for line in said if "going on" in line]
    assert len(counts) >= 7  # the first ones were killed before a step was finished
    assert len(set(counts)) >= 6
    assert counts == sorted(counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "LEAST_EDGES", 50)
        asked = dict(map(killed_conversions.option, flags))
        datasets.convert(source, tmp_path / "whole", memory=20_000, **asked)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert not (tmp_path / "out.converting").exists()


def stop_at(patch, number: int, error: BaseException) -> None:
    """Raise an error at the n-th piece of an array."""
    real, count = GrowingArray.write, 0

    def write(self, rows):
        nonlocal count
        count += 1
        if count == number:
            raise error
        real(self, rows)

    patch.setattr(GrowingArray, "write", write)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")]
)
def test_an_interrupt_and_a_full_disk_leave_what_is_done(source, error, tmp_path, monkeypatch):
    said = []
    with monkeypatch.context() as patch:
        stop_at(patch, 6, error)
        with pytest.raises(type(error)):
            datasets.convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    datasets.convert(source, tmp_path / "out", on_message=said.append)
    assert len(said) == 1
    assert "out.converting: going on after" in said[0]
    datasets.convert(source, tmp_path / "whole")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("change", ["option", "source", "journal", "file"])
def test_starts_anew_where_something_changed(source, change, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 6, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            datasets.convert(source, tmp_path / "out")
    asked, told = {}, "starting anew"
    if change == "option":
        asked, told = {"undirected": True}, "of a conversion with other undirected"
    elif change == "source":
        np.save(source / "weight.npy", np.zeros(400))
        told = "of a conversion with other files"
    elif change == "journal":
        (tmp_path / "out.converting" / "journal.json").write_text("{")
    else:
        os.truncate(tmp_path / "out.converting" / "made" / "edge-0.indices.npy", 5)
        told = "edge-0.indices.npy: is not as it was left"
    said = []
    datasets.convert(source, tmp_path / "out", on_message=said.append, **asked)
    assert told in said[0]
    datasets.convert(source, tmp_path / "whole", **asked)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_wrong_source_leaves_nothing(source, tmp_path):
    src = np.load(source / "src.npy")
    src[321] = 90
    np.save(source / "src.npy", src)
    with pytest.raises(
        ValueError, match=r"src\.npy \(source\): .* below num_nodes = 90, got 90 in row 321"
    ):
        datasets.convert(source, tmp_path / "out")
    assert {x.name for x in tmp_path.iterdir()} == {"g"}


def test_two_at_once(source, tmp_path, monkeypatch):
    def within(self, rows):
        datasets.convert(source, tmp_path / "out")

    monkeypatch.setattr(GrowingArray, "write", within)
    with pytest.raises(BlockingIOError, match=r"another conversion is at work in it"):
        datasets.convert(source, tmp_path / "out")


def test_a_full_disk_is_told_with_the_file(tmp_path):
    # A limit on the size of files stands in for the disk's.
    code = (
        "import resource, signal, sys; from hopflow import datasets\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "datasets.convert(sys.argv[1], sys.argv[2])\n"
    )
    np.savez(tmp_path / "g.npz", src=np.arange(50_000), dst=np.arange(50_000))
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "g.npz", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "File too large: " in last
    assert f"{tmp_path}/out.converting/forward." in last


def test_what_is_there_is_kept_until_the_new_one_is_whole(source, tmp_path, monkeypatch):
    first = datasets.convert(source, tmp_path / "out")
    with pytest.raises(FileExistsError, match="holds a graph already; overwrite replaces it"):
        datasets.convert(source, tmp_path / "out")
    with monkeypatch.context() as patch:
        stop_at(patch, 6, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            datasets.convert(source, tmp_path / "out", undirected=True, overwrite=True)
    assert datasets.check_graph(tmp_path / "out") == []
    assert datasets.convert(source, tmp_path / "out", undirected=True, overwrite=True) != first
    with pytest.raises(FileExistsError, match="is no graph folder to replace"):
        datasets.convert(source, source, overwrite=True)
    with pytest.raises(FileNotFoundError, match="expected a folder to put it in"):
        datasets.convert(source, tmp_path / "no" / "out")


def test_memory_is_bounded(tmp_path):
    """Beyond what a program that imports hopflow takes; 5 M edges are 80 MB, their column 40."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "g.npz",
        src=rng.integers(300_000, size=5_000_000),
        dst=rng.integers(300_000, size=5_000_000),
        num_nodes=300_000,
        w=np.zeros(5_000_000),
        feat=np.zeros((300_000, 64), np.float32),
    )
    code = (
        "import resource, sys, torch; from hopflow import datasets\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "def convert(source, folder): datasets.convert(source, folder, memory='24MiB')\n"
        "convert(sys.argv[2], sys.argv[1] + '/small'); before = peak()\n"
        "convert(sys.argv[1] + '/g.npz', sys.argv[1] + '/out'); print(peak() - before)\n"
    )
    np.savez(tmp_path / "s.npz", src=[0, 1], dst=[1, 2], feat=np.zeros((3, 4)))
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, tmp_path / "s.npz"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 48, "MiB"
    assert datasets.load(tmp_path / "out")[0][0].num_edges() == 5_000_000


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "e.csv").write_text("0,1\n1,2\n")
    (tmp_path / "g.converting").mkdir()
    (tmp_path / "g.converting" / "thesis.txt").write_text("three years")
    with pytest.raises(FileExistsError, match="is no conversion's folder"):
        datasets.convert(tmp_path / "e.csv", tmp_path / "g")
    assert (tmp_path / "g.converting" / "thesis.txt").read_text() == "three years"


def test_what_has_come_to_the_target_meanwhile_is_left_alone(tmp_path):
    (tmp_path / "e.csv").write_text("0,1\n1,2\n")

    def somebody_comes(what, done, total):
        (tmp_path / "g").mkdir(exist_ok=True)
        (tmp_path / "g" / "precious").write_text("mine")

    with pytest.raises(FileExistsError):
        datasets.convert(tmp_path / "e.csv", tmp_path / "g", on_progress=somebody_comes)
    assert (tmp_path / "g" / "precious").read_text() == "mine"
    shutil.rmtree(tmp_path / "g")
    datasets.convert(tmp_path / "e.csv", tmp_path / "g")  # goes on from where that ended
    assert datasets.load(tmp_path / "g")[0][0].num_edges() == 2


def test_a_source_that_is_hidden(tmp_path):
    (tmp_path / ".e.csv").write_text("0,1\n1,2\n")
    datasets.convert(tmp_path / ".e.csv", tmp_path / "g")
    assert datasets.load(tmp_path / "g").name == "g"


def test_offsets_of_many_runs_stay_within_memory():
    ends = SimpleNamespace(dtype=np.dtype(np.int32), shape=(3_200_000_000,))
    edges = SimpleNamespace(count=3_200_000_000, columns={}, src=ends, dst=ends)
    for memory in (100 << 20, 500 << 20, 4 << 30):
        plan = planned(edges, 111_000_000, options.Options(memory=memory, undirected=True))
        buckets = (111_000_000 - 1 >> plan.shift) + 2
        runs = 2 * 3_200_000_000 // plan.chunk + 1
        assert 8 * buckets * runs <= max(memory // 4, 8 * 258 * runs)


def test_a_source_that_is_changed_meanwhile(source, tmp_path):
    def change(what, done, total):
        np.save(source / "weight.npy", np.zeros(400))

    with pytest.raises(ValueError, match=r"weight\.npy: it was changed while it was converted"):
        datasets.convert(source, tmp_path / "out", on_progress=change)
    assert {x.name for x in tmp_path.iterdir()} == {"g"}


def test_a_source_beside_the_folder_that_is_written(tmp_path):
    """The working folder in the folder of features is no change of these; a new row in one is."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "e.csv").write_text("source,target\n0,1\n1,2\n")
    for k in range(3):
        pd.DataFrame({"a": [k * 1.0]}).to_parquet(data / f"{k}.parquet")
    datasets.convert(tmp_path / "e.csv", data / "g", features=data)
    assert datasets.load(data / "g")[0][0].ndata["feat"].tolist() == [[0.0], [1.0], [2.0]]

    def change(what, done, total):
        pd.DataFrame({"a": [7.0], "b": [0.0]}).to_parquet(data / "1.parquet")

    with pytest.raises(ValueError, match=r"1\.parquet: "):
        datasets.convert(tmp_path / "e.csv", tmp_path / "h", features=data, on_progress=change)


def test_narrower_columns_do_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_LEAST_ROWS", 7)
    rows = [f"n{i % 9},n{i % 7},{i if i < 60 else i + 0.5}" for i in range(100)]
    (tmp_path / "e.csv").write_text("\n".join(["source,target,w", *rows]))
    for asked in ({"ids": "text"}, {}):
        seen = set()

        def look(what, done, total, seen=seen):
            if what == "sorting edges":
                seen |= {x.name for x in (tmp_path / "g.converting").iterdir()}

        if not asked:
            (tmp_path / "e.csv").write_text(
                "\n".join(["source,target,w", *(row.replace("n", "") for row in rows)])
            )
        datasets.convert(
            tmp_path / "e.csv", tmp_path / "g", memory=1, overwrite=True, on_progress=look, **asked
        )
        assert "f8~table.col-0" in seen
        assert "table.col-0" not in seen


def test_a_disk_that_fails_in_a_table_leaves_what_is_done(tmp_path, monkeypatch):
    pd = pytest.importorskip("pandas")
    pq = pytest.importorskip("pyarrow.parquet")
    np.save(tmp_path / "feat.npy", np.zeros((3, 2)))
    file = tmp_path / "e.parquet"
    pd.DataFrame({"source": [0, 1], "target": [1, 2]}).to_parquet(file)
    pieces = pq.ParquetFile.iter_batches

    def fails(self, *args, **options):
        yield from pieces(self, *args, **options)
        raise OSError(errno.EIO, "Input/output error")

    asked = {"features": tmp_path / "feat.npy"}
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "iter_batches", fails)
        with pytest.raises(OSError, match="Input/output error"):
            datasets.convert(file, tmp_path / "g", **asked)
    assert (tmp_path / "g.converting" / "journal.json").exists()
    datasets.convert(file, tmp_path / "g", **asked)
    # A file that is malformed is no fault of the disk's.
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        datasets.convert(file, tmp_path / "h", **asked)
    assert not (tmp_path / "h.converting").exists()


def test_a_table_in_several_files_goes_on_behind_the_last_whole_one(tmp_path, monkeypatch):
    """Whatever dtypes the columns of the files have: 64-bit floats come only with the third."""
    pd = pytest.importorskip("pandas")
    pq = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    (tmp_path / "e").mkdir()
    for k in range(4):
        frame = pd.DataFrame(
            {"source": rng.integers(9, size=50), "target": rng.integers(9, size=50)}
        )
        frame["a.f8"] = frame["a"] = np.arange(50) * (0.1 if k >= 2 else 1)
        frame.astype({"a": "float32"} if k == 1 else {}).to_parquet(tmp_path / f"e/{k}.parquet")
    monkeypatch.setattr(staging, "_STEP_BYTES", 1)
    opened = []
    real = pq.ParquetFile.iter_batches
    for k in (1, 2, 3):

        def stops(self, *args, k=k, **options):
            file = Path(self.reader_path)
            opened.append(file.name)
            yield from real(self, *args, **options)
            if file.name == f"{k}.parquet":
                raise OSError(errno.EIO, "Input/output error")

        named = pq.ParquetFile.__init__

        def init(self, path, named=named):
            named(self, path)
            self.reader_path = path

        with monkeypatch.context() as patch:
            patch.setattr(pq.ParquetFile, "__init__", init)
            patch.setattr(pq.ParquetFile, "iter_batches", stops)
            with pytest.raises(OSError, match="Input/output error"):
                datasets.convert(tmp_path / "e", tmp_path / "g")
    assert opened == [f"{k}.parquet" for k in (0, 1, 1, 2, 2, 3)]
    said = []
    datasets.convert(tmp_path / "e", tmp_path / "g", on_message=said.append)
    assert "going on after 3 finished steps" in said[0]
    datasets.convert(tmp_path / "e", tmp_path / "whole")
    assert files_of(tmp_path / "g") == files_of(tmp_path / "whole")
    whole = pd.concat([pd.read_parquet(tmp_path / f"e/{k}.parquet") for k in range(4)])
    graph = datasets.load(tmp_path / "g")[0][0]
    src, dst = graph.edges()
    for name in ("a", "a.f8"):
        found = sorted(zip(src.tolist(), dst.tolist(), graph.edata[name].tolist()))
        assert found == sorted(zip(whole.source, whole.target, whole[name].astype(float)))

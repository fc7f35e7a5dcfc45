"""Files that the real DGL has written: ``files.npz``, recorded by file_cases.py."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from file_cases import columns_differ, difference, files, old_files, tensors

import hopflow as hf
from hopflow.as_dgl.files import load_graphs, load_labels, load_tensors

RECORDED = dict(np.load(Path(__file__).parent / "records" / "files.npz"))
del RECORDED["versions"]
GRAPHS = {name: x[:2] for name, x in files(hf, 0).items()} | old_files(hf, 0)
TENSORS = tensors(0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_all_are_here():
    assert RECORDED.keys() == {*GRAPHS, *TENSORS}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name, path):
    path.write_bytes(RECORDED[name].tobytes())
    graphs, labels = load_graphs(path)
    held, held_labels = GRAPHS[name]
    assert [difference(*pair) for pair in zip(graphs, held, strict=True)] == [""] * len(held)
    assert columns_differ(labels, held_labels) == ""
    assert columns_differ(load_labels(path), held_labels) == ""


@pytest.mark.parametrize("name", ["several", "version 1"])
def test_some_graphs(name, path):
    path.write_bytes(RECORDED[name].tobytes())
    held = GRAPHS[name][0]
    graphs, labels = load_graphs(path, [2, 0, 2])
    assert [difference(x, held[i]) for x, i in zip(graphs, (2, 0, 2), strict=True)] == [""] * 3
    assert labels.keys() == GRAPHS[name][1].keys()
    for i in (-1, len(held)):
        with pytest.raises(IndexError, match=rf"idx_list: .* holds {len(held)} graphs, got {i}"):
            load_graphs(path, [i])


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name, path):
    path.write_bytes(RECORDED[name].tobytes())
    assert columns_differ(load_tensors(path), TENSORS[name]) == ""
    with pytest.raises(ValueError, match="return_dgl_ndarray: expected False"):
        load_tensors(path, True)


def test_a_file_is_of_graphs_or_of_tensors(path):
    path.write_bytes(RECORDED["tensors"].tobytes())
    with pytest.raises(ValueError, match=r"written by another program, expected .* save_graphs"):
        load_graphs(path)
    path.write_bytes(RECORDED["coo"].tobytes())
    with pytest.raises(ValueError, match=r"written by another program, expected .* save_tensors"):
        load_tensors(path)


def test_what_was_read_is_a_graph_like_any(path):
    path.write_bytes(RECORDED["several"].tobytes())
    g = load_graphs(path)[0][0]
    g.update_all(hf.function.copy_u("h", "m"), hf.function.sum("m", "out"))
    src, dst = g.edges()
    expected = torch.zeros_like(g.ndata["h"]).index_add(0, dst.long(), g.ndata["h"][src.long()])
    torch.testing.assert_close(g.ndata["out"], expected)
    g.ndata["h"][:] = 0  # memory of its own


# --- damaged files


def load(name, path):
    return load_tensors(path) if name in TENSORS else load_graphs(path)


@pytest.mark.parametrize("name", RECORDED)
def test_no_part_of_a_file_is_taken_for_it(name, path):
    data = RECORDED[name].tobytes()
    for length in {*range(0, 40, 3), *range(4096, len(data), 29), len(data) - 1}:
        if length >= len(data):
            continue
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"file: (damaged \(|written by another program)"):
            load(name, path)


@pytest.mark.parametrize("name", ["typed, csc", "several", "version 1", "tensors"])
def test_changed_bytes_are_errors_or_values(name, path):
    data = RECORDED[name].tobytes()
    rng = np.random.default_rng(1)
    places = [i for i in range(len(data)) if not 32 <= i < 4096]
    refused = []
    for place in rng.permutation(places)[:150]:
        changed = bytearray(data)
        changed[place] ^= int(rng.choice([1, 16, 128, 255]))
        path.write_bytes(bytes(changed))
        try:
            load(name, path)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 5
    assert all("file: " in told for told in refused)


def patched(name, old, new):
    data = RECORDED[name].tobytes()
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        # the version; a tensor of unsigned 64-bit ints; forms without the mark of bit 32
        ("coo", b"\x02" + bytes(7) + b"\x02", b"\x03" + bytes(7) + b"\x02", "version 3"),
        ("tensors", b"\x00\x40\x01\x00", b"\x01\x40\x01\x00", "kind 1 with 1 x 64 bits"),
        ("coo", b"\xf0\x60\x2e\xdd\x01\x00\x00\x00\x01", b"\xf0\x60\x2e\xdd\x01\x00\x00\x00\x00",
         "the forms 0x1"),
        ("typed", b"author", b"papers", None),
    ],
)  # fmt: skip
def test_kinds_that_are_not_known(name, old, new, told, path):
    path.write_bytes(patched(name, old, new))
    if told is None:  # a name is a name
        assert "papers" in load(name, path)[0][0].ntypes
        return
    with pytest.raises(ValueError, match=f"file: holds .*{told}.* does not read; load it with DGL"):
        load(name, path)


def test_a_block_is_told(path):
    path.write_bytes(patched("typed", b"venue", b"paper"))
    with pytest.raises(ValueError, match="holds a block or other graph whose node types"):
        load_graphs(path)


# --- ogb


def test_ogb_takes_the_real_dgls_cache(tmp_path):
    pytest.importorskip("ogb")
    folder = tmp_path / "dataset" / "ogbn_arxiv"
    for part in ("raw", "processed", "split/time"):
        (folder / part).mkdir(parents=True)
    (folder / "processed" / "dgl_data_processed").write_bytes(RECORDED["ogb"].tobytes())
    (folder / "RELEASE_v1.txt").write_text("")
    for part, ids in {"train": "0\n1\n", "valid": "2\n3\n", "test": "4\n5\n"}.items():
        with gzip.open(folder / "split" / "time" / f"{part}.csv.gz", "wt") as file:
            file.write(ids)
    program = tmp_path / "program.py"
    program.write_text(
        "import dgl, sys\n"
        "from ogb.nodeproppred import DglNodePropPredDataset\n"
        "dataset = DglNodePropPredDataset('ogbn-arxiv', root=sys.argv[1])\n"
        "graph, labels = dataset[0]\n"
        "dgl.save_graphs(sys.argv[2], [graph], {'labels': labels})\n"
    )
    command = [sys.executable, "-m", "hopflow.as_dgl", program, tmp_path / "dataset"]
    done = subprocess.run(
        [*command, tmp_path / "seen"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    (graph,), labels = load_graphs(tmp_path / "seen")
    (held,), held_labels = GRAPHS["ogb"]
    assert difference(graph, held) == ""
    assert columns_differ(labels, held_labels) == ""

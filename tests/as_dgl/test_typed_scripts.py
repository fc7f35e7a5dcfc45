"""Programs written for DGL on graphs of several types run unmodified, on hopflow and on DGL.

Name an interpreter that has DGL 2.1 in $HOPFLOW_DGL_PYTHON, and each runs under DGL itself as well.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hopflow as hf

SCRIPTS = Path(__file__).resolve().parent / "scripts"


@pytest.fixture(params=["hopflow", "dgl"])
def run(request, tmp_path):
    """Run one of the scripts to its end under an engine; returns what it prints."""
    environment = {**os.environ, "DGLBACKEND": "pytorch", "OMP_NUM_THREADS": "2"}
    given = environment.pop("PYTHONPATH", "")
    if request.param == "hopflow":
        command = [sys.executable, "-m", "hopflow.as_dgl"]
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(hf.__file__).parents[1]), given])
    else:  # an interpreter of its own, for which this one's path is not meant
        command = [os.environ.get("HOPFLOW_DGL_PYTHON", "")]
        if not command[0]:
            pytest.skip("no DGL: name an interpreter that has it in $HOPFLOW_DGL_PYTHON")

    def run(script, *arguments):
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        options |= {"cwd": tmp_path, "env": environment}
        if request.param == "dgl" and "from ogb" in (SCRIPTS / script).read_text():
            needs = [*command, "-c", "import ogb.nodeproppred"]
            if subprocess.run(needs, **options).returncode:
                pytest.skip("the interpreter that $HOPFLOW_DGL_PYTHON names has no ogb")
        done = subprocess.run([*command, SCRIPTS / script, *map(str, arguments)], **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.engine = request.param
    return run


def number_after(text, output):
    """The number that stands behind a text in what a program has printed."""
    return float(re.search(rf"{text} (\d\.\d+)", output)[1])


# --- R-GCN on ogbn-mag

NODES = {"author": 300, "field_of_study": 40, "institution": 20, "paper": 900}
TOPICS = 6


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        np.savetxt(file, np.asarray(rows), delimiter=",", fmt="%s")


@pytest.fixture
def mag_root(tmp_path):
    """A folder in which ogb finds "ogbn-mag": authors and fields tell a paper's topic."""
    pytest.importorskip("ogb")
    rng = np.random.default_rng(0)
    topic = {ntype: rng.integers(TOPICS, size=n) for ntype, n in NODES.items()}

    def links(src, name, dst, count, share):
        """Edges of which a share joins nodes of one topic."""
        u, v = rng.integers(NODES[src], size=count), rng.integers(NODES[dst], size=count)
        kept = (topic[src][u] == topic[dst][v]) | (rng.random(count) > share)
        return (src, name, dst), np.stack([u[kept], v[kept]], 1)

    edges = dict(
        [
            links("author", "affiliated_with", "institution", 500, 0.0),
            links("author", "writes", "paper", 8000, 0.9),
            links("paper", "cites", "paper", 4000, 0.5),
            links("paper", "has_topic", "field_of_study", 6000, 0.9),
        ]
    )
    folder = tmp_path / "dataset" / "ogbn_mag"
    raw, split = folder / "raw", folder / "split" / "time"
    has_paper = [tuple(NODES), tuple(ntype == "paper" for ntype in NODES)]
    write(raw / "num-node-dict.csv.gz", [tuple(NODES), tuple(NODES.values())])
    write(raw / "triplet-type-list.csv.gz", list(edges))
    for number, (relation, rows) in enumerate(edges.items()):
        below = raw / "relations" / "___".join(relation)
        write(below / "edge.csv.gz", rows)
        write(below / "num-edge-list.csv.gz", [len(rows)])
        write(below / "edge_reltype.csv.gz", [number] * len(rows))
    feat = np.eye(16)[topic["paper"]] + rng.normal(0, 1, (NODES["paper"], 16))
    write(raw / "node-feat" / "paper" / "node-feat.csv.gz", feat.round(3))
    write(raw / "node-feat" / "paper" / "node_year.csv.gz", [2015] * NODES["paper"])
    for name in ("nodetype-has-feat", "nodetype-has-label"):
        write(raw / f"{name}.csv.gz", has_paper)
    write(raw / "node-label" / "paper" / "node-label.csv.gz", topic["paper"])
    write(split / "nodetype-has-split.csv.gz", has_paper)
    for key, ids in (("train", range(600)), ("valid", range(600, 750)), ("test", range(750, 900))):
        write(split / "paper" / f"{key}.csv.gz", ids)
    (folder / "RELEASE_v2.txt").write_text("")
    return folder.parent


@pytest.mark.slow  # most of it is the import of ogb
def test_rgcn_on_ogbn_mag(run, mag_root):
    script, options = "rgcn_ogbn_mag.py", ["--rootdir", mag_root, "--num_epochs"]
    first = run(script, *options, 8)
    assert "('field_of_study', 'rev_has_topic', 'paper')" in first
    assert number_after("Test accuracy", first) > 0.6
    if run.engine == "hopflow":
        # A second run reads what the first has saved; batches do not depend on workers.
        second = run(script, *options, 2, "--num_workers", 2)
        assert ("Saving..." in first, "Saving..." in second) == (True, False)
        told = [re.findall("^Epoch 0[01].*", output, re.M) for output in (first, second)]
        assert told[0] == told[1]
        assert len(told[0]) == 2


# --- HGT


@pytest.fixture
def publications(tmp_path):
    """A file with papers' authors, citations and subjects, which tell a paper's label."""
    generator = torch.Generator().manual_seed(0)
    of_type = {"paper": 400, "author": 120, "subject": 9}
    kind = {t: torch.randint(3, (n,), generator=generator) for t, n in of_type.items()}

    def draw(src, dst, count):
        ends = [torch.randint(of_type[t], (count,), generator=generator) for t in (src, dst)]
        kept = kind[src][ends[0]] == kind[dst][ends[1]]
        kept |= torch.rand(count, generator=generator) < 0.1
        return torch.stack(ends)[:, kept]

    data = {
        "PvsA": draw("paper", "author", 4000),
        "PvsP": draw("paper", "paper", 2000),
        "PvsL": draw("paper", "subject", 2000),
        "label": kind["paper"],
    }
    torch.save(data, tmp_path / "publications.pt")
    return tmp_path / "publications.pt"


def test_hgt(run, publications):
    output = run("hgt.py", publications, "--n_epoch", 30)
    assert "'writing'" in output
    for model in ("HGT", "HGTOfOneGraph"):
        assert number_after(f"{model} test accuracy", output) > 0.6


# --- link prediction


@pytest.fixture
def likes(tmp_path):
    """A file with who follows whom and likes what, mostly within one of five groups."""
    generator = torch.Generator().manual_seed(0)
    groups = {"user": torch.arange(300) % 5, "item": torch.arange(200) % 5}

    def draw(src, dst, count):
        ends = [torch.randint(len(groups[t]), (count,), generator=generator) for t in (src, dst)]
        kept = groups[src][ends[0]] == groups[dst][ends[1]]
        kept |= torch.rand(count, generator=generator) < 0.05
        return torch.stack(ends)[:, kept]

    data = {"follows": draw("user", "user", 9000), "likes": draw("user", "item", 12_000)}
    torch.save(data, tmp_path / "likes.pt")
    return tmp_path / "likes.pt"


def test_typed_link_prediction(run, likes):
    outputs = [run("typed_link_prediction.py", likes, "--epochs", 5)]
    assert number_after("Test AUC", outputs[0]) > 0.7
    if run.engine == "hopflow":
        outputs.append(run("typed_link_prediction.py", likes, "--epochs", 5, "--num-workers", 2))
        assert outputs[0] == outputs[1]

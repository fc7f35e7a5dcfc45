"""Compare what is certain about hopflow's samplers with DGL as it is installed, on random graphs.

Run with an interpreter that has hopflow; DGL lives in another::

    python tests/oracle/programs/compare_sampling.py --dgl /path/to/python --worlds 20

This program runs itself under DGL's interpreter, which never imports hopflow. Compared are the
edges of greatest weight, offsets of tags, and samplers that have to keep all edges; laws are
compared by tests/oracle/test_dgl_labor.py.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


def results_of(engine: str, world: int) -> dict[str, np.ndarray]:
    """Every result on one random graph, edges as sorted ids."""
    lib: Any = importlib.import_module(engine)
    sampling = importlib.import_module(f"{engine}.sampling")
    generator = torch.Generator().manual_seed(world)

    def below(high: int, count: int) -> torch.Tensor:
        return torch.randint(high, (count,), generator=generator)

    num_nodes, num_edges = int(below(20, 1)) + 3, int(below(120, 1)) + 5
    graph = lib.graph(
        (below(num_nodes, num_edges), below(num_nodes, num_edges)), num_nodes=num_nodes
    )
    weights = torch.randperm(num_edges, generator=generator).float() + 1
    graph.edata["w"] = weights
    nodes = torch.unique(below(num_nodes, 6))
    tags, edge_tags = below(3, num_nodes), below(4, num_edges)
    found: dict[str, np.ndarray] = {}

    def note(name: str, part: Any) -> None:
        found[name] = part.edata[lib.EID].long().sort().values.numpy()

    for edge_dir in ("in", "out"):
        for k in (1, 3, -1):
            for ascending in (False, True):
                made = sampling.select_topk(graph, k, "w", nodes, edge_dir, ascending)
                note(f"topk/{edge_dir}/{k}/{ascending}", made)
        sort = lib.sort_csc_by_tag if edge_dir == "in" else lib.sort_csr_by_tag
        for kind, given in (("node", tags), ("edge", edge_tags)):
            made = sort(graph, given, tag_type=kind)
            found[f"offsets/{edge_dir}/{kind}"] = made.ndata["_TAG_OFFSET"].long().numpy()
        num_tags = made.ndata["_TAG_OFFSET"].shape[1] - 1
        for fanout in (-1, 1000):
            bias = torch.ones(num_tags)
            part = sampling.sample_neighbors_biased(made, nodes, fanout, bias, edge_dir)
            note(f"biased/{edge_dir}/{fanout}", part)
        offsets = [0, num_edges // 3, num_edges]
        for fanouts in ([-1, -1], [1000, 1000], [0, 1000]):
            part = sampling.sample_etype_neighbors(
                graph, nodes, offsets, torch.tensor(fanouts), edge_dir
            )
            note(f"etype/{edge_dir}/{fanouts}", part)
        # With prob, or a fanout of -1, DGL 2.1 leaves edges out, against its documentation.
        note(f"labor/{edge_dir}", sampling.sample_labors(graph, nodes, 1000, edge_dir)[0])
    block = graph.sample_neighbors_fused(nodes, -1)
    note("fused", block)
    found["fused/dst"] = block.dstdata[lib.NID].long().numpy()
    found["fused/src"] = block.srcdata[lib.NID].long().sort().values.numpy()
    return found


def main() -> int:
    """Compare, or with --results compute DGL's side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dgl", help="an interpreter that has DGL")
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--results", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.results:
        every = {
            f"{world}:{name}": value
            for world in range(given.worlds)
            for name, value in results_of("dgl", world).items()
        }
        np.savez(given.results, **every)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dgl.npz"
        command = [given.dgl, __file__, "--worlds", str(given.worlds), "--results", str(path)]
        subprocess.run(command, check=True)
        theirs = dict(np.load(path))
    wrong, count = [], 0
    for world in range(given.worlds):
        for name, ours in results_of("hopflow", world).items():
            count += 1
            expected = theirs.pop(f"{world}:{name}")
            if ours.shape != expected.shape or not np.allclose(ours, expected, rtol=1e-5):
                wrong.append(f"{world}:{name}: {ours.tolist()}, DGL {expected.tolist()}")
    print(*wrong[:20], sep="\n")
    print(f"{count} compared, {len(wrong)} differ, {len(theirs)} are DGL's alone")
    return bool(wrong or theirs)


if __name__ == "__main__":
    sys.exit(main())

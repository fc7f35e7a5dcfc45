r"""Record what GraphBolt samples in time, for ``test_dgl_temporal.py`` to compare with.

Run with an interpreter that has DGL; hopflow need not be there::

    OMP_NUM_THREADS=1 python tests/oracle/programs/record_temporal.py \
        tests/oracle/records/temporal.npz

GraphBolt keeps edges that are strictly earlier than the seed. Where all of them are taken (fanout
-1) nothing depends on chance; of draws only how many there are is recorded.
"""

from __future__ import annotations

import sys

import dgl
import numpy as np
import torch
from dgl import graphbolt as gb

NUM_NODES, NUM_EDGES = 40, 400


def main() -> None:
    """Record everything into the file that the command line names."""
    generator = torch.Generator().manual_seed(7)
    counts = torch.randint(0, 2 * NUM_EDGES // NUM_NODES, (NUM_NODES,), generator=generator)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    num_edges = int(indptr[-1])
    indices = torch.randint(NUM_NODES, (num_edges,), generator=generator)
    edge_time = torch.randint(30, (num_edges,), generator=generator)
    node_time = torch.randint(20, (NUM_NODES,), generator=generator)
    graph = gb.fused_csc_sampling_graph(
        indptr, indices, node_attributes={"born": node_time},
        edge_attributes={"t": edge_time, gb.ORIGINAL_EDGE_ID: torch.arange(num_edges)},
    )  # fmt: skip
    seeds = torch.arange(NUM_NODES).repeat(2)
    times = torch.randint(35, seeds.shape, generator=generator)
    found = {
        "indptr": indptr, "indices": indices, "edge_time": edge_time, "node_time": node_time,
        "seeds": seeds, "times": times,
        "versions": np.array(f"dgl {dgl.__version__}, torch {torch.__version__}"),
    }  # fmt: skip
    for name, columns in {
        "edges": {"edge_timestamp_attr_name": "t"},
        "nodes": {"node_timestamp_attr_name": "born"},
        "both": {"edge_timestamp_attr_name": "t", "node_timestamp_attr_name": "born"},
    }.items():
        for fanout in (-1, 3):
            made = graph.temporal_sample_neighbors(seeds, times, torch.tensor([fanout]), **columns)
            found[f"{name} {fanout} indptr"] = made.sampled_csc.indptr
            if fanout < 0:
                found[f"{name} eids"] = made.original_edge_ids
    np.savez_compressed(sys.argv[1], **{name: np.asarray(x) for name, x in found.items()})


if __name__ == "__main__":
    main()

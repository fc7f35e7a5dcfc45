"""Parts for the nodes of a graph: a pass of the stream, and whole assignments."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.workloads import Workloads


def graph_of(workloads: Workloads) -> Any:
    """The graph of arxiv's shape."""
    import hopflow as hf

    indptr, indices = (torch.from_numpy(x) for x in workloads.graph("arxiv"))
    return hf.graph(("csc", (indptr, indices, [])), num_nodes=indptr.shape[0] - 1)


def stream_pass(num_parts: int, workloads: Workloads) -> Task:
    """hopflow.ops.stream_parts, once over all nodes."""
    from hopflow import ops

    edges = graph_of(workloads).adjacency.full()
    num_nodes = edges.num_dst
    given = [ops.StreamedEdges(edges.indptr, edges.indices, 0, 0, num_nodes)]
    classes, start = torch.zeros(num_nodes, dtype=torch.uint8), torch.full((num_nodes,), -1)
    cap = num_nodes // num_parts + 1
    return timed(lambda: ops.stream_parts(given, classes, [cap], num_parts, start.short()))


def assigned(method: str, num_parts: int, workloads: Workloads) -> Task:
    """hopflow.distributed.assign_parts."""
    from hopflow.distributed import assign_parts

    graph = graph_of(workloads)
    return timed(lambda: assign_parts(graph, num_parts, method=method))


CASES = [
    Case(
        name="partition.stream_pass.4",
        what="One pass of the stream over a graph of arxiv's shape, 4 parts",
        entries=[Entry("hopflow", partial(stream_pass, 4))],
        workloads=["arxiv"],
    ),
    Case(
        name="partition.assign.4",
        what="Parts for a graph of arxiv's shape, 4 parts",
        entries=[
            Entry("hopflow", partial(assigned, "stream", 4)),
        ],
        workloads=["arxiv"],
        heavy=True,
    ),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)

"""Graphs and assignments that tests of folders write."""

from __future__ import annotations

import torch

import hopflow as hf


def in_turn(graph: hf.Graph, num_parts: int) -> dict[str, torch.Tensor]:
    """A stand-in for a partitioner."""
    return {
        ntype: (torch.arange(graph.num_nodes(ntype)) % num_parts).to(torch.int16)
        for ntype in graph.ntypes
    }


def one_type(num_nodes: int = 50, num_edges: int = 300, seed: int = 0, **options) -> hf.Graph:
    generator = torch.Generator().manual_seed(seed)
    top = max(num_nodes - 3, 1)  # the last nodes have no edges
    src, dst = (torch.randint(top, (num_edges,), generator=generator) for _ in range(2))
    graph = hf.graph((src, dst), num_nodes=num_nodes, **options)
    graph.ndata["feat"] = torch.randn(num_nodes, 5, generator=generator)
    graph.ndata["label"] = torch.randint(4, (num_nodes,), generator=generator)
    graph.edata["weight"] = torch.rand(num_edges, generator=generator)
    return graph


def typed(seed: int = 0) -> hf.Graph:
    generator = torch.Generator().manual_seed(seed)

    def ends(num_src: int, num_dst: int, num_edges: int) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.randint(num_src, (num_edges,), generator=generator),
            torch.randint(num_dst, (num_edges,), generator=generator),
        )

    graph = hf.heterograph(
        {
            ("author", "writes", "paper"): ends(20, 31, 90),
            ("paper", "cites", "paper"): ends(31, 31, 120),
            ("paper", "rev_writes", "author"): ends(31, 20, 70),
            ("tag", "of", "paper"): ends(1, 1, 0),
        },
        {"author": 20, "paper": 31, "tag": 1, "alone": 4},
    )
    graph.nodes["paper"].data["feat"] = torch.randn(31, 3, generator=generator)
    graph.nodes["author"].data["h"] = torch.randn(20, 2, 2, generator=generator).bfloat16()
    graph.edges["cites"].data["w"] = torch.rand(120, generator=generator)
    return graph

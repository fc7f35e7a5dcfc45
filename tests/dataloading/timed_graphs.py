"""Graphs with times, and what tests of temporal samplers read from their batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow as hf

NUM_NODES, NUM_EDGES = 120, 1500


def timed_graph(idtype: torch.dtype = torch.int64, dtype: torch.dtype = torch.int64) -> hf.Graph:
    """Random edges with times, many of them alike; nodes with times; some without in-edges."""
    generator = torch.Generator().manual_seed(4)
    src = torch.randint(NUM_NODES, (NUM_EDGES,), generator=generator)
    dst = torch.randint(NUM_NODES - 10, (NUM_EDGES,), generator=generator)
    g = hf.graph((src, dst), num_nodes=NUM_NODES, idtype=idtype)
    g.edata["t"] = torch.randint(100, (NUM_EDGES,), generator=generator).to(dtype)
    g.ndata["born"] = torch.randint(50, (NUM_NODES,), generator=generator).to(dtype)
    g.ndata["asked"] = g.ndata["born"] + torch.randint(60, (NUM_NODES,), generator=generator)
    g.ndata["feat"] = torch.arange(NUM_NODES).float()
    return g


def typed_timed_graph() -> hf.Graph:
    """Users and items with times, and edges with times both ways."""
    generator = torch.Generator().manual_seed(2)
    made = {
        ("user", "buys", "item"): tuple(
            torch.randint(n, (200,), generator=generator) for n in (20, 10)
        ),
        ("item", "shown", "user"): tuple(
            torch.randint(n, (150,), generator=generator) for n in (10, 20)
        ),
    }
    g = hf.heterograph(made, num_nodes_dict={"user": 20, "item": 10})
    for etype in ("buys", "shown"):
        g.edges[etype].data["t"] = torch.randint(40, (g.num_edges(etype),), generator=generator)
    g.nodes["user"].data["born"] = torch.randint(20, (20,), generator=generator)
    g.nodes["item"].data["born"] = torch.zeros(10, dtype=torch.int64)
    return g


def rows(frame: Any) -> list[tuple[int, Any]]:
    """Each row's node and the time at which it is seen."""
    return list(zip(frame[hf.NID].tolist(), frame["seed_time"].tolist()))


def arrays(batch: Any) -> list[Tensor]:
    """All that makes a batch of blocks."""
    input_nodes, outputs, blocks = batch[0], batch[1], batch[-1]
    found = [input_nodes] if isinstance(input_nodes, Tensor) else list(input_nodes.values())
    if isinstance(outputs, Tensor):
        found.append(outputs)
    for block in blocks:
        found += [*block.edges(), block.edata[hf.EID], block.srcdata["seed_time"]]
    return found

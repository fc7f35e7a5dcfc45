"""Sampling cases that the CPU and the CUDA kernels must answer alike, bit for bit.

``python tests/cuda/cuda_cases.py FILE`` writes the answers of this process's kernels. Emulated
kernels take the place of all others in their process, so their tests ask another one for the CPU's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopflow import ops

NUM_GRAPHS = 100


def graph_and_seeds(case: int) -> tuple[Tensor, Tensor, Tensor]:
    """``(indptr, indices, seeds)``: up to 300 nodes; hubs, isolated nodes, duplicates."""
    generator = torch.Generator().manual_seed(case)

    def draw(high: int, count: int) -> Tensor:
        return torch.randint(max(high, 1), (count,), generator=generator)

    num_nodes = 2 + int(draw(300, 1))
    num_edges = int(draw(8 * num_nodes, 1))
    src, dst = draw(num_nodes, num_edges), draw(num_nodes, num_edges)
    if case % 3 == 0:  # a hub
        hub = draw(num_nodes, 400)
        src, dst = torch.cat([src, hub]), torch.cat([dst, torch.zeros_like(hub)])
    indptr, indices, _ = ops.coo_to_csc_reference(src, dst, num_nodes, num_nodes)
    dtype = torch.int32 if case % 2 else torch.int64
    seeds = draw(num_nodes, 1 + int(draw(60, 1)))
    return indptr, indices.to(dtype), seeds.to(dtype)


def options(case: int) -> dict[str, Any]:
    """Fanouts around the sizes at which kernels change: none, one, a warp's lanes, more, all."""
    fanouts = [[1, 2], [4, 4], [5, 10, 15], [31, 33], [64], [0, 3], [-1, 2], [3, -1], [32, 1]][
        case % 9
    ]
    return {
        "fanouts": fanouts,
        "keys": [ops.stream_key(case, 1, 2, hop) for hop in range(len(fanouts))],
        "replace": case % 4 == 3,
    }


def weighted_answers(
    case: int, indptr: Tensor, indices: Tensor, seeds: Tensor, fanout: int
) -> dict[str, Tensor]:
    """Samples by weight and beside excluded edges: weights alike, of one scale, and far apart."""
    num_edges, device = indices.shape[0], indices.device
    generator = torch.Generator().manual_seed(case)
    values = torch.rand(num_edges, generator=generator, dtype=torch.float64) + 1e-3
    if case % 3 == 1:
        exponents = torch.randint(-100, 100, (num_edges,), generator=generator).double()
        values = values * 10.0**exponents
    elif case % 3 == 2:
        values = values.float()
    is_excluded = torch.rand(num_edges, generator=generator) < 0.2
    excluded = is_excluded.nonzero().squeeze(1).to(device)
    weights = ops.row_weights(indptr, values.to(device))
    found = {"sums": weights.sums}
    for name, options in {
        "weighted": {"weights": weights},
        "excluding": {"excluded": excluded},
        "both": {"weights": weights, "excluded": excluded},
        "replaced": {"weights": weights, "excluded": excluded, "replace": True},
    }.items():
        sampled = ops.sample_weighted(indptr, num_edges, seeds, fanout, key=case, **options)
        found |= {f"{name}_indptr": sampled[0], f"{name}_positions": sampled[1]}
    return found


def answers(device: torch.device) -> list[dict[str, Tensor]]:
    """What the kernels on ``device`` answer, one dict a case, on the CPU."""
    found = []
    for case in range(NUM_GRAPHS):
        indptr, indices, seeds = (x.to(device) for x in graph_and_seeds(case))
        blocks = ops.sample_blocks(indptr, indices, seeds, **options(case))
        answer = {"input_nodes": blocks.input_nodes, "output_nodes": blocks.output_nodes}
        if blocks.seed_inverse is not None:
            answer["seed_inverse"] = blocks.seed_inverse
        for h, hop in enumerate(blocks.hops):
            answer |= {f"{name}{h}": x for name, x in hop._asdict().items() if name != "num_src"}
            names = ("t_indptr", "t_rows", "t_positions")
            transpose = ops.transpose_csc(hop.indptr, hop.indices, hop.num_src)
            answer |= {f"{name}{h}": x for name, x in zip(names, transpose)}
        fanout = options(case)["fanouts"][0]
        sampled = ops.sample_neighbors(indptr, indices, seeds, fanout, key=case)
        answer |= dict(zip(("indptr", "neighbors", "edges"), sampled))
        answer |= dict(zip(("ids", "seeds", "others"), ops.compact_ids(seeds, sampled[1])))
        answer |= weighted_answers(case, indptr, indices, seeds, fanout)
        found.append({name: x.cpu() for name, x in answer.items()})
    return found


if __name__ == "__main__":
    torch.save(answers(torch.device("cpu")), Path(sys.argv[1]))

"""What has no CUDA kernel says so."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf


def test_ppr_neighbors_are_found_on_the_cpu_alone(cuda):
    graph = hf.graph(([0, 1, 2], [1, 2, 0])).to(cuda)
    for find in (
        lambda: hf.sampling.ppr_neighbors(graph, [0, 2], 3),
        lambda: hf.dataloading.PPRSampler(3).sample(graph, torch.tensor([0], device=cuda)),
    ):
        with pytest.raises(hf.ops.HopflowError, match="ppr_neighbors: seeds is on CUDA, where"):
            find()

"""Every CUDA benchmark, on little data.

They run where there is a CUDA device, and on the emulated kernels (tests/emulation/plugin.py);
elsewhere they are skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import is_emulated


def test_every_cuda_benchmark_runs(cuda, tmp_path, monkeypatch):
    benchmarks = Path(__file__).resolve().parents[2] / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("the benchmarks are not beside the tests")
    monkeypatch.syspath_prepend(str(benchmarks))
    import bench_cuda
    from hopbench import workloads
    from hopbench.blocks import Block

    if is_emulated():
        monkeypatch.setattr(bench_cuda, "device", lambda: cuda)
    for name in ("tiny", "tiny-features"):
        workloads.make(name, tmp_path)
    made = workloads.Workloads(tmp_path)
    monkeypatch.setattr(bench_cuda, "TABLE", (2_000, 8))
    monkeypatch.setattr(bench_cuda, "COPY_BYTES", 4096)
    monkeypatch.setattr(bench_cuda, "BATCH", 20)
    block = Block(20, 4, 8)
    tasks = [
        bench_cuda.device_copy(made),
        bench_cuda.host_copy(made),
        bench_cuda.hopflow_gather(50, made),
        bench_cuda.hopflow_gather(50, made, pinned=True),
        bench_cuda.torch_gather(50, made),
        bench_cuda.torch_gather_and_copy(50, made),
        bench_cuda.hopflow_spmm(block, made),
        bench_cuda.hopflow_spmm(block, made, dtype="bfloat16"),
        bench_cuda.hopflow_spmm(block, made, backward=True),
        bench_cuda.torch_spmm(block, made),
        bench_cuda.torch_spmm(block, made, backward=True),
        bench_cuda.hopflow_sddmm(block, made),
        bench_cuda.torch_sddmm(block, made),
        bench_cuda.hopflow_messages(block, made),
        bench_cuda.torch_messages(block, made),
        bench_cuda.hopflow_softmax(block, made),
        bench_cuda.torch_softmax(block, made),
        bench_cuda.hopflow_transpose(block, made),
        bench_cuda.torch_sort(block, made),
        bench_cuda.hopflow_compact(5, 20, made),
        bench_cuda.torch_unique(5, 20, made),
        *(
            setup("tiny", (2, 2), 2, made, graph=graph)
            for setup in (bench_cuda.hopflow_loader, bench_cuda.hopflow_training)
            for graph in ("gpu", "pinned", "cpu")
        ),
    ]
    for task in tasks:
        task.run()
    assert tasks[-1].measure() > 0

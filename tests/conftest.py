"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ranks import Ranks

import hopflow as hf


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The built-in graph and matplotlib's fonts are cached for the session, not for the user."""
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        patch.setenv("MPLCONFIGDIR", folder)
        yield


@pytest.fixture
def shared_data() -> Path:
    """The folder with the real graphs: $HOPFLOW_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HOPFLOW_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real graphs at {folder}; set HOPFLOW_DATA to a folder that holds them")
    return folder


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Processes of a torch.distributed group."""
    made = Ranks()
    yield made
    made.close()


@pytest.fixture
def cuda() -> torch.device:
    """A CUDA device; the CPU where the kernels are emulated (tests/emulation/plugin.py)."""
    if hf.ops.on_cuda(torch.empty(0)):
        return torch.device("cpu")
    # Where a GPU must be there, a test that finds none has failed.
    give_up = pytest.fail if os.environ.get("HOPFLOW_REQUIRE_CUDA") else pytest.skip
    if not hf.ops.cuda_is_built():
        give_up("no CUDA kernels: this hopflow was built without them")
    if not torch.cuda.is_available():
        why = hf.ops.cuda_devices()[1] or "torch was built without CUDA"
        give_up(f"no CUDA device: {why}")
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from one random state and leaves the number of threads as it was."""
    torch.manual_seed(0)
    hf.ops.random_stream._generator = None  # what hf.seed() of another test left
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    hf.ops.set_num_threads(threads)


@pytest.fixture
def small_graph() -> hf.Graph:
    """200 nodes, 2,000 random edges with duplicates and self-loops, the last 20 nodes isolated."""
    generator = torch.Generator().manual_seed(7)
    src = torch.randint(180, (2000,), generator=generator)
    dst = torch.randint(180, (2000,), generator=generator)
    graph = hf.graph((src, dst), num_nodes=200)
    graph.ndata["feat"] = torch.randn(200, 5, generator=generator)
    graph.ndata["label"] = torch.randint(4, (200,), generator=generator)
    graph.edata["weight"] = torch.rand(2000, generator=generator)
    return graph

"""Runs tests on the CUDA kernels emulated on the CPU.

    cmake -S . -B build/emulated -DHOPFLOW_CUDA=EMULATED && cmake --build build/emulated
    python -m pytest -p tests.emulation.plugin --emulated build/emulated tests/ops/test_spmm.py ...

The module built that way takes every tensor for one on a CUDA device and hands it to the kernels of
``csrc/*/*_cuda.cu``, run thread by thread on the CPU (``cuda_runtime.h`` beside this file). Tests
of operators thus test those kernels, against the same references as on the CPU.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--emulated", required=True, help="folder of the module built with EMULATED")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    assert "hopflow" not in sys.modules, "hopflow was imported before this plugin"
    (path,) = Path(early_config.known_args_namespace.emulated).rglob("_native*.so")
    import torch  # noqa: F401  it brings the OpenMP runtime that the module needs

    spec = importlib.util.spec_from_file_location("hopflow._native", path)
    assert spec is not None
    assert spec.loader is not None
    native = importlib.util.module_from_spec(spec)
    sys.modules["hopflow._native"] = native
    spec.loader.exec_module(native)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("cpu_only"):
            item.add_marker(pytest.mark.skip(reason="of the CPU's kernels; these are CUDA's"))


def pytest_report_header() -> str:
    return "hopflow: CUDA kernels emulated on the CPU"

"""Tracking: ``pytest benchmarks/`` runs every case of hopflow under pytest-benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the mark."""
    config.addinivalue_line("markers", "heavy: takes minutes or gigabytes")

"""Layers over edge features and utilities give what DGL's do: ``record_edge_layers.py``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from compare_edge_layers import edge_layer_cases
from compare_engine import Case, Engine, Tensors, load, make_inputs
from edge_layer_names import RECORDED, SEED

RECORD = Path(__file__).parent / "records" / "edge_layers.npz"
CASES = {case.path: case for case in edge_layer_cases() if case.path in RECORDED}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensors]:
    """The recorded results, by ``result/`` or ``state/`` and the case's path."""
    return load(RECORD)[0]


def test_every_record_is_compared(recorded: dict[str, Tensors]) -> None:
    assert load(RECORD)[1]["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 100_000
    assert set(CASES) == RECORDED
    assert {k.removeprefix("result/") for k in recorded if k.startswith("result/")} == RECORDED


@pytest.mark.parametrize("path", sorted(CASES))
def test_case(recorded: dict[str, Tensors], path: str) -> None:
    """With DGL's own state dict: results and the gradients of everything."""
    case: Case = CASES[path]
    states = {k.removeprefix("state/"): x for k, x in recorded.items() if k.startswith("state/")}
    found = case.run(Engine("hopflow", make_inputs(SEED), states=states))
    wanted = recorded[f"result/{path}"]
    assert sorted(found) == sorted(wanted)
    for name, want in wanted.items():
        torch.testing.assert_close(
            found[name], want, rtol=2e-4, atol=2e-4, msg=lambda m, name=name: f"{name}: {m}"
        )

"""Neighbourhoods, traversals, orders and parts against DGL's: ``traversals.npz``, recorded by
traversal_cases.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from traversal_cases import COUNT, FIRST, answers, difference, unpack

import hopflow as hf

pytestmark = pytest.mark.cpu_only  # traversals have no CUDA kernel

RECORDED = unpack(np.load(Path(__file__).parent / "records" / "traversals.npz"))


@pytest.fixture(scope="module")
def ours() -> dict[str, np.ndarray]:
    return answers(hf, FIRST, COUNT)


def test_nothing_is_left_out(ours):
    assert ours.keys() == RECORDED.keys()


KINDS = sorted({name.split("/", 1)[1].split("/")[0] for name in RECORDED})


@pytest.mark.parametrize("kind", KINDS)
def test_is_dgls_answer(kind, ours):
    names = [name for name in RECORDED if name.split("/", 1)[1].split("/")[0] == kind]
    wrong = {name: difference(ours[name], RECORDED[name]) for name in names}
    assert {name: what for name, what in wrong.items() if what} == {}


def test_another_order_is_told_apart():
    assert difference(np.array([1, 2]), np.array([2, 1])) != ""
    assert difference(np.array([1.0]), np.array([1.0 + 1e-6])) != ""
    assert difference(np.array([1]), np.array([1], np.int32)) != ""

"""hopflow's random walks against what DGL gave: ``walks.npz``, which walk_cases.py recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from walk_cases import answers, difference

import hopflow as hf
from hopflow import nn

RECORDED = dict(np.load(Path(__file__).parent / "records" / "walks.npz"))
del RECORDED["versions"]


@pytest.fixture(scope="module")
def ours() -> dict[str, np.ndarray]:
    return answers(hf, nn)


def test_nothing_is_left_out(ours):
    assert ours.keys() == RECORDED.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_is_dgls_answer(name, ours):
    assert difference(name, ours[name], RECORDED[name]) == ""


def test_another_law_is_told_apart(ours):
    name = "law/node2vec/0.1 3 None"
    assert "another law" in difference(name, ours["law/node2vec/1 1 None"], RECORDED[name])
    assert "another law" in difference(name, ours["law/weighted/1"], ours["law/uniform/1"])

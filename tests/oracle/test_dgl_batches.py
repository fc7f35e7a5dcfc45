"""hopflow computes on batches of graphs what DGL computes: ``record_batches.py``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import compare_batches
import pytest
import torch
from batch_cases import LAYERS, RECORDED, all_cases, make_world
from compare_engine import Case, Tensors, load

RECORD = Path(__file__).parent / "records" / "batches.npz"

BY_GROUP: dict[tuple[str, str], list[Case]] = defaultdict(list)
for case in all_cases(RECORDED):
    BY_GROUP[case.group, case.graph].append(case)


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, Tensors], dict[str, Any]]:
    """What DGL gave for every case, and what it raised."""
    return load(RECORD)


def test_the_record_is_of_these_cases(recorded):
    results, about = recorded
    assert about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 200_000
    cases = [case for group in BY_GROUP.values() for case in group]
    assert {case.path for case in cases if case.known is None} == results.keys()
    assert about["errors"] == {}
    assert len(results) > 0.7 * len(cases)
    pooled = {path.split("/")[2] for path in results if path.startswith("pooling/")}
    assert pooled == LAYERS.keys()


def test_the_worlds_have_all_that_can_be():
    worlds = [make_world(n) for n in RECORDED]
    assert {w.idtype for w in worlds} == {torch.int32, torch.int64}
    assert {len(w.ntypes) for w in worlds} == {1, 2}
    of_all = [*worlds[0].ntypes, *worlds[0].relations, *worlds[1].ntypes, *worlds[1].relations]
    gaps = [
        {of: w.has_gaps(of) for of in of_all if of in (*w.ntypes, *w.relations)} for w in worlds
    ]
    assert [any(of.values()) for of in gaps] == [True, False, False, True]
    assert any(0 in w.sizes[0].values() for w in worlds[1:3])


@pytest.mark.parametrize(("group", "number"), BY_GROUP)
def test_as_dgl(recorded, group, number):
    report = compare_batches.compare(BY_GROUP[group, number], *recorded)
    assert report.wrong == [], "\n".join(report.wrong[:20])


def test_a_difference_is_found(recorded):
    """The comparison is not blind: an edge order changed, a gradient missing."""
    results, about = recorded
    case = next(c for c in BY_GROUP["batches", "0"] if c.name == "batch")
    good = results[case.path]
    key = next(k for k in good if k.endswith("src"))
    other = {**good, key: good[key].flip(0)}
    assert len(compare_batches.compare([case], {case.path: other}, about).wrong) == 1
    fewer = {k: x for k, x in good.items() if k != key}
    assert len(compare_batches.compare([case], {case.path: fewer}, about).wrong) == 1

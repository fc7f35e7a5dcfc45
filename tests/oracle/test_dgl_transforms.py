"""hopflow's transforms give what DGL's give: ``record_transforms.py``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import compare_typed
import pytest
from compare_engine import Case, load
from transform_cases import RECORDED, all_cases
from typed_worlds import Tensors, make_world

RECORD = Path(__file__).parent / "records" / "transforms.npz"

BY_GROUP: dict[str, list[Case]] = defaultdict(list)
for case in all_cases(RECORDED):
    BY_GROUP[case.group].append(case)


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, Tensors], dict[str, Any]]:
    """What DGL gave for every case, and what it raised."""
    return load(RECORD)


def test_the_record_is_of_these_worlds(recorded):
    results, about = recorded
    assert about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 100_000
    worlds = [make_world(n) for n in RECORDED]
    sums = {str(world.number): world.checksum() for world in worlds}
    assert about["worlds"] == sums, "the graphs are others: run record_transforms.py again"
    assert {world.idtype for world in worlds} == {"int32", "int64"}
    cases = [case for group in BY_GROUP.values() for case in group]
    assert {case.path for case in cases} == results.keys() | about["errors"].keys()
    assert len(about["errors"]) < 0.08 * len(cases), "DGL refuses what it took before"


@pytest.mark.parametrize("group", BY_GROUP)
def test_as_dgl(recorded, group):
    report = compare_typed.compare(BY_GROUP[group], *recorded)
    assert report.wrong == [], "\n".join(report.wrong[:20])
    assert sum(row.compared for row in report.rows.values()) > 0


def test_a_difference_is_found(recorded):
    """The comparison is not blind: one number of a result changed."""
    results, about = recorded
    case = BY_GROUP["GDC"][0]
    changed = {**results[case.path], "w": results[case.path]["w"] * 1.001}
    report = compare_typed.compare([case], {case.path: changed}, about)
    assert len(report.wrong) == 1

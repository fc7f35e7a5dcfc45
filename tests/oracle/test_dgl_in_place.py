"""hopflow changes graphs in place as DGL does, and more: ``record_in_place.py``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import compare_typed
import pytest
from compare_engine import Case, Engine, load, run_all
from in_place_cases import RECORDED, all_cases
from typed_worlds import Tensors, make_world

RECORD = Path(__file__).parent / "records" / "in_place.npz"

BY_GROUP: dict[str, list[Case]] = defaultdict(list)
for case in all_cases(RECORDED):
    BY_GROUP[case.group].append(case)


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, Tensors], dict[str, Any]]:
    """What DGL gave for every case, and what it raised."""
    return load(RECORD)


def test_the_record_is_of_these_cases(recorded):
    results, about = recorded
    assert about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 100_000
    sums = {str(n): make_world(n).checksum() for n in RECORDED}
    assert about["worlds"] == sums, "typed_worlds.py makes other graphs: run record_in_place.py"
    cases = [case for group in BY_GROUP.values() for case in group]
    assert {case.path for case in cases} == results.keys() | about["errors"].keys()
    # DGL's copy of a graph lacks its last type of nodes if no relation has that.
    assert all("world 10, add_nodes, add_edges" in path for path in about["errors"])


def test_the_steps_are_of_every_kind(recorded):
    done: set[str] = set()
    for path, found in recorded[0].items():
        if path.startswith("in place"):
            done |= {name.split(" ")[1].rstrip(",") for name in found if "," in name}
    wanted = {"add_some_nodes", "add_some_edges", "remove_some_nodes", "remove_some_edges"}
    assert wanted <= done


@pytest.mark.parametrize("group", BY_GROUP)
def test_as_dgl(recorded, group):
    report = compare_typed.compare(BY_GROUP[group], *recorded)
    assert report.wrong == [], "\n".join(report.wrong[:20])


def test_a_difference_is_found(recorded):
    """The comparison is not blind: one edge turned around after the last step."""
    case = BY_GROUP["in place, all"][0]
    found, errors = run_all([case], Engine("hopflow", {}))
    assert errors == {}
    good = found[case.path]
    ends = [name for name in good if name.startswith("7 ") and name.endswith(" src")]
    name = next(n for n in ends if len(good[n]) and len(good[n.replace(" src", " dst")]))
    other = {**good, name: good[name].flip(0) + 1}
    report = compare_typed.compare([case], {case.path: other}, {"errors": {}})
    assert len(report.wrong) == 1
    assert name in report.wrong[0]

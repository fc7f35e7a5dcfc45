"""hopflow computes on graphs of several types what DGL computes: ``record_typed.py``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import compare_typed
import pytest
from compare_engine import Case, Engine, load, run_all
from typed_cases import all_cases
from typed_worlds import RECORDED, Tensors, make_world

RECORD = Path(__file__).parent / "records" / "typed.npz"

BY_GROUP: dict[tuple[str, int], list[Case]] = defaultdict(list)
for number in RECORDED:
    for case in all_cases([number]):
        BY_GROUP[case.group, number].append(case)


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, Tensors], dict[str, Any]]:
    """What DGL gave for every case, and what it raised."""
    return load(RECORD)


def test_the_record_is_of_these_worlds(recorded):
    results, about = recorded
    assert about["dgl"].startswith("2.")
    assert RECORD.stat().st_size < 1_000_000
    sums = {str(n): make_world(n).checksum() for n in RECORDED}
    assert about["worlds"] == sums, "typed_worlds.py makes other graphs: run record_typed.py again"
    cases = [case for group in BY_GROUP.values() for case in group if case.known is None]
    assert {case.path for case in cases} == results.keys() | about["errors"].keys()
    assert len(about["errors"]) < 0.01 * len(cases), "DGL refuses what it took before"


def test_the_worlds_have_all_that_can_be():
    worlds = [make_world(n) for n in RECORDED]
    assert {w.idtype for w in worlds} == {"int32", "int64"}
    assert {len(w.num_nodes) for w in worlds} == {1, 2, 3, 4}
    assert {len(w.edges) for w in worlds} == {1, 2, 3, 4, 5, 6}
    has: dict[str, bool] = defaultdict(bool)
    for w in worlds:
        has["a type without nodes"] |= 0 in w.num_nodes.values()
        has["a type without relations"] |= bool(w.untouched)
        has["bipartite"] |= not {r[0] for r in w.edges} & {r[2] for r in w.edges}
        has["one name twice"] |= w.has_name_twice
        has["one pair twice"] |= len({r[::2] for r in w.edges}) < len(w.edges)
        has["no order"] |= list(w.edges) != w.relations
        for relation, (src, dst) in w.edges.items():
            has["no edges"] |= not len(src)
            has["parallel edges"] |= len({*zip(src.tolist(), dst.tolist())}) < len(src)
            has["self-loops"] |= relation[0] == relation[2] and bool((src == dst).any())
            has["no in-edges"] |= not w.entered([relation], relation[2]).all()
    assert all(has.values()), has
    assert len(has) == 10


@pytest.mark.parametrize(("group", "number"), BY_GROUP)
def test_as_dgl(recorded, group, number):
    cases = BY_GROUP[group, number]
    report = compare_typed.compare(cases, *recorded)
    assert report.wrong == [], "\n".join(report.wrong[:20])


def test_a_difference_is_found(recorded):
    """The comparison is not blind: results of another world, a name less, a text changed."""
    case = next(c for c in BY_GROUP["types", RECORDED[-1]] if c.name.endswith("all"))
    found, errors = run_all([case], Engine("hopflow", {}))
    assert errors == {}
    good = found[case.path]
    other = {**good, "ntypes": good["etypes"]}
    report = compare_typed.compare([case], {case.path: other}, {"errors": {}})
    assert len(report.wrong) == 1
    assert "ntypes" in report.wrong[0]
    fewer = {k: x for k, x in good.items() if k != "ntypes"}
    assert len(compare_typed.compare([case], {case.path: fewer}, {"errors": {}}).wrong) == 1

"""``compare.py`` without DGL: hopflow in both places, and faults that it must find."""

from __future__ import annotations

import compare
import pytest
import torch
from compare_engine import Case, Engine, load, make_inputs, run_all, save

# A slice of the cases that has every message, every way of passing and every layer.
CASES = [
    case
    for case in compare.all_cases(", float64")
    if not case.group.startswith("messages") or case.name.split(", ")[1] == "width 3"
]


def test_hopflow_equals_itself(tmp_path):
    """Every case runs here, and what one run saves is what another run gives."""
    groups = {case.group for case in CASES}
    assert {"SAGEConv", "GATConv", "functions", "passing pull", "messages apply_edges"} <= groups
    makes = Engine("hopflow", make_inputs(1))
    found, errors = run_all(CASES, makes)
    save(tmp_path / "results.npz", found, {"errors": errors, "dgl": "none", "torch": "its own"})
    save(tmp_path / "states.npz", makes.made_states, {})
    report = compare.compare(CASES, tmp_path / "results.npz", tmp_path / "states.npz", 1)
    assert report.wrong == []
    reasons = [r for r in report.skips if not r.startswith(("known difference", "hopflow has no"))]
    # The dot product of rows of other widths.
    assert all("both refuse (ValueError: dot: " in reason for reason in reasons), reasons
    assert report.print(10)


def test_the_inputs_are_messy():
    inputs = make_inputs(1)
    for name in ("graph", "block"):
        src, dst = inputs[f"{name}/src"], inputs[f"{name}/dst"]
        assert len({*zip(src.tolist(), dst.tolist(), strict=True)}) < len(src)
        assert 2 not in dst
        assert (dst[1:] < dst[:-1]).any()
    assert (inputs["graph/src"] == inputs["graph/dst"]).any()
    assert max(inputs["graph/src"].max(), inputs["graph/dst"].max()) < 23
    again = make_inputs(1)
    assert all((again[key] == x).all() for key, x in inputs.items())


@pytest.mark.parametrize(
    "got",
    [
        torch.tensor([1.0, 2.001]),
        torch.tensor([1.0, float("nan")]),
        torch.tensor([1.0, float("inf")]),
        torch.tensor([[1.0, 2.0]]),
        torch.tensor([1.0, 2.0], dtype=torch.float64),
        None,
    ],
)
def test_a_difference_is_found(got):
    want = torch.tensor([1.0, 2.0])
    assert compare.difference(got, want)[0]
    assert compare.difference(want, got)[0]
    case = Case("group", "graph", "name", lambda engine: {})
    report = compare.Report()
    report.add(case, {} if got is None else {"out": got}, {"out": want}, None, None)
    assert len(report.wrong) == 1
    assert not report.print(10)


def test_what_is_near_is_equal():
    want = torch.tensor([1.0, float("nan"), float("inf"), -float("inf")])
    assert compare.difference(want + torch.tensor([1e-5, 0, 0, 0]), want)[0] == ""
    wide = torch.tensor([1.0], dtype=torch.float64)
    assert compare.difference(wide + 1e-6, wide)[0]
    assert compare.difference(torch.zeros(0, 3), torch.zeros(0, 3)) == ("", 0.0)


def test_what_an_engine_raises_is_told():
    case = Case("group", "graph", "name", lambda engine: {})
    report = compare.Report()
    out = {"out": torch.ones(1)}
    report.add(case, None, out, "ValueError: no", None)
    assert report.wrong == ["group/graph/name: hopflow raises ValueError: no"]
    report = compare.Report()
    report.add(case, None, out, "missing: hopflow has no GATConv", None)
    report.add(case, out, None, None, "DGLError: no")
    report.add(case, None, None, "ValueError: no", "DGLError: no")
    assert report.wrong == []
    assert list(report.skips) == [
        "hopflow has no GATConv",
        "DGL alone refuses (DGLError: no)",
        "both refuse (DGLError: no)",
    ]
    assert not report.print(10), "nothing compared is no success"


def test_save_and_load(tmp_path):
    made = {"a": {"x": torch.ones(2, 3), "none": torch.zeros(0, 4)}, "b": {"n": torch.arange(3)}}
    save(tmp_path / "made.npz", made, {"seed": 3})
    found, about = load(tmp_path / "made.npz")
    assert about == {"seed": 3}
    assert {k: list(v) for k, v in found.items()} == {"a": ["x", "none"], "b": ["n"]}
    for case, values in made.items():
        for name, x in values.items():
            assert torch.equal(found[case][name], x)

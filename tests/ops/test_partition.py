"""Parts chosen in a stream."""

import signal

import pytest
import torch
from helpers import IDS, random_csc
from hypothesis import given, settings
from hypothesis import strategies as st

from hopflow import ops


def edges_of(num_nodes, num_edges, seed=0, dtype=torch.int32):
    csc = random_csc(num_nodes, num_nodes, num_edges, seed=seed, dtype=dtype)
    return ops.StreamedEdges(csc.indptr, csc.indices, 0, 0, num_nodes)


def fresh(count):
    return torch.full((count,), -1, dtype=torch.int16)


def loads(parts, classes, num_parts):
    return [
        torch.bincount(parts[classes == c].long(), minlength=num_parts).tolist()
        for c in range(int(classes.max()) + 1)
    ]


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("num_parts", [1, 2, 5])
def test_equals_reference_over_several_passes(num_parts, dtype):
    edges = [edges_of(60, 400, dtype=dtype), edges_of(60, 90, seed=1)]
    classes = (torch.arange(60) % 3 == 0).to(torch.uint8)
    caps = [-(-40 // num_parts) + 1, -(-20 // num_parts)]
    ours = theirs = fresh(60)
    for num_passes, only_full in ((1, False), (3, False), (1, True)):
        arguments = edges, classes, caps, num_parts
        options = {"num_passes": num_passes, "only_full": only_full}
        ours = ops.stream_parts(*arguments, ours, **options)
        theirs = ops.stream_parts_reference(*arguments, theirs, **options)
        assert torch.equal(ours, theirs)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_caps_hold_and_the_reference_agrees(data):
    num_nodes = data.draw(st.integers(1, 25))
    num_parts = data.draw(st.integers(1, 30))
    edges = [edges_of(num_nodes, data.draw(st.integers(0, 60)), data.draw(st.integers(0, 5)))]
    classes = torch.tensor(
        data.draw(st.lists(st.integers(0, 2), min_size=num_nodes, max_size=num_nodes)),
        dtype=torch.uint8,
    )
    counts = torch.bincount(classes.long(), minlength=3).tolist()
    caps = [-(-count // num_parts) + data.draw(st.integers(0, 2)) for count in counts]
    caps = [min(cap, num_nodes) for cap in caps]
    start = torch.tensor(
        data.draw(st.lists(st.integers(-1, num_parts - 1), min_size=num_nodes, max_size=num_nodes)),
        dtype=torch.int16,
    )
    num_passes = data.draw(st.integers(1, 4))
    for only_full in (False, True):
        options = {"num_passes": num_passes, "only_full": only_full}
        parts = ops.stream_parts(edges, classes, caps, num_parts, start, **options)
        reference = ops.stream_parts_reference(edges, classes, caps, num_parts, start, **options)
        assert torch.equal(parts, reference)
        if only_full or bool((start == -1).all()):
            for load, cap in zip(loads(parts, classes, num_parts), caps):
                assert max(load) <= cap
                assert min(parts.tolist()) >= 0


def test_parts_of_several_types_have_numbers_of_their_own():
    # 4 nodes of one type, then 3 of another, whose in-edges come from the first.
    indptr, indices = torch.tensor([0, 2, 4, 4]), torch.tensor([0, 1, 2, 3])
    edges = [ops.StreamedEdges(indptr, indices, 4, 0, 4)]
    classes = torch.tensor([0] * 4 + [1] * 3, dtype=torch.uint8)
    start = torch.tensor([0, 0, 1, 1, -1, -1, -1], dtype=torch.int16)
    caps = [4, 2]
    parts = ops.stream_parts(edges, classes, caps, 2, start, only_full=True)
    assert torch.equal(
        parts, ops.stream_parts_reference(edges, classes, caps, 2, start, only_full=True)
    )
    assert parts[4:6].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"caps": [1]}, ValueError, r"caps\[0\] is 1, too few for 4 nodes in 2 parts"),
        ({"caps": []}, ValueError, r"classes\[0\] is 0, but there are 0 caps"),
        ({"num_parts": 0}, ValueError, "num_parts: expected 1 to 32767, got 0"),
        ({"num_parts": 40000}, ValueError, "num_parts: expected 1 to 32767"),
        ({"num_passes": 0}, ValueError, "num_passes: expected 1 to 1000, got 0"),
        ({"parts": torch.full((4,), 2, dtype=torch.int16)}, ValueError, r"parts\[0\] is 2"),
        ({"parts": fresh(3)}, ValueError, "parts: expected one for each"),
        ({"parts": torch.zeros(4)}, TypeError, "parts: expected int16"),
        ({"classes": torch.zeros(4)}, TypeError, "classes: expected uint8"),
        (
            {"edges": [ops.StreamedEdges(torch.tensor([0, 1]), torch.tensor([4]), 0, 0, 4)]},
            IndexError,
            r"indices\[0\] is 4",
        ),
        (
            {"edges": [ops.StreamedEdges(torch.tensor([0, 2]), torch.tensor([1]), 0, 0, 4)]},
            ValueError,
            "indptr",
        ),
        (
            {"edges": [ops.StreamedEdges(torch.tensor([0, 0]), torch.tensor([0])[:0], 4, 0, 4)]},
            ValueError,
            "edges: of nodes",
        ),
    ],
)
def test_bad_arguments(change, error, match):
    arguments = {
        "edges": [edges_of(4, 6)],
        "classes": torch.zeros(4, dtype=torch.uint8),
        "caps": [2],
        "num_parts": 2,
        "parts": fresh(4),
        **change,
    }
    with pytest.raises(error, match=match):
        ops.stream_parts(**arguments)


def test_many_passes_can_be_interrupted():
    num_nodes = 300_000
    arguments = [edges_of(num_nodes, 10)], torch.zeros(num_nodes, dtype=torch.uint8), [200_000], 2

    def alarm(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(TimeoutError):
            ops.stream_parts(*arguments, fresh(num_nodes), num_passes=1000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

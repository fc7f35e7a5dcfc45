"""A batch's ids by the part that owns them, and its rows from parts, cache and other ranks."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.workloads import Workloads

# (ids, nodes of the graph, parts, width of a row in float32): the input nodes of batches.
SHAPES = ((12_600, 169_343, 2, 128), (540_000, 2_449_029, 4, 100))


def inputs(shape: tuple[int, int, int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Distinct ids, and a random assignment as ``place`` and ``starts``."""
    num_ids, num_nodes, num_parts, _ = shape
    generator = torch.Generator().manual_seed(0)
    place = torch.randperm(num_nodes, generator=generator).int()
    starts = torch.arange(num_parts + 1) * num_nodes // num_parts
    return torch.randperm(num_nodes, generator=generator)[:num_ids], place, starts


def hopflow_split(shape: tuple[int, int, int, int], workloads: Workloads) -> Task:
    """hopflow.ops.split_by_owner."""
    from hopflow import ops

    ids, place, starts = inputs(shape)
    return timed(lambda: ops.split_by_owner(ids, place, starts))


def torch_split(shape: tuple[int, int, int, int], workloads: Workloads) -> Task:
    """The same in plain torch, with a sort."""
    from hopflow import ops

    ids, place, starts = inputs(shape)
    return timed(lambda: ops.split_by_owner_reference(ids, place, starts))


def hopflow_join(shape: tuple[int, int, int, int], workloads: Workloads) -> Task:
    """hopflow.ops.join_rows: half of the rows received, half from the part's table."""
    pieces, slots = _pieces(shape)
    from hopflow import ops

    return timed(lambda: ops.join_rows(pieces, slots))


def torch_join(shape: tuple[int, int, int, int], workloads: Workloads) -> Task:
    """index_select, cat and index_select again."""
    (received, _), (own, rows) = _pieces(shape)[0]
    slots = _pieces(shape)[1]
    return timed(lambda: torch.cat([received, own.index_select(0, rows)]).index_select(0, slots))


def _pieces(shape: tuple[int, int, int, int]):  # type: ignore[no-untyped-def]
    num_ids, num_nodes, num_parts, width = shape
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(num_nodes // num_parts, width, generator=generator)
    half = num_ids // 2
    rows = torch.randint(own.shape[0], (num_ids - half,), generator=generator, dtype=torch.int32)
    slots = torch.randperm(num_ids, generator=generator).int()
    return [(torch.randn(half, width, generator=generator), None), (own, rows)], slots


CASES = [
    Case(
        name=f"owners.{name}.{shape[0]}",
        what=f"{what} {shape[0]:,} ids out of {shape[1]:,} nodes in {shape[2]} parts",
        entries=[
            Entry("hopflow", partial(ours, shape)),
            Entry("torch", partial(theirs, shape)),
        ],
    )
    for shape in SHAPES
    for name, what, ours, theirs in (
        ("split", "Grouping", hopflow_split, torch_split),
        ("join", "Putting together the rows of", hopflow_join, torch_join),
    )
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)

"""What a call costs beside its work: message passing over ten edges, where there is none."""

from __future__ import annotations

from functools import partial

import torch
from hopbench import Case, Entry, Task, timed
from hopbench.engines import dgl_like, functions
from hopbench.workloads import Workloads

NUM_SRC, NUM_DST, NUM_EDGES, WIDTH = 6, 4, 10, 4

# What a message is made of, and how it is reduced.
CALLS = {
    "copy_u.mean": (("copy_u", "h", "m"), "mean"),
    "u_mul_e.sum": (("u_mul_e", "h", "w", "m"), "sum"),
}


def update_all(engine: str, call: str, has_grad: bool, workloads: Workloads) -> Task:
    """One call of ``update_all``, the functions' making included, as users write it."""
    made = dgl_like(engine).create_block(
        (torch.arange(NUM_EDGES) % NUM_SRC, torch.arange(NUM_EDGES) % NUM_DST), NUM_SRC, NUM_DST
    )
    made.srcdata["h"] = torch.randn(NUM_SRC, WIDTH, requires_grad=has_grad)
    made.edata["w"] = torch.rand(NUM_EDGES, 1)
    fn, ((message, *fields), reducer) = functions(engine), CALLS[call]
    return timed(
        lambda: made.update_all(getattr(fn, message)(*fields), getattr(fn, reducer)("m", "o"))
    )


def overhead(call: str, has_grad: bool) -> Case:
    """One call in every engine that has it."""
    return Case(
        name=f"overhead.{call}{'.grad' if has_grad else ''}",
        what=f"One update_all of {call.replace('.', ', ')} over {NUM_EDGES} edges,"
        f" {WIDTH} float32 features{', with a gradient recorded' if has_grad else ''}",
        entries=[
            Entry(engine, partial(update_all, engine, call, has_grad))
            for engine in ("hopflow", "dgl")
        ],
    )


CASES = [overhead(call, has_grad) for call in CALLS for has_grad in (False, True)]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)

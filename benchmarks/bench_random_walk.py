"""Random walks: uniform, by weight and by the law of node2vec, and neighbours by their visits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench_sample import seeds_of
from bench_sample_weighted import weights_of
from hopbench import Case, Entry, Task, timed
from hopbench.engines import dgl_like, tensors
from hopbench.shared import share
from hopbench.workloads import Workloads

LENGTH = 20


def walked_graph(engine: str, workloads: Workloads, name: str) -> Any:
    """The graph with the column ``w``; its out-edges are made before anything is timed."""

    def make() -> Any:
        indptr, indices = tensors(workloads, name)
        made = dgl_like(engine).graph(("csc", (indptr, indices, [])))
        made.edata["w"] = weights_of(made.num_edges())
        if engine == "dgl":
            made.create_formats_()
        return made

    return share((engine, "walked", name), make)


def walk(engine: str, name: str, count: int, prob: str | None, workloads: Workloads) -> Task:
    """dgl.sampling.random_walk, or hopflow's."""
    made = walked_graph(engine, workloads, name)
    seeds, walks = seeds_of(made.num_nodes(), count), dgl_like(engine).sampling.random_walk

    def run() -> Any:
        return walks(made, seeds, length=LENGTH, prob=prob)

    return timed(run, {"steps": count * LENGTH})


def node2vec(
    engine: str, name: str, count: int, p: float, q: float, prob: str | None, workloads: Workloads
) -> Task:
    """dgl.sampling.node2vec_random_walk, or hopflow's."""
    made = walked_graph(engine, workloads, name)
    seeds, walks = seeds_of(made.num_nodes(), count), dgl_like(engine).sampling.node2vec_random_walk

    def run() -> Any:
        return walks(made, seeds, p, q, LENGTH, prob=prob)

    return timed(run, {"steps": count * LENGTH})


def pinsage(engine: str, name: str, count: int, workloads: Workloads) -> Task:
    """RandomWalkNeighborSampler: 100 walks of up to 3 steps from each node, 10 neighbours kept."""
    made = walked_graph(engine, workloads, name)
    sampler = dgl_like(engine).sampling.RandomWalkNeighborSampler(made, 3, 0.5, 100, 10)
    seeds = seeds_of(made.num_nodes(), count)
    return timed(lambda: sampler(seeds), {"edges": sampler(seeds).num_edges()})


def case_of(
    kind: str, name: str, count: int, setup: Callable[..., Task], *options: Any, what: str,
    heavy: bool = False,
) -> Case:  # fmt: skip
    """One kind of walk over one graph, in both engines."""
    return Case(
        name=f"random_walk.{name}.{kind}",
        what=f"{what}, {count:,} nodes of the {name}-shaped graph",
        entries=[
            Entry("hopflow", partial(setup, "hopflow", name, count, *options)),
            Entry("dgl", partial(setup, "dgl", name, count, *options)),
        ],
        workloads=[name],
        heavy=heavy,
    )


STEPS = f"walks of {LENGTH} steps"
CASES = [
    case_of("uniform", "arxiv", 50_000, walk, None, what=f"Uniform {STEPS}"),
    case_of("weighted", "arxiv", 50_000, walk, "w", what=f"Weighted {STEPS}"),
    case_of(
        "node2vec", "arxiv", 10_000, node2vec, 0.5, 2.0, None,
        what=f"node2vec {STEPS}, p = 0.5, q = 2",
    ),
    case_of(
        "node2vec_weighted", "arxiv", 10_000, node2vec, 4.0, 0.25, "w",
        what=f"Weighted node2vec {STEPS}, p = 4, q = 0.25",
    ),
    case_of("pinsage", "arxiv", 1_000, pinsage, what="Neighbours by visits"),
    case_of("uniform", "products", 100_000, walk, None, what=f"Uniform {STEPS}", heavy=True),
]  # fmt: skip

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)

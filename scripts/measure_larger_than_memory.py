"""Train on a graph larger than memory, and measure it beside the disk that it is on.

    python scripts/measure_larger_than_memory.py make SOURCE            # papers100M's shape, 41 GB
    hopflow convert SOURCE FOLDER --link --memory 4GiB
    python scripts/measure_larger_than_memory.py train FOLDER --out results.json

``--scale 0.1`` makes a smaller one, of which ``train --in-memory`` shows what the disk costs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NUM_NODES, NUM_EDGES = 111_059_956, 1_615_685_872
NUM_FEATURES, NUM_CLASSES = 128, 172
NUM_TRAIN, NUM_VALID, NUM_TEST = 1_207_179, 125_265, 214_338

CHUNK = 1 << 24


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    maker = commands.add_parser("make", help="write a source for hopflow convert")
    maker.add_argument("source", type=Path)
    maker.add_argument("--scale", type=float, default=1.0)
    maker.set_defaults(run=lambda given: make(given.source, given.scale))
    given = parser.parse_args()
    found = given.run(given)
    if found is not None:
        print(json.dumps(found, indent=1))


def make(source: Path, scale: float) -> None:
    """Write arrays of the shape of ogbn-papers100M: random, with its sizes and a heavy tail.

    The node of rank ``r`` of ``N`` has a degree in proportion to ``(r / N) ** -0.5``: the tail of a
    citation graph. Ranks are spread over the ids, as in the real graph. Labels are noise.
    """
    num_nodes, num_edges = int(NUM_NODES * scale), int(NUM_EDGES * scale)
    source.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, factor in (("src", 0.618), ("dst", 0.414)):
        step = spread(num_nodes, factor)
        with RowFile(source / f"{name}.npy", np.int32, (num_edges,)) as file:
            for count in chunks(num_edges, CHUNK):
                ranks = (rng.random(count) ** 2 * num_nodes).astype(np.int64)
                file.write((ranks * step % num_nodes).astype(np.int32).data)
    rows = CHUNK // NUM_FEATURES
    noise = rng.standard_normal((rows, NUM_FEATURES), dtype=np.float32).astype(np.float16)
    with RowFile(source / "feat.npy", np.float16, (num_nodes, NUM_FEATURES)) as file:
        for number, count in enumerate(chunks(num_nodes, rows)):
            # Other rows in every chunk, at the speed of the disk.
            file.write(np.roll(noise, number * 977, axis=0)[:count].data)
    sizes = [int(x * scale) for x in (NUM_TRAIN, NUM_VALID, NUM_TEST)]
    labelled = rng.choice(num_nodes, sum(sizes), replace=False)
    labels = np.full(num_nodes, -1, dtype=np.int64)
    labels[labelled] = rng.integers(0, NUM_CLASSES, len(labelled))
    np.save(source / "label.npy", labels)
    ends = np.cumsum(sizes)[:-1]
    for name, ids in zip(("train", "valid", "test"), np.split(labelled, ends)):
        np.save(source / f"{name}_idx.npy", np.sort(ids))


def spread(num_nodes: int, factor: float) -> int:
    """A step that leads through all nodes in an order that looks like none."""
    step = int(num_nodes * factor) | 1
    while math.gcd(step, num_nodes) != 1:
        step += 2
    return step


def chunks(total: int, most: int) -> Iterator[int]:
    """Sizes of pieces."""
    for begin in range(0, total, most):
        yield min(most, total - begin)


class RowFile:
    """An `.npy` file of which the rows are written one after the other."""

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        fields = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, fields)

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()


if __name__ == "__main__":
    main()

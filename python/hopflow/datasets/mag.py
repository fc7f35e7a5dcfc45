"""A synthetic graph of several types, of the size and shape of ogbn-mag."""

from __future__ import annotations

import math
import operator
import os
from pathlib import Path

import numpy as np

from hopflow.structure.types import Relation

from .cache import fingerprint, read_arrays, user_cache_dir, write_arrays
from .checks import as_features, as_labels, as_named_column, as_splits, as_typed_edges
from .citations import draw_citations
from .dataset import SPLIT_NAMES, Array, Ids
from .draws import Groups, draw_classes, share_out, shuffled
from .links import draw_links, power_law
from .typed_dataset import RawTypedDataset, TypedNodePropDataset, with_reverse

_VERSION = 1  # raise it whenever the same arguments would give other arrays

AFFILIATED: Relation = ("author", "affiliated_with", "institution")
WRITES: Relation = ("author", "writes", "paper")
CITES: Relation = ("paper", "cites", "paper")
HAS_TOPIC: Relation = ("paper", "has_topic", "field_of_study")

# ogbn-mag's own figures (Hu et al. 2020, "Open Graph Benchmark", and its split by year).
_NODES = {"author": 1_134_649, "field_of_study": 59_965, "institution": 8_740, "paper": 736_389}
_EDGES = {AFFILIATED: 1_043_998, WRITES: 7_145_660, CITES: 5_416_271, HAS_TOPIC: 7_505_078}
_TRAIN, _VALID = 629_571, 64_879
_FIRST_YEAR, _LAST_TRAIN_YEAR = 2010, 2017
_YEAR_GROWTH = 0.06  # log growth of the number of papers a year
_MIN_SCALE = 0.001

_CLASS_SHIFT = 12.0  # class k has a share of 1 / (k + shift)
_CLASSES_PER_AREA = 12

# Numbers of links: spread of log-normal ones, or exponent and shift of a power law.
_AUTHORS_SIGMA, _TOPICS_SIGMA, _AFFILIATIONS_SIGMA = 1.0, 0.5, 0.7
_PAPERS_TAIL = {"exponent": 1.0, "shift": 1e-3}
_CITED_SHIFT = 3e-4  # of the papers, as those of the other tails
_FIELD_TAIL = {"exponent": 1.1, "shift": 1e-4}
_INSTITUTION_TAIL = {"exponent": 0.9, "shift": 1e-3}

# Of the links of each relation, those within a class and within an area.
_CITES_SHARES = (0.15, 0.30)
_WRITES_SHARES = (0.55, 0.25)
_TOPIC_SHARES = (0.40, 0.35)
_AFFILIATED_SHARES = (0.20, 0.30)

# Features and labels; see Notes of mag_like for what they were chosen by.
_CLASS_SIGNAL = 0.23
_AREA_SIGNAL = 0.1
_LABEL_BLEND = 0.57  # share of the papers of which the label is drawn anew, within the area


def mag_like(
    *,
    seed: int = 0,
    scale: float = 1.0,
    add_reverse: bool = False,
    num_features: int = 128,
    num_classes: int = 349,
    cache: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
) -> TypedNodePropDataset:
    """Make a graph of papers, authors, institutions and fields that is shaped like ogbn-mag.

    Node types are ``paper``, ``author``, ``institution`` and ``field_of_study``; relations
    ``(author, affiliated_with, institution)``, ``(author, writes, paper)``, ``(paper, cites,
    paper)`` and ``(paper, has_topic, field_of_study)``. Papers alone have features:
    ``nodes["paper"].data["feat"]`` is float32 ``[num_papers, num_features]``, ``"year"`` int64
    ``[num_papers, 1]``; labels are those of papers. The split is by year (training up to 2017,
    validation 2018, test 2019). No edge stands twice, papers cite earlier ones, and each author has
    a paper, each paper an author, each field a paper and each institution an author.

    Parameters
    ----------
    seed
        The same seed and sizes give the same data set.
    scale
        Share of ogbn-mag's numbers of nodes and edges: at 1, 736,389 papers with 629,571 / 64,879 /
        41,939 in the split, 1,134,649 authors, 8,740 institutions, 59,965 fields and 1,043,998 /
        7,145,660 / 5,416,271 / 7,505,078 edges. At least 0.001.
    add_reverse
        Add to each relation ``NAME`` the one that leads back, as ``rev_NAME``; without, there is no
        edge into an author, as in ogbn-mag.
    num_features
        Features a paper.
    num_classes
        Planted classes (ogbn-mag's are venues), unequal in size.
    cache
        Keep the arrays (556 MB at the defaults) and use them the next time.
    cache_dir
        Where to; hopflow's folder in the user's cache by default. A file there that cannot be
        read is made again, a folder that cannot be written to costs a warning and nothing else.

    Raises
    ------
    TypeError
        A size that is not a number.
    ValueError
        A size out of range.

    Notes
    -----
    Classes form areas of about twelve. Authors, institutions and fields belong to a class as papers
    do, and a link stays within the class, within the area, or goes anywhere: for citations in 15,
    30 and 55 of 100 cases, for authors 55, 25 and 20, for fields 40, 35 and 25. Numbers of papers
    an author and of links a field, an institution or a cited paper gets follow power laws, numbers
    of authors, fields and references a paper log-normal ones.

    A feature vector is a class centre plus an area centre plus noise, scaled to unit variance. 57 %
    of the labels are then drawn anew within their area, which bounds what any model can reach. One
    paper's features say little, those of cited papers not much more, the mean over a field's or an
    author's papers a lot. Signals and shares were chosen so that linear discriminants come near
    what is published for models on ogbn-mag: at full size and seed 0 their test accuracy is 24.1 %
    on features (published for a perceptron: 26.9 %), 31.3 % with means over one and two hops of
    citations (GraphSAGE on papers: 31.5 %) and 50.1 % with means over the papers of authors and
    fields too (relational GCN, sampled: 46.8 %); at scale 0.05 18.7, 20.2 and 47.9 %.

    Made in about 20 s on one core at full size, with 1.4 GB of memory.
    """
    seed, scale = operator.index(seed), float(scale)
    num_features, num_classes = operator.index(num_features), operator.index(num_classes)
    num_nodes, num_edges = _check_sizes(
        seed=seed, scale=scale, num_features=num_features, num_classes=num_classes
    )
    stamp = fingerprint(
        {
            "version": _VERSION,
            "seed": seed,
            "scale": scale,
            "num_features": num_features,
            "num_classes": num_classes,
        }
    )
    folder = user_cache_dir() if cache_dir is None else Path(cache_dir)
    path = folder / f"mag-like-v{_VERSION}-{stamp}.npz"
    raw: RawTypedDataset | None = None
    if cache:
        cached = read_arrays(path, stamp)
        raw = None if cached is None else _from_cache(cached, num_nodes, num_classes)
    if raw is None:
        arrays = _generate(
            num_nodes, num_edges, seed=seed, num_features=num_features, num_classes=num_classes
        )
        if cache:
            write_arrays(path, stamp, arrays)
        raw = _to_raw(arrays, num_nodes, num_classes)
    return TypedNodePropDataset(with_reverse(raw) if add_reverse else raw)


def _check_sizes(
    *, seed: int, scale: float, num_features: int, num_classes: int
) -> tuple[dict[str, int], dict[Relation, int]]:
    if seed < 0:
        raise ValueError(f"seed: expected at least 0, got {seed}")
    if not (math.isfinite(scale) and scale >= _MIN_SCALE):
        raise ValueError(f"scale: expected at least {_MIN_SCALE}, got {scale}")
    num_nodes = {ntype: round(count * scale) for ntype, count in _NODES.items()}
    if num_features < 1:
        raise ValueError(f"num_features: expected at least 1, got {num_features}")
    if not 1 <= num_classes <= num_nodes["paper"] // 2:
        raise ValueError(
            f"num_classes: expected 1 to {num_nodes['paper'] // 2} (half of the papers), got"
            f" {num_classes}"
        )
    return num_nodes, {relation: round(count * scale) for relation, count in _EDGES.items()}


def _generate(
    num_nodes: dict[str, int],
    num_edges: dict[Relation, int],
    *,
    seed: int,
    num_features: int,
    num_classes: int,
) -> dict[str, Array]:
    rng = np.random.Generator(np.random.PCG64(seed))
    num_papers = num_nodes["paper"]
    # Ids say nothing of class or area.
    shares = 1 / (np.arange(num_classes) + _CLASS_SHIFT)
    shares = (shares / shares.sum())[shuffled(rng, num_classes)]
    num_areas = max(1, num_classes // _CLASSES_PER_AREA)
    area = np.arange(num_classes) % num_areas
    groups = {}
    for ntype, count in num_nodes.items():
        if count >= num_classes:
            narrow = draw_classes(rng, shares, count)
        else:
            narrow = np.searchsorted(np.cumsum(shares)[:-1], rng.random(count), side="right")
        groups[ntype] = Groups(narrow, area[narrow])
    rank = shuffled(rng, num_papers)  # place of each paper in time
    arrays = _edges(rng, groups, rank, num_edges)

    topic = groups["paper"].narrow
    # Areas laid out one after another: a second class of the same area, by the classes' shares.
    by_area = np.argsort(area, kind="stable")
    ends = np.cumsum(shares[by_area])
    sizes = np.bincount(area)
    last = np.cumsum(sizes)
    below = np.concatenate([[0.0], ends])[last - sizes]
    drawn = below[area[topic]] + rng.random(num_papers) * (ends[last - 1] - below)[area[topic]]
    place = np.searchsorted(ends, drawn, side="right")
    second = by_area[np.clip(place, (last - sizes)[area[topic]], last[area[topic]] - 1)]
    label = np.where(rng.random(num_papers) < _LABEL_BLEND, second, topic)

    feat = rng.standard_normal((num_papers, num_features), dtype=np.float32)
    # The distance between two centres, not one coordinate of it, makes classes hard or easy.
    signals = np.sqrt(128 / num_features) * np.array([_CLASS_SIGNAL, _AREA_SIGNAL])
    centres = np.float32(signals[0]) * rng.standard_normal(
        (num_classes, num_features), dtype=np.float32
    )
    centres += np.float32(signals[1]) * rng.standard_normal(
        (num_areas, num_features), dtype=np.float32
    )[area]  # fmt: skip
    feat += centres[topic]
    feat *= np.float32(1 / np.sqrt(1 + (signals**2).sum()))

    by_time = np.empty(num_papers, dtype=np.int64)
    by_time[rank] = np.arange(num_papers)
    num_train, num_valid = _split_sizes(num_papers)
    parts = np.split(by_time, [num_train, num_train + num_valid])
    return {
        **arrays,
        "feat": feat,
        "year": _years(num_papers)[rank].astype(np.int16),
        "label": label.astype(np.int32),
        **{key: np.sort(part) for key, part in zip(SPLIT_NAMES, parts)},
    }


def _edges(
    rng: np.random.Generator,
    groups: dict[str, Groups],
    rank: Ids,
    num_edges: dict[Relation, int],
) -> dict[str, Array]:
    """Source and destination of each relation, under the names of the cached arrays."""
    count = {ntype: len(group.narrow) for ntype, group in groups.items()}
    # What a source draws, how often a destination is drawn, and how near the two are.
    plans = {
        AFFILIATED: (
            np.exp(_AFFILIATIONS_SIGMA * rng.standard_normal(count["author"])),
            power_law(rng, count["institution"], **_INSTITUTION_TAIL),
            _AFFILIATED_SHARES,
        ),
        WRITES: (
            power_law(rng, count["author"], **_PAPERS_TAIL),
            np.exp(_AUTHORS_SIGMA * rng.standard_normal(count["paper"])),
            _WRITES_SHARES,
        ),
        HAS_TOPIC: (
            np.exp(_TOPICS_SIGMA * rng.standard_normal(count["paper"])),
            power_law(rng, count["field_of_study"], **_FIELD_TAIL),
            _TOPIC_SHARES,
        ),
    }
    arrays: dict[str, Array] = {}
    for relation, (of_source, weight, shares) in plans.items():
        src, name, dst = relation
        total = num_edges[relation] - count[dst]  # each destination has one link beforehand
        least = np.full(count[src], int(total >= count[src]), dtype=np.int64)
        counts = share_out(of_source, total, least=least, most=max(1, count[dst] // 4))
        ends = draw_links(
            rng, groups[src], groups[dst], counts=counts, weight=weight, shares=shares
        )
        # int32 halves the file; ids are below 2**31 in anything that fits a synthetic graph.
        arrays[f"{name}:src"], arrays[f"{name}:dst"] = (end.astype(np.int32) for end in ends)
    ends = draw_citations(
        rng,
        rank,
        groups["paper"],
        num_edges[CITES],
        shares=_CITES_SHARES,
        shift=_CITED_SHIFT * count["paper"],
    )
    arrays["cites:src"], arrays["cites:dst"] = (end.astype(np.int32) for end in ends)
    return arrays


def _split_sizes(num_papers: int) -> tuple[int, int]:
    scale = num_papers / _NODES["paper"]
    return round(_TRAIN * scale), max(1, round(_VALID * scale))


def _years(num_papers: int) -> Ids:
    # Years by place in time: slow growth up to 2017, a year of validation and one of test.
    num_train, num_valid = _split_sizes(num_papers)
    through = (np.arange(num_train) + 0.5) / num_train
    num_years = _LAST_TRAIN_YEAR + 1 - _FIRST_YEAR
    span = np.log1p(through * np.expm1(_YEAR_GROWTH * num_years)) / _YEAR_GROWTH
    train = np.minimum(_FIRST_YEAR + span.astype(np.int64), _LAST_TRAIN_YEAR)
    later = np.repeat([2018, 2019], [num_valid, num_papers - num_train - num_valid])
    return np.concatenate([train, later])


def _from_cache(
    arrays: dict[str, Array], num_nodes: dict[str, int], num_classes: int
) -> RawTypedDataset | None:
    # A file of the right name and stamp may still be damaged: it is checked like anyone's file.
    try:
        return _to_raw(arrays, num_nodes, num_classes)
    except (KeyError, ValueError):
        return None


def _to_raw(
    arrays: dict[str, Array], num_nodes: dict[str, int], num_classes: int
) -> RawTypedDataset:
    what = "mag-like"
    num_papers = num_nodes["paper"]
    edges = {
        relation: as_typed_edges(
            arrays[f"{relation[1]}:src"],
            arrays[f"{relation[1]}:dst"],
            relation=relation,
            num_nodes=num_nodes,
            what=what,
        )
        for relation in _EDGES
    }
    labels = as_labels(arrays["label"], rows=num_papers, what=what)
    year = as_named_column("year", arrays["year"], rows=num_papers, what=what)
    splits = as_splits(arrays, num_nodes=num_papers, labels=labels, what=what)
    return RawTypedDataset(
        name=what,
        edges=edges,
        num_nodes=num_nodes,
        node_columns={
            "paper": {
                "feat": as_features(arrays["feat"], rows=num_papers, what=what),
                "year": year.astype(np.int64),
            }
        },
        labels={"paper": labels},
        splits={key: {"paper": ids} for key, ids in splits.items()},
        num_classes=num_classes,
    )

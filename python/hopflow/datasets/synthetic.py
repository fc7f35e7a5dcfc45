"""A synthetic citation graph of the size and shape of ogbn-arxiv, for work without a download."""

from __future__ import annotations

import operator
import os
from pathlib import Path

import numpy as np

from .cache import fingerprint, read_arrays, user_cache_dir, write_arrays
from .checks import as_edges, as_features, as_labels, as_named_column, as_splits
from .citations import draw_citations
from .dataset import Array, Ids, NodePropDataset, RawDataset
from .draws import Groups, draw_classes, shuffled

_VERSION = 1  # raise it whenever the same arguments would give other arrays

# ogbn-arxiv's own figures (Hu et al. 2020, "Open Graph Benchmark", and its split by year).
_ARXIV_NODES = 169_343
_ARXIV_FEATURES = 128
_ARXIV_TRAIN, _ARXIV_VALID = 90_941, 29_799
_LAST_TRAIN_YEAR = 2017
_NUM_TRAIN_YEARS = 24
_YEAR_GROWTH = 0.25  # log growth of the number of papers a year
_SHARE_2019 = 39_711 / 48_603  # of the test papers; the rest is of 2020

_CLASS_DECAY = 6.5 / 40  # class k has a share of exp(-k / (decay * num_classes))
_FIELD_SIZE = 200  # mean number of papers a field
_FIELD_SKEW = 1.5  # field k of n is drawn as n * u**skew: the first ones are larger

# Features and labels; see Notes of arxiv_like for what they were chosen by.
_CLASS_SIGNAL = 0.22
_FIELD_SIGNAL = 0.05
_LABEL_BLEND = 0.27  # mean share of a field's papers that carry its second class


def arxiv_like(
    *,
    seed: int = 0,
    num_nodes: int = _ARXIV_NODES,
    num_edges: int = 1_166_243,
    num_features: int = _ARXIV_FEATURES,
    num_classes: int = 40,
    cache: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
) -> NodePropDataset:
    """Make a citation graph that samples and learns like ogbn-arxiv.

    Papers cite earlier papers, so the graph is directed, without self-loops and without repeated
    or mutual edges. ``ndata["feat"]`` is float32 ``[num_nodes, num_features]``, ``ndata["year"]``
    int64 ``[num_nodes, 1]``; the split is by year (training up to 2017, validation 2018, test
    from 2019), at the default size 90,941 / 29,799 / 48,603 nodes and in proportion otherwise.

    Parameters
    ----------
    seed
        The same seed and sizes give the same data set.
    num_nodes, num_edges
        Size of the graph; every paper cites at most half of the earlier ones.
    num_features
        Features a node.
    num_classes
        Planted classes, unequal in size as arXiv's subject areas are.
    cache
        Keep the arrays (104 MB at the defaults) and use them the next time.
    cache_dir
        Where to; hopflow's folder in the user's cache by default. A file there that cannot be
        read is made again, a folder that cannot be written to costs a warning and nothing else.

    Raises
    ------
    TypeError
        A size that is not an integer.
    ValueError
        A size out of range, or more edges than such a graph can hold.

    Notes
    -----
    Each class consists of fields of about 200 papers. A reference goes to the paper's own field,
    class, or anywhere; within that, to an earlier paper in proportion to a fitness, a power law
    tilted towards recent papers. Numbers of references are log-normal. Four constants set the
    sizes of sampled blocks: the exponent of the fitness (how often neighbours are shared), the
    spread of the numbers of references (how many papers have fewer than four neighbours), and the
    shares of field and class. They were chosen so that, after adding reverse edges, sampling
    [4, 4] neighbours of 1024 random training nodes gives a first block of about 12,600 source and
    4,030 destination nodes, as ogbn-arxiv does: 12,517 and 4,017 with seed 0 (mean of 88
    batches), within 2.5 % with seeds 0 to 4. The largest degree came out near too: 10,407 with
    seed 0, 13,161 in ogbn-arxiv.

    A feature vector is a class centre plus a field centre plus noise, scaled to unit variance. A
    share of each field's labels, different from field to field and 27 % on average, is then
    replaced by a second class of that field, which bounds what any model can reach. Signals and
    share were chosen so that test accuracy comes near what is published for ogbn-arxiv: a 2-layer
    mean GraphSAGE (hidden 256, fanout [4, 4], Adam 0.003, dropout 0.3, 15 epochs, best validation)
    reaches 71.5 % with seed 0 (published: 71.5 %), a 3-layer perceptron on the features alone
    54.2 % (published: 55.5 %). 52 % of the edges join nodes of one label (ogbn-arxiv: 65 %).
    """
    sizes = {
        "seed": operator.index(seed),
        "num_nodes": operator.index(num_nodes),
        "num_edges": operator.index(num_edges),
        "num_features": operator.index(num_features),
        "num_classes": operator.index(num_classes),
    }
    _check_sizes(**sizes)
    stamp = fingerprint({"version": _VERSION, **sizes})
    folder = user_cache_dir() if cache_dir is None else Path(cache_dir)
    path = folder / f"arxiv-like-v{_VERSION}-{stamp}.npz"
    raw: RawDataset | None = None
    if cache:
        cached = read_arrays(path, stamp)
        raw = None if cached is None else _from_cache(cached, sizes["num_nodes"], num_classes)
    if raw is None:
        arrays = _generate(**sizes)
        if cache:
            write_arrays(path, stamp, arrays)
        raw = _to_raw(arrays, sizes["num_nodes"], num_classes)
    return NodePropDataset(raw)


def _check_sizes(
    *, seed: int, num_nodes: int, num_edges: int, num_features: int, num_classes: int
) -> None:
    if seed < 0:
        raise ValueError(f"seed: expected at least 0, got {seed}")
    for key, value, least in (
        ("num_nodes", num_nodes, 10),
        ("num_edges", num_edges, 1),
        ("num_features", num_features, 1),
        ("num_classes", num_classes, 1),
    ):
        if value < least:
            raise ValueError(f"{key}: expected at least {least}, got {value}")
    if num_classes > num_nodes:
        raise ValueError(
            f"num_classes: expected at most num_nodes = {num_nodes}, got {num_classes}"
        )
    most = num_nodes * (num_nodes - 1) // 8
    if num_edges > most:
        raise ValueError(
            f"num_edges: expected at most {most} (a quarter of all pairs), got {num_edges}"
        )


def _generate(
    *, seed: int, num_nodes: int, num_edges: int, num_features: int, num_classes: int
) -> dict[str, Array]:
    rng = np.random.Generator(np.random.PCG64(seed))
    # rank[i] is the place of node i in time; ids are in no order, as OGB's are.
    rank = shuffled(rng, num_nodes)
    shares = np.exp(-np.arange(num_classes) / (_CLASS_DECAY * num_classes))
    shares = (shares / shares.sum())[shuffled(rng, num_classes)]
    topic = draw_classes(rng, shares, num_nodes)
    field, num_fields = _draw_fields(rng, topic, num_classes)
    src, dst = draw_citations(rng, rank, Groups(field, topic), num_edges)

    # Each field lies between its class and a second one, to a degree of its own.
    second = np.searchsorted(np.cumsum(shares)[:-1], rng.random(num_fields), side="right")
    blend = 2 * _LABEL_BLEND * rng.random(num_fields)
    label = np.where(rng.random(num_nodes) < blend[field], second[field], topic)

    feat = rng.standard_normal((num_nodes, num_features), dtype=np.float32)
    # The distance between two centres, not one coordinate of it, makes classes hard or easy.
    scale = np.sqrt(_ARXIV_FEATURES / num_features)
    signals = scale * np.array([_CLASS_SIGNAL, _FIELD_SIGNAL])
    for group, count, signal in zip(
        (topic, field), (num_classes, num_fields), signals, strict=False
    ):
        centres = rng.standard_normal((count, num_features), dtype=np.float32)
        feat += (np.float32(signal) * centres)[group]
    feat *= np.float32(1 / np.sqrt(1 + (signals**2).sum()))

    num_train, num_valid = _split_sizes(num_nodes)
    by_time = np.empty(num_nodes, dtype=np.int64)
    by_time[rank] = np.arange(num_nodes)
    train, valid, test = np.split(by_time, [num_train, num_train + num_valid])
    return {
        # int32 halves the file; ids are below 2**31 in anything that fits a synthetic graph.
        "src": src.astype(np.int32),
        "dst": dst.astype(np.int32),
        "feat": feat,
        "year": _years(num_nodes)[rank].astype(np.int16),
        "label": label.astype(np.int32),
        "train": np.sort(train),
        "valid": np.sort(valid),
        "test": np.sort(test),
    }


def _draw_fields(rng: np.random.Generator, topic: Ids, num_classes: int) -> tuple[Ids, int]:
    sizes = np.bincount(topic, minlength=num_classes)
    counts = np.maximum(1, np.rint(sizes / _FIELD_SIZE)).astype(np.int64)
    first = np.cumsum(counts) - counts
    drawn = rng.random(len(topic)) ** _FIELD_SKEW * counts[topic]
    return first[topic] + np.minimum(drawn.astype(np.int64), counts[topic] - 1), int(counts.sum())


def _split_sizes(num_nodes: int) -> tuple[int, int]:
    scale = num_nodes / _ARXIV_NODES
    return round(_ARXIV_TRAIN * scale), max(1, round(_ARXIV_VALID * scale))


def _years(num_nodes: int) -> Ids:
    # Years by place in time: exponential growth up to 2017, one year of validation, two of test.
    num_train, num_valid = _split_sizes(num_nodes)
    num_test = num_nodes - num_train - num_valid
    through = (np.arange(num_train) + 0.5) / num_train
    span = np.log1p(through * np.expm1(_YEAR_GROWTH * _NUM_TRAIN_YEARS)) / _YEAR_GROWTH
    train = _LAST_TRAIN_YEAR + 1 - _NUM_TRAIN_YEARS + span.astype(np.int64)
    num_2019 = round(num_test * _SHARE_2019)
    later = np.repeat([2018, 2019, 2020], [num_valid, num_2019, num_test - num_2019])
    return np.concatenate([np.minimum(train, _LAST_TRAIN_YEAR), later])


def _from_cache(arrays: dict[str, Array], num_nodes: int, num_classes: int) -> RawDataset | None:
    # A file of the right name and stamp may still be damaged: it is checked like anyone's file.
    try:
        return _to_raw(arrays, num_nodes, num_classes)
    except (KeyError, ValueError):
        return None


def _to_raw(arrays: dict[str, Array], num_nodes: int, num_classes: int) -> RawDataset:
    what = "arxiv-like"
    src, dst, _ = as_edges(arrays["src"], arrays["dst"], num_nodes=num_nodes, what=what)
    labels = as_labels(arrays["label"], rows=num_nodes, what=what)
    year = as_named_column("year", arrays["year"], rows=num_nodes, what=what)
    return RawDataset(
        name=what,
        src=src,
        dst=dst,
        num_nodes=num_nodes,
        node_columns={
            "feat": as_features(arrays["feat"], rows=num_nodes, what=what),
            "year": year.astype(np.int64),
        },
        labels=labels,
        splits=as_splits(arrays, num_nodes=num_nodes, labels=labels, what=what),
        num_classes=num_classes,
    )
